"""STRCN-A: the pixels that expressions move most, over time, arranged as one image.

Source: Xia et al., IEEE Transactions on Multimedia 2020, section III-C1, eq. 4, table I; see `strcn`. The paper sums
the heat map over the whole dataset. Here it is learned from the training fold alone, without the test clips.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from recognizer.ops.alignment import aligned_face
from recognizer.ops.clips import channels_first, expression, resampled, resized
from recognizer.ops.recurrent_convolution import recurrent_network
from recognizer.records import Sample
from recognizer.systems.base import Inputs
from recognizer.systems.strcn import Choices as Shared
from recognizer.systems.strcn import Strcn

_HEIGHT, _WIDTH, _FRAMES = 64, 48, 30
_POOLS = ((4, 1), (4, 1), (4, 4), (2, 2))


@dataclass(frozen=True, slots=True)
class Choices(Shared):
    """share : p, the pixels that are kept, those of the highest values in the heat map; others as in `strcn`"""

    share: Annotated[float, Field(ge=0.2, le=1)] = 0.3


class Network(nn.Module):
    """`clip` (B, 3, 30, 64, 48) -> logits; the recurrent layers see (B, 3, pixels, 30)."""

    mask: Tensor

    def __init__(self, choices: Choices, classes: int) -> None:
        super().__init__()
        self.layers = recurrent_network(3, choices.maps, _POOLS, classes)
        # Positions of the kept pixels, row by row; -1 until they are learned.
        self.register_buffer("mask", torch.full((round(choices.share * _HEIGHT * _WIDTH),), -1, dtype=torch.int64))

    def learn_mask(self, clips: Iterable[Tensor]) -> None:
        """Equation 4: pixels with the largest summed difference to the first frame; clips : (B, 3, 30, 64, 48)"""
        heat = torch.zeros(_HEIGHT * _WIDTH, dtype=torch.float64)
        for clip in clips:
            heat += (clip - clip[:, :, :1]).abs().double().sum(dim=(0, 1, 2)).flatten().cpu()
        highest = heat.argsort(descending=True, stable=True)[: len(self.mask)]
        self.mask.copy_(highest.sort().values)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        pixels = inputs["clip"].flatten(3)[..., self._learned()]
        return self.layers(pixels.transpose(2, 3))

    def _learned(self) -> Tensor:
        # Exporters trace values that are not known yet.
        if not torch.compiler.is_compiling() and self.mask[0] < 0:
            raise RuntimeError("the mask has not been learned: call initialise with the training inputs first")
        return self.mask


class StrcnA(Strcn[Choices]):
    name = "strcn-a"
    source = "Xia et al. 2020, table I, eq. 1-4"
    Choices = Choices

    def prepare(self, sample: Sample) -> Inputs:
        face = expression(sample)
        frames = self.magnified(sample, aligned_face(face, face.frames))
        clip = resampled(resized(frames, _HEIGHT, _WIDTH), _FRAMES)
        return {"clip": channels_first(clip / np.float32(255) - np.float32(0.5))}

    def network(self, classes: int) -> nn.Module:
        return Network(self.options, classes)

    def initialise(self, network: nn.Module, batches: Iterable[dict[str, Tensor]], seed: int = 0) -> None:
        """Learn the mask."""
        assert isinstance(network, Network)
        network.learn_mask(batch["clip"] for batch in batches)
