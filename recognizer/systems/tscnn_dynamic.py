"""The dynamic stream of TSCNN alone, for data that hold the motion from onset to apex and no frames.

Source: Song et al. 2019, see `tscnn`; table 4 has the streams one by one. Motion from apex to offset is not known to
such data: its two channels are zero, as they are for a clip that ends at its apex.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Annotated

import numpy as np
from pydantic import Field
from torch import nn

from recognizer.ops.clips import expression, resized
from recognizer.ops.copies import copies
from recognizer.ops.motion import stretched
from recognizer.records import Sample
from recognizer.systems import tscnn
from recognizer.systems.base import Count, Inputs, NeuralSystem, Share


@dataclass(frozen=True, slots=True)
class Choices:
    """size : side of the pictures; dropout : share that is dropped; copies : of a training sample, ten or fewer"""

    size: Count = 48
    dropout: Share = 0.5
    copies: Annotated[int, Field(ge=1, le=10)] = 10


class TscnnDynamic(NeuralSystem[Choices]):
    name = "tscnn-dynamic"
    source = "Song et al. 2019, table 4, one stream"
    Choices = Choices
    needs = "motion"
    training = tscnn.Tscnn.training

    def prepare(self, sample: Sample) -> Inputs:
        size = self.options.size
        motion = resized(expression(sample, least=1).apex_flow[None], size, size)[0].astype(np.float32)
        field = stretched(np.ascontiguousarray(np.moveaxis(motion, -1, 0)))
        return {"dynamic": np.concatenate([field, np.zeros_like(field)])}

    def expand(self, sample: Sample) -> Iterator[Sample]:
        """The sample and its mirror image, each upright and turned by 5 and 10 degrees either way."""
        return islice(copies(sample, tscnn.TURNS), self.options.copies)

    def network(self, classes: int) -> nn.Module:
        # Blocks do not matter to this stream; any number divides into one.
        choices = tscnn.Choices(self.options.size, 1, self.options.dropout, no_static=True, no_local=True)
        return tscnn.Network(choices, classes)
