"""Recurrent convolutional layers, and the network of such layers in both kinds of STRCN.

Source: Xia et al., Spatiotemporal Recurrent Convolutional Networks for Recognizing Spontaneous Micro-expressions, IEEE
Transactions on Multimedia 2020, eq. 6 to 8, table I; after Liang and Hu, CVPR 2015.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

_STEPS = 3  # "3 recurrents"


class RecurrentConvolution(nn.Module):
    """Equations 6 and 7: v(0) is the layer's input u; v(n) = f(w_f * u + w_r * v(n-1) + b), three times.

    w_f is 1x1, w_r is 3x3 and the same at each step; f is batch normalisation, separate for each step, and ReLU.
    """

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.forward_weights = nn.Conv2d(maps, maps, 1, bias=False)  # b is part of the normalisation
        self.recurrent_weights = nn.Conv2d(maps, maps, 3, padding=1, bias=False)
        self.activations = nn.ModuleList(
            nn.Sequential(nn.BatchNorm2d(maps), nn.ReLU(inplace=True)) for _ in range(_STEPS)
        )

    def forward(self, features: Tensor) -> Tensor:
        steady, state = self.forward_weights(features), features
        for activation in self.activations:
            state = activation(steady + self.recurrent_weights(state))
        return state


def recurrent_network(channels: int, maps: int, pools: Sequence[tuple[int, int]], classes: int) -> nn.Sequential:
    """Table I: Conv1, Pool1, RCL2, Pool2 ... RCL5, Pool5, output; (B, C, H, W) -> logits.

    pools : kernel and stride of Pool1 to Pool4, rows and columns; Pool5 is a global average
    """
    layers: list[nn.Module] = [nn.Conv2d(channels, maps, 5, bias=False), nn.BatchNorm2d(maps), nn.ReLU(inplace=True)]
    for pool in pools:
        layers += [nn.MaxPool2d(pool), RecurrentConvolution(maps)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(maps, classes))
