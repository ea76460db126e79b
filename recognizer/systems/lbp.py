"""Common parts of the local binary patterns: grey clips of one size, and their blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recognizer.ops.clips import expression, grey, resampled, resized
from recognizer.records import Sample
from recognizer.systems.base import Count, FeatureSystem
from recognizer.systems.support_vectors import polynomial_machine


@dataclass(frozen=True, slots=True)
class Choices:
    """size : side of the frames; frames : number after resampling; blocks : the face is cut into blocks x blocks
    radius : of the patterns in space and time, pixels and frames; 3 in STRCN's comparison
    """

    size: Count = 128
    frames: Count = 20
    blocks: Count = 5
    radius: Count = 3

    def __post_init__(self) -> None:
        border = 2 * self.radius
        if self.frames <= border or self.size < border + self.blocks:
            raise ValueError(
                f"{self.frames} frames of {self.size} pixels leave no pattern of radius {self.radius} "
                f"in {self.blocks} x {self.blocks} blocks"
            )


class BinaryPatterns(FeatureSystem[Choices]):
    """Local binary patterns of a clip, classified by a support vector machine."""

    Choices = Choices

    def clip(self, sample: Sample) -> NDArray[np.uint8]:
        """(frames, size, size) uint8 grey."""
        small = resized(grey(expression(sample).frames), self.options.size, self.options.size)
        return np.rint(resampled(small, self.options.frames)).astype(np.uint8)

    def classifier(self, seed: int) -> Any:
        return polynomial_machine(seed)
