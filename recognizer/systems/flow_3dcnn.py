"""A 3D network for frames, horizontal flow and vertical flow, each in a stream of its own.

Source: Li et al., Micro-expression recognition based on 3D flow convolutional neural network, Pattern Analysis and
Applications 22, 2019, as other papers describe it: grey frames, horizontal flow and vertical flow. The sizes of the
layers are choices of this project.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from recognizer.ops.clips import expression, grey, resampled, resampled_flow, resized, resized_flow, standardised
from recognizer.records import Sample
from recognizer.systems.base import Inputs, NeuralSystem, Share, Training

_FILTERS = (16, 32, 64)
_STREAMS = ("frames", "across", "down")


@dataclass(frozen=True, slots=True)
class Choices:
    """size : side of the images; frames : number of frames after resampling; dropout : probability"""

    size: Annotated[int, Field(ge=8)] = 64
    frames: Annotated[int, Field(ge=9)] = 17
    dropout: Share = 0.5


class Network(nn.Module):
    """`frames`, `across`, `down` (B, 1, T, S, S) -> logits."""

    def __init__(self, choices: Choices, classes: int) -> None:
        super().__init__()
        self.streams = nn.ModuleDict({name: _stream() for name in _STREAMS})
        self.classify = nn.Sequential(
            nn.Linear(len(_STREAMS) * _FILTERS[-1], 128),
            nn.ReLU(inplace=True),
            nn.Dropout(choices.dropout),
            nn.Linear(128, classes),
        )

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        return self.classify(torch.cat([stream(inputs[name]) for name, stream in self.streams.items()], dim=1))


def _stream() -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels, filters in zip((1, *_FILTERS), _FILTERS, strict=False):
        layers += [
            nn.Conv3d(channels, filters, 3, padding=1, bias=False),
            nn.BatchNorm3d(filters),
            nn.ReLU(inplace=True),
            nn.MaxPool3d(2),
        ]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool3d(1), nn.Flatten())


class Flow3dCnn(NeuralSystem[Choices]):
    name = "flow-3dcnn"
    source = "after Li et al. 2019, layers of this project"
    Choices = Choices
    training = Training(epochs=60, batch=32, rate=1e-3, optimiser="adam", weight_decay=5e-4)

    def prepare(self, sample: Sample) -> Inputs:
        size, count = self.options.size, self.options.frames
        face = expression(sample)
        frames = standardised(resampled(resized(grey(face.frames), size, size), count - 1))
        flow = resampled_flow(resized_flow(face.flow, size, size), count)
        return {"frames": frames[None], "across": flow[None, ..., 0].copy(), "down": flow[None, ..., 1].copy()}

    def network(self, classes: int) -> nn.Module:
        return Network(self.options, classes)
