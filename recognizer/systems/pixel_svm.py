"""A linear support vector machine on the grey levels of the motion: what every network has to beat.

This project's own baseline. Pixels are those that the published networks read: u, v and strain of 28 x 28, each
stretched to [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from recognizer.ops.motion import motion_of, stretched
from recognizer.records import Sample
from recognizer.systems.base import Count, FeatureSystem, Inputs


@dataclass(frozen=True, slots=True)
class Choices:
    """size : side of the motion; cost : of a sample on the wrong side of the margin"""

    size: Count = 28
    cost: Annotated[float, Field(gt=0)] = 1.0


class PixelSvm(FeatureSystem[Choices]):
    name = "pixel-svm"
    source = "this project's baseline"
    Choices = Choices
    needs = "motion"

    def prepare(self, sample: Sample) -> Inputs:
        return {"features": stretched(motion_of(sample, self.options.size)).ravel()}

    def classifier(self, seed: int) -> Any:
        """Nothing in the fit is random; `seed` is there for the interface's sake."""
        from sklearn.svm import SVC

        return SVC(kernel="linear", C=self.options.cost, random_state=seed)
