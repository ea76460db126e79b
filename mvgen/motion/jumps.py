"""Detection of jumps of a face between frames of a clip, such as where only some of them were registered.

It needs the frames alone. An expression moves a part of the face, and a head moves smoothly: a jump moves the whole
face differently from the pair of frames before and the pair after.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mvgen.core.records import Image, Mask
from mvgen.motion.flow.coarse import flows_from

# Pixels of a picture of 256. In 45 registered clips of synthetic performances, heads still or drifting, noise of sigma
# 1.5, no pair has more than 0.14. One frame, six in a row or every other frame, shifted by 3 pixels, are found in all
# of them, also at 64 pixels a side.
_SMALLEST = 1.0
_CERTAIN = 2.0  # always a jump, whatever the other pairs have
_DEVIATIONS = 4.0  # above the clip's other pairs
_TO_SIGMA = 1.4826  # of a median absolute deviation
_FEWEST = 3  # pairs; with fewer there is nothing to compare with


def jumps(frames: Image, face: Mask) -> NDArray[np.float64]:
    """Length of the face's jump between each frame and the next: (T-1,) pixels.

    frames : (T, S, S, 3) uint8; face : (S, S) bool, where it is
    The median over the face of the difference between a pair's motion and that of a neighbouring pair, the smaller of
    both. Zero where there are too few frames, or no face.
    """
    pairs = len(frames) - 1
    if pairs < _FEWEST or not face.any():
        return np.zeros(max(pairs, 0))
    motions = [flows_from(frames[index : index + 2], 0)[1][face] for index in range(pairs)]
    unlike = [_median_length(after - before) for before, after in pairwise(motions)]
    # The first and the last pair have one neighbour each; their second neighbours take the place of the other.
    ends = [_median_length(motions[pair] - motions[other]) for pair, other in ((0, 2), (-1, -3))]
    return np.minimum(np.r_[ends[0], unlike], np.r_[unlike, ends[1]])


def find_jumps(found: NDArray[np.float64], size: int) -> list[int]:
    """The frames of a registered clip after which the face jumps.

    found : from `jumps`, for frames of `size` pixels
    """
    if len(found) < _FEWEST:
        return []
    middle = float(np.median(found))
    others = middle + _DEVIATIONS * _TO_SIGMA * float(np.median(np.abs(found - middle)))
    scale = size / 256
    return np.flatnonzero(found > max(_SMALLEST * scale, min(others, _CERTAIN * scale))).tolist()


def _median_length(motion: NDArray[np.float32]) -> float:
    return float(np.median(np.linalg.norm(motion, axis=-1)))
