"""LBP-SIP: binary patterns of six intersection points.

Source: Wang et al., LBP with Six Intersection Points, ACCV 2014. See `ops.texture`.
"""

from __future__ import annotations

from recognizer.ops.texture import lbp_sip
from recognizer.records import Sample
from recognizer.systems.base import Inputs
from recognizer.systems.lbp import BinaryPatterns


class LbpSip(BinaryPatterns):
    name = "lbp-sip"
    source = "Wang et al. 2014; STRCN, table II"

    def prepare(self, sample: Sample) -> Inputs:
        return {"features": lbp_sip(self.clip(sample), self.options.blocks, self.options.radius)}
