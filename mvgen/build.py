"""`mvgen build`: from a source to a finished store, clip by clip, so that it can stop anywhere and go on later."""

from __future__ import annotations

import shutil
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from mvgen.config import BuildConfig
from mvgen.engine import local
from mvgen.errors import ClipError, MvgenError, SourceError, StoreError
from mvgen.failures import clip_failure, source_failures
from mvgen.records import BuiltClip, Clip, Split
from mvgen.store import layout
from mvgen.store.finish import copy_annotations, finish
from mvgen.store.manifest import Failure, Marker, ViewRow, clip_digest, digest_of, read_failures, read_table
from mvgen.store.refine import redecide
from mvgen.store.split import assign_splits
from mvgen.store.state import begin, check_folder, locked, read_markers
from mvgen.store.writer import remove_clip, write_atomically, write_clip, write_failure

if TYPE_CHECKING:
    from mvgen.sources.base import Listing


class Stages(Protocol):
    """What a build needs of the rooms below it. Crosses to worker processes by pickling."""

    def read(self, config: BuildConfig) -> Listing:
        """List the source's clips."""

    def software(self, config: BuildConfig) -> dict[str, str | None]:
        """Versions of what decides the bytes of a result."""

    def weights(self, config: BuildConfig) -> dict[str, str]:
        """Digests of the network weights in use."""

    def fit_attention(self, clips: Sequence[Clip], config: BuildConfig) -> bytes:
        """The attention head, fitted on the training clips, as the bytes of a safetensors file."""

    def builder(self, config: BuildConfig, attention: Path) -> Callable[[Clip], BuiltClip]:
        """Load the networks; return what reads and builds one clip."""


class Progress(Protocol):
    """Who is told how a build goes."""

    def note(self, text: str) -> None: ...

    def start(self, total: int, done: int) -> None: ...

    def advance(self, clip: str, failure: Failure | None, trace: str | None) -> None: ...


class Silent:
    """Tells nobody."""

    def note(self, text: str) -> None:
        """Say what is being done."""

    def start(self, total: int, done: int) -> None:
        """`done` of `total` clips are there already."""

    def advance(self, clip: str, failure: Failure | None, trace: str | None) -> None:
        """One more clip is finished, or has failed; `trace` is the traceback of a mistake of mvgen's own."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What a build came to.

    clips, views, kept : in the finished store; failures : its lines; built : clips of this run
    seconds : stage -> seconds of this run, over all workers
    nothing_to_do : the store was finished before
    """

    out: Path
    clips: int
    views: int
    kept: int
    failures: tuple[Failure, ...]
    built: int = 0
    seconds: Mapping[str, float] = field(default_factory=dict)
    nothing_to_do: bool = False

    @property
    def exit_code(self) -> int:
        return 0 if self.clips else 1


@dataclass(frozen=True, slots=True)
class _Done:
    """A worker's answer: the clip's marker, time per stage, and the traceback of a mistake of our own."""

    marker: Marker
    seconds: Mapping[str, float]
    trace: str | None = None


def build(
    config: BuildConfig,
    stages: Stages | None = None,
    progress: Progress | None = None,
    retry_failed: bool = False,
) -> Summary:
    """Build a dataset, or go on with one.

    retry_failed : try clips again that failed before
    Raises SourceError or StoreError before anything is written when the source or the output folder will not do,
    StoreError when the disk is full, WorkerDiedError when a worker process ended. What is finished then stays, and
    the same call goes on from there.
    """
    stages = stages or _real_stages()
    progress = progress or Silent()
    out = config.out
    listing = stages.read(config)
    clips = listing.clips[: config.limit]
    _check_clips(clips, listing)
    splits = assign_splits((clip.subject_key for clip in clips), config.test_share, config.seed)
    identity = _identity(config, listing, clips)

    finished = (out / layout.DATASET).is_file()
    if finished:
        check_folder(out, identity, ignore=frozenset({"software", "weights"}))
        failed_before = any(marker.failure for marker in read_markers(out).values())
        _check_unchanged(out, clips)
        if not (retry_failed and failed_before):
            return _summary(out, nothing_to_do=True)

    identity |= {"software": stages.software(config), "weights": stages.weights(config)}
    check_folder(out, identity)
    with locked(out):
        begin(out, identity)
        for name in (layout.DATASET, layout.REFINING):
            (out / name).unlink(missing_ok=True)
        shutil.rmtree(out / layout.PARTIAL, ignore_errors=True)
        copy_annotations(out, listing.annotation_files)
        done = _finished_clips(out, clips, config, retry_failed)
        todo = [clip for clip in clips if clip.id not in done]
        attention = out / layout.ATTENTION
        if not attention.is_file():
            training = [clip for clip in clips if clip.label and splits[clip.subject_key] == "train"]
            progress.note(f"fitting the attention head on {len(training)} training clips")
            write_atomically(attention, stages.fit_attention(training, config))
        progress.start(len(clips), len(done))
        make_worker = partial(_make_worker, stages, config, attention, splits)
        seconds = _run(todo, make_worker, config.workers, done, progress)
        markers = [done[clip.id] for clip in clips]
        finish(out, identity, markers, source_failures(listing, config.root))
    return _summary(out, built=sum(not done[clip.id].failure for clip in todo), seconds=seconds)


