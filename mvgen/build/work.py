"""The work on clips that an engine hands out: first a look at the training clips, then the building of all.

What is here crosses to worker processes, on this machine or another, and knows that it may be done twice.
"""

from __future__ import annotations

import socket
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from mvgen.build.failures import clip_failure
from mvgen.core.config import BuildConfig, RunConfig
from mvgen.core.errors import ClipError, MvgenError
from mvgen.core.records import BuiltClip, Clip, Split
from mvgen.core.stopwatch import Stopwatch
from mvgen.engine import local
from mvgen.engine.base import EngineError, Limits, MakeWorker, Outcome
from mvgen.store.manifest import Failure, Marker, clip_digest
from mvgen.store.state import differences, read_marker, taking_turns
from mvgen.store.writer import write_clip, write_failure

if TYPE_CHECKING:
    from mvgen.sources.base import Listing

# What a failure is called that is not a clip's own doing, as far as anyone can tell.
WORKER_STAGE = "worker"


class Stages(Protocol):
    """What a build needs of the rooms below it. Crosses to worker processes by pickling."""

    def read(self, config: BuildConfig) -> Listing:
        """List the source's clips."""

    def software(self, config: BuildConfig) -> dict[str, str | None]:
        """Versions of what decides the bytes of a result."""

    def weights(self, config: BuildConfig) -> dict[str, str]:
        """Digests of the network weights in use."""

    def observer(self, config: BuildConfig) -> Callable[[Clip], Any]:
        """Load the networks; return what looks at one training clip for the attention head, None for no use."""

    def fit_attention(self, observed: Sequence[Any], config: BuildConfig) -> bytes:
        """The attention head, fitted on what was seen of the training clips, as the bytes of a safetensors file."""

    def builder(self, config: BuildConfig, attention: Path) -> Callable[[Clip, Stopwatch], BuiltClip]:
        """Load the networks; return what reads and builds one clip, by the stopwatch."""


class Progress(Protocol):
    """Who is told how a build goes."""

    def note(self, text: str) -> None: ...

    def start(self, total: int, done: int) -> None: ...

    def advance(self, clip: str, failure: Failure | None, trace: str | None) -> None: ...


@dataclass(frozen=True, slots=True)
class Plan:
    """What every worker of a build has to know.

    software : versions that the build began with; a worker with others would write other bytes
    attention : where the fitted head lies; splits : subject key -> side
    """

    stages: Stages
    config: BuildConfig
    software: Mapping[str, str | None]
    attention: Path
    splits: Mapping[str, Split]


@dataclass(frozen=True, slots=True)
class Built:
    """A worker's answer: the clip's marker, seconds per stage and of writing, and the traceback of our own mistake."""

    marker: Marker
    seconds: Mapping[str, float] = field(default_factory=dict)
    trace: str | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """What a worker saw of a training clip, see `Stages.observer`, and the seconds that it took."""

    what: Any
    seconds: float


@contextmanager
def at_work(config: RunConfig) -> Iterator[local.WorkerPool | None]:
    """Hold what the engine needs for all it does for a build: its processes, or a connection to a cluster."""
    if config.engine == "local":
        with local.WorkerPool() as pool:
            yield pool
        return
    from mvgen.engine import ray

    with ray.connected(config.address, config.workers):
        yield None


def observe_clips(
    clips: Sequence[Clip], plan: Plan, pool: local.WorkerPool | None, spent: defaultdict[str, float]
) -> tuple[list[Any], dict[str, Marker]]:
    """Look at the training clips for the attention head.

    Returns what was seen, in the order of the clips, and the failures of those that cost their workers, by id: they
    are recorded, so that nobody tries them again. Adds to the seconds `spent`, of all workers.
    """
    seen: dict[str, Any] = {}
    lost: dict[str, Marker] = {}
    for outcome in _outcomes(clips, partial(_make_observer, plan), plan, pool):
        spent["starting"] += outcome.starting
        if (reason := _worker_lost(outcome)) is not None:
            lost[outcome.item.id] = _give_up(outcome.item, reason, plan).marker
        elif outcome.error is not None:
            raise outcome.error
        else:
            assert outcome.result is not None
            seen[outcome.item.id] = outcome.result.what
            spent["observing"] += outcome.result.seconds
    return [seen[clip.id] for clip in clips if seen.get(clip.id) is not None], lost


def build_clips(
    clips: Sequence[Clip], plan: Plan, progress: Progress, pool: local.WorkerPool | None, spent: defaultdict[str, float]
) -> dict[str, Marker]:
    """Build clips; returns their markers by id. Adds to the seconds `spent`, of all workers.

    Raises what is no clip's fault: a full disk, weights that cannot be read, no worker that begins.
    """
    markers: dict[str, Marker] = {}
    for outcome in _outcomes(clips, partial(_make_builder, plan), plan, pool):
        spent["starting"] += outcome.starting
        reason = _worker_lost(outcome)
        if reason is None and outcome.error is not None:
            raise outcome.error
        done = outcome.result if reason is None else _give_up(outcome.item, reason, plan)
        assert done is not None
        markers[done.marker.clip] = done.marker
        for stage, seconds in done.seconds.items():
            spent[stage] += seconds
        progress.advance(done.marker.clip, done.marker.failure, done.trace)
    return markers


