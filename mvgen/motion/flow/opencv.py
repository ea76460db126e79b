"""What the motion stages share of OpenCV: one thread, pixel centres as it counts them, resampling."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray


@contextmanager
def one_thread() -> Iterator[None]:
    """Run OpenCV in one thread: it splits images into a strip per thread, and strip borders may change results."""
    import cv2

    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


@lru_cache(8)
def pixel_centres(height: int, width: int) -> NDArray[np.float32]:
    """(H, W, 2) float32, pixel centres as OpenCV counts them."""
    places = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).astype(np.float32)
    places.flags.writeable = False
    return places


def interpolated(values: NDArray[np.float32], at: NDArray[np.float32]) -> NDArray[np.float32]:
    """Values (H, W, ...) interpolated at positions (H, W, 2); the border is replicated.

    Cubic: linear interpolation blurs skin most at half pixels, and a change of blur looks like motion.
    """
    import cv2

    found = cv2.remap(values, at, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
    return np.asarray(found, np.float32)


def cell_sums(picture: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Sums over squares of `side` pixels."""
    import cv2

    height, width = picture.shape
    means = cv2.resize(picture, (width // side, height // side), interpolation=cv2.INTER_AREA)
    return np.asarray(means * np.float32(side * side))
