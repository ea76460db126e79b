"""Workbooks of stand-ins, with the sheets, headers and quirks of the releases. The same plans give the same bytes."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path, PurePosixPath

from mvgen.core.errors import ConfigError
from mvgen.synth.plan import ClipPlan
from mvgen.synth.releases import Rows, get_layout

# A workbook contains its date; all stand-ins have the same one, so that their bytes do not depend on the day.
_DATE = datetime(2000, 1, 1)


def frame_path(plan: ClipPlan, index: int) -> PurePosixPath:
    """The path of a frame of a clip, relative to the root of the stand-in."""
    return plan.directory / plan.names[index]


def write_workbook(layout: str, plans: Sequence[ClipPlan], out: Path) -> Path | None:
    """Write a release's workbook into `out`. Returns its path, None for SMIC, which has none for its short clips.

    Raises ConfigError for an unknown layout or plans of another one.
    """
    rules = get_layout(layout)
    if other := next((plan.layout for plan in plans if plan.layout != layout), None):
        raise ConfigError(f"plans are for layout {other!r}, not {layout!r}")
    if rules.workbook is None or rules.sheets is None:
        return None
    out.mkdir(parents=True, exist_ok=True)
    (out / rules.workbook).write_bytes(xlsx_bytes(rules.sheets(plans)))
    return out / rules.workbook


def xlsx_bytes(sheets: dict[str, Rows]) -> bytes:
    """An .xlsx file that depends on its cells only: no current date in its properties or its archive."""
    from openpyxl import Workbook

    book = Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for line, row in enumerate(rows, start=1):
            for column, value in enumerate(row, start=1):
                if value is not None:
                    sheet.cell(line, column, value)
    book.properties.created = _DATE
    written = io.BytesIO()
    book.save(written)
    fixed = io.BytesIO()
    with zipfile.ZipFile(written) as source, zipfile.ZipFile(fixed, "w", zipfile.ZIP_DEFLATED) as target:
        for name in sorted(source.namelist()):
            content = source.read(name)
            if name == "docProps/core.xml":
                stamp = f"{_DATE:%Y-%m-%dT%H:%M:%SZ}".encode()
                content = re.sub(rb"(<dcterms:modified[^>]*>)[^<]*", rb"\g<1>" + stamp, content)
            entry = zipfile.ZipInfo(name, date_time=_DATE.timetuple()[:6])
            entry.compress_type = zipfile.ZIP_DEFLATED
            target.writestr(entry, content, compresslevel=9)
    return fixed.getvalue()
