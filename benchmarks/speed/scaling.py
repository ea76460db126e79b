"""Scaling of a build with workers, overhead and fault tolerance of Ray, and an extrapolation to a million clips.

    python benchmarks/speed/scaling.py --clips 24 --frames 28 --workers 2 --out scaling.json

Clips of a stand-in, filmed first and repeated as often as needed, 640 x 480 JPEG; real networks on the CPU, one thread
per worker. Each build runs in a new process. `with start-up` is the work of the whole command, from reading the source
to the finished store; `once started` counts from when every worker has finished one clip. Ray runs on nodes of this
machine, so the network costs nothing here; its cluster (`mvgen[ray]`) is started before timing. Under `faults`, an
actor is killed and a node removed in the middle. Every build has to end with the bytes of the first. The model
extrapolates from these measurements: no cluster was measured. Prints Markdown tables with hardware and commit.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.common import Report, run_script
from benchmarks.speed.throughput import job_arguments, job_of
from mvgen.core.config import file_digest
from mvgen.evaluation.processes import peak_memory, repeatedly
from mvgen.evaluation.ray_cluster import actors_of, add_node, head, kill_an_actor
from mvgen.evaluation.tables import Rows, Table
from mvgen.evaluation.throughput import Job, Run, afresh, film, repeat, run_build, steady
from mvgen.store import layout
from mvgen.store.finish import finish
from mvgen.store.manifest import Marker
from mvgen.store.state import read_markers
from mvgen.verification.files import walk

_SIZES = (1_000, 10_000, 100_000, 1_000_000)
_CORES = 64


@dataclass(frozen=True, slots=True)
class Cost:
    """Size of a store. bytes : per clip, by kind; files : per clip; finishing : s and MiB per clip, of the driver"""

    bytes: dict[str, float]
    files: float
    finishing: tuple[float, float]


def differing(out: Path, first: Path) -> int:
    """The number of files that differ between two stores."""
    ours, theirs = ({path: file_digest(folder / path) for path in walk(folder)} for folder in (out, first))
    return sum(ours.get(path) != theirs.get(path) for path in {*ours, *theirs})


def havoc(cluster: Any, nodes: Sequence[Any], out: Path, clips: int) -> AbstractContextManager[None]:
    """Kill an actor when a quarter of the clips is done, and remove a node at half."""
    acts = [(clips // 4, kill_an_actor), (clips // 2, partial(cluster.remove_node, allow_graceful=False))]

    def strike() -> None:
        if acts and len(list((out / layout.DONE).glob("*.json"))) >= acts[0][0]:
            busy = next((node for node in nodes if actors_of(node)), None)
            if busy is not None:
                acts.pop(0)[1](busy)

    return repeatedly(strike)


def compare(report: Report, root: Path, folder: Path, job: Job, *, with_ray: bool, with_faults: bool) -> float:
    """Report a row per kind of build; returns the seconds of work that a clip takes."""
    one, many = replace(job, workers=1), job
    runs: dict[str, tuple[Job, Run, Path]] = {}

    def take(name: str, its: Job, **settings: Any) -> None:
        out = folder / name
        runs[name] = (its, afresh(partial(run_build, root, out, its, **settings)), out)

    take("local, 1 worker", one)
    take(f"local, {job.workers} workers", many)
    if with_ray:
        with head() as cluster:
            nodes = [add_node(cluster) for _ in range(job.workers)]
            remote = {"engine": "ray", "address": cluster.address}
            take(f"Ray, {job.workers} nodes", many, **remote)
            if with_faults:
                name = "Ray, faults"
                with havoc(cluster, nodes, folder / name, job.clips):
                    take(name, many, **remote)
    first = next(iter(runs.values()))
    rows: Rows = []
    for name, (its, run, out) in runs.items():
        rates = [its.clips / run.wall, steady(its, run) / its.frames]
        base = [first[0].clips / first[1].wall, steady(first[0], first[1]) / its.frames]
        gains = [f"{rate / slow:.2f} x" for rate, slow in zip(rates, base, strict=True)]
        rows.append([name, run.wall, *rates, *gains, differing(out, first[2])])
    header = ["build", "s", "clips/s, with start-up", "once started", "gain", "gain, once started", "files that differ"]
    report.table(header, rows, digits=3)
    if with_ray:
        ours, theirs = (runs[name][1].wall for name in (f"local, {job.workers} workers", f"Ray, {job.workers} nodes"))
        print(f"Ray takes {theirs / ours - 1:+.1%} of the local engine's time with as many workers.\n")
    return job.frames / steady(one, first[1])


def cost_of(out: Path) -> Cost:
    """Measure a store of a few clips."""
    kinds = ("views", "maps", "geometry", layout.DONE)
    sizes = {path: (out / path).stat().st_size for path in walk(out) if path != layout.ATTENTION}
    clips = len(read_markers(out))
    weights = {kind: sum(size for path, size in sizes.items() if path.split("/")[0] == kind) / clips for kind in kinds}
    files = sum(path.split("/")[0] in kinds for path in sizes) / clips
    small, large = (afresh(partial(finishing, out, count)) for count in (1_000, 5_000))
    return Cost(weights, files, ((large[0] - small[0]) / 4_000, (large[1] - small[1]) / 4_000))


def finishing(out: Path, count: int) -> tuple[float, float]:
    """Seconds and MiB of the last step of a build, for a store whose clips are repeated under other names."""
    there = list(read_markers(out).values())
    markers = [_renamed(there[number % len(there)], f"clip{number:07d}") for number in range(count)]
    identity = {"source": {}, "config": {}}
    start = time.perf_counter()
    finish(out, identity, markers, [])
    return time.perf_counter() - start, peak_memory(os.getpid())


def _renamed(marker: Marker, name: str) -> Marker:
    # Digests are no longer the same strings, as those of real clips are not.
    rows = tuple(
        replace(row, clip=name, frames_sha256=[f"{name}{digest[len(name) :]}" for digest in row.frames_sha256])
        for row in marker.rows
    )
    return replace(marker, clip=name, rows=rows)


def weigh(cost: Cost, job: Job) -> Table:
    """Disk space of a clip and of a view of it."""
    views = job.views + 1
    rows: Rows = [[kind, size / 1e6, size / 1e6 / views] for kind, size in cost.bytes.items()]
    whole = sum(cost.bytes.values()) / 1e6
    rows += [["in all", whole, whole / views], ["files", cost.files, cost.files / views]]
    return Table(["MB", "a clip", "a view of it"], rows, digits=3)


def model(cost: Cost, seconds: float) -> Table:
    """Time and space for many clips, extrapolated from a few; seconds : of work per clip, on one core."""
    whole = sum(cost.bytes.values())
    rows: Rows = []
    for clips in _SIZES:
        hours = clips * seconds / 3600
        finish_hours, memory = clips * cost.finishing[0] / 3600, clips * cost.finishing[1] / 1024
        rows.append(
            [f"{clips:,}", hours, hours / _CORES, clips * whole / 1e12, clips * cost.files / 1e6, finish_hours, memory]
        )
    header = [
        "clips", "core hours", f"hours on {_CORES} cores", "TB", "million files", "h to finish", "GiB to finish",
    ]  # fmt: skip
    return Table(header, rows)


def main() -> None:
    parser = job_arguments(__doc__, Job(clips=24, frames=28))
    parser.add_argument("--no-ray", action="store_true")
    parser.add_argument("--no-faults", action="store_true")
    parser.add_argument("--no-model", action="store_true")
    chosen = parser.parse_args()
    job = job_of(chosen)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        filmed = afresh(partial(film, folder / "filmed", min(chosen.frames, 14)))
        root = repeat(filmed, folder / "source", job)
        report = Report(__file__, chosen, f"stand-in, {job}")
        with_ray = not chosen.no_ray
        with_faults = with_ray and not chosen.no_faults
        seconds = compare(report, root, folder, job, with_ray=with_ray, with_faults=with_faults)
        if not chosen.no_model:
            cost = cost_of(folder / "local, 1 worker")
            report.table(*weigh(cost, job))
            report.table(*model(cost, seconds))
            rates = _CORES * sum(cost.bytes.values()) / seconds / 1e6, _CORES * cost.files / seconds
            print("{} workers write {:.0f} MB and {:.0f} files a second.".format(_CORES, *rates))


if __name__ == "__main__":
    run_script(main)
