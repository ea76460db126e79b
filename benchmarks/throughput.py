"""How fast a whole build is, by stage, beside a plain composition of the same packages; how time and memory grow.

    uv run benchmarks/throughput.py [--clips 12] [--frames 14] [--size 256] [--angles=-45:45:10] [--workers 2]
        [--no-plain] [--no-sweep]
    uv run benchmarks/throughput.py --formats png,jpeg

Clips of a stand-in, filmed first and repeated as often as needed, 640 x 480 JPEG. Build and plain composition run one
after the other on the same clips, with as many workers, each with one thread and started afresh; a frame is one of the
source, which all views are made of. The plain composition stands in `plain.py`. `ms a frame` is the work of all
workers, by stage; the rest of it is what is not timed: of a build, listing, fitting the attention head, and the table
and sheet at the end. `once started` counts from when every worker has one clip behind it until the last clip is
written. Peak memory is the largest worker's. Milliseconds of each renderer are measured by `renderers.py`. Prints
Markdown tables with hardware and commit.

`--formats` builds nothing but the clips as PNG and as JPEG frames, 12 of 60 frames unless told otherwise, and prints
frames a second with start-up, and the work of a frame by stage. To compare with another commit, run this file in its
tree: `git archive COMMIT | tar x -C /tmp/base`, copy it there, and PYTHONPATH=/tmp/base.
"""

from __future__ import annotations

import argparse
import csv
import multiprocessing
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from memory import peak_memory, watched_children
from PIL import Image
from plain import PlainBuilder, PlainSettings
from stages import commit, hardware
from tables import table

from mvgen.build.build import Silent, build
from mvgen.core.angles import parse_angles
from mvgen.core.device import one_thread
from mvgen.core.paths import shipped_weights
from mvgen.core.records import Clip
from mvgen.core.settings import by_part, load_config
from mvgen.engine import local
from mvgen.sources import get_source
from mvgen.store.manifest import Failure

Result = TypeVar("Result")

_SWEEPS: dict[str, tuple[Any, ...]] = {
    "clips": (6, 12, 24),
    "frames": (14, 56, 112),
    "views": ("0", "-45,45", "-45:45:10", "-45:45:5"),
    "size": (128, 256, 384),
}


@dataclass(frozen=True, slots=True)
class Job:
    """One run: a tree of `clips` clips of `frames` frames, built at `size` pixels for some angles."""

    clips: int = 12
    frames: int = 14
    angles: str = "-45:45:10"
    size: int = 256
    workers: int = 2

    @property
    def pictures(self) -> int:
        return self.clips * self.frames

    @property
    def views(self) -> int:
        return len(parse_angles(self.angles))

    def __str__(self) -> str:
        return f"{self.clips} clips of {self.frames} frames, {self.views} views of {self.size} pixels"

    @classmethod
    def of(cls, chosen: argparse.Namespace) -> Job:
        """The job that a command line names; see `job_arguments`."""
        return cls(chosen.clips, chosen.frames, chosen.angles, chosen.size, chosen.workers)


def job_arguments(description: str | None, default: Job) -> argparse.ArgumentParser:
    """A command line with an option for every part of a job."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    # argparse takes "-45:45:10" for an option unless it is glued to the flag.
    for name, value in asdict(default).items():
        parser.add_argument(f"--{name}", type=type(value), default=value)
    return parser


@dataclass(frozen=True, slots=True)
class Run:
    """What a run took.

    wall : seconds on the clock; finished : on which of them each clip was done
    stages : seconds of work by stage; memory : MiB of the largest worker
    """

    wall: float
    finished: tuple[float, ...]
    stages: dict[str, float]
    memory: float


def film(root: Path, frames: int) -> list[list[Path]]:
    """Film the stand-in; returns the frames of its two clips."""
    from mvgen.synth.commands import synth

    plans = synth(layout="casme2", out=root, subjects=2, clips=1, frames=frames, seed=0, report=lambda _: None)
    return [[root / plan.directory / name for name in plan.names] for plan in plans]


def repeat(filmed: list[list[Path]], root: Path, job: Job) -> Path:
    """A folder of clips with a table of labels, out of the filmed ones, run forward and backward without a jump."""
    rows = [("clip", "subject", "emotion", "onset", "apex", "offset", "fps")]
    for number in range(job.clips):
        frames = filmed[number % len(filmed)]
        loop = frames + frames[-2:0:-1]
        name = f"s{number % len(filmed)}/clip{number}"
        (root / name).mkdir(parents=True)
        for index in range(job.frames):
            frame = loop[index % len(loop)]
            shutil.copyfile(frame, root / name / f"img{index + 1:04d}{frame.suffix}")
        emotion = ("happiness", "anger")[number % 2]
        rows.append((name, name[:2], emotion, "1", str(job.frames // 2), str(job.frames), "30"))
    with (root / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return root


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


def by_format(filmed: list[list[Path]], folder: Path, job: Job, weights: Path | None, formats: list[str]) -> str:
    """Frames a second by the format of the source's frames, which is that of the store's; the work of a frame."""
    runs = {}
    for name in formats:
        frames = as_png(filmed, folder / "png") if name == "png" else filmed
        runs[name] = measured(run_build, frames, folder, job, weights)
    stages = dict.fromkeys(stage for run in runs.values() for stage in run.stages)
    rows: list[list[str | float]] = [
        ["frames/s, with start-up", *(job.pictures / run.wall for run in runs.values())],
        ["frames/s, once started", *(steady(job, run) for run in runs.values())],
        ["s", *(run.wall for run in runs.values())],
    ]
    rows += [
        [f"ms a frame, {stage}", *(1000 * run.stages.get(stage, float("nan")) / job.pictures for run in runs.values())]
        for stage in stages
    ]
    return table(["frames", *runs], rows, digits=1)


def afresh(work: Callable[[], Result]) -> Result:
    """Do a piece of work in a process of its own, so that nothing is loaded or cached yet."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(work).result()


