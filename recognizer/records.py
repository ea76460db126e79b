"""The input record of all recognisers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvgen.core.records import Image, Mask


@dataclass(frozen=True, slots=True)
class Sample:
    """One view of one clip, as input of a recogniser.

    frames : (T, S, S, 3) uint8 RGB, registered onto the onset frame
    flow : (T-1, S, S, 2) float32, pixels, (dx, dy) from frame t to t+1
    apex_flow : (S, S, 2) float32, pixels, from the onset frame to the apex frame
    valid : (S, S) bool, pixels that the source saw; None means everywhere
    onset, apex, offset : positions in frames, 0 <= onset <= apex <= offset < T
    landmarks : (68, 2) float32, pixels of this view, see `mvgen.core.landmarks68`; None where unknown
    label : the class, from 0
    magnification : factor for the motion of a training copy; None leaves it to the system. Systems without
        magnification ignore it
    """

    frames: Image
    flow: NDArray[np.float32]
    apex_flow: NDArray[np.float32]
    valid: Mask | None
    onset: int
    apex: int
    offset: int
    landmarks: NDArray[np.float32] | None
    label: int
    clip: str
    subject: str
    view: str
    magnification: float | None = None
