"""SAMM: spontaneous micro-movements, grey, 200 frames per second.

Source: Davison et al. 2018, doi:10.1109/TAFFC.2016.2573832.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from mvgen.core.records import Label
from mvgen.sources.labels import MEGC_CLASSES
from mvgen.sources.release import Findings, Release, Row, coded_clips, make_row
from mvgen.sources.trees import FoundTree, Tree
from mvgen.sources.workbook import Sheet, text


class Samm(Release):
    """The header is in row 14 of sheet MICRO_ONLY. The catch-all emotion is written Other, not Others."""

    name = "samm"
    title = "SAMM"
    rate = "200"
    fps = 200.0
    licence = "SAMM release agreement: research only, no redistribution"
    access = "signed release agreement, https://helward.mmu.ac.uk/STAFF/M.Yap/dataset.php"
    citation = """
@article{davison2018samm,
  author  = {Davison, Adrian K. and Lansley, Cliff and Costen, Nicholas and Tan, Kevin and Yap, Moi Hoon},
  title   = {{SAMM}: A Spontaneous Micro-Facial Movement Dataset},
  journal = {IEEE Transactions on Affective Computing},
  volume  = {9}, number = {1}, pages = {116--129}, year = {2018}, doi = {10.1109/TAFFC.2016.2573832}
}
"""
    tree = """
ROOT/SAMM_Micro_FACS_Codes_v2.xlsx
ROOT/SAMM/006/006_1_2/006_05562.jpg     (raw; or SAMM_CROP/006/006_1_2/...)
"""
    trees = (
        Tree(("SAMM",), "raw", r"\d{3}"),
        Tree(("SAMM_CROP", "SAMM_CROPPED"), "cropped", r"\d{3}"),
    )
    workbooks = ("SAMM_Micro_FACS_Codes_v2.xls*", "SAMM*Micro_FACS_Codes*.xls*")
    labels: ClassVar[Mapping[str, Label | None]] = {**MEGC_CLASSES, "other": None}

    def _rows(self, workbook: Path, sheets: Sequence[Sheet], found: FoundTree, findings: Findings) -> list[Row]:
        columns = {
            "subject": ("Subject",),
            "name": ("Filename",),
            "onset": ("Onset Frame",),
            "apex": ("Apex Frame",),
            "offset": ("Offset Frame",),
            "emotion": ("Estimated Emotion",),
            "units": ("Action Units",),
            "objective": ("Objective Classes", "Objective Class"),
        }
        rows = []
        for where, subject, name, cells in coded_clips(workbook, sheets, columns, findings, ("units", "objective")):
            rows.append(make_row(where, subject.zfill(3), name, text(cells["emotion"]), cells, kind="micro"))
        return rows
