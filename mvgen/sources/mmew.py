"""MMEW: micro-expressions and macro-expressions of the same subjects, 90 frames per second.

Source: Ben et al. 2022, doi:10.1109/TPAMI.2021.3067464.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from mvgen.core.records import Label
from mvgen.sources.base import subject_key
from mvgen.sources.labels import MEGC_CLASSES
from mvgen.sources.release import Findings, Release, Row, coded_clips, make_row
from mvgen.sources.trees import FoundTree, Tree, folders, subject_folders
from mvgen.sources.workbook import Sheet, text


class Mmew(Release):
    """Clips lie in folders of emotions, not of subjects: `S13-07-001` is the first clip of subject 13.

    Its pictures show the face alone. Some 16 rows have a wrong apex or offset: they are failures where the apex is
    outside the clip. Only the micro-expressions are read. Assumed: the subject of a row is the one in its file name.
    """

    name = "mmew"
    title = "MMEW"
    rate = "90"
    fps = 90.0
    licence = "MMEW release agreement: research only, no redistribution"
    access = "signed release agreement, https://github.com/benxianyeteam/MMEW-Dataset"
    citation = """
@article{ben2022mmew,
  author  = {Ben, Xianye and Ren, Yi and Zhang, Junping and Wang, Su-Jing and Kpalma, Kidiyo and Meng, Weixiao and
             Liu, Yong-Jin},
  title   = {Video-Based Facial Micro-Expression Analysis: A Survey of Datasets, Features and Algorithms},
  journal = {IEEE Transactions on Pattern Analysis and Machine Intelligence},
  volume  = {44}, number = {9}, pages = {5826--5846}, year = {2022}, doi = {10.1109/TPAMI.2021.3067464}
}
"""
    tree = """
ROOT/MMEW_Micro_Exp.xlsx
ROOT/Micro_Expression/anger/S13-07-001/1.jpg      (ROOT is MMEW_Final, or the folder that holds it)
"""
    trees = (
        Tree(
            ("Micro_Expression",),
            "cropped",
            r"anger|contempt|disgust|fear|happiness|others?|repression|sadness|surprise",
        ),
    )
    workbooks = ("MMEW_Micro_Exp.xls*", "MMEW*Micro*.xls*")
    labels: ClassVar[Mapping[str, Label | None]] = {**MEGC_CLASSES, "others": None}

    def _rows(self, workbook: Path, sheets: Sequence[Sheet], found: FoundTree, findings: Findings) -> list[Row]:
        columns = {
            "subject": ("Subject",),
            "name": ("Filename",),
            "onset": ("OnsetFrame",),
            "apex": ("ApexFrame",),
            "offset": ("OffsetFrame",),
            "emotion": ("Estimated Emotion", "Emotion"),
            "units": ("Action Units", "AUs", "AU"),
        }
        rows = []
        for where, _, name, cells in coded_clips(workbook, sheets, columns, findings, ("units",)):
            rows.append(make_row(where, text(cells["subject"]), name, text(cells["emotion"]), cells, kind="micro"))
        return rows

    def _folders(self, found: FoundTree) -> dict[tuple[str, str], Path]:
        places: dict[tuple[str, str], Path] = {}
        for emotion in subject_folders(found):
            for clip in folders(emotion):
                subject = subject_key(clip.name.partition("-")[0])
                places.setdefault((subject, clip.name.strip().lower()), clip)
        return places

    def _place(self, found: FoundTree, subject: str, row: Row) -> Path:
        return found.folder / row.emotion / row.name
