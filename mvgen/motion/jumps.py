"""Whether a face jumps between the frames of a clip, as it does where only some of them were registered.

It is read from the frames alone. An expression moves a part of the face, and a head that moves goes on as it went: a
jump moves the whole face unlike the pair of frames before and the pair after.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mvgen.core.records import Image, Mask
from mvgen.motion.joint_flow import flows_from

# Pixels of a picture of 256. In 45 registered clips of acted faces, heads still or drifting, noise of sigma 1.5, no
# pair has more than 0.14; one frame, six in a row or every other frame 3 pixels beside the rest are found in all of
# them, at 64 pixels a side as well.
_SMALLEST = 1.0
_CERTAIN = 2.0  # whatever the other pairs do
_DEVIATIONS = 4.0  # above the clip's other pairs
_TO_SIGMA = 1.4826  # of a median absolute deviation
_FEWEST = 3  # pairs; with fewer there is nothing to compare with


def jumps(frames: Image, face: Mask) -> NDArray[np.float64]:
    """How far the face jumps between each frame and the next: (T-1,) pixels.

    frames : (T, S, S, 3) uint8; face : (S, S) bool, where it is
    It is the median, over the face, of how unlike a pair's motion is to that of its two neighbours, whichever is more
    alike. Zero where there are too few frames to tell, or no face.
    """
    pairs = len(frames) - 1
    if pairs < _FEWEST or not face.any():
        return np.zeros(max(pairs, 0))
    motions = [flows_from(frames[index : index + 2], 0)[1][face] for index in range(pairs)]
    unlike = [_median_length(after - before) for before, after in pairwise(motions)]
    # The first and the last pair have their second neighbours beside their only ones.
    ends = [_median_length(motions[pair] - motions[other]) for pair, other in ((0, 2), (-1, -3))]
    return np.minimum(np.r_[ends[0], unlike], np.r_[unlike, ends[1]])


def find_jumps(found: NDArray[np.float64], size: int) -> list[int]:
    """The frames of a registered clip after which the face jumps.

    found : as `jumps` gives them, of frames of `size` pixels
    """
    if len(found) < _FEWEST:
        return []
    middle = float(np.median(found))
    others = middle + _DEVIATIONS * _TO_SIGMA * float(np.median(np.abs(found - middle)))
    scale = size / 256
    return np.flatnonzero(found > max(_SMALLEST * scale, min(others, _CERTAIN * scale))).tolist()


def _median_length(motion: NDArray[np.float32]) -> float:
    return float(np.median(np.linalg.norm(motion, axis=-1)))
