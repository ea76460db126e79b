"""Workbooks from anybody: odd cells are a value, a failure row or a clear error, and nothing in them is run."""

from __future__ import annotations

import io
import os
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from factories import write_frames, write_table
from hostile_trees import BOOKS, write_casme2

from mvgen.core.errors import SourceError
from mvgen.sources import get_source
from mvgen.sources.workbook import number, read_sheets, text
from mvgen.synth.layouts import xlsx_bytes


def with_formula(value: str | None) -> bytes:
    """A CASME II workbook whose onset is a formula, with a stored value or without."""
    header = ["Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Estimated Emotion"]
    book = io.BytesIO(xlsx_bytes({"Sheet1": [header, [1, "EP01", "=1+1", 3, 4, "happiness"]]}))
    written = io.BytesIO()
    with zipfile.ZipFile(book) as source, zipfile.ZipFile(written, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name.endswith("sheet1.xml") and value is not None:
                assert b"<f>1+1</f>" in content
                content = content.replace(b"<f>1+1</f><v></v>", b"<f>1+1</f><v/>")
                content = content.replace(b"<f>1+1</f><v/>", b"<f>1+1</f><v>" + value.encode() + b"</v>")
                content = content.replace(b"<f>1+1</f><v />", b"<f>1+1</f><v>" + value.encode() + b"</v>")
            target.writestr(name, content)
    return written.getvalue()


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to(path)])
def test_a_workbook_that_is_no_file_is_an_error(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "labels.csv")
    with pytest.raises(SourceError, match="are no file"):
        read_sheets(tmp_path / "labels.csv")


def test_a_formula_counts_as_its_stored_value_and_is_never_calculated(tmp_path: Path) -> None:
    write_frames(tmp_path / "CASME2_RAW_selected/sub01/EP01", [f"img{index}.jpg" for index in range(1, 6)])
    book = tmp_path / BOOKS["casme-ii"]
    book.write_bytes(with_formula("2"))
    (clip,) = get_source("casme-ii").read(tmp_path).clips
    assert (clip.onset, clip.apex, clip.offset) == (2, 3, 4)
    book.write_bytes(with_formula(None))
    with pytest.raises(SourceError, match=r"sheet 'Sheet1': cell C2 is a formula without a stored value; open"):
        get_source("casme-ii").read(tmp_path)


@pytest.mark.parametrize(
    "declared",
    [
        '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>',
        "<!DOCTYPE x [<!ENTITY b 'ha'>" + "".join(
            f"<!ENTITY {name} '{f'&{before};' * 50}'>" for before, name in zip("bcdefgh", "cdefghi", strict=True)
        ) + "<!ENTITY a '&i;'>]>",
    ],
)  # fmt: skip
def test_entities_of_a_workbook_are_not_followed(tmp_path: Path, declared: str) -> None:
    book = io.BytesIO(xlsx_bytes({"Sheet1": [["Subject", "secret"]]}))
    with zipfile.ZipFile(book) as source, zipfile.ZipFile(tmp_path / "book.xlsx", "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name == "xl/worksheets/sheet1.xml":
                content = content.replace(b"<worksheet", declared.encode() + b"<worksheet", 1)
                content = content.replace(b"secret", b"&a;")
                assert b"&a;" in content
            target.writestr(name, content)
    with pytest.raises(SourceError, match="damaged"):
        read_sheets(tmp_path / "book.xlsx")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'<row><c r="XFD1"><v>1</v></c></row>' * 1000, "has more than 4194304 cells in a sheet"),
        (b" " * (3 << 20), "unpacks to 3 MB"),
    ],
)
def test_a_workbook_that_unpacks_to_more_than_memory_is_refused(
    tmp_path: Path, content: bytes, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mvgen.sources.workbook._MOST_BYTES", 2 << 20)
    book = io.BytesIO(xlsx_bytes({"Sheet1": [["Subject", "Filename"]]}))
    with zipfile.ZipFile(book) as source, zipfile.ZipFile(tmp_path / "book.xlsx", "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            end = content + b"</sheetData>" if name == "xl/worksheets/sheet1.xml" else b"</sheetData>"
            target.writestr(name, source.read(name).replace(b"</sheetData>", end), compresslevel=1)
    before = time.process_time()
    with pytest.raises(SourceError, match=f"{message}, far more than annotations need"):
        read_sheets(tmp_path / "book.xlsx")
    assert time.process_time() - before < 5


@pytest.mark.parametrize("cell", ["²", "٣", "9" * 400, "-" + "9" * 400, "1e400", "nan", "0x10", "1_000", 1e308, True])
def test_odd_numbers_are_a_fault_or_a_number(cell: object) -> None:
    value: int | str | None
    try:
        value = number(cell)
    except ValueError as error:
        value = str(error)
    assert len(value) < 100 if isinstance(value, str) else value is None or abs(value) < 2**63


def test_control_characters_in_cells_are_spaces() -> None:
    assert text(" happy\r\nface\x1b[2J\u2028x ") == "happy face [2J x"


@pytest.mark.parametrize("dataset", ["casme2", "casme-ii", "samm"])
@pytest.mark.parametrize("subject", ["²", "٣", "-1", "1.5", "9" * 30, "../s15"])
def test_odd_subjects_of_a_workbook_are_dropped_or_failures(tmp_path: Path, dataset: str, subject: str) -> None:
    rows = [[subject, "EP01", 1, 2, 3, "happiness"], [1, "EP01", 1, 2, 3, "happiness"]]
    if dataset == "casme2":
        write_casme2(tmp_path, [row[:5] for row in rows], "selectedpic/s15/EP01")
    else:
        header = {
            "casme-ii": ["Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Estimated Emotion"],
            "samm": ["Subject", "Filename", "Onset Frame", "Apex Frame", "Offset Frame", "Estimated Emotion"],
        }[dataset]
        write_table(tmp_path / BOOKS[dataset], [header, *rows])
        tree = {"casme-ii": "CASME2_RAW_selected/sub01/EP01", "samm": "SAMM/001/EP01"}[dataset]
        write_frames(tmp_path / tree, [f"img{index}.jpg" for index in range(1, 4)])
    listing = get_source(dataset).read(tmp_path)
    assert [clip.name for clip in listing.clips] == ["EP01"]
    assert listing.problems or listing.failures
