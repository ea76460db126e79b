"""Annotation workbooks: .xlsx, .xls and .csv as plain cells, and tables found by their header row."""

from __future__ import annotations

import csv
import difflib
import fnmatch
import io
import re
import struct
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import ParseError

from mvgen.core.errors import SourceError

Cells = tuple[object, ...]

WORKBOOK_SUFFIXES = (".xlsx", ".xls", ".csv")
# How the releases write "nothing": CASME II has a `/`, CAS(ME)² has NULL.
_BLANK = frozenset({"", "/", "\\", "-", "null", "none", "nan", "n/a"})
LARGEST_NUMBER = 2**63  # tables hold 64-bit integers
# An .xlsx of a few kilobytes can claim more cells, or unpack to more text, than fits into any memory.
_MOST_CELLS = 1 << 22
_MOST_BYTES = 1 << 28
# Errors that the workbook libraries raise for broken files, besides their own.
_BROKEN = (ArithmeticError, AttributeError, EOFError, LookupError, RuntimeError, TypeError, ValueError)
# A header may follow an introduction: SAMM's is in row 14.
_HEADER_ROWS = 40


@dataclass(frozen=True, slots=True)
class Sheet:
    """One sheet: its name and its rows of cells, from the first row on."""

    name: str
    rows: tuple[Cells, ...]


@dataclass(frozen=True, slots=True)
class Record:
    """One row below a header. line : from 1, as in spreadsheets; cells : field name -> cell"""

    line: int
    cells: Mapping[str, object]


def text(cell: object) -> str:
    """A cell as text, stripped; whole numbers lose their `.0`.

    Line breaks and other control characters become spaces.
    """
    if cell is None:
        return ""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+", " ", str(cell)).strip()


def is_blank(written: str) -> bool:
    """Whether a cell's text is one of the releases' words for nothing."""
    return written.lower() in _BLANK


def number(cell: object) -> int | None:
    """A frame number, None for a blank cell, `/` or NULL. Raises ValueError for any other non-integer."""
    written = text(cell)
    if is_blank(written):
        return None
    if not re.fullmatch(r"-?\d+(\.0+)?", written):
        raise ValueError(f"{written[:40]!r} is not a frame number")
    value = int(written[:20].partition(".")[0])
    if abs(value) >= LARGEST_NUMBER:
        raise ValueError(f"{written[:40]!r} is too large for a frame number")
    return value


def read_sheets(path: Path) -> tuple[Sheet, ...]:
    """All sheets of a workbook, in its order.

    Raises SourceError for a file that is not a workbook, or is broken or empty.
    """
    readers = {".xlsx": _read_xlsx, ".xls": _read_xls, ".csv": _read_csv}
    kind = path.suffix.lower()
    if kind not in readers:
        raise SourceError(f"annotations {path} are not a workbook: expected {', '.join(WORKBOOK_SUFFIXES)}")
    if not path.is_file():  # a pipe would be waited for
        raise SourceError(f"annotations {path} are no file; copy them from the release again")
    with path.open("rb") as file:
        start = file.read(4)
    if not start:
        raise SourceError(f"workbook {path} is empty (0 bytes); copy it from the release again")
    # Workbooks get renamed from .xls to .xlsx and back; their first bytes tell the true format.
    kind = {b"PK\x03\x04": ".xlsx", b"\xd0\xcf\x11\xe0": ".xls"}.get(start, kind)
    sheets = readers[kind](path)
    if not any(text(cell) for sheet in sheets for row in sheet.rows for cell in row):
        raise SourceError(f"workbook {path} is empty: no sheet holds a single cell; copy it from the release again")
    return sheets


def find_table(
    path: Path, sheets: Sequence[Sheet], columns: Mapping[str, Sequence[str]], optional: Sequence[str] = ()
) -> tuple[Record, ...]:
    """Rows of the first sheet that has a header row with the given columns.

    columns : field name -> headers that mean it, the release's own first; case, spaces and punctuation are ignored
    optional : fields that may be missing; their cells are then None
    Raises SourceError naming the missing column and the nearest header, or when there is no row below the header.
    """
    best: tuple[int, Sheet, dict[str, int], Cells] | None = None
    for sheet in sheets:
        for line, row in enumerate(sheet.rows[:_HEADER_ROWS]):
            found = _match_header(row, columns)
            if all(field in found or field in optional for field in columns):
                records = tuple(
                    Record(line + 2 + index, {field: _cell(cells, found.get(field)) for field in columns})
                    for index, cells in enumerate(sheet.rows[line + 1 :])
                    if any(text(cell) for cell in cells)
                )
                if not records:
                    raise SourceError(f"workbook {path}, sheet {sheet.name!r}: there is no row below the header")
                return records
            if best is None or len(found) > len(best[2]):
                best = (line, sheet, found, row)
    assert best is not None  # read_sheets refuses a workbook without cells
    line, sheet, found, row = best
    missing = [field for field in columns if field not in found and field not in optional]
    headers = [text(cell) for cell in row if text(cell)]
    hints = []
    for field in missing:
        close = difflib.get_close_matches(columns[field][0], headers, n=1, cutoff=0.6)
        hints.append(f"{columns[field][0]!r}" + (f" (is {close[0]!r} meant?)" if close else ""))
    raise SourceError(
        f"workbook {path}: unknown columns. Missing: {', '.join(hints)}. "
        f"Nearest row: {line + 1} of sheet {sheet.name!r}, with {', '.join(map(repr, headers[:12])) or 'no cells'}. "
        "Is it the release's own workbook?"
    )


