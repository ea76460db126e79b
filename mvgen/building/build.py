"""`mvgen build`: from a source to a finished store, clip by clip; it can be interrupted anywhere and resumed."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mvgen.building.failures import source_failures
from mvgen.building.work import WORKER_STAGE, Plan, Progress, Stages, at_work, build_clips, observe_clips
from mvgen.core.config import BuildConfig, file_digest
from mvgen.core.errors import SourceError, StoreError
from mvgen.core.files import disk_errors, write_atomically
from mvgen.core.records import Clip
from mvgen.engine.local import WorkerPool
from mvgen.forget.tombstones import Leavers, Tombstone, bury_all, kept_annotations, read_forgotten, unite
from mvgen.store import layout
from mvgen.store.about import read_about
from mvgen.store.finish import copy_annotations, finish
from mvgen.store.manifest import Failure, Marker, clip_digest, read_failures, read_table
from mvgen.store.refine import redecide
from mvgen.store.shards import Shard, Share, check_shards, clip_key, clips_digest, write_share
from mvgen.store.split import assign_splits
from mvgen.store.state import begin, check_folder, locked, read_marker, taking_turns
from mvgen.store.writer import remove_clip

if TYPE_CHECKING:
    from mvgen.sources.base import Listing


_PREPARING = "preparing"  # one shard at a time


@dataclass(frozen=True, slots=True)
class Summary:
    """Result of a build.

    clips, views, kept : counts in the finished store; failures : all of them; built : clips of this run
    seconds : stage -> seconds of this run, over all workers; starting, observing, reading and writing among them
    wall : wall time of this run, seconds
    nothing_to_do : the store was already finished
    """

    out: Path
    clips: int
    views: int
    kept: int
    failures: tuple[Failure, ...]
    built: int = 0
    seconds: Mapping[str, float] = field(default_factory=dict)
    wall: float = 0.0
    nothing_to_do: bool = False

    @property
    def exit_code(self) -> int:
        return 0 if self.clips else 1


def build(
    config: BuildConfig,
    stages: Stages | None = None,
    progress: Progress | None = None,
    retry_failed: bool = False,
    shard: Shard | None = None,
    *,
    forgotten: Sequence[Tombstone] = (),
) -> Summary:
    """Build a dataset, or resume a build.

    retry_failed : build clips again that failed before
    shard : build only a share of the clips; `mvgen.building.merge` joins all shards
    forgotten : people who have left, beside those that the folder knows of: nothing of them is built or kept
    Raises SourceError or StoreError before anything is written when the source or the output folder cannot be used,
    StoreError when the disk is full, EngineError when a worker cannot start. Finished clips stay, and the same call
    resumes the build.
    """
    began = time.perf_counter()
    stages = stages or _real_stages()
    progress = progress or Progress()
    # Workers of a cluster run in other folders.
    config = config.absolute() if config.run.engine == "ray" else config
    out = config.run.out
    listing = stages.read(config)
    clips = listing.clips[: config.source.limit]
    _check_clips(clips, listing)
    identity = _identity(config, listing, clips)
    who = Leavers.of_clips(unite(read_forgotten(out), forgotten), listing.dataset, clips)
    staying = [clip for clip in clips if not who.left(clip.subject_key)]
    if len(staying) < len(clips):
        progress.note(f"clips left out because their subjects have left: {len(clips) - len(staying)}")
    chosen = [clip for clip in (clips if shard is None else shard.of(clips)) if not who.left(clip.subject_key)]
    if shard is not None:
        check_shards(out, shard)

    if (out / layout.DATASET).is_file():
        check_folder(out, identity, ignore=frozenset({"software", "weights"}))
        markers = _check_unchanged(out, staying)
        again = retry_failed and any(marker.failure for marker in markers.values())
        if not again and _knows(out, who.tombstones):
            return replace(_summary(out), nothing_to_do=True)
        if shard is not None:
            raise StoreError(f"{out} is finished: leave out --shard to try its failed clips again")

    identity |= {"software": (software := stages.software(config)), "weights": stages.weights(config)}
    check_folder(out, identity)
    lost = who.stay(source_failures(listing, config.source.root))
    splits = assign_splits((clip.subject_key for clip in clips), config.split.test_share, config.split.seed)
    plan = Plan(stages, config, software, out / layout.ATTENTION, splits)
    spent: defaultdict[str, float] = defaultdict(float)
    with at_work(config.run) as pool, locked(out, shared=shard is not None):
        with taking_turns(out, _PREPARING):
            check_folder(out, identity)  # another shard may have begun meanwhile
            _prepare(out, identity, listing, who, staying)
            if shard is not None:
                keys = tuple(None if who.left(clip.subject_key) else clip_key(clip) for clip in shard.of(clips))
                write_share(out, Share(shard, keys, tuple(lost)))
            done = _finished_clips(out, chosen, config, retry_failed)
            training = [clip for clip in staying if clip.label and splits[clip.subject_key] == "train"]
            done |= _fit_attention(training, plan, progress, pool, spent)
        todo = [clip for clip in chosen if clip.id not in done]
        progress.start(len(chosen), len(chosen) - len(todo), {clip.id: len(clip.frames) for clip in todo})
        built = build_clips(todo, plan, progress, pool, spent)
        done |= built
        ends = [done[clip.id] for clip in chosen]
        _note_lost_workers(ends, progress)
        if shard is None:
            finish(out, identity, ends, lost)
    new = sum(not marker.failure for marker in built.values())
    summary = _summary(out, None if shard is None else ends)
    return replace(summary, built=new, seconds=dict(spent), wall=time.perf_counter() - began)


def _prepare(out: Path, identity: Mapping[str, Any], listing: Listing, who: Leavers, staying: Sequence[Clip]) -> None:
    """Write down what is built, take away what says that it is finished, and what is left of people who have left."""
    if {one.digest for one in read_forgotten(out)} - {one.digest for one in who.tombstones}:
        raise StoreError(f"a subject was removed from {out} since this build began; run the same line again")
    begin(out, identity)
    for name in (layout.DATASET, layout.REFINING, layout.FORGETTING, f".{layout.FORGETTING}.tmp"):
        (out / name).unlink(missing_ok=True)
    annotations: Sequence[Path] = listing.annotation_files
    if who.tombstones:
        bury_all(out, who.tombstones, listing.dataset, [clip.directory for clip in staying])
        annotations = kept_annotations(annotations)
    copy_annotations(out, annotations)


def _fit_attention(
    training: Sequence[Clip], plan: Plan, progress: Progress, pool: WorkerPool | None, spent: defaultdict[str, float]
) -> dict[str, Marker]:
    """Fit the attention head unless there is one; returns the failures of clips that crashed or hung their workers."""
    if plan.attention.is_file():
        return {}
    progress.note(f"fitting the attention head on {len(training)} training clips")
    observed, failed = observe_clips(training, plan, pool, spent)
    fitted = plan.stages.fit_attention(observed, plan.config)
    with disk_errors(plan.config.run.out):
        write_atomically(plan.attention, fitted)
    for marker in failed.values():
        progress.note(f"{marker.clip} is not used for it: {marker.failure.reason if marker.failure else ''}")
    return failed


def _knows(out: Path, forgotten: Sequence[Tombstone]) -> bool:
    """Whether a finished store is without those who have left, and says so."""
    if not forgotten:
        return True
    listed: object = read_about(out)["files"].get(layout.FORGOTTEN)
    return read_forgotten(out) == forgotten and listed == file_digest(out / layout.FORGOTTEN)


def _identity(config: BuildConfig, listing: Listing, clips: Sequence[Clip]) -> dict[str, Any]:
    """What the bytes of a store depend on: the head of `dataset.json`; a folder with another one is refused."""
    source = {
        "name": listing.dataset,
        "title": listing.title,
        "version": listing.version,
        "licence": listing.licence,
        "redistribution": listing.redistribution,
        "clips": clips_digest([clip_key(clip) for clip in clips]),
    }
    return {"schema": layout.SCHEMA, "config": config.identity(), "source": source}


def _check_clips(clips: Sequence[Clip], listing: Listing) -> None:
    if not clips and not listing.failures:
        raise SourceError(f"{listing.title}: no clip was found")
    twice = [name for name, count in Counter(clip.id for clip in clips).items() if count > 1 or not name]
    if twice:
        raise SourceError(f"{listing.title}: two clips share the id {twice[0]!r}; move one of the folders")


def _check_unchanged(out: Path, clips: Sequence[Clip]) -> dict[str, Marker]:
    """Markers of a folder. Raises StoreError when the source's frames of a finished clip have changed."""
    markers = {clip.id: marker for clip in clips if (marker := read_marker(out, clip.id)) is not None}
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
    """Markers that are still valid, with views kept by the threshold; files of other clips are removed."""
    markers = _check_unchanged(out, clips)
    done: dict[str, Marker] = {}
    for clip in clips:
        marker = markers.get(clip.id)
        if marker and marker.failure:
            holds = not retry_failed and marker.source == clip_digest(clip)
        else:
            holds = marker is not None and all((out / path).is_file() for row in marker.rows for path in row.files())
        if marker and holds:
            done[clip.id] = redecide(out, marker, config.attention.threshold)
    # Only now: a clip's folder may be inside the folder of another.
    for clip in clips:
        if clip.id not in done:
            remove_clip(out, clip, (None, *config.camera.angles))
    return done


def _note_lost_workers(markers: Iterable[Marker], progress: Progress) -> None:
    lost = sum(marker.failure is not None and marker.failure.stage == WORKER_STAGE for marker in markers)
    if lost:
        progress.note(
            f"clips that lost their workers: {lost}. If memory ran out, try --retry-failed with fewer --workers"
        )


def _summary(out: Path, markers: Sequence[Marker] | None = None) -> Summary:
    """Of a finished store, or of the clips of a shard."""
    if markers is None:
        rows, failures = read_table(out / layout.TABLE), read_failures(out / layout.FAILURES)
    else:
        rows = [row for marker in markers for row in marker.rows]
        failures = [marker.failure for marker in markers if marker.failure]
    clips = len({row.clip for row in rows})
    return Summary(out, clips, len(rows), sum(row.kept for row in rows), tuple(failures))


def _real_stages() -> Stages:
    from mvgen.pipeline.stages import PipelineStages

    return PipelineStages()
