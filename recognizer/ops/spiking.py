"""A spiking branch: leaky integrate-and-fire neurons behind a 3D convolution.

Source: "Multi-view geometry consistency for micro-expression recognition", section III-D: a 3D spiking convolution,
global average pooling, two dense layers. Neurons and their surrogate gradient are snntorch's.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

_LEAK = 0.9  # share of its potential that a neuron keeps from one step to the next


class SpikingBranch(nn.Module):
    """(B, C, T, H, W) -> (B, features): how often the neurons of each filter fire, through two dense layers.

    Every pixel has a neuron; with normalised input currents about every fifth neuron fires at rest, so that changes of
    either sign have an effect.
    """

    def __init__(self, channels: int, filters: int, features: int = 64) -> None:
        from snntorch import Leaky, surrogate

        super().__init__()
        self.features = features
        self.current = nn.Sequential(
            nn.BatchNorm3d(channels, affine=False),  # gives motion the same weight as brightness
            nn.Conv3d(channels, filters, 3, stride=(1, 2, 2), padding=1, bias=False),
            nn.BatchNorm3d(filters),
        )
        with torch.device("cpu"):  # its constructor reads a buffer, which fails on the meta device
            self.neurons = Leaky(_LEAK, spike_grad=surrogate.fast_sigmoid())
        self.dense = nn.Sequential(
            nn.Linear(filters, features), nn.ReLU(inplace=True), nn.Linear(features, features), nn.ReLU(inplace=True)
        )

    def forward(self, clip: Tensor) -> Tensor:
        currents = self.current(clip)
        potential, rate = torch.zeros_like(currents[:, :, 0]), currents.new_zeros(currents.shape[:2])
        for current in currents.unbind(dim=2):
            spikes, potential = self.neurons(current, potential)
            rate = rate + spikes.mean(dim=(2, 3))
        self.neurons.reset_mem()  # keep no state of this clip
        return self.dense(rate / currents.shape[2])