def _run(
    todo: Sequence[Clip],
    make_worker: Callable[[], Callable[[Clip], _Done]],
    workers: int,
    done: dict[str, Marker],
    progress: Progress,
) -> dict[str, float]:
    """Build clips, add their markers to `done`, and return the seconds per stage."""
    seconds: defaultdict[str, float] = defaultdict(float)
    lost: list[str] = []
    why: Exception | None = None
    for outcome in local.run(todo, make_worker, workers):
        if isinstance(outcome.error, local.WorkerDiedError | MemoryError):
            lost.append(outcome.item.id)
            why = outcome.error
        elif outcome.error is not None:
            raise outcome.error
        elif outcome.result is not None:
            marker = outcome.result.marker
            done[marker.clip] = marker
            for stage, spent in outcome.result.seconds.items():
                seconds[stage] += spent
            progress.advance(marker.clip, marker.failure, outcome.result.trace)
    if lost:
        reason = str(why) or type(why).__name__
        raise local.WorkerDiedError(
            f"{reason}. Not built: {', '.join(sorted(lost))}. "
            "The other clips are safe: run the same line again to resume"
        )
    return dict(seconds)


def _make_worker(
    stages: Stages, config: BuildConfig, attention: Path, splits: Mapping[str, Split]
) -> Callable[[Clip], _Done]:
    build_one = stages.builder(config, attention)

    def work(clip: Clip) -> _Done:
        trace = None
        try:
            built = build_one(clip)
            marker = write_clip(config.out, clip, built, splits[clip.subject_key], config)
            return _Done(marker, built.seconds)
        except ClipError as error:
            failure = clip_failure(clip, error, config.root)
        except (MvgenError, MemoryError):
            raise
        except Exception as error:
            trace = traceback.format_exc()
            failure = clip_failure(clip, ClipError("internal", f"{type(error).__name__}: {error}"), config.root)
        return _Done(write_failure(config.out, clip, failure), {}, trace)

    return work


def _identity(config: BuildConfig, listing: Listing, clips: Sequence[Clip]) -> dict[str, Any]:
    """What the bytes of a store depend on: it heads `dataset.json`, and a folder is refused when it differs."""
    source = {
        "name": listing.dataset,
        "title": listing.title,
        "version": listing.version,
        "licence": listing.licence,
        "redistribution": listing.redistribution,
        "clips": digest_of([[clip.id, clip.subject_key, clip.label] for clip in clips]),
    }
    return {"schema": layout.SCHEMA, "config": config.identity(), "source": source}


def _check_clips(clips: Sequence[Clip], listing: Listing) -> None:
    if not clips and not listing.failures:
        raise SourceError(f"{listing.title}: no clip was found, so there is nothing to build")
    twice = [name for name, count in Counter(clip.id for clip in clips).items() if count > 1 or not name]
    if twice:
        raise SourceError(f"{listing.title}: two clips share the id {twice[0]!r}; move one of the folders")


def _check_unchanged(out: Path, clips: Sequence[Clip]) -> dict[str, Marker]:
    """Markers of a folder. Raises StoreError when a finished clip was made from other frames than the source has."""
    markers = read_markers(out)
    changed = [
        clip.id
        for clip in clips
        if clip.id in markers and not markers[clip.id].failure and markers[clip.id].source != clip_digest(clip)
    ]
    if changed:
        raise StoreError(
            f"{out} holds {len(changed)} clips made from other frames or annotations than the source has now, "
            f"for example {changed[0]}; build the changed source into another --out"
        )
    return markers


def _finished_clips(out: Path, clips: Sequence[Clip], config: BuildConfig, retry_failed: bool) -> dict[str, Marker]:
    """Markers that still hold, as the threshold decides them; whatever else lies there of a clip is removed."""
    markers = _check_unchanged(out, clips)
    done: dict[str, Marker] = {}
    for clip in clips:
        marker = markers.get(clip.id)
        if marker and marker.failure:
            holds = not retry_failed and marker.source == clip_digest(clip)
        else:
            holds = marker is not None and all((out / path).is_file() for row in marker.rows for path in row.files())
        if marker and holds:
            done[clip.id] = redecide(out, marker, config.attention_threshold)
    # All removals first: a clip may lie in the folder of another.
    for clip in clips:
        if clip.id not in done:
            remove_clip(out, clip, (None, *config.angles))
    return done


def _summary(
    out: Path, built: int = 0, seconds: Mapping[str, float] | None = None, nothing_to_do: bool = False
) -> Summary:
    rows: list[ViewRow] = read_table(out / layout.TABLE)
    return Summary(
        out=out,
        clips=len({row.clip for row in rows}),
        views=len(rows),
        kept=sum(row.kept for row in rows),
        failures=tuple(read_failures(out / layout.FAILURES)),
        built=built,
        seconds=seconds or {},
        nothing_to_do=nothing_to_do,
    )


def _real_stages() -> Stages:
    from mvgen.stages import PipelineStages

    return PipelineStages()
