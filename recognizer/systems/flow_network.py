"""What networks over one motion share: u, v and strain from onset to apex, each stretched as published images are."""

from __future__ import annotations

from typing import ClassVar, TypeVar

import numpy as np

from recognizer.ops.motion import motion_of, stretched
from recognizer.records import Sample
from recognizer.systems.base import Inputs, NeuralSystem

Options = TypeVar("Options")


class FlowNetwork(NeuralSystem[Options]):
    """Reads `motion` (3, size, size): u, v and strain, each from its least to its greatest value as 0 to `white`."""

    needs = "motion"
    white: ClassVar[float] = 255.0
    size: ClassVar[int] = 28

    def prepare(self, sample: Sample) -> Inputs:
        return {"motion": stretched(motion_of(sample, self.size)) * np.float32(self.white)}
