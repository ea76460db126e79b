"""CAS(ME)³, part C: micro-expressions in a mock crime, one long video a subject.

Source: Li et al. 2023, doi:10.1109/TPAMI.2022.3174895.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from mvgen.core.records import Label
from mvgen.sources.base import subject_key
from mvgen.sources.casme3 import Casme3
from mvgen.sources.release import Findings, Release, Row, coded_clips, make_row
from mvgen.sources.trees import FoundTree, Tree, folders, subject_folders
from mvgen.sources.workbook import Sheet, text


class Casme3C(Casme3):
    """A dataset of its own: subject 1 of part C is not subject 1 of part A. Clips are called by their count, `1`.

    No apex is marked. About seven first frames of each video are missing. Depth is not read yet. Assumed: emotions are
    the words of part A or the classes themselves; the folder of a subject holds one video, `a`, and no workbook header
    is called otherwise.
    """

    name = "casme3-c"
    title = "CAS(ME)³ part C"
    stand_in = False
    has_apex = False
    tree = """
ROOT/CAS(ME)3_part_C_ME.xlsx                       (or in a folder `annotation`)
ROOT/part_C/01/a/color/355.jpg                     (and depth/355.png, which is not read)
"""
    trees = (Tree(("part_C", "ME_C"), "raw", r"\d{1,2}", long=True),)
    workbooks = ("cas(me)3_part_C_ME*.xls*", "mockCrimeME*.xls*")
    labels: ClassVar[Mapping[str, Label | None]] = {
        **Casme3.labels,
        "negative": "negative",
        "positive": "positive",
    }

    def _rows(self, workbook: Path, sheets: Sequence[Sheet], found: FoundTree, findings: Findings) -> list[Row]:
        columns = {
            "subject": ("sub", "Subject"),
            "name": ("count",),
            "onset": ("onset", "StartFrame"),
            "offset": ("offset", "EndFrame"),
            "emotion": ("emotion",),
            "units": ("au", "AUs"),
        }
        rows = []
        for where, subject, name, cells in coded_clips(workbook, sheets, columns, findings, ("units", "emotion")):
            emotion = text(cells["emotion"]).lower()
            rows.append(make_row(where, subject.zfill(2), name, emotion, cells, kind="micro", folder="video"))
        return rows

    def _folders(self, found: FoundTree) -> dict[tuple[str, str], Path]:
        return {
            (subject_key(subject.name), "video"): videos[0] / "color"
            for subject in subject_folders(found)
            if (videos := folders(subject))
        }

    def _place(self, found: FoundTree, subject: str, row: Row) -> Path:
        return Release._place(self, found, subject, row)
