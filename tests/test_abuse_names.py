"""Names from anybody, on disk and in tables: each is a name, a failure row or a clear error.

Nothing is written outside the output folder, and nothing that stands in a name is run.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from factories import write_frames
from hostile_trees import HOSTILE, write_casme2
from reading_build import build_all

from mvgen.cli import run
from mvgen.core.errors import SourceError
from mvgen.core.names import LONGEST, printable, unstorable
from mvgen.sources import get_source

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


OUTSIDE = ["../../../../evil", "/tmp/evil", "..", ".", "a/../../../../../evil", "x" * 300, "sub/folder"]


@pytest.mark.parametrize("tree", ["selectedpic/s15/anger1_1", "rawpic/s15/15_0401x"])
def test_clips_that_a_workbook_places_elsewhere_are_failure_rows(tmp_path: Path, tree: str) -> None:
    root = tmp_path / "inside" / "root"
    # In a tree of long videos two clips of one video have folders of their own, called after them.
    rows = [[1, "anger1_1", 1, 2, 3], *([1, f"anger1_{name}" if "raw" in tree else name, 1, 2, 3] for name in OUTSIDE)]
    write_casme2(root, rows, tree)
    built, failures = build_all("casme2", root)
    plain = 2 if "raw" in tree else 0  # `anger1_..` and `anger1_.` are names like others
    assert (len(built), len(failures)) == (1 + plain, len(OUTSIDE) - plain)
    assert {path.name for path in tmp_path.iterdir()} == {"inside"}
    assert {path.name for path in root.parent.iterdir()} == {"root", "out"}
    assert sum("is no name of a single folder" in failure.reason for failure in failures.values()) >= 4
    assert any(f"is longer than {LONGEST} bytes" in failure.reason for failure in failures.values())


def test_a_workbooks_video_code_may_not_lead_elsewhere(tmp_path: Path) -> None:
    root = tmp_path / "root"
    write_casme2(root, [[1, "anger1_1", 1, 2, 3]], "rawpic/s15/15_0401x", [["../..", "anger1"]])
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


def test_similar_names_stay_distinct() -> None:
    assert [unstorable(name) for name in HARMLESS] == [""] * len(HARMLESS)
    assert all(unstorable(name) for name in (*HOSTILE.values(), "", ".", "..", "a/b", "ü" * 121))
    assert printable("a\nb\udce9ü\u2028") == "a\\nb\\udce9ü\\u2028"


def test_the_command_shows_hostile_names_as_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_frames(tmp_path / "good", ["1.png", "2.png"])
    for name in HOSTILE.values():
        write_frames(tmp_path / name, ["1.png", "2.png"])
    assert run(["datasets", "folder", "--root", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "cannot be built: 5" in printed
    assert "  line\\nbreak: the folder name 'line\\\\nbreak' holds control characters" in printed
    assert "\x1b" not in printed
