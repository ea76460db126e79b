"""Speed of a whole build, by stage, compared with a baseline of the same packages; growth of time and memory.

    python benchmarks/speed/throughput.py --clips 12 --frames 14 --workers 2 --out throughput.json
    python benchmarks/speed/throughput.py --formats png,jpeg

Clips of a stand-in, filmed first and repeated as often as needed, 640 x 480 JPEG. Build and baseline
(`baseline_build.py`, `plain composition` in tables) run one after the other on the same clips, with the same number of
workers, each in a new process with one thread. A frame is one of the source, from which all views are made. `ms a
frame` is the work of all workers, by stage; the rest is not timed by stage: of a build, listing, fitting the attention
head, and the table and sheet at the end. `once started` counts from when every worker has finished one clip until the
last clip is written. Peak memory is that of the largest worker. Milliseconds of each renderer are measured by
`renderers.py`. Prints Markdown tables with hardware and commit.

`--formats` only builds the clips as PNG and as JPEG frames, by default 12 of 60 frames, and prints the same table. To
compare with another commit, run it in that commit's tree, with PYTHONPATH set to it.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks.common import Report, command_line, run_script
from benchmarks.speed.baseline_build import PlainBuilder, PlainSettings
from mvgen.core.angles import parse_angles
from mvgen.core.device import one_thread
from mvgen.core.files import shipped_weights
from mvgen.core.records import Clip
from mvgen.engine import local
from mvgen.evaluation.processes import watched_children
from mvgen.evaluation.tables import Rows
from mvgen.evaluation.throughput import Job, Run, afresh, film, gain, of_worker, repeat, run_build, stage_table, steady
from mvgen.sources import get_source

_SWEPT = ("sweep", "clips", "frames", "views", "size", "s", "frames/s", "once started", "ms a frame", "MiB")
_SWEEPS: dict[str, tuple[Any, ...]] = {
    "clips": (6, 12, 24),
    "frames": (14, 56, 112),
    "views": ("0", "-45,45", "-45:45:10", "-45:45:5"),
    "size": (128, 256, 384),
}


def job_arguments(description: str | None, default: Job) -> argparse.ArgumentParser:
    """A command line with an option for every field of a job."""
    parser = command_line(description)
    # argparse takes "-45:45:10" for an option unless it is glued to the flag.
    for name, value in asdict(default).items():
        parser.add_argument(f"--{name}", type=type(value), default=value)
    return parser


def job_of(chosen: argparse.Namespace) -> Job:
    """The job of such a command line."""
    return Job(**{field.name: getattr(chosen, field.name) for field in fields(Job)})


def as_png(filmed: list[list[Path]], folder: Path) -> list[list[Path]]:
    """The same frames as PNG files in another folder."""
    clips = []
    for number, frames in enumerate(filmed):
        (folder / str(number)).mkdir(parents=True)
        clips.append([folder / str(number) / f"{frame.stem}.png" for frame in frames])
        for frame, path in zip(frames, clips[-1], strict=True):
            with Image.open(frame) as picture:
                picture.save(path, compress_level=1)
    return clips


def make_plain(settings: PlainSettings) -> Callable[[Clip], dict[str, float]]:
    """Load the baseline in a worker."""
    one_thread()
    return PlainBuilder(settings).build


def run_plain(root: Path, out: Path, job: Job, weights: Path | None) -> Run:
    """Build a tree with the baseline."""
    clips = get_source("folder").read(root).clips
    settings = PlainSettings(job.size, parse_angles(job.angles), weights or shipped_weights(), out)
    stages: dict[str, float] = {}
    finished: list[float] = []
    peaks: list[float] = []
    start = time.perf_counter()
    with watched_children(peaks):
        for outcome in local.run(clips, partial(make_plain, settings), job.workers):
            if outcome.error is not None:
                raise outcome.error
            finished.append(time.perf_counter() - start)
            for stage, seconds in (outcome.result or {}).items():
                stages[stage] = stages.get(stage, 0.0) + seconds
    return Run(time.perf_counter() - start, tuple(finished), stages, of_worker(peaks))


def sweep(filmed: list[list[Path]], folder: Path, base: Job, weights: Path | None) -> Rows:
    """Growth of time and memory with one setting at a time."""
    rows: Rows = []
    for what, values in _SWEEPS.items():
        for value in values:
            job = replace(base, clips=6) if what == "frames" else base
            job = replace(job, **{"angles" if what == "views" else what: value})
            run = measured(run_build, filmed, folder, job, weights)
            rows.append([
                what, job.clips, job.frames, job.views, job.size, run.wall,
                job.pictures / run.wall, steady(job, run), 1000 * sum(run.stages.values()) / job.pictures,
                round(run.memory),
            ])  # fmt: skip
    return rows


def measured(work: Callable[..., Run], filmed: list[list[Path]], folder: Path, job: Job, weights: Path | None) -> Run:
    """A run on a temporary tree."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        root = repeat(filmed, Path(place) / "source", job)
        return afresh(partial(work, root, Path(place) / "out", job, weights=weights))


def main() -> None:
    parser = job_arguments(__doc__, Job())
    parser.add_argument("--formats", help="png, jpeg or both, with a comma between; builds these and nothing else")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--no-plain", action="store_true")
    parser.add_argument("--no-sweep", action="store_true")
    chosen = parser.parse_args()
    formats = chosen.formats.split(",") if chosen.formats else []
    if set(formats) - {"png", "jpeg"}:
        parser.error(f"formats are png and jpeg, not {chosen.formats}")
    if formats and chosen.frames == Job().frames:
        chosen.frames = 60
    job = job_of(chosen)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        filmed = afresh(partial(film, folder / "filmed", min(chosen.frames, 14)))
        if formats:
            ways = {kind: (run_build, as_png(filmed, folder / kind) if kind == "png" else filmed) for kind in formats}
        else:
            ways = {"mvgen build": (run_build, filmed)}
            ways |= {} if chosen.no_plain else {"plain composition": (run_plain, filmed)}
        runs = {way: measured(work, frames, folder, job, chosen.weights) for way, (work, frames) in ways.items()}
        report = Report(__file__, chosen, f"{job}, {job.workers} workers")
        report.table(*stage_table(job, runs))
        if "plain composition" in runs:
            started, steadily = gain(job, *runs.values())
            print(f"The build is {started:.1f} x as fast with its start-up, {steadily:.1f} x once started.\n")
        if not (formats or chosen.no_sweep):
            report.table(_SWEPT, sweep(filmed, folder, job, chosen.weights), digits=1)


if __name__ == "__main__":
    run_script(main)
