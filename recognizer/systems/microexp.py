"""Common parts of the two families of MicroExp networks: grey clips of fixed depth, 32 filters of 3x3x15, pooling by 3.

Source: Reddy et al., Spontaneous Facial Micro-Expression Recognition using 3D Spatiotemporal Convolutional Neural
Networks, IJCNN 2019. Shapes in the papers are width x height x depth; in torch they are depth x height x width.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from torch import nn

from mvgen.core.records import Image
from recognizer.errors import RecogniserError
from recognizer.ops.clips import expression, grey, resampled, resized, standardised
from recognizer.records import Sample
from recognizer.systems.base import Training

FILTERS = 32
KERNEL = (15, 3, 3)  # depth, height, width
POOL = 3

Fit = Literal["resample", "first", "around"]
Depth = Annotated[int, Field(ge=17)]
Size = Annotated[int, Field(ge=5)]

# Section IV-B: stochastic gradient descent with the default rate and schedule of Keras.
TRAINING = Training(epochs=100, batch=8, rate=1e-2)


def grey_clip(sample: Sample, depth: int, fit: Fit) -> NDArray[np.uint8]:
    """Grey frames, (T, S, S) uint8, from onset to offset unless `fit` is "around".

    fit : "first" takes the first `depth` frames and refuses shorter clips, as in the paper; "resample" takes all
        frames, which `fixed_size` then resamples; "around" takes `depth` frames with the expression in their middle, of
        clips that hold what was filmed before and after it
    """
    face = expression(sample, least=depth if fit == "first" else 2)
    if fit == "around":
        return grey(_around(sample, depth))
    return grey(face.frames[:depth] if fit == "first" else face.frames)


def _around(sample: Sample, depth: int) -> Image:
    spare = len(sample.frames) - depth
    if spare < 0:
        raise RecogniserError(
            f"clip {sample.clip}, view {sample.view}: {len(sample.frames)} frames, {depth} are needed; build the data "
            f"with --video-frames {depth}, or leave the clip out"
        )
    first = min(max((sample.onset + sample.offset + 1 - depth) // 2, 0), spare)
    return sample.frames[first : first + depth]


def fixed_size(clip: NDArray[np.uint8], depth: int, size: int) -> NDArray[np.float32]:
    """(T, H, W) as (1, depth, size, size) float32 with mean 0 and standard deviation 1."""
    return standardised(resampled(resized(clip, size, size), depth))[None]


def convolution(dropout: float, kernel: tuple[int, int, int] = KERNEL) -> nn.Sequential:
    """The first four layers of every stream, and flattening: (B, 1, D, S, S) -> (B, `flattened`)."""
    return nn.Sequential(
        nn.Conv3d(1, FILTERS, kernel), nn.ReLU(inplace=True), nn.MaxPool3d(POOL), nn.Dropout(dropout), nn.Flatten()
    )


def flattened(depth: int, size: int, kernel: tuple[int, int, int] = KERNEL) -> int:
    """Number of outputs of `convolution`."""
    return FILTERS * ((depth - kernel[0] + 1) // POOL) * ((size - kernel[1] + 1) // POOL) ** 2
