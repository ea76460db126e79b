"""Bad input: every message says what is wrong, where, and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
from factories import write_frames, write_stand_in, write_table

from mvgen.core.errors import SourceError
from mvgen.sources import SOURCES, describe_sources, get_source
from mvgen.synth.layouts import xlsx_bytes
from mvgen.synth.releases import LAYOUTS

WORKBOOKS = {
    "casme2": "CAS(ME)^2code_final.xlsx",
    "casme-ii": "CASME2-coding-20140508.xlsx",
    "samm": "SAMM_Micro_FACS_Codes_v2.xlsx",
}


@pytest.mark.parametrize("name", LAYOUTS.built_in)
def test_a_missing_root_shows_the_tree_and_how_to_make_a_stand_in(tmp_path: Path, name: str) -> None:
    source = get_source(name)
    for root, what in ((tmp_path / "nowhere", "does not exist"), (None, "needs --root")):
        with pytest.raises(SourceError) as caught:
            source.read(root)
        message = str(caught.value)
        assert what in message
        assert all(line in message for line in source.tree.strip().splitlines())
        assert f"mvgen synth --layout {name} --out DIR" in message


def test_a_root_that_is_a_file_or_empty_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "release.zip"
    file.write_bytes(b"zip")
    with pytest.raises(SourceError, match="is a file, not the folder of CASME II"):
        get_source("casme-ii").read(file)
    (tmp_path / "empty").mkdir()
    for name in (*LAYOUTS.built_in, "casme3-c", "folder"):
        with pytest.raises(SourceError, match="is expected as"):
            get_source(name).read(tmp_path / "empty")


@pytest.mark.parametrize("there", LAYOUTS.built_in)
def test_another_release_at_the_root_is_recognised(tmp_path: Path, there: str) -> None:
    write_stand_in(tmp_path, there, subjects=1, clips=3)
    assert get_source(there).recognises(tmp_path)
    for asked in {*LAYOUTS.built_in, "casme3-c"} - {there}:
        with pytest.raises(SourceError, match=rf"looks like .*Use --dataset {there}\."):
            get_source(asked).read(tmp_path)


def test_the_cropped_trees_of_both_casme_releases_are_not_taken_for_each_other(tmp_path: Path) -> None:
    write_frames(tmp_path / "ii/Cropped/sub01/EP02_01f", ["reg_img1.jpg", "reg_img2.jpg"])
    with pytest.raises(SourceError, match="Use --dataset casme-ii"):
        get_source("casme2").read(tmp_path / "ii")
    write_frames(tmp_path / "me2/cropped/15/anger1_1", ["img1.jpg", "img2.jpg"])
    with pytest.raises(SourceError, match="Use --dataset casme2"):
        get_source("casme-ii").read(tmp_path / "me2")


def test_the_other_releases_workbook_is_refused_by_its_columns(tmp_path: Path) -> None:
    for layout in WORKBOOKS:
        write_stand_in(tmp_path / layout, layout, subjects=1, clips=3)
    workbook = {layout: tmp_path / layout / name for layout, name in WORKBOOKS.items()}
    with pytest.raises(SourceError, match="has 1 sheets, but that of CAS"):
        get_source("casme2").read(tmp_path / "casme2", annotations=workbook["casme-ii"])
    with pytest.raises(SourceError, match=r"unknown columns\. Missing: 'Subject'"):
        get_source("casme-ii").read(tmp_path / "casme-ii", annotations=workbook["casme2"])


def test_unknown_columns_name_the_nearest_one(tmp_path: Path) -> None:
    write_stand_in(tmp_path, "casme-ii", subjects=1, clips=3)
    rows = [
        ["Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Estimated Emotoin"],
        [1, "EP01", 1, 2, 3, "x"],
    ]
    write_table(tmp_path / WORKBOOKS["casme-ii"], rows)
    with pytest.raises(SourceError, match=r"Missing: 'Estimated Emotion' \(is 'Estimated Emotoin' meant\?\)"):
        get_source("casme-ii").read(tmp_path)


def test_shuffled_columns_of_a_workbook_without_header_are_refused(tmp_path: Path) -> None:
    write_stand_in(tmp_path, "casme2", subjects=1, clips=3)
    sheets = {
        "a": [["anger1_1", 1, 2, 3, 4], ["anger1_2", 1, 2, 3, 4]],
        "b": [[15, "s15", 1]],
        "c": [["0401", "anger1"]],
    }
    (tmp_path / WORKBOOKS["casme2"]).write_bytes(xlsx_bytes(sheets))
    with pytest.raises(SourceError, match=r"unknown columns in sheet 'a'.*the first row is 'anger1_1, 1, 2"):
        get_source("casme2").read(tmp_path)


@pytest.mark.parametrize("layout", WORKBOOKS)
def test_empty_and_damaged_workbooks_are_refused(tmp_path: Path, layout: str) -> None:
    write_stand_in(tmp_path, layout, subjects=1, clips=3)
    book = tmp_path / WORKBOOKS[layout]
    whole = book.read_bytes()
    for content, what in (
        (b"", "is empty"),
        (b"<html>not found</html>", "damaged or not an .xlsx"),
        (whole[: len(whole) // 2], "damaged or not an .xlsx"),
        (xlsx_bytes({"Sheet1": [], "Sheet2": [], "Sheet3": []}), "is empty"),
    ):
        book.write_bytes(content)
        with pytest.raises(SourceError, match=what) as caught:
            get_source(layout).read(tmp_path)
        assert book.name in str(caught.value)
    book.unlink()
    with pytest.raises(SourceError, match=r"give it with --annotations"):
        get_source(layout).read(tmp_path)


def test_workbooks_are_recognised_by_content_not_ending(tmp_path: Path) -> None:
    write_stand_in(tmp_path, "casme-ii", subjects=1, clips=3)
    book = tmp_path / WORKBOOKS["casme-ii"]
    renamed = book.rename(book.with_suffix(".xls"))
    assert len(get_source("casme-ii").read(tmp_path).clips) == 3
    renamed.write_bytes(b"\xd0\xcf\x11\xe0" + bytes(2000))
    with pytest.raises(SourceError, match=r"damaged or not an \.xls file"):
        get_source("casme-ii").read(tmp_path)


def test_a_header_without_rows_is_an_empty_workbook(tmp_path: Path) -> None:
    write_stand_in(tmp_path, "casme-ii", subjects=1, clips=3)
    header = ["Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Estimated Emotion"]
    write_table(tmp_path / WORKBOOKS["casme-ii"], [header])
    with pytest.raises(SourceError, match="no row below the header"):
        get_source("casme-ii").read(tmp_path)


def test_annotations_that_are_missing_or_hold_no_workbook_are_refused(tmp_path: Path) -> None:
    write_stand_in(tmp_path / "root", "samm", subjects=1, clips=3)
    with pytest.raises(SourceError, match="do not exist"):
        get_source("samm").read(tmp_path / "root", annotations=tmp_path / "none.xlsx")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match=r"hold no SAMM_Micro_FACS_Codes_v2"):
        get_source("samm").read(tmp_path / "root", annotations=tmp_path / "empty")
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(SourceError, match="not a workbook"):
        get_source("samm").read(tmp_path / "root", annotations=tmp_path / "notes.txt")


def test_an_unreadable_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_stand_in(tmp_path, "casme2", subjects=1, clips=3)
    listing = get_source("casme2").read(tmp_path)
    closed = tmp_path / listing.clips[0].directory
    from mvgen.sources import frames

    scan = frames.os.scandir

    def scandir(folder: Path) -> object:
        if folder == closed:
            raise PermissionError(13, "Permission denied", str(folder))
        return scan(folder)

    monkeypatch.setattr(frames.os, "scandir", scandir)
    partial = get_source("casme2").read(tmp_path)
    assert [(failure.clip, failure.path) for failure in partial.failures] == [(listing.clips[0].id, closed)]
    assert "Permission denied" in partial.failures[0].reason

    def refuse(self: Path) -> object:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(SourceError, match="cannot be read: permission denied"):
        get_source("casme2").read(tmp_path)


def test_an_unknown_dataset_gets_the_nearest_name() -> None:
    with pytest.raises(SourceError, match=r"did you mean 'casme-ii'\? Known: casme2, casme-ii, smic"):
        get_source("CASME_II")


def test_every_source_states_its_terms() -> None:
    described = {one.name: one for one in describe_sources()[0]}
    assert set(described) == set(SOURCES)
    assert {name for name, one in described.items() if one.terms == "forbidden"} == set(SOURCES) - {"folder", "demo"}
    assert (described["folder"].terms, described["demo"].terms) == ("gated", "open")
    assert all(one.title and one.fps and one.licence and one.access for one in described.values())
