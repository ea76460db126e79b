"""MMNet: how the apex differs from the onset, where a second branch tells what lies where in the face.

Source: Li et al., MMNet: Muscle motion-guided network for micro-expression recognition, IJCAI 2022, and the authors'
code (muse1998/MMNet, CASME2_3.py, CA_block.py and PC_module.py), for three classes:

    motion branch   apex less onset, 3 x 224 x 224
                    convolution 3x3 of 180, stride 2; convolution 3x3 of 128; batch norm and ReLU after both    112
                    attention blocks of 128, 128, 256 and 512; stride 2 but for the first                       14
    place branch    onset, averaged to 14 x 14; each pixel a token of 512, with a learned position
                    3 transformer blocks of 4 heads and twice the width; path dropped with 0, 0.15 and 0.3; norm
    together        sum of both, 512 x 14 x 14 -> classes

An attention block is 3x3, batch norm, ReLU, 1x1, batch norm, the input added (through 1x1 and batch norm where the
size changes), ReLU; its result is multiplied by an attention map, the sigmoid of a normed 1x1 convolution over mean and
greatest of the channels, which is itself multiplied by the map of the block before, max-pooled 3x3 with stride 2.

The code draws onset and apex of a training clip a little before or after the annotated ones; here they are as
annotated. Layers of the code that nothing passes through are left out. THE CODE REPORTS EACH SUBJECT'S BEST TEST EPOCH;
here the last one is taken. Its rate stops falling after 50 epochs, here it does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from recognizer.ops.clips import channels_first, expression, resized
from recognizer.ops.copies import copies
from recognizer.records import Sample
from recognizer.systems.base import Inputs, NeuralSystem, Training

# Mean and deviation of ImageNet's pictures, red, green and blue.
_MEAN, _DEVIATION = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)
_SHRINK = 16


@dataclass(frozen=True, slots=True)
class Choices:
    """size : side of the pictures, a multiple of 16; maps : of the last block, the others' in proportion
    copies : of a training sample, mirrored and turned by 4 degrees, six or the first of them
    """

    size: Annotated[int, Field(ge=32, multiple_of=_SHRINK)] = 224
    maps: Annotated[int, Field(ge=16, multiple_of=4)] = 512
    copies: Annotated[int, Field(ge=1, le=6)] = 6


class AttentionBlock(nn.Module):
    """Features (B, C, H, W) and the attention of the block before -> features and attention (B, 1, H', W')."""

    def __init__(self, channels: int, maps: int, stride: int) -> None:
        super().__init__()
        self.change = nn.Sequential(
            nn.Conv2d(channels, maps, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(maps),
            nn.ReLU(inplace=True),
            nn.Conv2d(maps, maps, 1, bias=False),
            nn.BatchNorm2d(maps),
        )
        same = stride == 1 and channels == maps
        self.keep = (
            nn.Identity()
            if same
            else nn.Sequential(nn.Conv2d(channels, maps, 1, stride, bias=False), nn.BatchNorm2d(maps))
        )
        self.look = nn.Sequential(nn.Conv2d(2, 1, 1, bias=False), nn.BatchNorm2d(1), nn.Sigmoid())

    def forward(self, features: Tensor, before: Tensor | None) -> tuple[Tensor, Tensor]:
        found = torch.relu(self.change(features) + self.keep(features))
        attention = self.look(torch.cat([found.mean(1, keepdim=True), found.amax(1, keepdim=True)], dim=1))
        if before is not None:
            attention = attention * nn.functional.max_pool2d(before, 3, 2, padding=1)
        return found * attention, attention


class DropPath(nn.Module):
    """In training, leaves out the whole of some samples; the others are scaled up for it."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, values: Tensor) -> Tensor:
        if not self.training or self.share == 0:
            return values
        kept = torch.rand(len(values), 1, 1, device=values.device) >= self.share
        return values * kept / (1 - self.share)


class Places(nn.Module):
    """Tokens (B, N, C) -> the same, by one transformer block."""

    def __init__(self, width: int, drop: float) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width, eps=1e-6) for _ in range(2))
        self.attention = nn.MultiheadAttention(width, 4, batch_first=True)
        self.dense = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.drop = DropPath(drop)

    def forward(self, tokens: Tensor) -> Tensor:
        seen = self.norms[0](tokens)
        tokens = tokens + self.drop(self.attention(seen, seen, seen, need_weights=False)[0])
        return tokens + self.drop(self.dense(self.norms[1](tokens)))


class Network(nn.Module):
    """`onset` and `apex` (B, 3, S, S) -> logits."""

    def __init__(self, choices: Choices, classes: int) -> None:
        super().__init__()
        width, self.side = choices.maps, choices.size // _SHRINK
        maps = (width // 4, width // 4, width // 2, width)
        self.first = nn.Sequential(*_convolution(3, 180, 2), *_convolution(180, maps[0], 1))
        channels = (maps[0], *maps[:-1])
        self.blocks = nn.ModuleList(
            AttentionBlock(before, after, 1 if number == 0 else 2)
            for number, (before, after) in enumerate(zip(channels, maps, strict=True))
        )
        self.embed = nn.Conv2d(3, width, 1)
        self.position = nn.Parameter(nn.init.trunc_normal_(torch.empty(1, self.side**2, width), std=0.02))
        self.places = nn.Sequential(*(Places(width, drop) for drop in (0.0, 0.15, 0.3)), nn.LayerNorm(width, eps=1e-6))
        self.classify = nn.Linear(width * self.side**2, classes)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        features, attention = self.first(inputs["apex"] - inputs["onset"]), None
        for block in self.blocks:
            features, attention = block(features, attention)
        small = nn.functional.interpolate(inputs["onset"], (self.side, self.side), mode="bilinear", antialias=True)
        tokens = self.places(self.embed(small).flatten(2).transpose(1, 2) + self.position)
        return self.classify(features.flatten(1) + tokens.transpose(1, 2).flatten(1))


def _convolution(channels: int, maps: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, maps, 3, stride, padding=1, bias=False), nn.BatchNorm2d(maps), nn.ReLU(inplace=True)
    )


class MMNet(NeuralSystem[Choices]):
    name = "mmnet"
    source = "Li et al. 2022, and its code"
    Choices = Choices
    training = Training(epochs=100, batch=24, rate=8e-4, optimiser="adamw", weight_decay=0.7, decay=0.987)

    def prepare(self, sample: Sample) -> Inputs:
        face = expression(sample)
        pictures = resized(face.frames[[0, face.apex]], self.options.size, self.options.size).astype(np.float32)
        onset, apex = channels_first((pictures / 255 - _MEAN) / _DEVIATION).swapaxes(0, 1)
        return {"onset": np.ascontiguousarray(onset), "apex": np.ascontiguousarray(apex)}

    def expand(self, sample: Sample) -> Iterator[Sample]:
        """The sample and its mirror image, each upright and turned by 4 degrees either way."""
        return islice(copies(sample, (4.0, -4.0)), self.options.copies)

    def network(self, classes: int) -> nn.Module:
        return Network(self.options, classes)
