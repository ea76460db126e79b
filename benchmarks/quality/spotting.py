"""Spotting of expressions in long recordings: F1 at an overlap of one half, speed and memory.

    python benchmarks/quality/spotting.py --cache recordings
    python benchmarks/quality/spotting.py --cache recordings --ict ICT-FaceKit --seconds 600

Recordings are stand-ins of `mvgen synth --layout long`: micro-expressions of 0.8 to 2.8 pixels of a crop of 256, macro-
expressions of 2 to 3, blinks, head and light that drift. The settings of `mvgen.motion.spotting` were chosen on seed 1
(two of Anny's heads, one of ICT's); the rows are of other seeds. "all" does not look at the kind of an expression.
"""

from __future__ import annotations

import argparse
import resource
import time
from functools import partial
from pathlib import Path

from benchmarks.common import Report, command_line, run_script
from mvgen.core.errors import ConfigError
from mvgen.evaluation.spotting import compare_tables, read_spans
from mvgen.pipeline.recordings import find_recordings, write_clips
from mvgen.pipeline.spot import FaceMotion, Spotted, spot_video
from mvgen.synth.recording import FPS, record


def recordings(chosen: argparse.Namespace, family: str, seed: int, subjects: int, seconds: float) -> Path:
    """The folder of some recordings, `videos` and `truth`, made where it is missing."""
    folder: Path = chosen.cache / f"{family}-{seed}-{subjects}x{seconds:g}"
    if (folder / "truth").is_dir():
        return folder
    heads, spread = None, 0.25
    if family == "ict":
        from mvgen.scans.corpora.ict import ict_heads

        heads, spread = ict_heads(chosen.ict), 1.0
    record(
        out=folder / "videos", truth=folder / "truth", subjects=subjects, seconds=seconds, seed=seed, heads=heads,
        spread=spread,
    )  # fmt: skip
    return folder


def measure(folder: Path, out: Path) -> tuple[float, list[int]]:
    """Spot in all recordings of a folder; frames a second, and the peak of memory at every quarter, MiB."""
    found: list[Spotted] = []
    peaks: list[int] = []
    frames = 0
    began = time.monotonic()

    def progress(done: int, count: int | None) -> None:
        nonlocal frames
        frames += 1
        if count and done % max(count // 4, 1) == 0:
            peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)

    for name, path in find_recordings(folder / "videos"):
        found += spot_video(path, partial(FaceMotion.load, "cpu"), name=name, progress=progress)
    speed = frames / (time.monotonic() - began)
    write_clips(out, found)
    return speed, peaks


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--cache", type=Path, required=True, help="folder for the recordings")
    parser.add_argument("--ict", type=Path, help="a clone of ICT-FaceKit, for heads of another family")
    parser.add_argument("--seconds", type=float, default=600, help="length of the long recording")
    parser.add_argument("--several", type=float, default=150, help="length of several people's; 0: none")
    chosen = parser.parse_args()
    if chosen.cache.is_file():
        raise ConfigError(f"{chosen.cache} is a file; give a folder for the recordings")
    runs = [("anny", 7, 1, chosen.seconds)]
    if chosen.several:
        runs.append(("anny", 9, 2, chosen.several))
    if chosen.ict is not None:
        runs.append(("ict", 8, 1, chosen.several or chosen.seconds))
    report = Report(__file__, chosen, "stand-ins, 320x240 pixels, H.264")
    rows, costs = [], []
    for family, seed, subjects, seconds in runs:
        folder = recordings(chosen, family, seed, subjects, seconds)
        speed, peaks = measure(folder, folder / "found.csv")
        found, true = read_spans(folder / "found.csv"), read_spans(folder / "truth" / "clips.csv")
        who = f"{family}, seed {seed}, {subjects} x {seconds:g} s"
        for kind in (None, "micro", "macro"):
            counts = compare_tables(found, true, kind)
            rows.append((who, kind or "all", counts.true, counts.found, counts.right, counts.f1))
        costs.append((who, speed, speed / FPS, peaks[0], peaks[-1]))
    report.section("F1 at an overlap of one half")
    report.table(("recordings", "kind", "true", "found", "right", "F1"), rows)
    report.section("Cost")
    header = ("recordings", "frames/s", "times real time", "MiB after a quarter", "MiB at the end")
    report.table(header, costs, digits=1)


if __name__ == "__main__":
    run_script(main)
