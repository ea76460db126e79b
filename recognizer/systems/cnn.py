"""Common parts of the deep baselines: colour frames of a clip, and a small convolutional network for each frame.

The papers compare with networks initialised with VGGFace weights, whose terms restrict their use. Here all layers are
trained from scratch, and their sizes are choices of this project.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Annotated

from pydantic import Field
from torch import nn

from recognizer.ops.clips import channels_first, expression, resampled, resized, standardised
from recognizer.ops.copies import copies
from recognizer.records import Sample
from recognizer.systems.base import Count, Inputs, NeuralSystem, Share, Training

FEATURES = 128


@dataclass(frozen=True, slots=True)
class Choices:
    """size : side of the frames; frames : number of frames after resampling; dropout : probability
    copies : number of training copies of a sample, up to six
    """

    size: Annotated[int, Field(ge=8)] = 64
    frames: Count = 12
    dropout: Share = 0.5
    copies: Annotated[int, Field(ge=1, le=6)] = 6


def frame_network() -> nn.Sequential:
    """(N, 3, S, S) -> (N, 128)."""
    return nn.Sequential(
        _block(3, 32, 5), _block(32, 64, 3), _block(64, FEATURES, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )


def _block(channels: int, filters: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, filters, kernel, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(filters),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
    )


class FrameBaseline(NeuralSystem[Choices]):
    """A baseline that reads colour frames, `frames` (3, T, S, S)."""

    Choices = Choices
    training = Training(epochs=60, batch=32, rate=1e-3, optimiser="adam", weight_decay=5e-4)

    def prepare(self, sample: Sample) -> Inputs:
        frames = resized(expression(sample).frames, self.options.size, self.options.size)
        return {"frames": channels_first(standardised(resampled(frames, self.options.frames)))}

    def expand(self, sample: Sample) -> Iterator[Sample]:
        """The sample and its mirror image, each upright and rotated by 5 degrees in both directions."""
        return islice(copies(sample, (5.0, -5.0)), self.options.copies)
