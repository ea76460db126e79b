"""Kills a build at random moments, resumes it every time, and compares the result with a build that ran through.

    uv run benchmarks/kill_and_resume.py [--kills 50] [--seed 0] [--workers 2] [--root STAND_IN]

A small stand-in in SMIC's layout, the real networks, the whole command line with its start-up and its page. Moments are
spread evenly over the time that an uninterrupted build takes, one in each of as many equal spans as there are kills, in
random order; `kill -9` goes to the whole process group. A build that ends before its moment is compared and another is
begun. After every kill, what is marked as done must be done, byte for byte. Prints a table of what the kills left
and one of what they did. The stand-in is acted, not a licensed release.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.common import commit, hardware, table
from mvgen.store import layout
from mvgen.store.manifest import Marker

_LEFT = ("nothing", "settings", "attention head", "some clips", "all clips", "a dataset", "a dataset and its page")


def tree(out: Path) -> dict[str, bytes]:
    """Every file of a store, hidden ones and its page included."""
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


def differing(ours: dict[str, bytes], whole: dict[str, bytes]) -> list[str]:
    """Paths that only one of two stores has, or that differ in a byte."""
    return sorted(name for name in {*ours, *whole} if ours.get(name) != whole.get(name))


def clips_of(files: dict[str, bytes]) -> frozenset[str]:
    """Ids of the clips whose markers are there."""
    return frozenset(Path(name).stem for name in files if name.startswith(f"{layout.DONE}/") and name.endswith(".json"))


def falsely_done(ours: dict[str, bytes], whole: dict[str, bytes]) -> list[str]:
    """Files that a marker, or `dataset.json`, vouches for in a killed build, and that are not as they should be."""
    if layout.DATASET in ours:
        return [name for name in differing(ours, whole) if name in whole and not name.startswith("report/")]
    vouched: set[str] = set()
    for clip in clips_of(ours):
        marker = str(layout.marker_path(clip))
        vouched |= {marker, *(path for row in Marker.from_json(whole[marker].decode()).rows for path in row.files())}
    return sorted(name for name in vouched if ours.get(name) != whole.get(name))


def left_behind(ours: dict[str, bytes], clips: int) -> str:
    """The last thing that a killed build finished, one of `_LEFT`. clips : how many there are to build"""
    done = len(clips_of(ours))
    reached = (
        layout.BUILD in ours,
        layout.ATTENTION in ours,
        done > 0,
        done == clips,
        layout.DATASET in ours,
        layout.REPORT in ours,
    )
    return _LEFT[sum(reached)]


def run_until(line: Sequence[str], moment: float, log: Path) -> bool:
    """Run a command in a process group of its own, and kill the group at a moment in seconds.

    Returns whether it had to be killed. Raises RuntimeError when it failed by itself.
    """
    with log.open("w") as said:
        process = subprocess.Popen(line, start_new_session=True, stdout=said, stderr=subprocess.STDOUT)
        try:
            code = process.wait(timeout=moment)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return True
    if code:
        raise RuntimeError(f"the build failed with {code}:\n{log.read_text()}")
    return False


def moments(kills: int, longest: float, seed: int) -> list[float]:
    """Seconds after which to kill: one at random in each of `kills` equal spans up to `longest`, in random order."""
    rng = random.Random(seed)
    drawn = [longest * (index + rng.random()) / kills for index in range(kills)]
    rng.shuffle(drawn)
    return drawn


@dataclass
class Score:
    """What the kills left, how many builds ended, and what was not as it should be: paths, ids of clips, paths."""

    left: Counter[str] = field(default_factory=Counter)
    ends: int = 0
    wrong: set[str] = field(default_factory=set)
    lost: set[str] = field(default_factory=set)
    changed: set[str] = field(default_factory=set)

    def ended(self, out: Path, whole: dict[str, bytes]) -> None:
        """Compare a build that ended, and remove it."""
        ours = tree(out)
        self.ends += 1
        self.lost |= clips_of(whole) - clips_of(ours)
        self.changed |= set(differing(ours, whole))
        shutil.rmtree(out)


def kill_and_resume(
    line: Sequence[str], out: Path, whole: dict[str, bytes], moments: Sequence[float], log: Path
) -> Score:
    """Build into `out`, killed after each of so many seconds and resumed, to the end. line : lacks `out`"""
    score = Score()
    for drawn in moments:
        moment = drawn
        while not run_until([*line, str(out)], moment, log):
            score.ended(out, whole)
            moment *= 0.9  # other builds may be faster than the one that was timed
        ours = tree(out) if out.exists() else {}
        score.left[left_behind(ours, len(clips_of(whole)))] += 1
        score.wrong |= set(falsely_done(ours, whole))
        if layout.REPORT in ours:  # there is nothing to resume
            score.ended(out, whole)
    run_until([*line, str(out)], float("inf"), log)
    score.ended(out, whole)
    return score


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--root", type=Path, help="a stand-in in SMIC's layout; one is made otherwise")
    parser.add_argument("--script", type=Path, help="what to run in place of mvgen, such as tests/run_fake_build.py")
    chosen = parser.parse_args()
    program = [sys.executable, str(chosen.script)] if chosen.script else [sys.executable, "-m", "mvgen.cli"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        root, log = chosen.root or folder / "stand-in", folder / "log"
        if chosen.root is None:
            made = ["synth", "--layout", "smic", "--out", str(root), "--subjects", "3", "--clips", "2"]
            run_until([*program, *made, "--frames", "4", "--size", "240x180"], float("inf"), log)
        line = [*program, "build", "--dataset", "smic", "--root", str(root), "--angles=-30,30", "--size", "64"]
        line += ["--workers", str(chosen.workers), "--out"]
        start = time.perf_counter()
        run_until([*line, str(folder / "whole")], float("inf"), log)
        longest = time.perf_counter() - start
        whole = tree(folder / "whole")
        score = kill_and_resume(line, folder / "out", whole, moments(chosen.kills, longest, chosen.seed), log)
    print(f"{hardware()}; commit {commit()}; {chosen.workers} workers, seed {chosen.seed}")
    print(f"{len(clips_of(whole))} clips, {len(whole)} files, {longest:.0f} s uninterrupted\n")
    print(table(("a kill left", "kills"), [(name, score.left[name]) for name in _LEFT if score.left[name]], digits=0))
    figures = [score.left.total(), score.ends, len(score.wrong), len(score.lost), len(score.changed)]
    header = ("kills", "builds that ended", "files falsely taken for done", "lost clips", "differing files")
    print(table(header, [figures], digits=0))
    for name in sorted(score.wrong | score.changed):
        print(f"not as it should be: {name}")
    sys.exit(bool(score.wrong or score.lost or score.changed))


if __name__ == "__main__":
    main()
