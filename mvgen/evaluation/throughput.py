"""Timed builds of a repeated stand-in: by stage, and once every worker has started."""

from __future__ import annotations

import csv
import multiprocessing
import os
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from mvgen.building.build import build
from mvgen.building.work import Progress
from mvgen.core.angles import parse_angles
from mvgen.core.settings import by_part, load_config
from mvgen.evaluation.processes import peak_memory, watched_children
from mvgen.evaluation.tables import Rows, Table
from mvgen.store.manifest import Failure

Result = TypeVar("Result")


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


@dataclass(frozen=True, slots=True)
class Run:
    """Time and memory of a run.

    wall : seconds in all; finished : seconds after which each clip was finished
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
    """A folder of clips with a table of labels, made of the filmed ones, played forward and backward in a loop."""
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


def afresh(work: Callable[[], Result]) -> Result:
    """Run `work` in a new process, in which nothing is loaded or cached yet."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(work).result()


def of_worker(peaks: list[float]) -> float:
    """Peak memory of the largest worker, MiB; of this process where there are no workers."""
    return max(peaks, default=0.0) or peak_memory(os.getpid())


class Watch(Progress):
    """Notes when each clip of a build is finished."""

    def __init__(self) -> None:
        self.moments: list[float] = []

    def advance(self, clip: str, failure: Failure | None, trace: str | None) -> None:
        """One more clip is finished."""
        self.moments.append(time.perf_counter())


def run_build(root: Path, out: Path, job: Job, **settings: Any) -> Run:
    """Build a tree as `mvgen build` does; settings : further flags of the build."""
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


def steady(job: Job, run: Run) -> float:
    """Frames per second without start-up: once every worker has finished a clip; NaN for too few clips."""
    times = sorted(run.finished)
    if len(times) <= job.workers:
        return float("nan")
    return job.frames * (len(times) - job.workers) / (times[-1] - times[job.workers - 1])


def stage_table(job: Job, runs: dict[str, Run]) -> Table:
    """Milliseconds of work per frame, by stage and in all; runs : by name, stages in the order of the last."""
    names = dict.fromkeys(name for run in reversed(runs.values()) for name in run.stages)
    rates = [steady(job, run) for run in runs.values()]
    rest = [1000 * (job.workers * run.wall - sum(run.stages.values())) / job.pictures for run in runs.values()]
    rows: Rows = [
        [name, *(1000 * run.stages.get(name, float("nan")) / job.pictures for run in runs.values())] for name in names
    ]
    rows += [
        ["the rest", *rest],
        ["frames/s, with start-up", *(job.pictures / run.wall for run in runs.values())],
        ["frames/s, once started", *rates],
        ["MiB, largest worker", *(run.memory for run in runs.values())],
    ]
    return Table(["ms a frame", *runs], rows, digits=1)


def gain(job: Job, run: Run, other: Run) -> tuple[float, float]:
    """Speed of a run as a multiple of another's: with start-up, and without."""
    return other.wall / run.wall, steady(job, run) / steady(job, other)
