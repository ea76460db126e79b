"""Eulerian video magnification: amplifies small motion without tracking it.

Source: Wu et al., Eulerian Video Magnification for Revealing Subtle Changes in the World, SIGGRAPH 2012; STRCN, eq. 3
and section IV-A. The interval [0.05, 0.4] and the wavelength 16 that STRCN gives are the coefficients of the two
recursive low passes and the cut-off wavelength of Wu et al.'s released code; per frame, not hertz. The band [1, 5] of
table V has no such filter.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

SLOW, FAST = 0.05, 0.4
_WAVELENGTH = 16.0
_SMALLEST = 4  # pixels, side of the image below the coarsest band


def magnified(frames: NDArray[np.generic], factor: float, slow: float = SLOW, fast: float = FAST) -> Floats:
    """A clip with its motion magnified.

    frames : (T, H, W) or (T, H, W, 3), in [0, 255]; factor : alpha
    slow, fast : coefficients of the low-pass filters whose difference is the magnified band, in [0, 1]. A filter of 0
        keeps the first frame, one of 1 is no filter
    Returns the same shape, float32 in [0, 255]; the first frame is unchanged. For bands of the Laplacian pyramid too
    fine for the factor it is reduced to alpha = lambda / (8 delta) - 1, with delta = 16 / (8 (1 + factor)).
    """
    clip = np.asarray(frames, np.float32)
    moving = _band_pass(clip, slow, fast)
    return np.clip(clip + np.stack([_amplified(change, factor) for change in moving]), 0, 255)


def _band_pass(clip: Floats, slow: float, fast: float) -> Floats:
    """Temporal band-pass: the difference of two first-order recursive low-pass filters."""
    quick, lazy = clip[0].copy(), clip[0].copy()
    band = np.zeros_like(clip)
    for index in range(1, len(clip)):
        quick += fast * (clip[index] - quick)
        lazy += slow * (clip[index] - lazy)
        band[index] = quick - lazy
    return band


def _amplified(change: Floats, factor: float) -> Floats:
    """A frame of the band, amplified; filtering in time and pyramids commute, so one pyramid per frame is enough."""
    import cv2

    bands: list[Floats] = []
    while min(change.shape[:2]) > _SMALLEST:
        smaller = cv2.pyrDown(change)
        bands.append(change - cv2.pyrUp(smaller, dstsize=(change.shape[1], change.shape[0])))
        change = np.asarray(smaller, np.float32)
    total = np.zeros_like(change)  # the coarsest band is light, not motion
    for level, band in reversed([*enumerate(bands)]):
        bearable = 4 * 2**level / _WAVELENGTH * (1 + factor) - 1  # wavelengths up to 4, 8, 16 ... pixels
        total = cv2.pyrUp(total, dstsize=(band.shape[1], band.shape[0])) + max(min(factor, bearable), 0.0) * band
    return np.asarray(total, np.float32)
