"""The input record of all recognisers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mvgen.core.records import Image, Mask

# What data give and a system reads: pictures over time, or only the motion from the onset to the apex.
Needs = Literal["frames", "motion"]


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
    strain : (S, S) float32, optical strain of apex_flow as the data give it; None where they do not, see `ops.motion`
    signals : (T, K) float32, head pose and facial actions of each frame; None where they are not known
    magnification : how much a training copy's motion is to be magnified; None leaves that to the system. Systems that
        magnify nothing do not look at it
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
    strain: NDArray[np.float32] | None = None
    signals: NDArray[np.float32] | None = None
