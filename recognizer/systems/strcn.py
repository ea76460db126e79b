"""Common parts of the two kinds of STRCN: aligned and magnified faces, fifty copies of a sample, training.

Source: Xia et al., IEEE Transactions on Multimedia 2020, sections III-B, III-E and IV-A; see `ops.alignment` and
`ops.magnification`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Annotated, TypeVar
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from recognizer.ops.clips import expression, select
from recognizer.ops.magnification import FAST, SLOW, magnified
from recognizer.records import Sample
from recognizer.systems.base import Count, NeuralSystem, Training

_FACTORS = range(5, 15)
_SHARES = (1.0, 0.9, 0.8, 0.7, 0.6)


@dataclass(frozen=True, slots=True)
class Choices:
    """maps : feature maps of every layer, M in table I; figure 5 shows that more are better; their number is not given
    magnification : alpha, outside training
    slow, fast : the magnified band, table V's filter interval, see `ops.magnification`; slow is less than fast
    copies : number of training copies; the paper's fifty are ten factors by five shares of the frames, fewer are
        spread evenly over those, and 1 is the sample itself
    """

    maps: Count = 32
    magnification: Annotated[float, Field(ge=0)] = 8.0
    copies: Annotated[int, Field(ge=1, le=50)] = 50
    slow: Annotated[float, Field(ge=0, le=1)] = SLOW
    fast: Annotated[float, Field(gt=0, le=1)] = FAST

    def __post_init__(self) -> None:
        if self.slow >= self.fast:
            raise ValueError(f"the band from {self.slow} to {self.fast} is empty; slow must be less than fast")


Chosen = TypeVar("Chosen", bound=Choices)


class Strcn(NeuralSystem[Chosen]):
    """A kind of STRCN. In thirty epochs the rate, multiplied by 0.8 after each, falls to about 1e-3 of its start."""

    training = Training(epochs=30, batch=20, rate=1e-3, momentum=0.9, weight_decay=5e-4, decay=0.8, loss="balanced")

    def magnified(self, sample: Sample, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Frames of a sample, magnified by its own factor if it has one: the same shape, float32 in [0, 255]."""
        factor = self.options.magnification if sample.magnification is None else sample.magnification
        return magnified(frames, factor, self.options.slow, self.options.fast)

    def expand(self, sample: Sample) -> Iterator[Sample]:
        """Copies magnified by 5 to 14, with all, 90 %, 80 %, 70 % and 60 % of the frames, chosen at random.

        Onset, apex and offset are always included. The choice depends on clip and copy alone.
        """
        if self.options.copies == 1:
            yield sample
            return
        face = expression(sample)
        every = [*product(_FACTORS, _SHARES)]
        for number in np.linspace(0, len(every) - 1, self.options.copies).round().astype(int):
            factor, share = every[number]
            kept = _chosen(face, share, seed=crc32(f"{sample.clip} {number}".encode()))
            yield replace(select(face, kept), magnification=float(factor))


def _chosen(face: Sample, share: float, seed: int) -> NDArray[np.intp]:
    """Ascending positions of a share of the frames."""
    count = len(face.frames)
    fixed = np.unique([face.onset, face.apex, face.offset])
    others = np.setdiff1d(np.arange(count), fixed)
    wanted = min(max(round(share * count) - len(fixed), 0), len(others))
    drawn = np.random.default_rng(seed).choice(others, wanted, replace=False) if wanted else others[:0]
    return np.sort(np.concatenate([fixed, drawn]))
