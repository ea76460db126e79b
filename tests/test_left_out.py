"""Clips that cannot be registered whole: what stays of them in a store, and what becomes of those that are given up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from factories import known_tools, write_stand_in
from fake_build import tree_bytes
from photograph_build import PhotographStages, photograph_config, smiling

from mvgen import open_dataset
from mvgen.building.build import build
from mvgen.core.config import BuildConfig
from mvgen.core.records import BuiltClip, Clip, Image
from mvgen.core.stopwatch import Stopwatch
from mvgen.pipeline.clip import build_clip
from mvgen.store import layout
from mvgen.store.manifest import read_failures, read_table
from mvgen.verification import verify

pytestmark = pytest.mark.slow

FRAMES = 16


def other_picture() -> Image:
    """(512, 512, 3), what a camera shows after a cut: no face."""
    from skimage.data import coffee

    return np.asarray(cv2.resize(coffee(), (512, 512)), np.uint8)


@dataclass(frozen=True)
class CutStages(PhotographStages):
    """Stages that see a cut in one clip: from frame `cut` on after its apex, or before it if negative."""

    clip: str = ""
    cut: int = 1

    def builder(self, config: BuildConfig, attention: Path) -> Callable[[Clip, Stopwatch], BuiltClip]:
        tools = known_tools()

        def build_one(clip: Clip, clock: Stopwatch) -> BuiltClip:
            apex = clip.position(clip.apex, len(clip.frames) // 2)
            frames = smiling(len(clip.frames), apex, 1)
            if clip.id == self.clip:
                frames[apex + self.cut :] = other_picture()
            return build_clip(clip, frames, config, tools, clock)

        return build_one


def built(folder: Path, cut: int, **settings: Any) -> tuple[Path, str]:
    """A store of two clips, the first of which has a cut; and that clip's id."""
    write_stand_in(folder / "root", "casme2", subjects=2, clips=1, frames=FRAMES)
    config = photograph_config(folder / "root", folder / "out", test_share=0.5, angles="-30,30", **settings)
    clip = PhotographStages(folder / "root").read(config).clips[0].id
    build(config, CutStages(folder / "root", clip=clip, cut=cut))
    return folder / "out", clip


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    return built(tmp_path_factory.mktemp("cut"), cut=2)


def test_the_frames_after_a_cut_are_left_out_of_the_store(store: tuple[Path, str]) -> None:
    out, clip = store
    rows = read_table(out / layout.TABLE)
    shortened = [row for row in rows if row.clip == clip]
    assert len(shortened) == 3
    for row in shortened:
        assert row.frames == row.apex_index + 2
        assert row.left_out == FRAMES - row.frames > 0
        assert row.offset_index == row.frames - 1
        assert "frames cannot be registered and are left out" in row.notes[-1]
    whole = [row for row in rows if row.clip != clip]
    assert {(row.frames, row.left_out) for row in whole} == {(FRAMES, 0)}


def test_a_store_whose_frames_were_left_out_is_in_order(store: tuple[Path, str]) -> None:
    result = verify(store[0])
    assert not result.findings, "\n".join(map(str, result.findings))


def test_what_is_left_is_read_like_any_clip(store: tuple[Path, str]) -> None:
    out, _ = store
    for item, row in zip(open_dataset(out), read_table(out / layout.TABLE), strict=True):
        assert len(item["clip"]) == row.frames
        assert len(item["flow"]) == row.frames - 1


def test_a_build_of_such_a_clip_is_repeatable(store: tuple[Path, str], tmp_path: Path) -> None:
    again, _ = built(tmp_path, cut=2)
    first, second = (tree_bytes(out / "views") for out in (store[0], again))
    assert first == second


def test_a_clip_whose_apex_is_hidden_is_listed_as_failed(tmp_path: Path) -> None:
    out, clip = built(tmp_path, cut=-1)
    failures = read_failures(out / layout.FAILURES)
    assert [(failure.clip, failure.stage) for failure in failures] == [(clip, "face")]
    assert "the apex frame" in failures[0].reason
    assert clip not in {row.clip for row in read_table(out / layout.TABLE)}
    assert not verify(out).findings


def test_without_registration_every_frame_stays(tmp_path: Path) -> None:
    out, _ = built(tmp_path, cut=2, registration="none")
    assert {row.left_out for row in read_table(out / layout.TABLE)} == {0}