def _outcomes(
    clips: Sequence[Clip], make: MakeWorker[Clip, Any], plan: Plan, pool: local.WorkerPool | None
) -> Iterator[Outcome[Clip, Any]]:
    config = plan.config.run
    limited = config.clip_timeout is None or config.clip_timeout > 0
    limits: Limits[Clip] = Limits(config.attempts, partial(_seconds, plan.config) if limited else None)
    if config.engine == "local":
        return local.run(clips, make, config.workers, limits, pool)
    from mvgen.engine import ray

    gpus = config.worker_gpus
    if gpus is None:
        gpus = 1.0 if plan.software.get("device") == "cuda" else 0.0
    return ray.run(clips, make, config.workers, limits, ray.Cluster(config.address, gpus))


def _seconds(config: BuildConfig, clip: Clip) -> float:
    seconds = config.seconds_for(len(clip.frames))
    assert seconds is not None
    return seconds


def _worker_lost(outcome: Outcome[Clip, Any]) -> str | None:
    """Why a clip cost its worker every time, None where it did not."""
    if not (outcome.cost_a_worker or isinstance(outcome.error, MemoryError)):
        return None
    why = str(outcome.error) if outcome.cost_a_worker else "memory ran out"
    return f"{why}; given up after {outcome.attempts} attempt{'s' if outcome.attempts > 1 else ''}"


def _give_up(clip: Clip, reason: str, plan: Plan) -> Built:
    failure = clip_failure(clip, ClipError(WORKER_STAGE, reason), plan.config.source.root)
    return _record(clip, plan, lambda: write_failure(plan.config.run.out, clip, failure))


def _make_observer(plan: Plan) -> Callable[[Clip], Seen]:
    _check_place(plan, plan.config.run.out)
    observe_one = plan.stages.observer(plan.config)

    def work(clip: Clip) -> Seen:
        began = time.perf_counter()
        what = observe_one(clip)
        return Seen(what, time.perf_counter() - began)

    return work


def _make_builder(plan: Plan) -> Callable[[Clip], Built]:
    _check_place(plan, plan.attention)
    build_one = plan.stages.builder(plan.config, plan.attention)

    def work(clip: Clip) -> Built:
        if (finished := _finished(clip, plan)) is not None:
            return finished
        trace, clock = None, Stopwatch()
        try:
            built = build_one(clip, clock)
            began, before = time.perf_counter(), clock.total
            done = _record(clip, plan, lambda: _write(clip, built, plan))
            # Side views are made while they are written.
            clock.add("writing", time.perf_counter() - began - (clock.total - before))
            return replace(done, seconds=clock.seconds)
        except ClipError as error:
            failure = clip_failure(clip, error, plan.config.source.root)
        except (MvgenError, MemoryError):
            raise
        except Exception as error:
            trace = traceback.format_exc()
            internal = ClipError("internal", f"{type(error).__name__}: {error}")
            failure = clip_failure(clip, internal, plan.config.source.root)
        return _record(clip, plan, lambda: write_failure(plan.config.run.out, clip, failure), trace=trace)

    return work


def _check_place(plan: Plan, needed: Path) -> None:
    """Raise EngineError where a worker would write other bytes, or does not see the files."""
    here = socket.gethostname()
    lines = differences(dict(plan.software), plan.stages.software(plan.config), "software")
    if lines:
        raise EngineError(
            f"{here} has other software than the build began with, and would write other bytes:\n  "
            + "\n  ".join(lines)
            + "\nInstall the same versions on every machine"
        )
    for path in (plan.config.source.root, needed):
        if path is not None and not path.exists():
            raise EngineError(
                f"{path} is not there on {here}; root and out have to lie on a disk that all workers share"
            )


def _finished(clip: Clip, plan: Plan) -> Built | None:
    """What another attempt at the same clip has left, if it came to an end: its marker decides."""
    marker = read_marker(plan.config.run.out, clip.id)
    return Built(marker) if marker is not None and marker.source == clip_digest(clip) else None


def _record(
    clip: Clip,
    plan: Plan,
    write: Callable[[], Marker],
    trace: str | None = None,
) -> Built:
    """Write the end of a clip's story, unless another attempt has: only one at a time is at its files."""
    with taking_turns(plan.config.run.out, f"clip {clip.id}"):
        return _finished(clip, plan) or Built(write(), trace=trace)


def _write(clip: Clip, built: BuiltClip, plan: Plan) -> Marker:
    split = plan.splits[clip.subject_key]
    try:
        return write_clip(plan.config.run.out, clip, built, split, plan.config)
    except FileNotFoundError:
        # A shard that begins may have taken away a folder that was still empty.
        return write_clip(plan.config.run.out, clip, built, split, plan.config)
