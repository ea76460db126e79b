"""The path of a head through a clip, out of the motion that each of its frames shows by itself.

What all pixels of a face agree on best is the head's motion and a part of the expression's: while a brow is raised the
whole forehead follows. Alone, a frame cannot tell them apart. In time they can be: a head is heavy and goes on as it
went, an expression comes and goes within half a second, and while the face looks as it did at the onset there is
nothing to mistake. So a frame counts for less the more its face has changed, and frames whose faces have changed in the
same way are disturbed in the same way.
Source: Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, eq. 2.25 and 5.8.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]

# What a head may do. Lengths are pixels of a 256-pixel crop, over 256: of the crop's side. A path is smooth over 0.4
# seconds and wanders by one of these amplitudes; a head that shakes, or a camera, adds steps, here a root second's.
_SMOOTH_SECONDS = 0.4
_AMPLITUDES = (2 / 256, 8 / 256, 32 / 256)
_STEPS = (0.0, 0.5 / 256, 1 / 256, 2 / 256, 4 / 256, 8 / 256)
# Pixels of motion of a head that is mistaken, for each pixel of motion that would explain how the face has changed.
_MISTAKEN = 0.7
_LEAST_NOISE = 0.02 / 256  # of the motion that a frame shows: what is left of noise, texture and errors of depth


def path_weights(motion: Floats, change: Floats, noise: Floats, seconds: Floats, *, size: int, freedom: int) -> Floats:
    """How much the motion that each frame shows counts for the path of the head in every frame.

    motion : (T, T) pixels², mean over the face of the product of the motions that two frames show
    change : (T, T) pixels², the same of how the face has changed, as motion that would change it as much
    noise : (T,) pixels, standard deviation of a frame's motion; seconds : (T,) since the onset frame
    size : side of the crop, pixels; freedom : how many numbers describe a motion
    Returns (T, T): row t times the motions of all frames is the expected motion in frame t. How much this head wanders
    and shakes is what makes the motions most likely.
    """
    disturbed = _MISTAKEN**2 * change + np.diag(np.maximum(noise, _LEAST_NOISE * size) ** 2)
    smooth, unsteady = _wandering(seconds), _shaking(seconds)
    best, chosen = np.inf, np.eye(len(seconds))
    for amplitude, step in product(_AMPLITUDES, _STEPS):
        prior = (amplitude * size) ** 2 * smooth + (step * size) ** 2 * unsteady
        covariance = prior + disturbed
        unlikely = np.trace(np.linalg.solve(covariance, motion)) + freedom * np.linalg.slogdet(covariance)[1]
        if unlikely < best:
            best, chosen = unlikely, np.linalg.solve(covariance, prior).T
    return np.asarray(chosen)


def _wandering(seconds: Floats) -> Floats:
    """(T, T), covariance of a smooth path of unit amplitude from where it is at 0 seconds."""
    alike = np.exp(-0.5 * (np.subtract.outer(seconds, seconds) / _SMOOTH_SECONDS) ** 2)
    onset = np.exp(-0.5 * (seconds / _SMOOTH_SECONDS) ** 2)
    return np.asarray(alike - onset[:, None] - onset + 1)


def _shaking(seconds: Floats) -> Floats:
    """(T, T), covariance of a random walk of one unit a root second, away from 0 seconds on both sides."""
    shorter = np.minimum.outer(np.abs(seconds), np.abs(seconds))
    return np.where(np.multiply.outer(seconds, seconds) > 0, shorter, 0.0)
