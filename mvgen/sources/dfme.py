"""DFME, Dynamic Facial Micro-Expressions: 7,526 clips of 656 subjects, 200, 300 or 500 frames per second.

Source: Zhao et al. 2024, doi:10.1109/TAFFC.2023.3341918.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from mvgen.core.records import Label
from mvgen.sources.labels import MEGC_CLASSES
from mvgen.sources.release import Findings, Release, Row, coded_clips, make_row
from mvgen.sources.trees import FoundTree, Tree, subject_folders
from mvgen.sources.workbook import Sheet, text

_RATES = (200.0, 300.0, 500.0)


class Dfme(Release):
    """Clips lie side by side, not in folders of subjects; their names hold a number. Frames count from 0.

    Its pictures are as filmed. What is known is what users' code reads, and what the CCAC challenges of 2023 and 2024
    say, which gave out parts of it: a workbook with Subject, Filename, OnsetFrame, ApexFrame and Emotion, and frames
    `train_data/<Filename>/00000.png`. Assumed: OffsetFrame, action units and FPS are called so or similarly, and may be
    missing; a clip without FPS was filmed with 200, as most were; a clip of another part is in the folder of that part,
    which is given as root.
    """

    name = "dfme"
    title = "DFME"
    rate = "200, 300, 500"
    fps = 200.0
    licence = "DFME licence: academic research only, no redistribution; not every subject may be shown in papers"
    access = "signed licence, https://mea-lab-421.github.io"
    citation = """
@article{zhao2024dfme,
  author  = {Zhao, Sirui and Tang, Huaying and Mao, Xinglong and Liu, Shifeng and Zhang, Yiming and Wang, Hao and
             Xu, Tong and Chen, Enhong},
  title   = {{DFME}: A New Benchmark for Dynamic Facial Micro-Expression Recognition},
  journal = {IEEE Transactions on Affective Computing},
  volume  = {15}, number = {3}, pages = {1371--1386}, year = {2024}, doi = {10.1109/TAFFC.2023.3341918}
}
"""
    tree = """
ROOT/train_data/coding.xlsx                       (or in ROOT)
ROOT/train_data/sub001_01/00000.png               (the folder may be called DFME or data, too)
"""
    trees = (Tree(("train_data", "DFME", "data"), "raw", r".*\d.*"),)
    workbooks = ("DFME*.xls*", "coding.xls*")
    labels: ClassVar[Mapping[str, Label | None]] = MEGC_CLASSES

    def recognises(self, root: Path) -> bool:
        """By the name of its workbook or folder; folders of other data are called `data` too."""
        return any((root / name).is_dir() for name in ("DFME", "train_data")) and super().recognises(root)

    def _rows(self, workbook: Path, sheets: Sequence[Sheet], found: FoundTree, findings: Findings) -> list[Row]:
        columns = {
            "subject": ("Subject", "Sub", "Subject ID"),
            "name": ("Filename", "File name", "Clip"),
            "onset": ("OnsetFrame", "Onset"),
            "apex": ("ApexFrame", "Apex"),
            "offset": ("OffsetFrame", "Offset"),
            "emotion": ("Emotion", "Estimated Emotion", "Label"),
            "units": ("AUs", "AU", "Action Units"),
            "rate": ("FPS", "Frame rate"),
        }
        rows = []
        for where, _, name, cells in coded_clips(workbook, sheets, columns, findings, ("offset", "units", "rate")):
            emotion, rate = text(cells["emotion"]).lower(), text(cells["rate"])
            row = make_row(where, text(cells["subject"]), name, emotion, cells, kind="micro", fps=_rate(rate))
            if rate and row.fps is None:
                findings.repaired(where, f"{name}: the frame rate {rate!r} is not one of the release; 200 is taken")
            rows.append(row)
        return rows

    def _key(self, row: Row) -> tuple[str, str]:
        return "", row.folder.lower()

    def _folders(self, found: FoundTree) -> dict[tuple[str, str], Path]:
        return {("", clip.name.strip().lower()): clip for clip in subject_folders(found)}

    def _place(self, found: FoundTree, subject: str, row: Row) -> Path:
        return found.folder / row.name


def _rate(cell: str) -> float | None:
    """Frames per second of a cell such as `200` or `200fps`; None if it is none of the release's."""
    try:
        rate = float(cell.lower().removesuffix("fps").strip())
    except ValueError:
        return None
    return rate if rate in _RATES else None
