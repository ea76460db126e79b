"""CASME: spontaneous micro-expressions at 60 frames per second, the release before CASME II.

Source: Yan et al. 2013, doi:10.1109/FG.2013.6553799.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from mvgen.core.records import Label
from mvgen.sources.release import Findings, Release, Row, coded_clips, make_row
from mvgen.sources.trees import FoundTree, Tree, find_trees
from mvgen.sources.workbook import Sheet, find_workbook, text


class Casme(Release):
    """Files are called after their clip: `EP01_12-1.jpg`, in the later clips `EP01_5-001.jpg`, cropped `reg_...`.

    The workbook marks one or two apexes; the first is taken. Assumed: 60 frames per second for both of its cameras, and
    the name of the workbook, which circulates as `casme.xlsx`. tense has no class, as `others` of CASME II.
    """

    name = "casme"
    title = "CASME"
    rate = "60"
    fps = 60.0
    licence = "CASME release agreement: research only, no redistribution"
    access = "signed release agreement, http://casme.psych.ac.cn (CASME)"
    citation = """
@inproceedings{yan2013casme,
  author    = {Yan, Wen-Jing and Wu, Qi and Liu, Yong-Jin and Wang, Su-Jing and Fu, Xiaolan},
  title     = {{CASME} Database: A Dataset of Spontaneous Micro-Expressions Collected from Neutralized Faces},
  booktitle = {10th IEEE International Conference and Workshops on Automatic Face and Gesture Recognition},
  pages     = {1--7}, year = {2013}, doi = {10.1109/FG.2013.6553799}
}
"""
    tree = """
ROOT/casme.xlsx
ROOT/CASME_raw_selected/sub01/EP01_12/EP01_12-1.jpg   (raw; or Cropped/sub01/EP01_12/reg_EP01_12-1.jpg)
"""
    trees = (
        Tree(("CASME_raw_selected", "CASME_raw"), "raw", r"sub\d+"),
        Tree(("CASME_Cropped", "Cropped"), "cropped", r"sub\d+"),
    )
    workbooks = ("casme.xls*", "CASME1.xls*", "CASME-coding*.xls*", "CASME_coding*.xls*", "CASME coding*.xls*")
    labels: ClassVar[Mapping[str, Label | None]] = {
        "disgust": "negative",
        "repression": "negative",
        "happiness": "positive",
        "surprise": "surprise",
        "tense": None,
        "sadness": None,
        "fear": None,
        "contempt": None,
    }

    def recognises(self, root: Path) -> bool:
        # CASME II has a tree Cropped with the same folders of subjects.
        raw = find_trees(root, self.trees[:1])
        return bool(raw or find_workbook([root], self.workbooks))

    def _rows(self, workbook: Path, sheets: Sequence[Sheet], found: FoundTree, findings: Findings) -> list[Row]:
        columns = {
            "subject": ("Subject",),
            "name": ("Filename",),
            "onset": ("OnsetF", "OnsetFrame"),
            "apex": ("ApexF1", "ApexF", "ApexFrame"),
            "offset": ("OffsetF", "OffsetFrame"),
            "emotion": ("Emotion", "Estimated Emotion"),
            "units": ("AU", "AUs", "Action Units"),
        }
        rows = []
        for where, subject, name, cells in coded_clips(workbook, sheets, columns, findings, ("units",)):
            emotion = text(cells["emotion"])
            rows.append(make_row(where, f"sub{int(subject):02d}", name, emotion, cells, kind="micro"))
        return rows
