"""OFF-ApexNet: one small stream for u and one for v, then two wide dense layers.

Source: Liong et al., OFF-ApexNet on micro-expression recognition system, Signal Processing: Image Communication 74,
2019 (arXiv 1805.08699). The layers are those of an open implementation (Off-TANet, PRICAI 2021, off_apexnet.py), whose
2.66 million parameters are the published table's:

    u, v            1 x 28 x 28 each
    each stream     convolution 5x5 of 6, same size, max pooling 2x2                        6 x 14 x 14
                    convolution 5x5 of 16, same size, max pooling 2x2                       16 x 7 x 7
    together        1568 -> 1024 -> 1024 -> classes; ReLU and dropout 0.5 after both

How the authors trained stands in no source that could be read for this file: Adam at a rate of 1e-4 is this project's
choice, and so is ReLU after each convolution, which the open implementation leaves out.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from recognizer.systems.base import Share, Training
from recognizer.systems.flow_network import FlowNetwork

_UNITS = 1024


@dataclass(frozen=True, slots=True)
class Choices:
    """dropout : share that is dropped"""

    dropout: Share = 0.5


class Network(nn.Module):
    """`motion` (B, 3, 28, 28), whose strain is not looked at, -> logits."""

    def __init__(self, choices: Choices, classes: int) -> None:
        super().__init__()
        self.streams = nn.ModuleList(_stream() for _ in range(2))
        self.dense = nn.Sequential(
            nn.Linear(2 * 16 * 7 * 7, _UNITS),
            nn.ReLU(inplace=True),
            nn.Dropout(choices.dropout),
            nn.Linear(_UNITS, _UNITS),
            nn.ReLU(inplace=True),
            nn.Dropout(choices.dropout),
            nn.Linear(_UNITS, classes),
        )

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        fields = inputs["motion"][:, :2].split(1, dim=1)
        return self.dense(torch.cat([stream(field) for stream, field in zip(self.streams, fields, strict=True)], dim=1))


def _stream() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5, padding=2),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Flatten(),
    )


class OffApexNet(FlowNetwork[Choices]):
    name = "off-apexnet"
    source = "Liong et al. 2019, layers after Off-TANet's code"
    Choices = Choices
    training = Training(epochs=100, batch=64, rate=1e-4, optimiser="adam")
    white = 1.0

    def network(self, classes: int) -> nn.Module:
        return Network(self.options, classes)
