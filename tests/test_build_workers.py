"""Workers of a build that die, stall, run out of memory, or come too late."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from fake_build import FakeStages, Told, list_clips, make_built, make_config, make_source, rows_of, tree_bytes

from mvgen.building.build import build
from mvgen.core.config import BuildConfig
from mvgen.core.records import BuiltClip, Clip
from mvgen.core.stopwatch import Stopwatch
from mvgen.engine.base import EngineError
from mvgen.store import layout
from mvgen.store.split import assign_splits
from mvgen.store.writer import write_clip


class DyingOnce(FakeStages):
    """Ends its process at a clip the first time only."""

    def builder(self, config: BuildConfig, attention: Path) -> Callable[[Clip, Stopwatch], BuiltClip]:
        died = config.run.out.parent / "died"
        build_one = replace(self, die=frozenset() if died.exists() else self.die)

        def once(clip: Clip, clock: Stopwatch) -> BuiltClip:
            if clip.id in self.die:
                died.touch()
            return FakeStages.builder(build_one, config, attention)(clip, clock)

        return once


class DyingObserver(FakeStages):
    """Ends its process when it looks at a clip for the attention head."""

    def observer(self, config: BuildConfig) -> Callable[[Clip], str]:
        def observe(clip: Clip) -> str:
            if clip.id in self.die:
                os.kill(os.getpid(), signal.SIGKILL)
            return clip.id

        return observe


class Hungry(FakeStages):
    """Has no memory for a clip."""

    def builder(self, config: BuildConfig, attention: Path) -> Callable[[Clip, Stopwatch], BuiltClip]:
        build_one = FakeStages.builder(replace(self, die=frozenset()), config, attention)

        def work(clip: Clip, clock: Stopwatch) -> BuiltClip:
            if clip.id in self.die:
                raise MemoryError
            return build_one(clip, clock)

        return work


class OtherSoftware(FakeStages):
    """Has version 1 in the process whose id is its version, another one elsewhere."""

    def software(self, config: BuildConfig) -> dict[str, str | None]:
        return {"fake": "1" if self.version == str(os.getpid()) else "elsewhere"}


class Doubled(FakeStages):
    """While a clip is being built, another attempt at the same one comes to its end."""

    def builder(self, config: BuildConfig, attention: Path) -> Callable[[Clip, Stopwatch], BuiltClip]:
        plain = FakeStages(self.root)
        subjects = (clip.subject_key for clip in list_clips(self.root))
        splits = assign_splits(subjects, config.split.test_share, config.split.seed)
        build_one = plain.builder(config, attention)

        def work(clip: Clip, clock: Stopwatch) -> BuiltClip:
            write_clip(config.run.out, clip, build_one(clip, clock), splits[clip.subject_key], config)
            late = make_built(clip, config)
            found = late.reconstruction
            # whoever is late may not change a byte
            return replace(late, reconstruction=replace(found, attention=found.attention * 2))

        return work


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_source(tmp_path / "the source")


@pytest.fixture
def whole(root: Path, tmp_path: Path) -> dict[str, bytes]:
    """An uninterrupted build of the source."""
    build(make_config(root, tmp_path / "whole"), FakeStages(root))
    return tree_bytes(tmp_path / "whole")


@pytest.mark.slow
def test_clips_that_kill_or_stall_their_worker_are_listed_and_the_others_are_built(
    root: Path, tmp_path: Path, whole: dict[str, bytes]
) -> None:
    ids = [clip.id for clip in list_clips(root)]
    config = make_config(root, tmp_path / "out", workers=2, clip_timeout=5)
    told = Told()
    summary = build(config, FakeStages(root, die=frozenset({ids[3]}), hang=frozenset({ids[0]})), told)
    assert (summary.clips, summary.exit_code) == (4, 0)
    assert [(failure.clip, failure.stage, failure.reason) for failure in summary.failures] == [
        (ids[0], "worker", "it took longer than 5 s; given up after 1 attempt"),
        (ids[3], "worker", "the worker process ended with SIGKILL; memory may have run out; given up after 1 attempt"),
    ]
    assert sorted(told.clips) == ids
    assert any("--retry-failed" in note for note in told.notes)
    assert build(config, FakeStages(root)).nothing_to_do
    assert build(make_config(root, tmp_path / "out"), FakeStages(root), retry_failed=True).clips == 6
    assert tree_bytes(tmp_path / "out") == whole


@pytest.mark.slow
def test_one_worker_is_enough_to_get_past_a_clip_that_kills_it(root: Path, tmp_path: Path) -> None:
    clip = list_clips(root)[0].id
    summary = build(make_config(root, tmp_path / "out", attempts=2), FakeStages(root, die=frozenset({clip})))
    assert [failure.clip for failure in summary.failures] == [clip]
    assert summary.failures[0].reason.endswith("given up after 2 attempts")
    assert summary.clips == 5


@pytest.mark.slow
def test_a_clip_that_kills_its_worker_once_is_built(root: Path, tmp_path: Path, whole: dict[str, bytes]) -> None:
    stages = DyingOnce(root, die=frozenset({list_clips(root)[2].id}))
    build(make_config(root, tmp_path / "out", attempts=2), stages)
    assert (tmp_path / "died").is_file()
    assert tree_bytes(tmp_path / "out") == whole


@pytest.mark.slow
def test_a_training_clip_that_kills_its_worker_is_left_out_of_the_attention_head(root: Path, tmp_path: Path) -> None:
    training = [row.clip for row in rows_of(root, tmp_path / "before") if row.split == "train"]
    stages = DyingObserver(root, die=frozenset({training[0]}))
    told = Told()
    summary = build(make_config(root, tmp_path / "out", attempts=2), stages, told)
    assert [(failure.clip, failure.stage) for failure in summary.failures] == [(training[0], "worker")]
    assert training[0] not in (tmp_path / "out" / layout.ATTENTION).read_text()
    assert any(training[0] in note for note in told.notes)
    assert training[0] not in told.clips  # not tried again


@pytest.mark.slow
def test_memory_that_runs_out_in_python_counts_as_a_dead_worker(root: Path, tmp_path: Path) -> None:
    clip = list_clips(root)[1].id
    summary = build(make_config(root, tmp_path / "out", attempts=2), Hungry(root, die=frozenset({clip})))
    assert [failure.reason for failure in summary.failures] == ["memory ran out; given up after 2 attempts"]


@pytest.mark.slow
def test_a_worker_with_other_software_is_refused(root: Path, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r'has other software.*\n  software.fake: "1" there, "elsewhere" now'):
        build(make_config(root, tmp_path / "out", attempts=2), OtherSoftware(root, version=str(os.getpid())))


def test_a_clip_that_another_attempt_has_finished_is_not_built_again(
    root: Path, tmp_path: Path, whole: dict[str, bytes]
) -> None:
    build(make_config(root, tmp_path / "out"), Doubled(root))
    assert tree_bytes(tmp_path / "out") == whole
