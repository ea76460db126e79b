"""Dense motion between the frames of a view.

Convention: flow (S, S, 2) float32 in pixels, (dx, dy): the surface at pixel p of frame a is at p + flow(p) in frame b.
Source: Kroeger et al., Fast Optical Flow using Dense Inverse Search, ECCV 2016; OpenCV's medium preset.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from mvgen.records import Image, Mask


@contextmanager
def _one_thread() -> Iterator[None]:
    """DIS cuts the image into as many strips as there are threads, and a strip's border changes its result."""
    import cv2

    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


def flow_between(first: Image, second: Image) -> NDArray[np.float32]:
    """Motion from one (S, S, 3) uint8 frame to another: (S, S, 2) float32, pixels."""
    import cv2

    with _one_thread():
        method = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (first, second)]
        return np.asarray(method.calc(grey[0], grey[1], None), np.float32)  # type: ignore[call-overload]


def flow(colour: Image, surface: Mask) -> NDArray[np.float32]:
    """Motion from every frame of a view to the next.

    colour : (T, S, S, 3) uint8
    surface : (S, S) bool, where the view shows a surface
    Returns (T-1, S, S, 2) float32, pixels, frame t to t+1; zero outside the surface.
    """
    motion = np.zeros((len(colour) - 1, *colour.shape[1:3], 2), np.float32)
    for index in range(len(motion)):
        motion[index][surface] = flow_between(colour[index], colour[index + 1])[surface]
    return motion
