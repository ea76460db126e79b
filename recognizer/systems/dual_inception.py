"""Dual-Inception: two inception blocks for u, two for v, and one dense layer over both.

Source: Zhou, Mao and Xue, Dual-Inception network for cross-database micro-expression recognition, FG 2019, and the
authors' code (xly135846/MEGC2019, dual_inception.py):

    u, v            3 x 28 x 28 each: a grey picture that the code reads as colour, so all three channels are the same
    each stream     inception of 6: 1x1 | 1x1, 3x3 | 1x1, 5x5 | max pooling 3x3, 1x1; max pooling 2x2    24 x 14 x 14
                    inception of 16, the same way; max pooling 2x2                                        64 x 7 x 7
    together        6272 -> 1024 -> classes; ReLU after every layer but the last

The code keeps the epoch of lowest validation loss, where all other subjects of the tested subject's dataset are the
validation and are not learned from; here all are learned from, and the last of its 40 epochs is taken.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from recognizer.systems.base import NoOptions, Training
from recognizer.systems.flow_network import FlowNetwork


class Inception(nn.Module):
    """(B, C, H, W) -> (B, 4 * filters, H, W)."""

    def __init__(self, channels: int, filters: int) -> None:
        super().__init__()
        self.ways = nn.ModuleList(
            [
                _convolution(channels, filters, 1),
                nn.Sequential(_convolution(channels, filters, 1), _convolution(filters, filters, 3)),
                nn.Sequential(_convolution(channels, filters, 1), _convolution(filters, filters, 5)),
                nn.Sequential(nn.MaxPool2d(3, 1, padding=1), _convolution(channels, filters, 1)),
            ]
        )

    def forward(self, picture: Tensor) -> Tensor:
        return torch.cat([way(picture) for way in self.ways], dim=1)


def _convolution(channels: int, filters: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, filters, kernel, padding=kernel // 2), nn.ReLU(inplace=True))


class Network(nn.Module):
    """`motion` (B, 3, 28, 28), whose strain is not looked at, -> logits."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.streams = nn.ModuleList(
            nn.Sequential(Inception(3, 6), nn.MaxPool2d(2), Inception(24, 16), nn.MaxPool2d(2), nn.Flatten())
            for _ in range(2)
        )
        self.dense = nn.Sequential(nn.Linear(2 * 64 * 7 * 7, 1024), nn.ReLU(inplace=True), nn.Linear(1024, classes))

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        pictures = [field.expand(-1, 3, -1, -1) for field in inputs["motion"][:, :2].split(1, dim=1)]
        return self.dense(torch.cat([stream(one) for stream, one in zip(self.streams, pictures, strict=True)], dim=1))


class DualInception(FlowNetwork[NoOptions]):
    name = "dual-inception"
    source = "Zhou et al. 2019, and its code"
    training = Training(epochs=40, batch=3, rate=1e-4, optimiser="adam")
    white = 1.0

    def network(self, classes: int) -> nn.Module:
        return Network(classes)
