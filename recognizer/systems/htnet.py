"""HTNet: eyes and mouth corners cut out of the motion, and a transformer from each of them to the whole.

Source: Wang et al., HTNet for micro-expression recognition, Neurocomputing 602, 2024 (arXiv 2307.14637), and the
authors' code (wangzhifengharrison/HTNet, Model.py and the main script):

    motion          3 x 28 x 28, grey levels 0 to 255; four squares of 14 x 14 about the eyes (above) and the corners of
                    the mouth (below), put together to 3 x 28 x 28 again
    patches         7 x 7, each a token of 256: 4 x 4 tokens
    level 1         each token alone: 2 blocks of 256, 3 heads; aggregation to 512                        2 x 2 tokens
    level 2         each token alone: 2 blocks of 512, 6 heads; aggregation to 1024                       1 token
    level 3         8 blocks of 1024, 12 heads
    dense           norm, mean over the tokens, 1024 -> classes

A block is attention and two 1x1 convolutions of four times its width with GELU, each behind a norm over the channels
and with its input added; an aggregation is a 3x3 convolution, a norm, and max pooling 3x3 of stride 2. A head has
dim // heads channels (85 of 256).

With three levels the code cuts the tokens into 4 x 4, 2 x 2 and 1 x 1 blocks of one token each. Its squares take the
landmarks' x for rows and y for columns; here x is the column. Clips without landmarks take the code's own fallback.
THE CODE REPORTS EACH SUBJECT'S BEST TEST EPOCH. Here the last epoch is taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mvgen.core.landmarks68 import five_points
from recognizer.ops.motion import motion_of, stretched
from recognizer.records import Sample
from recognizer.systems.base import Count, Inputs, Training
from recognizer.systems.flow_network import FlowNetwork

_PATCH, _SQUARE = 7, 14
# Eyes, then corners of the mouth, (x, y) pixels of 28, where no face was found.
_FALLBACK = ((9.528073, 11.062551), (21.396168, 10.919773), (10.255435, 22.121233), (20.583706, 22.25584))


@dataclass(frozen=True, slots=True)
class Choices:
    """dim : of a token on the first level, doubled on each; heads : likewise; blocks : of the three levels"""

    dim: Count = 256
    heads: Count = 3
    blocks: tuple[Count, Count, Count] = (2, 2, 8)


class ChannelNorm(nn.Module):
    """Layer norm over the channels of (B, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, features: Tensor) -> Tensor:
        return self.norm(features.movedim(1, -1)).movedim(-1, 1)


class Attention(nn.Module):
    """(B, C, H, W) -> the same: every token looks at every other."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads, inner = heads, channels // heads * heads
        self.ask = nn.Conv2d(channels, 3 * inner, 1, bias=False)
        self.answer = nn.Conv2d(inner, channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        parts = self.ask(features).flatten(2).chunk(3, dim=1)
        query, key, value = (part.unflatten(1, (self.heads, -1)).transpose(2, 3) for part in parts)
        found = nn.functional.scaled_dot_product_attention(query, key, value)
        return self.answer(found.transpose(2, 3).flatten(1, 2).unflatten(2, features.shape[2:]))


class Level(nn.Module):
    """(B, C, 1, 1) -> the same, by some transformer blocks behind a learned position."""

    def __init__(self, channels: int, heads: int, blocks: int) -> None:
        super().__init__()
        self.position = nn.Parameter(torch.randn(1))
        self.blocks = nn.ModuleList(
            nn.Sequential(ChannelNorm(channels), part)
            for _ in range(blocks)
            for part in (Attention(channels, heads), _feed_forward(channels))
        )

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.position
        for block in self.blocks:
            tokens = block(tokens) + tokens
        return tokens


def _feed_forward(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, 4 * channels, 1), nn.GELU(), nn.Conv2d(4 * channels, channels, 1))


class Tower(nn.Module):
    """A picture (B, 3, 28, 28), put together of four squares, -> one token (B, 4 dim, 1, 1)."""

    def __init__(self, dim: int, heads: int, blocks: tuple[int, int, int]) -> None:
        super().__init__()
        widths = [dim * 2**level for level in range(3)]
        self.patches = nn.Conv2d(3, widths[0], _PATCH, stride=_PATCH)
        self.levels = nn.ModuleList(Level(width, heads * 2**level, blocks[level]) for level, width in enumerate(widths))
        self.aggregations = nn.ModuleList(
            nn.Sequential(nn.Conv2d(low, high, 3, padding=1), ChannelNorm(high), nn.MaxPool2d(3, 2, padding=1))
            for low, high in pairwise(widths)
        )

    def forward(self, picture: Tensor) -> Tensor:
        tokens = self.patches(picture)
        for number, level in enumerate(self.levels):
            side = tokens.shape[-1]
            alone = level(tokens.movedim(1, -1).flatten(0, 2)[..., None, None])
            tokens = alone.flatten(1).unflatten(0, (-1, side, side)).movedim(-1, 1)
            if number < len(self.aggregations):
                tokens = self.aggregations[number](tokens)
        return tokens


class Network(nn.Module):
    """`motion` (B, 3, 28, 28), put together of four squares, -> logits."""

    def __init__(self, choices: Choices, classes: int) -> None:
        super().__init__()
        self.tower = Tower(choices.dim, choices.heads, choices.blocks)
        self.classify = nn.Sequential(
            ChannelNorm(4 * choices.dim), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * choices.dim, classes)
        )

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        return self.classify(self.tower(inputs["motion"]))


class HTNet(FlowNetwork[Choices]):
    name = "htnet"
    source = "Wang et al. 2024, and its code"
    Choices = Choices
    training = Training(epochs=800, batch=256, rate=5e-5, optimiser="adam")

    def prepare(self, sample: Sample) -> Inputs:
        motion = stretched(motion_of(sample, self.size)) * np.float32(self.white)
        return {"motion": four_squares(motion, places_of(sample, self.size))}

    def network(self, classes: int) -> nn.Module:
        return Network(self.options, classes)


def places_of(sample: Sample, size: int) -> NDArray[np.float64]:
    """(4, 2) eyes and corners of the mouth in a picture of side `size`; the code's own where no face was found."""
    if sample.landmarks is None:
        return np.array(_FALLBACK)
    corners = five_points(sample.landmarks)[[0, 1, 3, 4]]
    return np.asarray(corners, np.float64) * (size / sample.apex_flow.shape[0])


def four_squares(motion: NDArray[np.float32], places: NDArray[np.floating]) -> NDArray[np.float32]:
    """(3, 28, 28) of motion (3, 28, 28): squares about places (4, 2), two above and two below; all of them inside."""
    half = _SQUARE // 2
    columns, rows = np.clip(places, half, motion.shape[-1] - half).astype(int).T
    cut = [motion[:, y - half : y + half, x - half : x + half] for y, x in zip(rows, columns, strict=True)]
    return np.concatenate([np.concatenate(cut[:2], axis=2), np.concatenate(cut[2:], axis=2)], axis=1)
