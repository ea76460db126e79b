"""A recogniser of our own: the mean motion of each block of the face, and a linear classifier."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from recognizer.ops.clips import expression
from recognizer.records import Sample
from recognizer.systems.base import Count, FeatureSystem, Inputs


@dataclass(frozen=True, slots=True)
class Choices:
    """blocks : the face is cut into blocks x blocks"""

    blocks: Count = 8


class MeanMotion(FeatureSystem[Choices]):
    name = "mean-motion"
    source = "an example"
    Choices = Choices

    def prepare(self, sample: Sample) -> Inputs:
        flow = expression(sample).apex_flow
        side = self.options.blocks
        blocks = cv2.resize(flow, (side, side), interpolation=cv2.INTER_AREA)
        return {"features": np.asarray(blocks, np.float32).ravel()}

    def classifier(self, seed: int) -> Any:
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        return make_pipeline(StandardScaler(), LogisticRegression(random_state=seed))