def find_workbook(folders: Sequence[Path], patterns: Sequence[str]) -> tuple[Path, ...]:
    """Workbooks whose names match, the best first: by folder, then by pattern, then by name.

    Lock files of spreadsheet programs (`~$name.xlsx`) are ignored.
    """
    found: dict[Path, None] = {}
    for folder in folders:
        if not folder.is_dir():
            continue
        names = sorted(entry.name for entry in folder.iterdir() if entry.is_file())
        for pattern in patterns:
            for name in names:
                if fnmatch.fnmatchcase(name.lower(), pattern.lower()) and not name.startswith((".", "~$")):
                    found.setdefault(folder / name)
    return tuple(found)


def _match_header(row: Cells, columns: Mapping[str, Sequence[str]]) -> dict[str, int]:
    headers: dict[str, int] = {}
    for index, cell in enumerate(row):
        headers.setdefault(_plain(text(cell)), index)
    found = {}
    for field, names in columns.items():
        for name in names:
            if _plain(name) in headers:
                found[field] = headers[_plain(name)]
                break
    return found


def _plain(header: str) -> str:
    return re.sub(r"[^a-z0-9]", "", header.lower())


def _cell(cells: Cells, index: int | None) -> object:
    return cells[index] if index is not None and index < len(cells) else None


def _read_xlsx(path: Path) -> tuple[Sheet, ...]:
    from openpyxl import load_workbook

    try:
        # openpyxl warns of formatting extensions in the release's workbooks, which contain no data.
        with warnings.catch_warnings(), path.open("rb") as file:
            warnings.simplefilter("ignore", UserWarning)
            _refuse_bombs(path)
            book = load_workbook(file, read_only=True, data_only=True)
            sheets = []
            for sheet in book.worksheets:
                sheet.reset_dimensions()  # the range that a file states may be wrong and would cut rows off
                sheets.append(Sheet(sheet.title, _counted(path, sheet.iter_rows(values_only=True))))
            _refuse_formulas(path, sheets)
            return tuple(sheets)
    except PermissionError:
        raise
    except SourceError:
        raise
    except (*_BROKEN, zipfile.BadZipFile, zlib.error, ParseError, OSError) as error:
        raise SourceError(
            f"workbook {path} is damaged or not an .xlsx file ({error}); copy it from the release again"
        ) from None


def _refuse_bombs(path: Path) -> None:
    """Refuse a workbook whose unpacked size, as stated in the file, exceeds that of any annotations."""
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(part.file_size for part in archive.infolist())
    if unpacked > _MOST_BYTES:
        raise _too_large(path, f"unpacks to {unpacked >> 20} MB")


def _counted(path: Path, rows: Iterable[Cells]) -> tuple[Cells, ...]:
    kept, cells = [], 0
    for row in rows:
        cells += 1 + len(row)
        if cells > _MOST_CELLS:
            raise _too_large(path, f"has more than {_MOST_CELLS} cells in a sheet")
        kept.append(row)
    return tuple(kept)


def _too_large(path: Path, what: str) -> SourceError:
    return SourceError(f"workbook {path} {what}, far more than annotations need; copy it from the release again")


def _refuse_formulas(path: Path, sheets: Sequence[Sheet]) -> None:
    """Refuse a workbook with a formula without a stored value, since formulas are not evaluated here.

    Raises SourceError naming the cell.
    """
    from openpyxl import load_workbook

    with zipfile.ZipFile(path) as archive:
        parts = [name for name in archive.namelist() if re.fullmatch(r"xl/worksheets/[^/]+\.xml", name)]
        if not any(_holds_formula(archive, name) for name in parts):
            return
    with path.open("rb") as file:
        written = load_workbook(file, read_only=True)
        for sheet, there in zip(sheets, written.worksheets, strict=True):
            there.reset_dimensions()
            for row, cells in zip(sheet.rows, there.iter_rows(), strict=True):
                for value, cell in zip(row, cells, strict=True):
                    if value is None and cell.data_type == "f":
                        raise SourceError(
                            f"workbook {path}, sheet {sheet.name!r}: cell {cell.coordinate} is a formula without a "
                            "stored value; open the workbook in a spreadsheet program and save it, or write the value"
                        )


def _holds_formula(archive: zipfile.ZipFile, name: str) -> bool:
    before = b""
    with archive.open(name) as part:
        while block := part.read(1 << 20):
            if re.search(rb"<f[ >/]", before + block):
                return True
            before = block[-3:]
    return False


def _read_xls(path: Path) -> tuple[Sheet, ...]:
    import xlrd

    try:
        book = xlrd.open_workbook(str(path))
        return tuple(
            Sheet(sheet.name, tuple(tuple(sheet.row_values(row)) for row in range(sheet.nrows)))
            for sheet in book.sheets()
        )
    except (*_BROKEN, xlrd.XLRDError, xlrd.compdoc.CompDocError, AssertionError, struct.error) as error:
        raise SourceError(
            f"workbook {path} is damaged or not an .xls file ({error}); copy it from the release again"
        ) from None


def _read_csv(path: Path) -> tuple[Sheet, ...]:
    try:
        content = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise SourceError(f"annotations {path} are not UTF-8 text ({error}); save the table as CSV UTF-8") from None
    first = content.partition("\n")[0]
    # Spreadsheet programs write `;` where the decimal sign is a comma.
    delimiter = max(",;\t", key=first.count)
    try:
        rows = tuple(
            tuple(row) for row in csv.reader(io.StringIO(content, newline=""), delimiter=delimiter, strict=True)
        )
    except csv.Error as error:
        raise SourceError(f"annotations {path} are not a readable CSV table: {error}") from None
    return (Sheet(path.stem, rows),)
