"""STSTNet: three shallow streams of one convolution each, over u, v and strain together.

Source: Liong et al., Shallow triple stream three-dimensional CNN (STSTNet) for micro-expression recognition, FG 2019,
and the authors' code (christy1206/STSTNet, main.py), from which the order in a stream and the training are:

    motion          3 x 28 x 28, grey levels 0 to 255
    stream 1, 2, 3  convolution 3x3, padding 2, of 3, 5 and 8 filters; ReLU, batch norm    30 x 30
                    max pooling 3x3, stride 3, padding 1; dropout 0.5                      10 x 10
    together        16 x 10 x 10; average pooling 2x2                                      16 x 5 x 5
    dense           400 -> classes

The code trains for 800 epochs on everything but the tested subject and takes the last one.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from recognizer.systems.base import Share, Training
from recognizer.systems.flow_network import FlowNetwork

_FILTERS = (3, 5, 8)


@dataclass(frozen=True, slots=True)
class Choices:
    """dropout : share that is dropped"""

    dropout: Share = 0.5


class Network(nn.Module):
    """`motion` (B, 3, 28, 28) -> logits."""

    def __init__(self, choices: Choices, classes: int) -> None:
        super().__init__()
        self.streams = nn.ModuleList(_stream(filters, choices.dropout) for filters in _FILTERS)
        self.classify = nn.Sequential(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(sum(_FILTERS) * 5 * 5, classes))

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        return self.classify(torch.cat([stream(inputs["motion"]) for stream in self.streams], dim=1))


def _stream(filters: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, filters, 3, padding=2),
        nn.ReLU(inplace=True),
        nn.BatchNorm2d(filters),
        nn.MaxPool2d(3, 3, padding=1),
        nn.Dropout(dropout),
    )


class Ststnet(FlowNetwork[Choices]):
    name = "ststnet"
    source = "Liong et al. 2019, and its code"
    Choices = Choices
    training = Training(epochs=800, batch=256, rate=5e-5, optimiser="adam")

    def network(self, classes: int) -> nn.Module:
        return Network(self.options, classes)
