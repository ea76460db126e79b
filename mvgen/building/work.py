"""The work on clips that an engine distributes: first observing the training clips, then building all clips.

It runs in worker processes, on this machine or another, and a clip may be built twice.
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

from mvgen.building.failures import clip_failure
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

# Stage of a failure that lost the worker process.
WORKER_STAGE = "worker"


class Stages(Protocol):
    """The stages of a build, as it calls them. Pickled for worker processes."""

    def read(self, config: BuildConfig) -> Listing:
        """List the source's clips."""

    def software(self, config: BuildConfig) -> dict[str, str | None]:
        """Versions of the software that decides the bytes of a result."""

    def weights(self, config: BuildConfig) -> dict[str, str]:
        """Digests of the network weights in use."""

    def observer(self, config: BuildConfig) -> Callable[[Clip], Any]:
        """Load the networks; return a function that observes a training clip for the attention head."""

    def fit_attention(self, observed: Sequence[Any], config: BuildConfig) -> bytes:
        """The attention head, fitted on the observations, as the bytes of a safetensors file."""

    def builder(self, config: BuildConfig, attention: Path) -> Callable[[Clip, Stopwatch], BuiltClip]:
        """Load the networks; return a function that reads and builds one clip, timed by the stopwatch."""


class Progress:
    """Receives the progress of a build; this one ignores it."""

    def note(self, text: str) -> None:
        """What is being done."""

    def start(self, total: int, done: int, frames: Mapping[str, int]) -> None:
        """`done` of `total` clips are already built; frames : of each of the others, by the clip's id"""

    def advance(self, clip: str, failure: Failure | None, trace: str | None) -> None:
        """One more clip is built, or has failed; trace : traceback of an internal error"""


@dataclass(frozen=True, slots=True)
class Plan:
    """What every worker of a build needs.

    software : versions that the build began with; a worker with others would write other bytes
    attention : file of the fitted head; splits : subject key -> split
    """

    stages: Stages
    config: BuildConfig
    software: Mapping[str, str | None]
    attention: Path
    splits: Mapping[str, Split]


@dataclass(frozen=True, slots=True)
class Built:
    """A worker's answer: the clip's marker, seconds per stage and of writing, and the traceback of an error."""

    marker: Marker
    seconds: Mapping[str, float] = field(default_factory=dict)
    trace: str | None = None


@dataclass(frozen=True, slots=True)
class Observed:
    """The observation of a training clip, see `Stages.observer`, and the seconds that it took."""

    observation: Any
    seconds: float


@contextmanager
def at_work(config: RunConfig) -> Iterator[local.WorkerPool | None]:
    """Keep the engine's processes, or its connection to a cluster, for a whole build."""
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
    """Observe the training clips for the attention head.

    Returns the observations, in the order of the clips, and the failures of clips that lost their workers, by id:
    they are recorded, and not tried again. Adds the time of all workers to `spent`, seconds.
    """
    observed: dict[str, Any] = {}
    lost: dict[str, Marker] = {}
    for outcome in _outcomes(clips, partial(_make_observer, plan), plan, pool):
        spent["starting"] += outcome.starting
        if (reason := _worker_lost(outcome)) is not None:
            lost[outcome.item.id] = _give_up(outcome.item, reason, plan).marker
        elif outcome.error is not None:
            raise outcome.error
        else:
            assert outcome.result is not None
            observed[outcome.item.id] = outcome.result.observation
            spent["observing"] += outcome.result.seconds
    return [observed[clip.id] for clip in clips if observed.get(clip.id) is not None], lost


def build_clips(
    clips: Sequence[Clip], plan: Plan, progress: Progress, pool: local.WorkerPool | None, spent: defaultdict[str, float]
) -> dict[str, Marker]:
    """Build clips; returns their markers by id. Adds the time of all workers to `spent`, seconds.

    Raises errors that no clip causes: a full disk, unreadable weights, workers that cannot start.
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
    """Why a clip lost its worker every time, None where it did not."""
    if not (outcome.cost_a_worker or isinstance(outcome.error, MemoryError)):
        return None
    why = str(outcome.error) if outcome.cost_a_worker else "memory ran out"
    return f"{why}; given up after {outcome.attempts} attempt{'s' if outcome.attempts > 1 else ''}"


def _give_up(clip: Clip, reason: str, plan: Plan) -> Built:
    failure = clip_failure(clip, ClipError(WORKER_STAGE, reason), plan.config.source.root)
    return _record(clip, plan, lambda: write_failure(plan.config.run.out, clip, failure))


def _make_observer(plan: Plan) -> Callable[[Clip], Observed]:
    _check_worker(plan, plan.config.run.out)
    observe_one = plan.stages.observer(plan.config)

    def work(clip: Clip) -> Observed:
        began = time.perf_counter()
        return Observed(observe_one(clip), time.perf_counter() - began)

    return work


def _make_builder(plan: Plan) -> Callable[[Clip], Built]:
    _check_worker(plan, plan.attention)
    build_one = plan.stages.builder(plan.config, plan.attention)

    def work(clip: Clip) -> Built:
        if (finished := _finished(clip, plan)) is not None:
            return finished
        trace, clock = None, Stopwatch()
        try:
            built = build_one(clip, clock)
            began, before = time.perf_counter(), clock.total
            done = _record(clip, plan, lambda: _write(clip, built, plan))
            # Side views are rendered while they are written.
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


def _check_worker(plan: Plan, needed: Path) -> None:
    """Raise EngineError where this worker would write other bytes, or does not see the files."""
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
            raise EngineError(f"{path} does not exist on {here}; root and out must be on a disk that all workers share")


def _finished(clip: Clip, plan: Plan) -> Built | None:
    """The result of another attempt at the same clip, if it was finished: the marker decides."""
    marker = read_marker(plan.config.run.out, clip.id)
    return Built(marker) if marker is not None and marker.source == clip_digest(clip) else None


def _record(clip: Clip, plan: Plan, write: Callable[[], Marker], trace: str | None = None) -> Built:
    """Write the result of a clip, unless another attempt has; a lock lets one attempt write at a time."""
    with taking_turns(plan.config.run.out, f"clip {clip.id}"):
        return _finished(clip, plan) or Built(write(), trace=trace)


def _write(clip: Clip, built: BuiltClip, plan: Plan) -> Marker:
    split = plan.splits[clip.subject_key]
    try:
        return write_clip(plan.config.run.out, clip, built, split, plan.config)
    except FileNotFoundError:
        # Another shard that starts may have removed a folder that was still empty.
        return write_clip(plan.config.run.out, clip, built, split, plan.config)
