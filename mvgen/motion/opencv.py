"""What the motion stages share of OpenCV: one thread, and pixel centres as it counts them."""

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
