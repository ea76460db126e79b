"""Views of a finished store at angles that it was not built with, on real pixels with a head of known shape."""

from __future__ import annotations

import pickle
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from factories import astronaut, known_tools, noisy_clip
from fake_build import FakeStages, make_config, make_source
from photograph_build import smiling

from mvgen import RandomAngles, open_dataset
from mvgen.building.build import build
from mvgen.core.camera import crop_camera, pixel_grid
from mvgen.core.config import BuildConfig
from mvgen.core.errors import AnglesError, StoreError
from mvgen.core.records import BuiltClip, Clip
from mvgen.core.stopwatch import Stopwatch
from mvgen.dataset.views import RenderedViews
from mvgen.pipeline.clip import build_clip
from mvgen.store.coding.steps import DEPTH_STEP, FLOW_STEP
from mvgen.views.attention import uniform_attention

pytestmark = pytest.mark.slow

SIZE = 96
ANGLES = "-40,0,20"


class PhotographStages(FakeStages):
    """The real stages of a clip, on one photograph with noise and a head of known shape."""

    def builder(self, config: BuildConfig, attention: Path) -> Callable[[Clip, Stopwatch], BuiltClip]:
        tools = known_tools()

        def build_one(clip: Clip, clock: Stopwatch) -> BuiltClip:
            seed = zlib.crc32(clip.id.encode())
            return build_clip(clip, noisy_clip(astronaut(), len(clip.frames), 2.0, seed), config, tools, clock)

        return build_one


class SmilingStages(FakeStages):
    """The same with a mouth that moves, and comes back."""

    def builder(self, config: BuildConfig, attention: Path) -> Callable[[Clip, Stopwatch], BuiltClip]:
        tools = known_tools()
        return lambda clip, clock: build_clip(clip, smiling(len(clip.frames), 1, 0), config, tools, clock)


