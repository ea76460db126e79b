"""LBP-TOP: binary patterns on three orthogonal planes.

Source: Zhao and Pietikäinen, TPAMI 29(6), 2007; for micro-expressions Pfister et al., ICCV 2011. See `ops.texture`.
"""

from __future__ import annotations

from recognizer.ops.texture import lbp_top
from recognizer.records import Sample
from recognizer.systems.base import Inputs
from recognizer.systems.lbp import BinaryPatterns


class LbpTop(BinaryPatterns):
    name = "lbp-top"
    source = "Zhao and Pietikäinen 2007; STRCN, table II"

    def prepare(self, sample: Sample) -> Inputs:
        return {"features": lbp_top(self.clip(sample), self.options.blocks, self.options.radius)}
