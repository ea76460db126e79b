"""A disk that fills up: a clear error, nothing half-written taken for done; with room, the same line goes on."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from fake_build import FakeStages, fill_up, make_source, tree_bytes

from mvgen.cli import run
from mvgen.core.console import run_app
from mvgen.evaluation.interruption import clips_of, differing, falsely_done, left_behind, moments, tree
from mvgen.store import layout

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).with_name("run_on_small_disk.py")
LIMITS = ["size=8k", "size=100k", "size=200k", "size=280k", "nr_inodes=5", "nr_inodes=40"]
ADVICE = "what is finished is safe: free some space and run the same command again"
ALONE = ["unshare", "--user", "--map-root-user", "--mount"]


def line(root: Path, out: Path) -> list[str]:
    where = ["--dataset", "fake", "--root", str(root), "--out", str(out)]
    # Without limits clips are built in this process, where a write can be made to fail.
    return ["build", *where, "--angles", "0", "--size", "64", "--attempts", "1", "--clip-timeout", "0"]


def digests(out: Path) -> dict[str, str]:
    return {name: hashlib.sha256(content).hexdigest() for name, content in tree_bytes(out).items()}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A source whose builds, by the command line, need no network."""
    root = make_source(tmp_path / "root", subjects=2, clips=1, frames=2)
    monkeypatch.setattr("mvgen.building.build._real_stages", lambda: FakeStages(root))
    return root


@pytest.fixture
def own_disks() -> None:
    """Skips where this user may not mount a disk of its own."""
    if shutil.which("unshare") is None:
        pytest.skip("there is no `unshare` here")
    tried = subprocess.run(
        [*ALONE, "mount", "-t", "tmpfs", "disk", "/mnt"], capture_output=True, text=True, check=False
    )
    if tried.returncode:
        pytest.skip(f"no disk may be mounted here: {tried.stderr.strip()}")


@pytest.mark.usefixtures("own_disks")
def test_a_build_on_a_full_disk_stops_in_words_and_goes_on_when_there_is_room(tmp_path: Path, root: Path) -> None:
    assert run([*line(root, tmp_path / "whole"), "--no-report"]) == 0
    whole = digests(tmp_path / "whole")
    out = tmp_path / "out"
    out.mkdir()
    command = [*ALONE, sys.executable, str(SCRIPT), str(root), str(out), "1", *LIMITS]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    tried = json.loads(done.stdout)
    for limit, one in zip(LIMITS, tried, strict=True):
        code, said = one["first"]
        last = said.strip().splitlines()[-1]
        assert (code, last) == (2, f"error: no space left for {out}; {ADVICE}"), (limit, said)
        assert "Traceback" not in said, said
        assert (one["second"][0], one["files"]) == (0, whole), (limit, one["second"])
    marked = [
        sum(path.startswith(f"{layout.DONE}/") and path.endswith(".json") for path in one["between"]) for one in tried
    ]
    assert min(marked) == 0 < max(marked)  # the disk was full before the first clip, and between clips


def test_whichever_write_finds_the_disk_full_the_build_resumes_to_the_same_bytes(
    tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(line(root, tmp_path / "whole")) == 0
    whole = tree_bytes(tmp_path / "whole")
    for number in range(len(whole) + 1):
        out = tmp_path / f"out{number}"
        with pytest.MonkeyPatch.context() as patch:
            cut = fill_up(patch, number)
            code = run(line(root, out))
        if not cut:
            break
        assert code == 2, number
        assert f"error: no space left for {out}; what is finished is safe" in capsys.readouterr().err
        for marker in (out / layout.DONE).glob("*.json"):
            assert marker.read_bytes() == whole[f"{layout.DONE}/{marker.name}"]
        assert run(line(root, out)) == 0
        assert tree_bytes(out) == whole, number
    assert number == len(whole)  # every file that is there in the end is written once


def test_a_kill_is_judged_by_what_it_left(tmp_path: Path, root: Path) -> None:
    assert run(line(root, tmp_path / "whole")) == 0
    whole = tree(tmp_path / "whole")
    clips = clips_of(whole)
    assert len(clips) == 2
    first, second = (f"{layout.DONE}/{clip}.json" for clip in sorted(clips))
    left = {name: content for name, content in whole.items() if name != layout.REPORT}
    assert (left_behind(whole, 2), left_behind(left, 2)) == ("a dataset and its page", "a dataset")
    steps = [
        (layout.DATASET, "all clips"),
        (second, "some clips"),
        (first, "attention head"),
        (layout.ATTENTION, "settings"),
        (layout.BUILD, "nothing"),
    ]
    for gone, where in steps:
        left.pop(gone)
        assert (left_behind(left, 2), falsely_done(left, whole)) == (where, [])
    frame = next(name for name in whole if name.startswith("views/"))
    assert differing({**whole, frame: b"", "extra": b""}, whole) == ["extra", frame]
    # A frame that its clip's marker vouches for, cut short; without a marker it is nobody's loss.
    clip = next(clip for clip in clips if Path(frame).parent.as_posix().endswith(clip.replace("__", "/")))
    for marked, found in ((True, [frame]), (False, [])):
        ours = {**whole, frame: whole[frame][:100]}
        for name in (layout.DATASET, *([] if marked else [f"{layout.DONE}/{clip}.json"])):
            ours.pop(name)
        assert falsely_done(ours, whole) == found


def test_kills_are_spread_over_the_whole_time_and_drawn_by_their_seed() -> None:
    drawn = moments(50, 100.0, seed=3)
    assert [int(moment // 2) for moment in sorted(drawn)] == list(range(50))
    assert drawn == moments(50, 100.0, seed=3) != sorted(drawn)


def test_a_full_disk_is_said_wherever_a_command_meets_it(capsys: pytest.CaptureFixture[str]) -> None:
    app = typer.Typer()

    @app.command()
    def write() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "out/one.png")

    assert run_app(app, "write", []) == 2
    assert capsys.readouterr().err.startswith("error: no space left for out/one.png; free some space")