def of_worker(peaks: list[float]) -> float:
    """MiB of the largest worker; without one the work was done in this process."""
    return max(peaks, default=0.0) or peak_memory(os.getpid())


class Watch(Silent):
    """Notes when each clip of a build is finished."""

    def __init__(self) -> None:
        self.moments: list[float] = []

    def advance(self, clip: str, failure: Failure | None, trace: str | None) -> None:
        """One more clip is finished."""
        self.moments.append(time.perf_counter())


def run_build(root: Path, out: Path, job: Job, **settings: Any) -> Run:
    """Build a tree as `mvgen build` does; settings : flags of the build, beside those that the job names."""
    flags = {
        "dataset": "folder", "root": root, "out": out, "angles": job.angles, "size": job.size, "workers": job.workers,
        "device": "cpu", **settings,
    }  # fmt: skip
    config = load_config(None, by_part(flags))
    peaks: list[float] = []
    progress = Watch()
    start = time.perf_counter()
    with watched_children(peaks):
        summary = build(config, progress=progress)
    if summary.failures:
        raise SystemExit(f"the build failed on {summary.failures[0].clip}: {summary.failures[0].reason}")
    finished = tuple(moment - start for moment in progress.moments)
    return Run(time.perf_counter() - start, finished, dict(summary.seconds), of_worker(peaks))


def make_plain(settings: PlainSettings) -> Callable[[Clip], dict[str, float]]:
    """Load the plain composition in a worker."""
    one_thread()
    return PlainBuilder(settings).build


def run_plain(root: Path, out: Path, job: Job, weights: Path | None) -> Run:
    """Build a tree by the plain composition."""
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


def steady(job: Job, run: Run) -> float:
    """Frames a second once every worker has one clip behind it: without start-up; NaN for fewer clips than that."""
    times = sorted(run.finished)
    if len(times) <= job.workers:
        return float("nan")
    return job.frames * (len(times) - job.workers) / (times[-1] - times[job.workers - 1])


def compare(job: Job, runs: dict[str, Run]) -> str:
    """Milliseconds of work a frame by stage, and the whole; runs : by name, ours first, a plain one second."""
    names = dict.fromkeys(name for run in reversed(runs.values()) for name in run.stages)
    rates = [steady(job, run) for run in runs.values()]
    rest = [1000 * (job.workers * run.wall - sum(run.stages.values())) / job.pictures for run in runs.values()]
    rows: list[list[str | float]] = [
        [name, *(1000 * run.stages.get(name, float("nan")) / job.pictures for run in runs.values())] for name in names
    ]
    rows += [
        ["the rest", *rest],
        ["frames/s, with start-up", *(job.pictures / run.wall for run in runs.values())],
        ["frames/s, once started", *rates],
        ["MiB, largest worker", *(run.memory for run in runs.values())],
    ]
    text = table(["ms a frame", *runs], rows, digits=1)
    if len(runs) > 1:
        ours, plain = list(runs.values())[:2]
        start, more = plain.wall / ours.wall, rates[0] / rates[1]
        text += f"\nThe build is {start:.1f} x as fast with its start-up, {more:.1f} x once started.\n"
    return text


def sweep(filmed: list[list[Path]], folder: Path, base: Job, weights: Path | None) -> str:
    """How time and memory grow with one thing at a time."""
    rows: list[list[str | float]] = []
    for what, values in _SWEEPS.items():
        for value in values:
            job = replace(base, clips=6) if what == "frames" else base
            job = replace(job, **{"angles" if what == "views" else what: value})
            run = measured(run_build, filmed, folder, job, weights)
            rows.append([
                what, str(job.clips), str(job.frames), str(job.views), str(job.size), run.wall,
                job.pictures / run.wall, steady(job, run), 1000 * sum(run.stages.values()) / job.pictures,
                f"{run.memory:.0f}",
            ])  # fmt: skip
    header = ["sweep", "clips", "frames", "views", "size", "s", "frames/s", "once started", "ms a frame", "MiB"]
    return table(header, rows, digits=1)


def measured(work: Callable[..., Run], filmed: list[list[Path]], folder: Path, job: Job, weights: Path | None) -> Run:
    """A run on a tree of its own, which is removed afterwards."""
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
    job = Job.of(chosen)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        filmed = afresh(partial(film, folder / "filmed", min(chosen.frames, 14)))
        if formats:
            print(f"{hardware()}; commit {commit()}; {job}, {job.workers} workers\n")
            print(by_format(filmed, folder, job, chosen.weights, formats))
            return
        ways = {"mvgen build": run_build} | ({} if chosen.no_plain else {"plain composition": run_plain})
        runs = {name: measured(work, filmed, folder, job, chosen.weights) for name, work in ways.items()}
        print(f"{hardware()}; commit {commit()}; {job}, {job.workers} workers\n")
        print(compare(job, runs), flush=True)
        if not chosen.no_sweep:
            print(sweep(filmed, folder, job, chosen.weights))


if __name__ == "__main__":
    main()
