"""Flow of a build: estimated in the views' pictures, or projected from the frontal clip."""

from __future__ import annotations

from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import numpy as np
import pytest
from factories import astronaut, known_tools, noisy_clip

from mvgen.core.camera import crop_camera, pixel_grid
from mvgen.core.errors import ConfigError
from mvgen.core.records import BuiltClip, Clip, ClipGeometry, DepthMap, Frame, Image
from mvgen.core.settings import by_part, load_config
from mvgen.motion.flow.methods import ClipFlow
from mvgen.motion.surface_motion import clip_surface_motion
from mvgen.pipeline.clip import build_clip

MOUTH = (224.0, 141.0)


def raised(image: Image, pixels: float) -> Image:
    """The photograph with the skin around the mouth moved up."""
    where = pixel_grid(*image.shape[:2])
    near = np.exp(-(((where - MOUTH) / 12) ** 2).sum(axis=-1))
    at = (where - near[..., None] * [0, -pixels] - 0.5).astype(np.float32)
    return np.asarray(cv2.remap(image, at[..., 0], at[..., 1], cv2.INTER_CUBIC), np.uint8)


def built(frames: Image, **settings: Any) -> BuiltClip:
    clip = Clip(
        dataset="demo",
        subject="s1",
        subject_key="1",
        name="smile",
        emotion="none",
        label=None,
        onset=1,
        apex=2,
        offset=3,
        fps=30.0,
        directory=PurePosixPath("s1/smile"),
        frames=tuple(Frame(Path(f"{n}.jpg"), n, f"{n}.jpg") for n in range(1, len(frames) + 1)),
        licence="CC0-1.0",
        redistribution="open",
    )
    config = load_config(None, by_part({"size": 128, "angles": "-40,0,40", **settings}))
    return build_clip(clip, frames, config, known_tools())


@cache
def smile(how: str) -> BuiltClip:
    return built(np.stack([astronaut(), raised(astronaut(), 1.5), astronaut()]), flow=how)


def test_carried_flow_is_the_frontal_clips_in_the_view_from_the_front() -> None:
    source, front = smile("geometric").frontal, tuple(smile("geometric").sides)[1]
    both = np.isfinite(front.depth) & np.isfinite(source.depth)
    assert np.abs(source.flow).max() > 0.5
    # The outline's vertices are moved within their pixels.
    away = np.linalg.norm(front.flow - source.flow, axis=-1)[:, both]
    assert np.quantile(away, 0.98) < 0.01
    assert np.quantile(np.linalg.norm(front.apex_flow - source.apex_flow, axis=-1)[both], 0.98) < 0.01


@pytest.mark.parametrize("how", ["geometric", "image"])
def test_what_goes_up_goes_up_in_every_view_and_comes_back(how: str) -> None:
    for view in smile(how).views():
        moving = np.linalg.norm(view.apex_flow, axis=-1) > 0.5
        assert moving.sum() > 20
        assert np.median(view.apex_flow[moving][:, 1]) < -0.4
        np.testing.assert_allclose(view.apex_flow, view.flow[0], atol=1e-5)
        assert np.median(view.flow[1][moving][:, 1]) > 0.4
        assert not view.apex_flow[~np.isfinite(view.depth)].any()


def test_both_ways_agree_on_a_surface_that_keeps_its_shape() -> None:
    for projected, found in zip(smile("geometric").sides, smile("image").sides, strict=True):
        away = np.linalg.norm(projected.apex_flow - found.apex_flow, axis=-1)[projected.valid]
        assert away.mean() < 0.3 * np.linalg.norm(found.apex_flow, axis=-1)[projected.valid].mean() + 0.02


@pytest.mark.slow
def test_a_still_clip_hardly_moves_by_either_way() -> None:
    for how in ("geometric", "image"):
        for view in built(noisy_clip(astronaut(), 3, 1.5), flow=how).views():
            assert np.linalg.norm(view.flow[:, view.valid].mean(axis=1), axis=-1).max() < 0.03


def test_flow_weights_must_exist() -> None:
    with pytest.raises(ConfigError, match=r"flow\.weights"):
        load_config(None, {"flow": {"method": "raft", "weights": "nowhere.safetensors"}})


def test_skin_gains_a_third_of_the_depth_it_would_slide_along_and_all_where_each_frame_has_its_surface() -> None:
    camera = crop_camera(64)
    slope = 0.5  # world units of depth per world unit to the right
    depth = np.tile((np.arange(64) - 32) / camera.scale * slope, (64, 1)).astype(np.float32)
    surface = DepthMap(depth, np.ones_like(depth), camera)
    right = np.full((64, 64, 2), [2.0, 0.0], np.float32)
    frontal = ClipFlow(right[None], right)
    (one,), apex = clip_surface_motion(frontal, ClipGeometry((surface,)), 1)
    (each,), _ = clip_surface_motion(frontal, ClipGeometry((surface, surface)), 1)
    step = 2 / camera.scale
    inside = np.s_[2:-2, 4:-4]
    np.testing.assert_allclose(one[inside], np.broadcast_to([step, 0, step * slope / 3], (60, 56, 3)), atol=1e-6)
    np.testing.assert_allclose(each[inside], np.broadcast_to([step, 0, step * slope], (60, 56, 3)), atol=1e-6)
    np.testing.assert_array_equal(apex, one)
