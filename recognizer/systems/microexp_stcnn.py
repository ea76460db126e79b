"""MicroExpSTCNN: one 3D convolution over the whole face, and two dense layers.

Source: Reddy et al., IJCNN 2019, table I, see `microexp`. The table ends with a dropout after the last dense layer,
which would drop class scores; here dropout is as in the text, after pooling and after the first dense layer.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from recognizer.records import Sample
from recognizer.systems.base import Count, Inputs, NeuralSystem, Share
from recognizer.systems.microexp import (
    KERNEL,
    POOL,
    TRAINING,
    Depth,
    Fit,
    Size,
    convolution,
    fixed_size,
    flattened,
    grey_clip,
)


@dataclass(frozen=True, slots=True)
class Choices:
    """size : side of the frames, pixels; depth : frames, 96 for CAS(ME)² and 18 for SMIC in the paper
    fit : how a clip is brought to that depth, see `microexp.grey_clip`; dropout : probability
    kernel, kernel_depth : of the convolution, pixels and frames; table IX varies them
    """

    size: Size = 64
    depth: Depth = 96
    fit: Fit = "resample"
    dropout: Share = 0.5
    kernel: Count = KERNEL[1]
    kernel_depth: Count = KERNEL[0]

    def __post_init__(self) -> None:
        if self.size < self.kernel + POOL - 1 or self.depth < self.kernel_depth + POOL - 1:
            raise ValueError(
                f"a kernel of {self.kernel} x {self.kernel} x {self.kernel_depth} leaves nothing to pool of "
                f"{self.size} x {self.size} x {self.depth}"
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Depth, height and width of the kernel."""
        return self.kernel_depth, self.kernel, self.kernel


class Network(nn.Module):
    """Table I. `clip` (B, 1, depth, size, size) -> logits."""

    def __init__(self, choices: Choices, classes: int) -> None:
        super().__init__()
        self.convolution = convolution(choices.dropout, choices.shape)
        self.dense = nn.Sequential(
            nn.Linear(flattened(choices.depth, choices.size, choices.shape), 128),
            nn.ReLU(inplace=True),
            nn.Dropout(choices.dropout),
        )
        self.classify = nn.Linear(128, classes)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        return self.classify(self.dense(self.convolution(inputs["clip"])))


class MicroExpSTCNN(NeuralSystem[Choices]):
    name = "microexp-stcnn"
    source = "Reddy et al. 2019, table I"
    Choices = Choices
    training = TRAINING

    def prepare(self, sample: Sample) -> Inputs:
        clip = grey_clip(sample, self.options.depth, self.options.fit)
        return {"clip": fixed_size(clip, self.options.depth, self.options.size)}

    def network(self, classes: int) -> nn.Module:
        return Network(self.options, classes)
