"""The course of an expression through a registered clip, and pictures of its two ends with less noise.

Two frames tell of the motion between them no more than their noise allows. The frames around them show the same face,
at rest or with a part of the same expression: while skin moves by a pixel or less, its grey goes nearly linearly with
how far the expression has come.
Source of the regression: Cleveland, Robust Locally Weighted Regression and Smoothing Scatterplots, JASA 1979.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mvgen.agreement import FacePixels, change, smooth
from mvgen.records import Image, Mask

Floats = NDArray[np.floating]

# A frame tells of the expression when what it shows beside it is less than this share of the apex's change.
_BESIDE = 0.4
_NEAR = 0.3  # sigma, shares of the expression: frames count for an end of the course by how near they are to it
_FLAT = 1e-3  # keeps the slope finite where the frames are of one share
_NEGLIGIBLE = 1e-3  # weight of a frame


class Course(NamedTuple):
    """How an expression comes and goes.

    share : (T,) of the apex's change that each frame shows, 0 at the onset and 1 at the apex
    pure : (T,) bool, frames that show little beside this expression
    """

    share: Floats
    pure: Mask


def expression_course(colour: Image, onset: int, apex: int, surface: Mask) -> Course:
    """Follow an expression through a clip.

    colour : (T, S, S, 3) uint8, registered; onset, apex : positions in it, not the same
    surface : (S, S) bool, where the face is seen
    """
    import cv2

    face = FacePixels.of(surface, None)
    grey = np.stack([smooth(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY))[face.rows, face.columns] for frame in colour])
    changed = change(grey[onset], grey)
    power = max(float(changed[apex] @ changed[apex]), 1e-9)
    share = changed @ changed[apex] / power
    beside = np.square(changed - share[:, None] * changed[apex]).sum(axis=1)
    ends = np.isin(np.arange(len(colour)), [onset, apex])
    # What even the frame nearest to the course shows beside it is noise.
    noise = min(float(beside[~ends].min(initial=np.inf)), power / 2)
    return Course(share, ends | (beside - noise < _BESIDE**2 * (power - noise)))


def expression_ends(colour: Image, onset: int, apex: int, surface: Mask) -> tuple[Image, Image]:
    """The onset and the apex frame of a clip as all frames that show its expression tell of them.

    Arguments as of `expression_course`. Returns (S, S, 3) uint8 each; the frames themselves where no others tell.
    """
    if not surface.any():
        return colour[onset], colour[apex]
    course = expression_course(colour, onset, apex, surface)
    if course.pure.sum() < 3:
        return colour[onset], colour[apex]
    first, last = (_weighted(colour, _weights(course, end)) for end in (0.0, 1.0))
    return first, last


def _weights(course: Course, end: float) -> Floats:
    """(T,) that sum to 1: of each frame's picture in a local linear regression on the share, read at `end`."""
    away = course.share - end
    near = course.pure * np.exp(-0.5 * (away / _NEAR) ** 2)
    line = np.stack([np.ones_like(away), away], axis=-1)
    weights = np.linalg.solve(line.T @ (near[:, None] * line) + np.diag([0.0, _FLAT]), line.T * near)[0]
    return np.asarray(weights / weights.sum())


def _weighted(colour: Image, weights: Floats) -> Image:
    """(S, S, 3) uint8, the sum of frames (T, S, S, 3), each times its weight (T,); not of all at once, for memory."""
    total = np.zeros(colour.shape[1:], np.float32)
    for index in np.flatnonzero(np.abs(weights) > _NEGLIGIBLE):
        total += np.float32(weights[index]) * colour[index]
    return np.clip(np.rint(total), 0, 255).astype(np.uint8)
