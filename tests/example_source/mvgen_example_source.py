"""EXAMPLE: a release that mvgen does not know, read by a package of its own. Copy this file to add a release."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from mvgen.core.records import Label
from mvgen.sources.release import Findings, Release, Row, make_row
from mvgen.sources.trees import FoundTree, Tree
from mvgen.sources.workbook import Sheet, find_table, text


class Example(Release):
    """A tree of clips and a table with a header row."""

    name = "example"
    title = "EXAMPLE"
    rate = "60"
    fps = 60.0
    licence = "EXAMPLE terms: whoever asks may have it"
    redistribution = "gated"
    access = "on request, https://example.org"
    citation = "@misc{example, title = {EXAMPLE}, year = {2026}}"
    stand_in = False
    tree = """
ROOT/example_coding.csv           subject,clip,onset,apex,offset,emotion
ROOT/filmed/p1/laugh/f1.png
"""
    trees = (Tree(("filmed",), "raw", r"p\d+"),)
    workbooks = ("example_coding*.csv",)
    labels: ClassVar[Mapping[str, Label | None]] = {"joy": "positive", "boredom": None}

    def _rows(self, workbook: Path, sheets: Sequence[Sheet], found: FoundTree, findings: Findings) -> list[Row]:
        columns = {name: (name,) for name in ("subject", "clip", "onset", "apex", "offset", "emotion")}
        return [
            make_row(
                f"row {record.line} of {workbook.name}",
                text(record.cells["subject"]),
                text(record.cells["clip"]),
                text(record.cells["emotion"]),
                record.cells,
            )
            for record in find_table(workbook, sheets, columns)
        ]
