"""SAMM Long Videos: macro- and micro-expressions in whole recordings, grey, 200 frames per second.

Source: Yap, Kendrick & Yap 2020, arXiv:1911.01519.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from mvgen.core.records import Label
from mvgen.sources.base import Listing, Variant, subject_key
from mvgen.sources.labels import expression_kind
from mvgen.sources.release import Findings, Release, Row, coded_clips, make_row
from mvgen.sources.samm import Samm
from mvgen.sources.trees import FoundTree, Tree, subject_folders
from mvgen.sources.workbook import Sheet, find_table, find_workbook, read_sheets, text


class SammLv(Release):
    """The header is in row 10. A clip `006_1_2` is a span of the video `006_1`; it is `Macro` or `Micro - 1/2`.

    The workbook has no emotions: a clip has that of SAMM's workbook for the clip of the same name if that lies beside,
    and `none` otherwise. Assumed: the two releases call the same micro-expression the same, as public code does.
    """

    name = "samm-lv"
    title = "SAMM Long Videos"
    rate = "200"
    fps = 200.0
    videos = True
    licence = "SAMM release agreement: research only, no redistribution"
    access = "signed release agreement, https://helward.mmu.ac.uk/STAFF/M.Yap/dataset.php"
    citation = """
@inproceedings{yap2020samm,
  author    = {Yap, Chuin Hong and Kendrick, Connah and Yap, Moi Hoon},
  title     = {{SAMM} Long Videos: A Spontaneous Facial Micro- and Macro-Expressions Dataset},
  booktitle = {15th IEEE International Conference on Automatic Face and Gesture Recognition},
  pages     = {771--776}, year = {2020}
}
"""
    tree = """
ROOT/SAMM_LongVideos_V3_Release.xlsx               (or V1, V2; SAMM_Micro_FACS_Codes_v2.xlsx beside it has emotions)
ROOT/SAMM_longvideos/006_1/006_1_0001.jpg
"""
    trees = (Tree(("SAMM_longvideos",), "raw", r"\d{3}_\d+", long=True),)
    workbooks = ("SAMM_LongVideos_V3*.xls*", "SAMM_LongVideos_V*.xls*", "SAMM*LongVideos*.xls*")
    labels: ClassVar[Mapping[str, Label | None]] = {**Samm.labels, "none": None}

    def _read(self, root: Path, annotations: Path | None, variant: Variant) -> Listing:
        listing = super()._read(root, annotations, variant)
        return replace(listing, annotation_files=(*listing.annotation_files, *_beside(listing.annotation_files[0])))

    def _rows(self, workbook: Path, sheets: Sequence[Sheet], found: FoundTree, findings: Findings) -> list[Row]:
        columns = {
            "subject": ("Subject",),
            "name": ("Filename",),
            "onset": ("Onset", "Onset Frame"),
            "apex": ("Apex", "Apex Frame"),
            "offset": ("Offset", "Offset Frame"),
            "kind": ("Type",),
            "units": ("Action Units",),
        }
        emotions = {name: emotion for other in _beside(workbook) for name, emotion in _emotions(other).items()}
        rows = []
        for where, subject, name, cells in coded_clips(workbook, sheets, columns, findings, ("apex", "units")):
            kind = expression_kind(cells["kind"])
            emotion = emotions.get(name, "none") if kind == "micro" else "none"
            video = "_".join(name.split("_")[:2])
            rows.append(make_row(where, subject.zfill(3), name, emotion, cells, kind=kind, folder=video))
        return rows

    def _folders(self, found: FoundTree) -> dict[tuple[str, str], Path]:
        videos = subject_folders(found)
        return {(subject_key(video.name.partition("_")[0]), video.name.lower()): video for video in videos}

    def _place(self, found: FoundTree, subject: str, row: Row) -> Path:
        return found.folder / row.folder


def _beside(workbook: Path) -> tuple[Path, ...]:
    """SAMM's own workbook in the same folder, if it is there."""
    return find_workbook([workbook.parent], Samm.workbooks)[:1]


def _emotions(workbook: Path) -> dict[str, str]:
    """Emotion of each clip of SAMM's own workbook."""
    columns = {"name": ("Filename",), "emotion": ("Estimated Emotion",)}
    records = find_table(workbook, read_sheets(workbook), columns)
    return {text(record.cells["name"]): text(record.cells["emotion"]) or "none" for record in records}