def make_store(folder: Path, subjects: int, stages: type[FakeStages] = PhotographStages, **settings: Any) -> Path:
    """A store of one clip per subject. Attention is the same everywhere: what a view sees of it is geometry alone."""
    root = make_source(folder / "root", subjects=subjects, clips=1, frames=3)
    config = make_config(root, folder / "out", angles=ANGLES, size=SIZE, **settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mvgen.pipeline.clip.attention_map", lambda *_, face, **__: uniform_attention(face))
        build(config, stages(root))
    return folder / "out"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three clips, one of them for testing, without loss; a view at 40 degrees is not kept."""
    return make_store(tmp_path_factory.mktemp("views"), 3, format="png", attention_threshold=0.8, flow="image")


def same(first: Any, second: Any) -> bool:
    if isinstance(first, torch.Tensor):
        return torch.equal(first.nan_to_num(7), second.nan_to_num(7))
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[name], second[name]) for name in first)
    return bool(first == second)


def test_an_angle_that_was_built_comes_out_as_it_is_stored(store: Path) -> None:
    stored, rendered = open_dataset(store, views="sweep"), open_dataset(store, angles=ANGLES)
    assert len(stored) == len(rendered) == 9
    for built, now in zip(stored, rendered, strict=True):
        assert set(built) == set(now)
        for name in ("flow", "apex_flow"):
            assert (built[name] - now[name]).abs().max() <= FLOW_STEP / 2 + 1e-6  # type: ignore[literal-required]
        assert (built["depth"] - now["depth"]).abs().nan_to_num().max() <= DEPTH_STEP / 2 + 1e-6
        assert torch.equal(built["depth"].isnan(), now["depth"].isnan())
        rounded = ("flow", "apex_flow", "depth")
        different = [name for name in built if name not in rounded and not same(built[name], now[name])]  # type: ignore[literal-required]
        assert not different
    assert stored[0]["clip"].any()


def test_frames_that_were_stored_as_jpeg_lose_a_little(tmp_path: Path) -> None:
    out = make_store(tmp_path, 1)
    stored, rendered = open_dataset(out, yaw=20)[0], open_dataset(out, angles="20")[0]
    away = (stored["clip"].int() - rendered["clip"].int()).abs().float()
    assert 0 < away.mean() < 2
    assert torch.equal(stored["valid"], rendered["valid"])


def test_carried_flow_is_rendered_too(tmp_path: Path) -> None:
    out = make_store(tmp_path, 1, SmilingStages, format="png")
    stored, rendered = open_dataset(out, yaw=20)[0], open_dataset(out, angles="20")[0]
    assert rendered["flow"].abs().max() > 0.5
    for name in ("flow", "apex_flow"):
        # It starts from the frontal flow as it is stored, so it is rounded twice.
        assert (stored[name] - rendered[name]).abs().max() <= 1.5 * FLOW_STEP  # type: ignore[literal-required]


def test_angles_that_were_not_built_follow_clip_by_clip(store: Path) -> None:
    views = open_dataset(store, angles="-30:30:15", flow=False)
    assert len(views) == 3 * 5
    items = [views[index] for index in range(5)]
    assert [item["view"] for item in items] == ["yaw-30", "yaw-15", "yaw+00", "yaw+15", "yaw+30"]
    assert len({item["clip_id"] for item in items}) == 1
    assert views[-1]["clip_id"] == views.rows[-1].clip
    # The nose turns to image left as the camera moves to image right.
    places = [np.nanargmax(item["depth"][int(0.55 * SIZE)].numpy()) for item in items]
    assert places == sorted(places, reverse=True)
    with pytest.raises(IndexError):
        views[15]


def test_colour_of_a_pitched_view_leads_back_to_the_frontal_clip(store: Path) -> None:
    source = open_dataset(store, views="source")[0]
    item = open_dataset(store, angles=[(10, 12)])[0]
    assert (item["view"], item["yaw"], item["pitch"]) == ("yaw+10pitch+12", 10, 12)
    valid, depth = item["valid"].numpy(), item["depth"].numpy().astype(float)
    camera = crop_camera(SIZE).at(10, 12)
    points = camera.unproject(np.dstack([pixel_grid(SIZE, SIZE), depth]))[valid]
    u, v = np.floor(crop_camera(SIZE).project(points)[:, :2]).astype(int).T
    away = item["clip"][0].numpy()[:, valid].astype(float) - source["clip"][0].numpy()[:, v, u]
    assert valid.sum() > SIZE * SIZE / 8
    assert np.median(np.abs(away)) < 6


def test_kept_and_splits_are_respected(store: Path) -> None:
    stored = {(row.clip, row.view): row.kept for row in open_dataset(store, views="sweep").rows}
    assert not all(stored.values())
    for kept in (True, False):
        views = open_dataset(store, angles=ANGLES, kept=kept, flow=False)
        assert {(item["clip_id"], item["view"]) for item in views} == {key for key in stored if stored[key] == kept}
        assert all(item["kept"] == kept for item in views)
    train, test = (open_dataset(store, angles=ANGLES, split=split) for split in ("train", "test"))  # type: ignore[call-overload]
    assert len(train) == 2 * len(test) == 6
    assert {item["split"] for item in test} == {"test"}


def test_random_angles_depend_on_seed_epoch_and_clip_alone(store: Path) -> None:
    def angles(views: RenderedViews) -> list[tuple[float, float]]:
        return [(item["yaw"], item["pitch"]) for item in views]

    one, same_again = (open_dataset(store, angles=RandomAngles((-30, 30), (-5, 5)), flow=False) for _ in range(2))
    other = open_dataset(store, angles=RandomAngles((-30, 30), (-5, 5), seed=1), flow=False)
    first = angles(one)
    assert len(set(first)) == len(one) == 3
    assert first == angles(same_again) == angles(pickle.loads(pickle.dumps(one)))
    assert not set(first) & set(angles(other))
    one.set_epoch(1)
    assert not set(first) & set(angles(one))
    one.set_epoch(0)
    assert first == angles(one)
    assert all(abs(yaw) <= 30 and abs(pitch) <= 5 for yaw, pitch in first)


def start_opencv_threads() -> None:
    """Threads do not survive a fork: a loader process that waited for them would wait for ever."""
    import cv2

    cv2.setNumThreads(2)
    cv2.GaussianBlur(np.zeros((2048, 2048), np.float32), (0, 0), 3)


def test_loader_processes_that_live_on_hear_of_a_new_epoch(store: Path) -> None:
    from torch.utils.data import DataLoader

    views = open_dataset(store, angles=RandomAngles(), flow=False)
    alone = []
    for epoch in range(2):
        views.set_epoch(epoch)
        alone += [item["yaw"] for item in views]
    start_opencv_threads()
    loader = DataLoader(views, batch_size=None, num_workers=1, persistent_workers=True, timeout=60)
    loaded = []
    for epoch in range(2):
        views.set_epoch(epoch)
        loaded += [item["yaw"] for item in loader]
    assert loaded == alone
    assert len(set(loaded)) == 6


def test_random_views_that_are_to_be_kept_are_drawn_until_they_are(store: Path) -> None:
    wide = RandomAngles((-60, 60), (0, 0), seed=3)
    loose = [item["kept"] for item in open_dataset(store, split="train", angles=wide, flow=False)]
    assert not all(loose)
    strict = open_dataset(store, split="train", angles=wide, kept=True, flow=False)
    assert [item["kept"] for item in strict] == [True] * 2
    hopeless = open_dataset(store, split="train", angles=RandomAngles((50, 60), (0, 0)), kept=True, flow=False)
    item = hopeless[0]
    tried = [yaw for (yaw, _), _ in zip(RandomAngles((50, 60), (0, 0)).draws(0, 0), range(16), strict=False)]
    assert not item["kept"]
    assert item["yaw"] == min(tried)


def test_flow_can_be_left_out(store: Path) -> None:
    for views in (open_dataset(store, angles="20", flow=False), open_dataset(store, yaw=20, flow=False)):
        assert views[0]["flow"].shape == (0, 2, SIZE, SIZE)
        assert views[0]["apex_flow"].shape == (0, SIZE, SIZE)
        assert views[0]["clip"].shape == (3, 3, SIZE, SIZE)


def test_memory_is_bounded_and_changes_nothing(store: Path) -> None:
    roomy = open_dataset(store, angles="-10,10", flow=False)
    tight = RenderedViews(roomy.root, roomy.about, roomy.rows, roomy.angles, flow=False, memory=1)
    order = [0, 5, 2, 1, 4, 3]
    for index in order:
        assert torch.equal(roomy[index]["clip"], tight[index]["clip"])
        assert len(tight._scenes) == 1
    assert len(roomy._scenes) == 3
    assert not pickle.loads(pickle.dumps(roomy))._scenes


def test_a_store_with_a_geometry_per_frame_is_seen_on_one_of_them(tmp_path: Path) -> None:
    out = make_store(tmp_path, 1, format="png", geometry="per-frame")
    stored, rendered = open_dataset(out, yaw=20)[0], open_dataset(out, angles="20")[0]
    # This head is the same in every frame, so that one geometry is as good as each frame's own.
    assert torch.equal(stored["clip"], rendered["clip"])


def test_what_cannot_be_rendered_is_a_message(store: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="give angles, or the others"):
        open_dataset(store, angles="0", yaw=0)  # type: ignore[call-overload]
    with pytest.raises(AnglesError, match="step 0"):
        open_dataset(store, angles="0:10:0")
    with pytest.raises(AnglesError, match="120 is beyond"):
        open_dataset(store, angles=[(0, 120)])
    shutil.copytree(store, tmp_path / "out")
    views = open_dataset(tmp_path / "out", angles="0")
    geometry = tmp_path / "out" / views.rows[0].geometry
    geometry.write_bytes(geometry.read_bytes()[:2000])
    with pytest.raises(StoreError, match=r"geometry/.*npz cannot be read"):
        views[0]
    (tmp_path / "out" / views.rows[1].frames_directory / views.rows[1].frame_names[0]).unlink()
    with pytest.raises(StoreError, match="the store is damaged"):
        views[1]
