"""The main paper's network: frames and flow through 3D convolution, ConvLSTM and 2D convolutions, and a spiking branch.

Source: "Multi-view geometry consistency for micro-expression recognition", sections III-C and III-D, figure 2, eq. 5.
The paper gives the first kernel (3x3x15), pooling (3x3x3), the order of the layers and the size of the images
(128x128). It does not give the numbers of frames, filters and dense units; they are in `Choices`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from recognizer.ops.clips import (
    channels_first,
    expression,
    resampled,
    resampled_flow,
    resized,
    resized_flow,
    standardised,
)
from recognizer.ops.convlstm import BiConvLSTM
from recognizer.ops.spiking import SpikingBranch
from recognizer.records import Sample
from recognizer.systems.base import Count, Inputs, NeuralSystem, Share, Training

_KERNEL, _POOL = (15, 3, 3), 3


@dataclass(frozen=True, slots=True)
class Choices:
    """size : side of the images; frames : number of frames after resampling
    filters : of every convolution and hidden state; units : of the dense layers; dropout : probability
    flow : "step" from each frame to the next, as in the paper; "onset" from the onset frame to each frame
    no_convlstm, no_snn, no_flow : the ablations of figure 9; omitted parts are not computed. Without the ConvLSTM the
        features of the 3D convolution are averaged over time
    """

    size: Annotated[int, Field(ge=14)] = 128
    frames: Annotated[int, Field(ge=18)] = 32
    filters: Count = 32
    units: Count = 128
    dropout: Share = 0.5
    flow: Literal["step", "onset"] = "step"
    no_convlstm: bool = False
    no_snn: bool = False
    no_flow: bool = False


class Stream(nn.Module):
    """The layers for one input: (B, C, T, S, S) -> features (B, F)."""

    def __init__(self, channels: int, choices: Choices) -> None:
        super().__init__()
        filters = choices.filters
        self.short = nn.Sequential(
            nn.Conv3d(channels, filters, _KERNEL), nn.BatchNorm3d(filters), nn.ReLU(inplace=True), nn.MaxPool3d(_POOL)
        )
        self.long = None if choices.no_convlstm else BiConvLSTM(filters, filters)
        self.reduce = nn.Sequential(_block(filters), _block(filters), nn.Flatten())
        side = (choices.size - _KERNEL[1] + 1) // _POOL // 2 // 2
        self.features = filters * side * side

    def forward(self, clip: Tensor) -> Tensor:
        local = self.short(clip)
        whole = local.mean(dim=2) if self.long is None else self.long(local.transpose(1, 2))
        return self.reduce(whole)


def _block(filters: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(filters, filters, 3, padding=1), nn.BatchNorm2d(filters), nn.ReLU(inplace=True), nn.MaxPool2d(2)
    )


class Network(nn.Module):
    """`frames` (B, 3, T, S, S) and `flow` (B, 2, T-1, S, S) -> logits."""

    def __init__(self, choices: Choices, classes: int) -> None:
        super().__init__()
        channels = {"frames": 3} if choices.no_flow else {"frames": 3, "flow": 2}
        streams = {name: Stream(count, choices) for name, count in channels.items()}
        self.streams = nn.ModuleDict(streams)
        features = sum(stream.features for stream in streams.values())
        self.dense = nn.Sequential(
            nn.Linear(features, choices.units), nn.ReLU(inplace=True), nn.Dropout(choices.dropout)
        )
        self.spiking = None if choices.no_snn else SpikingBranch(sum(channels.values()), choices.filters)
        fused = choices.units + (0 if self.spiking is None else self.spiking.features)
        self.classify = nn.Linear(fused, classes)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        features = self.dense(torch.cat([stream(inputs[name]) for name, stream in self.streams.items()], dim=1))
        if self.spiking is not None:
            # Flow t goes from frame t to t+1 and is paired with frame t+1: both start with the second frame.
            last = inputs["frames"].shape[2] - 1
            clip = torch.cat([inputs[name][:, :, -last:] for name in self.streams], dim=1)
            features = torch.cat([features, self.spiking(clip)], dim=1)
        return self.classify(features)


class Multiview(NeuralSystem[Choices]):
    name = "multiview"
    source = "Multi-view geometry consistency, figure 2, eq. 5"
    Choices = Choices
    training = Training(epochs=100, batch=32, rate=1e-2)

    def prepare(self, sample: Sample) -> Inputs:
        size, count = self.options.size, self.options.frames
        face = expression(sample)
        frames = standardised(resampled(resized(face.frames, size, size), count))
        inputs = {"frames": channels_first(frames)}
        if not self.options.no_flow:
            flow = resampled_flow(resized_flow(face.flow, size, size), count)
            if self.options.flow == "onset":
                flow = np.cumsum(flow, axis=0)
            inputs["flow"] = channels_first(flow)
        return inputs

    def network(self, classes: int) -> nn.Module:
        return Network(self.options, classes)
