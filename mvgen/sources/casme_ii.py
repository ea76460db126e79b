"""CASME II: spontaneous micro-expressions at 200 frames per second.

Source: Yan et al. 2014, doi:10.1371/journal.pone.0086041.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from mvgen.core.records import Label
from mvgen.sources.release import Findings, Release, Row, coded_clips, make_row
from mvgen.sources.trees import FoundTree, Tree
from mvgen.sources.workbook import Sheet, text


class CasmeII(Release):
    """Columns are found by header. The 2019 edition of the workbook relabels three clips and is preferred."""

    name = "casme-ii"
    title = "CASME II"
    rate = "200"
    fps = 200.0
    licence = "CASME II release agreement: research only, no redistribution"
    access = "signed release agreement, http://casme.psych.ac.cn (CASME II)"
    citation = """
@article{yan2014casme,
  author  = {Yan, Wen-Jing and Li, Xiaobai and Wang, Su-Jing and Zhao, Guoying and Liu, Yong-Jin and Chen, Yu-Hsin and
             Fu, Xiaolan},
  title   = {{CASME II}: An Improved Spontaneous Micro-Expression Database and the Baseline Evaluation},
  journal = {PLoS ONE},
  volume  = {9}, number = {1}, pages = {e86041}, year = {2014}, doi = {10.1371/journal.pone.0086041}
}
"""
    tree = """
ROOT/CASME2-coding-20140508.xlsx                      (or -20190701)
ROOT/CASME2_RAW_selected/sub01/EP02_01f/img46.jpg     (raw; or Cropped/sub01/EP02_01f/reg_img46.jpg)
"""
    trees = (
        Tree(("CASME2_RAW_selected", "CASME2-RAW", "RAW_selected"), "raw", r"sub\d+"),
        Tree(("Cropped", "CASME2_Cropped", "Cropped-updated"), "cropped", r"sub\d+"),
    )
    workbooks = (
        "CASME2-coding-20190701.xls*",
        "CASME2-coding-20140508.xls*",
        "CASME2-coding*.xls*",
        "CASME2_label*.xls*",
    )
    # The mapping of MEGC 2019 (See et al. 2019): others, fear and sadness have no class there.
    labels: ClassVar[Mapping[str, Label | None]] = {
        "disgust": "negative",
        "repression": "negative",
        "happiness": "positive",
        "surprise": "surprise",
        "others": None,
        "fear": None,
        "sadness": None,
    }

    def _rows(self, workbook: Path, sheets: Sequence[Sheet], found: FoundTree, findings: Findings) -> list[Row]:
        columns = {
            "subject": ("Subject",),
            "name": ("Filename",),
            "onset": ("OnsetFrame",),
            "apex": ("ApexFrame", "ApexFrame1"),
            "offset": ("OffsetFrame",),
            "emotion": ("Estimated Emotion", "Emotion"),
            "units": ("Action Units", "AU"),
            "objective": ("Objective Classes", "Objective Class"),
        }
        rows = []
        for where, subject, name, cells in coded_clips(workbook, sheets, columns, findings, ("units", "objective")):
            rows.append(make_row(where, f"sub{int(subject):02d}", name, text(cells["emotion"]), cells, kind="micro"))
        return rows
