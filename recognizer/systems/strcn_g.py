"""STRCN-G: the flow from the onset frame to the apex, estimated in magnified frames.

Source: Xia et al., IEEE Transactions on Multimedia 2020, section III-C2, eq. 5, table I; see `strcn`. The paper uses
the flow of Sun et al. (CVPR 2010); here it is that of `mvgen.motion.flow.methods`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from mvgen.motion.flow.methods import flow_between
from recognizer.ops.alignment import aligned_face
from recognizer.ops.clips import expression, grey, resized
from recognizer.ops.recurrent_convolution import recurrent_network
from recognizer.records import Sample
from recognizer.systems.base import Inputs
from recognizer.systems.strcn import Choices as Shared
from recognizer.systems.strcn import Strcn

_POOLS = ((4, 4), (4, 4), (4, 4), (2, 2))


@dataclass(frozen=True, slots=True)
class Choices(Shared):
    """height, width : of the flow, pixels; others as in `strcn`"""

    height: Annotated[int, Field(ge=132)] = 300
    width: Annotated[int, Field(ge=132)] = 245


class Network(nn.Module):
    """`flow` (B, 2, height, width) -> logits."""

    def __init__(self, choices: Choices, classes: int) -> None:
        super().__init__()
        self.layers = recurrent_network(2, choices.maps, _POOLS, classes)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        return self.layers(inputs["flow"])


def apex_of(clip: NDArray[np.float32]) -> int:
    """Equation 5: the frame of a clip (T, H, W) whose difference to the first deviates most; never the first."""
    return 1 + int(np.argmax([(frame - clip[0]).std() for frame in clip[1:]]))


class StrcnG(Strcn[Choices]):
    name = "strcn-g"
    source = "Xia et al. 2020, table I, eq. 1-3 and 5"
    Choices = Choices

    def prepare(self, sample: Sample) -> Inputs:
        face = expression(sample)
        clip = self.magnified(sample, aligned_face(face, grey(face.frames)))
        pair = np.rint(resized(clip[[0, apex_of(clip)]], self.options.height, self.options.width)).astype(np.uint8)
        onset, apex = np.repeat(pair[..., None], 3, axis=-1)  # the flow method takes colour frames
        flow = flow_between(onset, apex)
        return {"flow": np.ascontiguousarray(np.moveaxis(flow, -1, 0))}

    def network(self, classes: int) -> nn.Module:
        return Network(self.options, classes)
