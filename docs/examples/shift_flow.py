"""A flow method of our own: one shift for the whole picture, by phase correlation."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from mvgen.core.records import Image
from mvgen.motion.flow.methods import Flow, FlowMethods


def shift(first: Image, second: Image) -> Flow:
    """(S, S, 2) float32, pixels, (dx, dy) from the first picture to the second, both (S, S, 3) uint8."""
    one, other = (cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32) for picture in (first, second))
    motion, _ = cv2.phaseCorrelate(one, other, cv2.createHanningWindow(one.shape[::-1], cv2.CV_32F))
    return np.tile(np.asarray(motion, np.float32), (*one.shape, 1))


def shift_method(weights: Path | None, device: str) -> FlowMethods:
    """The same between frames that follow one another and from onset to apex. It has no weights."""
    return FlowMethods(frames=shift, apex=shift)
