"""Input from anybody: broken pictures, hostile names, odd workbooks. Each is a failure row or a clear error.

Nothing is written outside the output folder, and nothing that stands in the data is run.
"""

from __future__ import annotations

import io
import os
import struct
import tempfile
import time
import zipfile
import zlib
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from factories import astronaut, write_frames, write_table, write_video
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from reading_build import build_all

from mvgen.cli import run
from mvgen.config import canonical_json
from mvgen.errors import ClipError, SourceError
from mvgen.names import LONGEST, printable, unstorable
from mvgen.sources import Listing, get_source
from mvgen.sources.frames import read_frames
from mvgen.sources.workbook import number, read_sheets, text
from mvgen.synth.layouts import xlsx_bytes

BOOKS = {
    "casme2": "CAS(ME)^2code_final.xlsx",
    "casme-ii": "CASME2-coding-20140508.xlsx",
    "samm": "SAMM_Micro_FACS_Codes_v2.xlsx",
    "smic": "SMIC-HS-E_annotation.xlsx",
    "folder": "labels.csv",
}


# Pictures and videos


def png(width: int, height: int) -> bytes:
    """A whole PNG whose header claims so many pixels, and which holds none of them."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def jpeg() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(astronaut()[:64, :64]).save(buffer, format="JPEG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("img3.jpg", jpeg()[:400], "unreadable frame"),
        ("img3.jpg", jpeg()[:20], "unreadable frame"),
        ("img3.jpg", b"", "unreadable frame"),
        ("img3.jpg", b"<?php system('id'); ?>", "unreadable frame"),
        ("img3.png", png(60000, 60000), "unreadable frame"),
        ("img3.png", png(12000, 12000), "the frame is too large: 12000x12000 pixels"),
        ("img3.png", png(0, 5), "unreadable frame"),
        ("img3.png", png(32, 32), "unreadable frame"),
    ],
)
@pytest.mark.filterwarnings("ignore:Image size:PIL.Image.DecompressionBombWarning")
def test_a_broken_picture_fails_its_clip_alone(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    root = tmp_path / "root"
    for clip in ("a/good", "b/bad"):
        write_frames(root / clip, ["img1.png", "img2.png"])
    (root / "b/bad" / name).write_bytes(content)
    built, failures = build_all("folder", root)
    assert built == {"a__good"}
    assert failures["b__bad"].reason.startswith(reason)
    assert failures["b__bad"].file == f"b/bad/{name}"


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16", "YCbCr"])
def test_pictures_of_any_depth_are_read_as_8_bit_rgb(tmp_path: Path, mode: str) -> None:
    grey = astronaut()[40:104, 150:214, 0]
    kind = "jpg" if mode in ("CMYK", "YCbCr") else "png"
    folder = tmp_path / "root" / "clip"
    folder.mkdir(parents=True)
    wide = Image.fromarray(grey.astype(np.uint16) * 257)
    picture = wide if mode == "I;16" else Image.fromarray(grey).convert(mode)
    for index in (1, 2):
        picture.save(folder / f"img{index}.{kind}", **({"quality": 98} if kind == "jpg" else {}))
    (clip,) = get_source("folder").read(tmp_path / "root").clips
    frames = read_frames(clip)
    assert (frames.shape, frames.dtype) == ((2, 64, 64, 3), np.uint8)
    if mode != "1":
        assert np.abs(frames[0].mean(axis=-1) - grey).mean() < 3


def test_pictures_of_different_depths_make_one_clip(tmp_path: Path) -> None:
    write_frames(tmp_path / "root/clip", ["img1.png"])
    write_frames(tmp_path / "root/clip", ["img2.png"], grey=True)
    built, failures = build_all("folder", tmp_path / "root")
    assert (built, failures) == ({"clip"}, {})


def test_videos_without_frames_or_without_a_picture_fail_alone(tmp_path: Path) -> None:
    import av

    root = tmp_path / "root"
    write_frames(root / "good", ["1.png", "2.png"])
    write_video(root / "whole.mkv", astronaut()[None, :64, :64].repeat(4, axis=0))
    whole = (root / "whole.mkv").read_bytes()
    with av.open(str(root / "sound.mkv"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
    (root / "header.mkv").write_bytes(whole[:700])
    (root / "empty.mp4").write_bytes(b"")
    (root / "half.mkv").write_bytes(whole[: len(whole) // 2])
    (root / "text.avi").write_text("#!/bin/sh\ntouch pwned\n")
    (root / "whole.mkv").unlink()
    built, failures = build_all("folder", root)
    assert built == {"good"}
    assert set(failures) == {"sound", "header", "empty", "half", "text"}
    assert failures["sound"].reason == "the file holds no video"
    assert failures["header"].reason.startswith(("the clip has no frames", "unreadable video"))


def test_a_video_of_too_many_pixels_fails_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_video(tmp_path / "small.mkv", astronaut()[None, :32, :64].repeat(2, axis=0))
    write_video(tmp_path / "large.mkv", astronaut()[None, :64, :64].repeat(2, axis=0))
    monkeypatch.setattr("mvgen.sources.frames.LARGEST_PICTURE", 64 * 64 - 1)
    listing = get_source("folder").read(tmp_path)
    assert [clip.id for clip in listing.clips] == ["small"]
    assert [failure.reason for failure in listing.failures] == ["the video is too large: 64x64 pixels"]


def test_what_is_no_regular_file_is_never_waited_for(tmp_path: Path) -> None:
    root = tmp_path / "root"
    write_frames(root / "good", ["1.png", "2.png"])
    write_frames(root / "odd", ["1.png", "2.png"])
    os.mkfifo(root / "odd/3.png")
    (root / "odd/4.png").symlink_to("4.png")
    (root / "odd/5.png").symlink_to("/dev/zero")
    (root / "odd/6.png").symlink_to(tmp_path / "nowhere.png")
    (root / "odd/7.png").mkdir()
    os.mkfifo(root / "pipe.mp4")
    (root / "endless.mkv").symlink_to("/dev/zero")
    (root / "round").symlink_to(root)
    os.mkfifo(root / "labels.csv")
    listing = get_source("folder").read(root)
    assert {clip.id: len(clip.frames) for clip in listing.clips} == {"good": 2, "odd": 2}
    reasons = {failure.clip: failure.reason for failure in listing.failures}
    assert reasons == dict.fromkeys(["endless", "pipe"], "the video is missing, or no regular file")


# Names


HOSTILE = {
    "a newline": "line\nbreak",
    "a terminal's escape": "\x1b[2Jclear",
    "undecodable bytes": os.fsdecode(b"caf\xe9"),
    "a line separator": "a\u2028b",
    "a length that no file system takes twice": "n" * 250,
}
HARMLESS = [
    "<script>alert(1)<",
    "<img src=x onerror=alert(1)>",
    "; touch pwned",
    "$(touch pwned)",
    "a  b",
    "ümläut",
    "a..",
    "%2e%2e",
    "CON",
]


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_names_on_disk_are_failure_rows(tmp_path: Path, what: str) -> None:
    root = tmp_path / "root"
    write_frames(root / "good", ["1.png", "2.png"])
    write_frames(root / HOSTILE[what], ["1.png", "2.png"])
    frame = HOSTILE[what] + "2.png"
    if what != "a length that no file system takes twice":
        write_frames(root / "frames", ["1.png", frame])
    built, failures = build_all("folder", root)
    assert built == {"good"}
    assert printable(HOSTILE[what]) in failures
    assert all(name.isprintable() and failure.reason.isprintable() for name, failure in failures.items())
    assert len(failures) == (1 if what.startswith("a length") else 2)


def test_odd_names_on_disk_are_names(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for name in HARMLESS:
        write_frames(root / name, [f"{name}1.png", f"{name}2.png"])
    built, failures = build_all("folder", root)
    assert (built, failures) == (set(HARMLESS), {})


def test_a_path_that_is_too_long_for_one_name_is_a_failure_row(tmp_path: Path) -> None:
    root = tmp_path / "root"
    write_frames(root / "good", ["1.png", "2.png"])
    write_frames(root / "/".join(["deep" * 20] * 5), ["1.png", "2.png"])
    built, failures = build_all("folder", root)
    assert built == {"good"}
    (failure,) = failures.values()
    assert f"is longer than {LONGEST} bytes" in failure.reason


def test_a_frame_number_that_no_table_holds_is_a_failure_row(tmp_path: Path) -> None:
    root = tmp_path / "root"
    write_frames(root / "good", ["1.png", "2.png"])
    write_frames(root / "far", ["1.png", f"{2**64}.png"])
    built, failures = build_all("folder", root)
    assert built == {"good"}
    assert "is too large" in failures["far"].reason


def casme2(root: Path, rows: list[list[object]], tree: str, videos: list[list[object]] | None = None) -> None:
    """A CAS(ME)² release whose workbook has these rows: subject, clip, onset, apex, offset."""
    coding = [[*row, "4", "negative", "micro-expression", "anger"] for row in rows]
    sheets = {"a": coding, "b": [[15, "s15", 1]], "c": videos or [["0401", "anger1"]]}
    root.mkdir(parents=True, exist_ok=True)
    (root / BOOKS["casme2"]).write_bytes(xlsx_bytes(sheets))
    write_frames(root / tree, [f"img{index}.jpg" for index in range(1, 6)])


OUTSIDE = ["../../../../evil", "/tmp/evil", "..", ".", "a/../../../../../evil", "x" * 300, "sub/folder"]


@pytest.mark.parametrize("tree", ["selectedpic/s15/anger1_1", "rawpic/s15/15_0401x"])
def test_clips_that_a_workbook_places_elsewhere_are_failure_rows(tmp_path: Path, tree: str) -> None:
    root = tmp_path / "inside" / "root"
    # In a tree of long videos two clips of one video have folders of their own, called after them.
    rows = [[1, "anger1_1", 1, 2, 3], *([1, f"anger1_{name}" if "raw" in tree else name, 1, 2, 3] for name in OUTSIDE)]
    casme2(root, rows, tree)
    built, failures = build_all("casme2", root)
    plain = 2 if "raw" in tree else 0  # `anger1_..` and `anger1_.` are names like others
    assert (len(built), len(failures)) == (1 + plain, len(OUTSIDE) - plain)
    assert {path.name for path in tmp_path.iterdir()} == {"inside"}
    assert {path.name for path in root.parent.iterdir()} == {"root", "out"}
    assert sum("is no name of a single folder" in failure.reason for failure in failures.values()) >= 4
    assert any(f"is longer than {LONGEST} bytes" in failure.reason for failure in failures.values())


def test_a_workbooks_video_code_may_not_lead_elsewhere(tmp_path: Path) -> None:
    root = tmp_path / "root"
    casme2(root, [[1, "anger1_1", 1, 2, 3]], "rawpic/s15/15_0401x", [["../..", "anger1"]])
    built, failures = build_all("casme2", root)
    assert built == set()
    assert len(failures) == 1


def test_a_table_that_names_files_elsewhere_finds_none(tmp_path: Path) -> None:
    root = tmp_path / "root"
    write_frames(tmp_path / "secret", ["1.png", "2.png"])
    write_frames(root / "good", ["1.png", "2.png"])
    names = ["../secret", str(tmp_path / "secret"), "good/../../secret", "<script>", "n" * 300]
    lines = ["clip,subject,emotion,label,onset,apex,offset,fps", "good,../../s,=cmd|' /C calc'!A0,,1,2,2,"]
    (root / "labels.csv").write_text("\n".join([*lines, *(f"{name},s,fear,,,,," for name in names)]) + "\n")
    built, failures = build_all("folder", root)
    assert built == {"good"}
    assert len(failures) == len(names)
    assert all("no video and no frames are there" in failure.reason for failure in failures.values())


def test_annotations_under_an_impossible_name_are_refused(tmp_path: Path) -> None:
    write_frames(tmp_path / "root/good", ["1.png", "2.png"])
    table = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.csv"))
    table.write_text("clip\ngood\n")
    with pytest.raises(SourceError, match=r"caf\\udce9\.csv holds control characters or is not UTF-8; rename"):
        get_source("folder").read(tmp_path / "root", annotations=table)


def test_names_are_told_apart() -> None:
    assert [unstorable(name) for name in HARMLESS] == [""] * len(HARMLESS)
    assert all(unstorable(name) for name in (*HOSTILE.values(), "", ".", "..", "a/b", "ü" * 121))
    assert printable("a\nb\udce9ü\u2028") == "a\\nb\\udce9ü\\u2028"


# Workbooks


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
    with pytest.raises(SourceError, match=f"{message}, far more than annotations take"):
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
        casme2(tmp_path, [row[:5] for row in rows], "selectedpic/s15/EP01")
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


def test_the_command_shows_hostile_names_as_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_frames(tmp_path / "good", ["1.png", "2.png"])
    for name in HOSTILE.values():
        write_frames(tmp_path / name, ["1.png", "2.png"])
    assert run(["datasets", "folder", "--root", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "cannot be built: 5" in printed
    assert "  line\\nbreak: the folder name 'line\\\\nbreak' holds control characters" in printed
    assert "\x1b" not in printed


# Anything at all

SUBJECTS = ["s15", "sub01", "001", "s1", "15", "..", "HS", "micro"]
CLIPS = ["anger1_1", "EP02_01f", "006_1_2", "s1_ne_01", "negative", "15_0401x", "../x", "/x", "²", *HOSTILE.values()]
WORDS = ["happiness", "negative", "others", "=1+1", "NULL", "/", "<script>", "", "Subject", "clip", "Sheet1"]
HEADERS = ["Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Estimated Emotion", "Onset Frame"]
HEADERS += ["Apex Frame", "Offset Frame", "OnsetF", "OffsetF", "Emotion", "clip", "subject", "onset", "apex", "offset"]
TREES = {
    "casme2": ["selectedpic", "cropped", "rawpic", "selectedpic/selectedpic"],
    "casme-ii": ["CASME2_RAW_selected", "Cropped", "Cropped/Cropped"],
    "samm": ["SAMM", "SAMM_CROP"],
    "smic": ["SMIC_all_raw/HS", "SMIC_all_cropped/VIS", "SMIC-E_raw image/HS_long/SMIC-HS-E"],
    "folder": ["", "a", "a/b"],
}
CONTENTS = [jpeg(), jpeg(), jpeg()[:300], b"", b"text", os.mkfifo, os.mkdir, lambda path: path.symlink_to(path)]
on_disk = st.text(st.characters(exclude_characters="/\0", exclude_categories=("Cs",)), min_size=1, max_size=8).filter(
    lambda name: name not in (".", "..") and len(name.encode()) < 200
)
in_a_cell = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=8)
cells = st.one_of(
    st.none(), st.integers(-(2**70), 2**70), st.floats(), st.booleans(), in_a_cell,
    st.sampled_from([*WORDS, *SUBJECTS, *HEADERS]), st.sampled_from([name for name in CLIPS if name.isprintable()]),
)  # fmt: skip
plausible = st.tuples(
    st.sampled_from([1, "1", "s15", "01", "001"]), st.sampled_from(["anger1_1", "EP02_01f", "006_1_2", "s1_ne_01"]),
    cells, cells, cells, cells, st.sampled_from(WORDS),
).map(list)  # fmt: skip
tables = st.lists(st.one_of(st.lists(cells, max_size=8), plausible), max_size=5)
frame_names = st.one_of(st.integers(0, 9).map("img{}.jpg".format), on_disk.map("{}1.png".format), on_disk)
places = st.lists(
    st.tuples(
        st.one_of(st.sampled_from([s for s in SUBJECTS if s != ".."]), on_disk),
        st.lists(
            st.one_of(st.sampled_from([c for c in CLIPS if "/" not in c]), on_disk),
            min_size=1, max_size=3,
        ),
        st.lists(st.tuples(frame_names, st.sampled_from(CONTENTS)), max_size=3),
    ),
    max_size=3,
)  # fmt: skip


def plant(root: Path, tree: str, found: list[Any]) -> None:
    """Write a random tree, as far as the file system takes it."""
    for subject, clip, frames in found:
        folder = root / tree / subject / Path(*clip)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name, content in frames:
                if isinstance(content, bytes):
                    (folder / name).write_bytes(content)
                else:
                    content(folder / name)
        except OSError:
            continue


def spoilt(content: bytes, data: st.DataObject) -> bytes:
    """A file as it is, cut short, with a few bytes changed, or another one altogether."""
    how = data.draw(st.sampled_from(["whole", "whole", "whole", "cut", "changed", "other"]))
    if how == "cut":
        return content[: data.draw(st.integers(0, len(content)))]
    if how == "changed":
        changed = bytearray(content)
        for place, value in data.draw(st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255)))):
            changed[place] = value
        return bytes(changed)
    start = data.draw(st.sampled_from([b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"clip,subject\n", b""]))
    return content if how == "whole" else start + data.draw(st.binary(max_size=2000))


@pytest.mark.parametrize("dataset", BOOKS)
@settings(max_examples=25, derandomize=True)
@given(data=st.data())
def test_whatever_lies_there_is_read_or_refused_in_words(dataset: str, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        root.mkdir()
        plant(root, data.draw(st.sampled_from(TREES[dataset])), data.draw(places))
        book = root / data.draw(st.sampled_from([BOOKS[dataset]] * 4 + [Path(BOOKS[dataset]).stem + ".xls"]))
        if dataset == "folder":
            lines = data.draw(st.lists(st.lists(st.one_of(st.sampled_from(HEADERS + WORDS), in_a_cell)), max_size=4))
            content = "\n".join(",".join(line) for line in lines).encode()
        else:
            headers = [[name for name in HEADERS if data.draw(st.booleans())]] if data.draw(st.booleans()) else []
            sheets = [[*headers, *data.draw(tables)] for _ in range(data.draw(st.integers(1, 3)))]
            sheets += [[[15, "s15", 1]], [["0401", "anger1"]]] if dataset == "casme2" else []
            content = xlsx_bytes({f"Sheet{index}": rows for index, rows in enumerate(sheets)})
        book.write_bytes(spoilt(content or b"clip", data))
        annotations = data.draw(st.sampled_from([None, None, book, root]))
        variant = data.draw(st.sampled_from(["auto", "auto", "raw", "cropped"]))
        before = time.process_time()
        with suppress(SourceError):  # anything else is a mistake of ours
            check_listing(get_source(dataset).read(root, annotations=annotations, variant=variant), root)
        assert time.process_time() - before < 10


def check_listing(listing: Listing, root: Path) -> None:
    """A listing can be stored, printed and read, frame by frame."""
    words = [asdict(problem) for problem in listing.problems]
    words += [{"clip": failure.clip, "reason": failure.reason} for failure in listing.failures]
    assert canonical_json(words).encode()
    assert all("\n" not in value for entry in words for value in entry.values())
    for clip in listing.clips:
        assert not any(map(unstorable, (clip.id, *clip.directory.parts, *(frame.name for frame in clip.frames))))
        assert len(clip.frames) >= 2
        assert all(frame.path.resolve().is_relative_to(root.resolve()) for frame in clip.frames)
        assert clip.id.encode()
        numbers = (clip.onset, clip.apex, clip.offset)
        assert all(value is None or abs(value) < 2**63 for value in numbers)
        with suppress(ClipError):
            assert len(read_frames(clip)) == len(clip.frames)
