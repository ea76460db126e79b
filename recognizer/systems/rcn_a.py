"""RCN-A: a recurrent convolution, and an attention map that has no parameters of its own.

Source: Xia et al., Revealing the invisible with model and data shrinking for composite-database micro-expression
recognition, IEEE TIP 29, 2020, and the authors' code (xiazhaoqiang/ParameterFreeRCNs-MicroExpressionRec, MeNets.py,
class RCN_A in its version 3, and the defaults of ModelTrain_Final.py):

    motion          3 x 28 x 28, 0 to 1
    first           convolution 5x5 of 64, no padding; batch norm, ReLU, max pooling 2x2, dropout 0.5    64 x 12 x 12
    recurrent       y = f(x); twice y = g(x + y); f is 1x1, g is 3x3, each with batch norm and ReLU
                    max pooling 2x2, dropout 0.5, adaptive average pooling                                64 x 7 x 7
    attention       of the first map, averaged to 7 x 7: weighted by the classifier's weights of a class, averaged over
                    channels, stretched to [0, 1]; the mean over the classes multiplies the recurrent map
    dense           3136 -> classes

The code does not say how large its pictures are; 28 is the size of the images that are passed around. The code's last
epoch is taken; its rate halves every ten epochs, here by the same factor in every epoch.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from recognizer.systems.base import Count, Share, Training
from recognizer.systems.flow_network import FlowNetwork


@dataclass(frozen=True, slots=True)
class Choices:
    """maps : of both convolutions; side : of the map that the classifier reads; dropout : share that is dropped"""

    maps: Count = 64
    side: Count = 7
    dropout: Share = 0.5


class Network(nn.Module):
    """`motion` (B, 3, S, S) -> logits."""

    def __init__(self, choices: Choices, classes: int) -> None:
        super().__init__()
        maps = choices.maps
        self.first = nn.Sequential(*_convolution(3, maps, 5, 0), nn.MaxPool2d(2), nn.Dropout(choices.dropout))
        self.forward_once = _convolution(maps, maps, 1, 0)
        self.recurrent = _convolution(maps, maps, 3, 1)
        self.shrink = nn.Sequential(nn.MaxPool2d(2), nn.Dropout(choices.dropout))
        self.average = nn.AdaptiveAvgPool2d(choices.side)
        self.classify = nn.Linear(maps * choices.side**2, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        nn.init.normal_(self.classify.weight, 0, 0.01)
        nn.init.zeros_(self.classify.bias)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        features = self.first(inputs["motion"])
        attention = self._attention(self.average(features))
        moved = self.forward_once(features)
        for _ in range(2):
            moved = self.recurrent(features + moved)
        return self.classify((self.average(self.shrink(moved)) * attention).flatten(1))

    def _attention(self, features: Tensor) -> Tensor:
        """(B, 1, P, P) in [0, 1] of features (B, M, P, P)."""
        weights = self.classify.weight.unflatten(1, features.shape[1:])
        maps = torch.einsum("bmhw,cmhw->bchw", features, weights) / features.shape[1]
        maps = maps - maps.amin(dim=(2, 3), keepdim=True)
        return (maps / maps.amax(dim=(2, 3), keepdim=True).clamp_min(1e-12)).mean(dim=1, keepdim=True)


def _convolution(channels: int, maps: int, kernel: int, padding: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, maps, kernel, padding=padding), nn.BatchNorm2d(maps), nn.ReLU(inplace=True)
    )


class RcnA(FlowNetwork[Choices]):
    name = "rcn-a"
    source = "Xia et al. 2020, and its code"
    Choices = Choices
    training = Training(epochs=100, batch=64, rate=5e-4, momentum=0.9, decay=0.5**0.1)
    white = 1.0

    def network(self, classes: int) -> nn.Module:
        return Network(self.options, classes)
