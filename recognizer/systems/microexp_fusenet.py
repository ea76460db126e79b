"""MicroExpFuseNet: two 3D convolutions, over the eyes and over the mouth, fused before or after the dense layers.

Source: Reddy et al., IJCNN 2019, tables II and III, see `microexp`. Table II gives 20 x 20 x 27 after the dropout that
follows 10 x 10 x 27, and 86400 values for the concatenation of two times 86400; dropout and concatenation as in the
text give 10 x 10 x 27 and 172800.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mvgen.core.landmarks68 import BROW_LEFT, BROW_RIGHT, EYE_LEFT, EYE_RIGHT, MOUTH
from recognizer.ops.faces import box_around, landmarks_of
from recognizer.records import Sample
from recognizer.systems.base import Inputs, NeuralSystem, Share
from recognizer.systems.microexp import TRAINING, Depth, Fit, Size, convolution, fixed_size, flattened, grey_clip

# The paper crops "the eye portion (including both eyes)" by 68 landmarks. It holds the brows, which AU 1, 2 and 4 move.
_PARTS = {"eyes": np.r_[BROW_LEFT, BROW_RIGHT, EYE_LEFT, EYE_RIGHT], "mouth": np.r_[MOUTH]}
# Around the landmarks, as a share of the part's width: room for motion of lids, brows and corners of the mouth.
_MARGIN = 0.15


@dataclass(frozen=True, slots=True)
class Choices:
    """size : side of each part, pixels; depth, fit, dropout : as in `microexp_stcnn`"""

    size: Size = 32
    depth: Depth = 96
    fit: Fit = "resample"
    dropout: Share = 0.5


def _dense(inputs: int, outputs: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, outputs), nn.ReLU(inplace=True), nn.Dropout(dropout))


class Intermediate(nn.Module):
    """Table II. `eyes` and `mouth` (B, 1, depth, size, size) -> logits."""

    def __init__(self, choices: Choices, classes: int) -> None:
        super().__init__()
        self.eyes, self.mouth = convolution(choices.dropout), convolution(choices.dropout)
        self.first = _dense(2 * flattened(choices.depth, choices.size), 1024, choices.dropout)
        self.second = _dense(1024, 128, choices.dropout)
        self.classify = nn.Linear(128, classes)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        both = torch.cat([self.eyes(inputs["eyes"]), self.mouth(inputs["mouth"])], dim=1)
        return self.classify(self.second(self.first(both)))


class Late(nn.Module):
    """Table III. `eyes` and `mouth` (B, 1, depth, size, size) -> logits."""

    def __init__(self, choices: Choices, classes: int) -> None:
        super().__init__()

        def stream() -> nn.Sequential:
            return nn.Sequential(
                convolution(choices.dropout),
                _dense(flattened(choices.depth, choices.size), 1024, choices.dropout),
                _dense(1024, 128, choices.dropout),
            )

        self.eyes, self.mouth = stream(), stream()
        self.classify = nn.Linear(256, classes)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        return self.classify(torch.cat([self.eyes(inputs["eyes"]), self.mouth(inputs["mouth"])], dim=1))


def boxes_of(landmarks: NDArray[np.float32], size: int) -> dict[str, tuple[slice, slice]]:
    """Part -> rows and columns of it, for landmarks (68, 2) in a picture of side `size`."""
    return {part: box_around(landmarks[members], _MARGIN, size) for part, members in _PARTS.items()}


class _FuseNet(NeuralSystem[Choices]):
    Choices = Choices
    training = TRAINING

    def prepare(self, sample: Sample) -> Inputs:
        clip = grey_clip(sample, self.options.depth, self.options.fit)
        return {
            part: fixed_size(clip[:, rows, columns], self.options.depth, self.options.size)
            for part, (rows, columns) in boxes_of(landmarks_of(sample), clip.shape[1]).items()
        }


class IntermediateFuseNet(_FuseNet):
    name = "microexp-fusenet-intermediate"
    source = "Reddy et al. 2019, table II"

    def network(self, classes: int) -> nn.Module:
        return Intermediate(self.options, classes)


class LateFuseNet(_FuseNet):
    name = "microexp-fusenet-late"
    source = "Reddy et al. 2019, table III"

    def network(self, classes: int) -> nn.Module:
        return Late(self.options, classes)
