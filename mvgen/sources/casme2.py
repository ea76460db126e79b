"""CAS(ME)²: spontaneous macro- and micro-expressions at 30 frames per second.

Source: Qu et al. 2018, doi:10.1109/TAFFC.2017.2654440.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from mvgen.core.errors import SourceError
from mvgen.core.records import Label
from mvgen.sources.labels import expression_kind
from mvgen.sources.release import Findings, Release, Row, make_row, written
from mvgen.sources.trees import FoundTree, Tree, clip_folders
from mvgen.sources.workbook import Sheet, text


class Casme2(Release):
    """The workbook has no header row. Its sheets are found by position; two naming sheets map subjects and videos.

    Sheet 0: subject 1-22, clip, onset, apex, offset, action units, emotion, macro or micro, self-report.
    Sheet 1: column 1 `s15`, column 2 the subject's number. Sheet 2: column 0 `0401`, column 1 `anger1`.
    """

    name = "casme2"
    title = "CAS(ME)²"
    rate = "30"
    fps = 30.0
    videos = True
    licence = "CAS(ME)² release agreement: research only, no redistribution"
    access = "signed release agreement, http://casme.psych.ac.cn (CAS(ME)²)"
    citation = """
@article{qu2018casme2,
  author  = {Qu, Fangbing and Wang, Su-Jing and Yan, Wen-Jing and Li, He and Wu, Shuhang and Fu, Xiaolan},
  title   = {{CAS(ME)$^2$}: A Database for Spontaneous Macro-Expression and Micro-Expression Spotting and Recognition},
  journal = {IEEE Transactions on Affective Computing},
  volume  = {9}, number = {4}, pages = {424--436}, year = {2018}, doi = {10.1109/TAFFC.2017.2654440}
}
"""
    tree = """
ROOT/CAS(ME)^2code_final.xlsx
ROOT/selectedpic/s15/anger1_1/img557.jpg    (raw clips; or cropped/15/anger1_1/..., or
ROOT/rawpic/s15/15_0401.../img001.jpg        long videos)
"""
    trees = (
        Tree(("selectedpic",), "raw", r"s?\d{1,2}"),
        Tree(("cropped",), "cropped", r"s?\d{1,2}"),
        Tree(("rawpic",), "raw", r"s?\d{1,2}", long=True),
    )
    workbooks = (
        "CAS(ME)^2code_final(Updated).xls*",
        "CAS(ME)^2code_final*.xls*",
        "CAS(ME)*code_final*.xls*",
        "code_final*.xls*",
    )
    labels: ClassVar[Mapping[str, Label | None]] = {
        "negative": "negative",
        "positive": "positive",
        "surprise": "surprise",
        "others": None,
    }

    def _rows(self, workbook: Path, sheets: Sequence[Sheet], found: FoundTree, findings: Findings) -> list[Row]:
        if len(sheets) < 3:
            raise SourceError(
                f"workbook {workbook} has {len(sheets)} sheets, but that of {self.title} has three: "
                "the coding, naming rule1 and naming rule2. Is it the release's own workbook?"
            )
        coding, subjects_sheet, videos_sheet = sheets[:3]
        subjects = {_whole(row[2]): text(row[1]) for row in subjects_sheet.rows if len(row) > 2 and _whole(row[2])}
        codes = {
            text(row[1]).lower(): text(row[0]).zfill(4) for row in videos_sheet.rows if len(row) > 1 and text(row[1])
        }
        rows = []
        for line, row in enumerate(coding.rows, start=1):
            where = f"row {line} of {workbook.name}"
            cells = (*row, *[None] * (9 - len(row)))
            identity, name = _whole(cells[0]), text(cells[1])
            if not any(text(cell) for cell in cells):
                continue
            if identity is None or not name:
                findings.dropped(where, f"not a coded clip: {written(cells)}")
                continue
            if identity not in subjects:
                findings.dropped(where, f"subject {identity} is not in sheet {subjects_sheet.name!r}")
                continue
            values = {"onset": cells[2], "apex": cells[3], "offset": cells[4], "units": cells[5]}
            video = codes.get(name.lower().split("_")[0], name) if found.tree.long else ""
            kind = expression_kind(cells[7])
            rows.append(make_row(where, subjects[identity], name, text(cells[6]), values, kind=kind, folder=video))
        if coding.rows and all(row.fault for row in rows):
            reason = rows[0].fault if rows else findings.problems[0].reason
            raise SourceError(
                f"workbook {workbook}: unknown columns in sheet {coding.name!r} ({reason}). "
                "Expected, without a header row: subject, clip, onset, apex, offset, action units, emotion, type, "
                f"self-report; the first row is {written(coding.rows[0])!r}"
            )
        return rows

    def _folders(self, found: FoundTree) -> dict[tuple[str, str], Path]:
        if not found.tree.long:
            return clip_folders(found)
        # A video's folder is named like 15_0401girlcrashing; the words vary, the code does not.
        videos: dict[tuple[str, str], Path] = {}
        for (subject, folder), path in clip_folders(found).items():
            videos.setdefault((subject, folder.partition("_")[2][:4]), path)
        return videos


def _whole(cell: object) -> int | None:
    written_number = text(cell)
    return int(written_number) if written_number.isdecimal() else None
