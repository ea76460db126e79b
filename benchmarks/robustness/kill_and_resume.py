"""Kill a build at random times, resume it each time, and compare the result with an uninterrupted build.

    python benchmarks/robustness/kill_and_resume.py --kills 50 --workers 2 --out kills.json

A small stand-in in SMIC's layout, the real networks, the whole command with start-up and report. Times are spread
evenly over the time that an uninterrupted build takes, one in each of as many equal spans as there are kills, in random
order; `kill -9` goes to the whole process group. A build that ends before it is killed is compared, and another is
started. After every kill all files that are marked as done must be complete, byte for byte. Prints a table of the steps
reached at each kill, and one of the results.
"""

from __future__ import annotations

import os
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

from benchmarks.common import Report, command_line, run_script
from mvgen.evaluation.interruption import REACHED, clips_of, differing, falsely_done, left_behind, moments, tree
from mvgen.store import layout


def run_until(line: Sequence[str], moment: float, log: Path) -> bool:
    """Run a command in a process group of its own, and kill the group after some seconds.

    Returns whether it had to be killed. Ends this process when it failed by itself.
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
        raise SystemExit(f"the build failed with {code}:\n{log.read_text()}")
    return False


@dataclass
class Score:
    """Steps reached at the kills, the number of builds that ended, and errors: paths, ids of clips, paths."""

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
    parser = command_line(__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--root", type=Path, help="a stand-in in SMIC's layout; one is made otherwise")
    chosen = parser.parse_args()
    program = [sys.executable, "-m", "mvgen.cli"]
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
    about = f"{len(clips_of(whole))} clips, {len(whole)} files, {longest:.0f} s uninterrupted"
    report = Report(__file__, chosen, f"{about}; {chosen.workers} workers, seed {chosen.seed}")
    report.table(["a kill left", "kills"], [[name, score.left[name]] for name in REACHED if score.left[name]])
    figures = [score.left.total(), score.ends, len(score.wrong), len(score.lost), len(score.changed)]
    header = ("kills", "builds that ended", "files falsely taken for done", "lost clips", "differing files")
    report.table(header, [figures])
    for name in sorted(score.wrong | score.changed):
        print(f"not as it should be: {name}")
    sys.exit(bool(score.wrong or score.lost or score.changed))


if __name__ == "__main__":
    run_script(main)
