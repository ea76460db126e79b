"""Flow: its direction, its accuracy, and where it stays zero."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from factories import astronaut, head_surface, noisy_clip
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_erosion, map_coordinates

from mvgen.core.camera import crop_camera, pinhole_crop_camera, pixel_grid
from mvgen.core.errors import ConfigError, MissingPartError, WeightsError
from mvgen.core.records import ClipGeometry, DepthMap, Floats, Image, ViewGeometry
from mvgen.motion.flow.coarse import flows_from
from mvgen.motion.flow.joint import flows_from_onset
from mvgen.motion.flow.methods import ClipFlow, Flow, clip_flow, flow, flow_between, get_flow_methods
from mvgen.motion.surface_motion import clip_surface_motion, project_clip_motion, project_motion
from mvgen.render import get_renderer
from mvgen.render.mesh import mesh_from_depth


def shifted(image: Image, dx: float, dy: float) -> Image:
    matrix = np.array([[1.0, 0.0, dx], [0.0, 1.0, dy]])
    return np.asarray(
        cv2.warpAffine(image, matrix, image.shape[1::-1], flags=cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REFLECT),
        np.uint8,
    )


def face() -> Image:
    return astronaut()[40:232, 130:322]


@pytest.mark.parametrize(("dx", "dy"), [(1.0, 0.0), (0.0, -1.5), (0.5, 0.5), (-2.0, 1.0)])
def test_flow_points_from_the_first_frame_to_the_second(dx: float, dy: float) -> None:
    motion = flow_between(face(), shifted(face(), dx, dy))
    assert motion.shape == (192, 192, 2)
    np.testing.assert_allclose(np.median(motion[20:-20, 20:-20], axis=(0, 1)), [dx, dy], atol=0.1)


def test_flow_goes_from_frame_to_frame_and_is_zero_off_the_surface() -> None:
    surface = np.zeros((192, 192), bool)
    surface[40:150, 40:150] = True
    clip = np.stack([face(), shifted(face(), 1, 0), shifted(face(), 1, 2)])
    motion = flow(clip, surface)
    assert motion.shape == (2, 192, 192, 2)
    assert motion.dtype == np.float32
    np.testing.assert_allclose(np.median(motion[:, surface], axis=1), [[1, 0], [0, 2]], atol=0.1)
    assert not motion[:, ~surface].any()


def test_still_frames_do_not_move() -> None:
    assert np.abs(flow_between(face(), face())).max() == 0


def test_one_frame_has_no_flow() -> None:
    assert flow(face()[None], np.ones((192, 192), bool)).shape == (0, 192, 192, 2)


def test_flow_does_not_depend_on_the_number_of_threads() -> None:
    before = cv2.getNumThreads()
    try:
        results = []
        for threads in (1, 4):
            cv2.setNumThreads(threads)
            results.append(flow_between(face(), shifted(face(), 0.7, 0.3)))
            assert cv2.getNumThreads() == threads
        np.testing.assert_array_equal(results[0], results[1])
    finally:
        cv2.setNumThreads(before)


@pytest.mark.parametrize("method", ["joint", "dis", "farneback", "tvl1"])
def test_every_method_finds_small_motion(method: str) -> None:
    motion = flow_between(face(), shifted(face(), 0.8, -0.4), method)
    assert motion.dtype == np.float32
    np.testing.assert_allclose(np.median(motion[20:-20, 20:-20], axis=(0, 1)), [0.8, -0.4], atol=0.1)


def test_noise_on_a_still_face_hardly_moves_it() -> None:
    first, second = noisy_clip(face(), 2, 2.0)
    assert np.linalg.norm(flow_between(first, second), axis=-1).mean() < 0.01


def test_motion_is_found_in_a_face_of_few_grey_levels() -> None:
    def dim(image: Image) -> Image:
        return np.asarray(np.rint(120 + 0.12 * image.astype(np.float64)), np.uint8)

    first, second = dim(face()), dim(shifted(face(), 0.8, -0.4))
    for motion in (flow_between(first, second), flow(np.stack([first, second]), np.ones((192, 192), bool))[0]):
        away = np.linalg.norm(motion[20:-20, 20:-20] - [0.8, -0.4], axis=-1)
        assert np.median(away) < 0.12


@pytest.mark.parametrize("size", [96, 192, 288])
def test_a_bulge_with_noise_is_found_at_any_size(size: int) -> None:
    """A cheek that moves by up to a hundredth of the picture: the error is far below the motion."""
    image = np.asarray(cv2.resize(face(), (size, size), interpolation=cv2.INTER_AREA), np.uint8)
    places = pixel_grid(size, size)
    near = np.exp(-(((places - 0.55 * size) / (0.15 * size)) ** 2).sum(axis=-1))
    motion = (near[..., None] * np.array([0.006, -0.008]) * size).astype(np.float32)
    at = (places - 0.5 + motion).astype(np.float32)
    # What is at p in the first frame is at p + motion in the second, so the second is the picture as it is.
    before = np.asarray(cv2.remap(image, at[..., 0], at[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT))
    generator = np.random.default_rng(size)
    first, second = (
        np.asarray(np.clip(np.rint(one + generator.normal(0, 1.5, one.shape)), 0, 255), np.uint8)
        for one in (before, image)
    )
    found = flow_between(first, second)
    moving = near > 0.2
    error = np.linalg.norm(found - motion, axis=-1)[moving].mean()
    assert error < 0.3 * np.linalg.norm(motion, axis=-1)[moving].mean()


def test_unknown_method_is_refused() -> None:
    with pytest.raises(ConfigError, match="farneback"):
        get_flow_methods("lukas")


def test_raft_without_weights_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(MissingPartError, match="flow_weights"):
        get_flow_methods("raft", None, "cpu")


def test_raft_refuses_weights_that_are_not_its_own(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"one": np.zeros(3, np.float32)}, tmp_path / "other.safetensors")
    (tmp_path / "pickle.pt").write_bytes(b"\x80\x04not a model")
    for name, message in (("other.safetensors", "raft_large or raft_small"), ("pickle.pt", "safetensors")):
        with pytest.raises(WeightsError, match=message):
            get_flow_methods("raft", tmp_path / name, "cpu")


def test_raft_runs_on_frames_of_any_size_with_weights_of_ones_own(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file
    from torchvision.models.optical_flow import raft_small

    torch.manual_seed(0)
    save_file(raft_small(weights=None).state_dict(), tmp_path / "raft.safetensors")
    motion = get_flow_methods("raft", tmp_path / "raft.safetensors", "cpu").apex(face()[:100, :100], face()[:100, :100])
    assert motion.shape == (100, 100, 2)
    assert np.isfinite(motion).all()


SIDE = 192
CAMERAS = {
    "orthographic": crop_camera(SIDE),
    "pinhole": pinhole_crop_camera(SIDE, np.eye(2, 3), 800.0, (96.0, 80.0)),
}


@cache
def head(kind: str) -> DepthMap:
    return head_surface(CAMERAS[kind])


def seen_through(kind: str, yaw: float, pitch: float) -> ViewGeometry:
    mesh = mesh_from_depth(head(kind))
    return get_renderer("grid").render(mesh, CAMERAS[kind].at(yaw, pitch), 70.0)


def projected_flow(frontal: Flow, surface: DepthMap, view: ViewGeometry) -> Flow:
    """Flow (N, S, S, 2) of a frontal clip, seen by a view; the surface is known in every frame, and does not change."""
    surfaces = [surface] * (len(frontal) + 1)
    motion = clip_surface_motion(ClipFlow(frontal, np.zeros_like(frontal[0])), ClipGeometry(tuple(surfaces)), 0)
    return project_clip_motion(motion, view).frames


@pytest.mark.slow
@pytest.mark.parametrize("kind", CAMERAS)
@settings(max_examples=12, derandomize=True, deadline=None)
@given(
    yaw=st.floats(-45, 45),
    pitch=st.floats(-15, 15),
    right=st.floats(-2.2, 2.2),
    down=st.floats(-2.2, 2.2),
    turn=st.floats(-1, 1),
)
def test_carried_flow_is_the_reprojection_of_the_same_surface_points(  # noqa: PLR0917
    kind: str, yaw: float, pitch: float, right: float, down: float, turn: float
) -> None:
    # Of 192 pixels: 3 of 256, the largest motion of a micro-expression.
    surface, view = head(kind), seen_through(kind, yaw, pitch)
    x, y = np.moveaxis(pixel_grid(SIDE, SIDE) - SIDE / 2, -1, 0) / (SIDE / 2)
    frontal = np.stack([right - turn * y, down + turn * x], axis=-1).astype(np.float32)
    projected = projected_flow(frontal[None], surface, view)[0]
    # Where both ends are on the head: beyond its outline nothing is known of the surface.
    inner = binary_erosion(np.isfinite(surface.depth), iterations=8).astype(float)
    at = np.nan_to_num(view.source, nan=-1)
    known = np.isfinite(view.depth) & (sampled(inner, at) > 0.99)
    before = view.source[known].astype(float)
    after = before + np.stack([sampled(frontal[..., axis], before) for axis in (0, 1)], axis=-1)
    start, end = (
        view.camera.project(CAMERAS[kind].unproject(np.column_stack([one, sampled(surface.depth, one)])))[:, :2]
        for one in (before, after)
    )
    error = np.linalg.norm(projected[known] - (end - start), axis=-1)
    assert known.sum() > 4000
    # Between the source's pixels motion is interpolated, depth here is: they differ where the surface bends.
    assert error.mean() < 0.01
    assert np.quantile(error, 0.99) < 0.05


def sampled(values: Floats, points: Floats) -> Floats:
    """Values (S, S) at points (..., 2), bilinear."""
    known = np.nan_to_num(values).astype(float)
    return np.asarray(map_coordinates(known, np.moveaxis(points - 0.5, -1, 0)[::-1], order=1))


@pytest.mark.parametrize("kind", CAMERAS)
def test_motion_of_the_surface_at_the_sources_pixels_is_exact(kind: str) -> None:
    surface = head(kind)
    frontal = np.random.default_rng(0).normal(0, 1, (SIDE, SIDE, 2)).astype(np.float32)
    motion = clip_surface_motion(ClipFlow(frontal[None], frontal), ClipGeometry((surface, surface)), 1)
    inner = binary_erosion(np.isfinite(surface.depth), iterations=8)
    before = pixel_grid(SIDE, SIDE)[inner]
    start, end = (
        CAMERAS[kind].unproject(np.column_stack([one, sampled(surface.depth, one)]))
        for one in (before, before + frontal[inner])
    )
    np.testing.assert_allclose(motion.apex[inner], end - start, atol=1e-6)
    np.testing.assert_array_equal(motion.frames[0], motion.apex)


@pytest.mark.parametrize("kind", CAMERAS)
def test_at_yaw_zero_the_frontal_flow_comes_back(kind: str) -> None:
    frontal = np.random.default_rng(0).normal(0, 1, (2, SIDE, SIDE, 2)).astype(np.float32)
    view = seen_through(kind, 0, 0)
    projected = projected_flow(frontal, head(kind), view)
    shown = np.isfinite(view.depth)
    np.testing.assert_allclose(projected[:, shown], frontal[:, shown], atol=2e-3)
    assert not projected[:, ~shown].any()


def test_a_still_surface_has_no_motion_in_any_view() -> None:
    still = np.zeros((1, SIDE, SIDE, 2), np.float32)
    for kind in CAMERAS:
        for yaw in (-45, 20):
            assert np.abs(projected_flow(still, head(kind), seen_through(kind, yaw, 5))).max() < 1e-5


def test_motion_in_depth_is_visible_from_the_side_only() -> None:
    surface = head("orthographic")
    forward = replace(surface, depth=surface.depth + np.float32(0.05))
    still = ClipFlow(np.zeros((1, SIDE, SIDE, 2), np.float32), np.zeros((SIDE, SIDE, 2), np.float32))
    motion = clip_surface_motion(still, ClipGeometry((surface, forward)), 1)
    np.testing.assert_array_equal(motion.frames[0], motion.apex)
    for yaw in (0, 30):
        view = seen_through("orthographic", yaw, 0)
        seen = project_motion(motion.apex[None], view)[0][np.isfinite(view.depth)]
        # The nose side turns to image left, so what comes forward moves left.
        expected = [-0.05 * CAMERAS["orthographic"].scale * np.sin(np.radians(yaw)), 0]
        np.testing.assert_allclose(seen, np.broadcast_to(expected, seen.shape), atol=1e-4)


@pytest.mark.parametrize("kind", CAMERAS)
def test_a_clips_motion_is_projected_as_each_of_its_frames_is(kind: str) -> None:
    frontal = np.random.default_rng(0).normal(0, 1, (3, SIDE, SIDE, 2)).astype(np.float32)
    view = seen_through(kind, 25, 0)
    motion = clip_surface_motion(ClipFlow(frontal[:2], frontal[2]), ClipGeometry((head(kind),)), 1)
    seen = project_clip_motion(motion, view)
    for found, one in zip([*seen.frames, seen.apex], [*motion.frames, motion.apex], strict=True):
        np.testing.assert_allclose(found, project_motion(np.ascontiguousarray(one)[None], view)[0], atol=1e-5)


def test_a_view_without_surface_has_no_motion() -> None:
    view = seen_through("orthographic", 0, 0)
    empty = replace(view, depth=np.full_like(view.depth, np.nan))
    assert not project_motion(np.ones((2, SIDE, SIDE, 3), np.float32), empty).any()


def test_a_clip_without_motion_between_onset_and_apex_has_no_apex_flow() -> None:
    frames = np.stack([face(), shifted(face(), 1, 0), shifted(face(), 2, 0)])
    everywhere = np.ones((192, 192), bool)
    assert not clip_flow(frames, 1, 1, everywhere).apex.any()
    far = clip_flow(frames, 0, 2, everywhere)
    np.testing.assert_allclose(np.median(far.apex[20:-20, 20:-20], axis=(0, 1)), [2, 0], atol=0.1)
    assert not clip_flow(frames, 2, 2, everywhere, get_flow_methods("dis")).apex.any()
    pairs = clip_flow(frames, 0, 2, everywhere, get_flow_methods("dis"))
    np.testing.assert_array_equal(pairs.frames, flow(frames, everywhere))


SHARES = np.array([0.0, 0.0, 0.3, 0.7, 1.0, 0.6, 0.2, 0.0])
EVERYWHERE = np.ones((192, 192), bool)


def pull(x: float, y: float, pixels: float) -> Floats:
    """(S, S, 2), skin that is lifted around a place."""
    away = (pixel_grid(192, 192) - [x, y]) / 26
    return np.exp(-(away**2).sum(axis=-1))[..., None] * np.array([0.2, -1.0]) * pixels


SMILE = pull(96, 120, 1.5)


def performance(shares: Floats, sigma: float, *, also: Floats | None = None) -> Image:
    """(T, S, S, 3) uint8, lips that are raised by `shares`, and noise; also : (T, S, S, 2), motion that is added."""
    frames = []
    for index, share in enumerate(shares):
        motion = share * SMILE + (0 if also is None else also[index])
        back = motion
        for _ in range(4):  # frame(p + motion(p)) = face(p)
            at = (pixel_grid(192, 192) - 0.5 - back).astype(np.float32)
            back = cv2.remap(motion.astype(np.float32), at, None, cv2.INTER_LINEAR)  # type: ignore[call-overload]
        at = (pixel_grid(192, 192) - 0.5 - back).astype(np.float32)
        shown = cv2.remap(face(), at, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
        frames.append(noisy_clip(np.asarray(shown, np.uint8), 1, sigma, seed=index)[0])
    return np.stack(frames)


def share_of_error(found: Floats, true: Floats) -> float:
    moving = np.linalg.norm(true, axis=-1) > 0.15
    return float(np.linalg.norm(found - true, axis=-1)[moving].mean() / np.linalg.norm(true, axis=-1)[moving].mean())


@pytest.mark.parametrize("sigma", [1.5, 4.0])
def test_motion_of_a_clip_is_found_in_all_its_frames(sigma: float) -> None:
    motion = flows_from_onset(performance(SHARES, sigma), 1, EVERYWHERE)
    assert not motion[1].any()
    assert share_of_error(motion[4], SMILE) < 0.12
    for index in (2, 3, 5):
        assert share_of_error(motion[index], SHARES[index] * SMILE) < 0.25
    for index in (0, 7):
        assert np.linalg.norm(motion[index], axis=-1).mean() < 0.03


def test_all_frames_tell_more_than_two() -> None:
    clip = performance(SHARES, 3.0)
    two = clip_flow(clip[[1, 4]], 0, 1, EVERYWHERE).apex
    assert share_of_error(clip_flow(clip, 1, 4, EVERYWHERE).apex, SMILE) < 0.9 * share_of_error(two, SMILE)


def test_a_flicker_of_the_light_does_not_move_the_face() -> None:
    flicker = np.array([1.0, 1.02, 0.98, 1.03, 1.0, 0.97, 1.01, 1.0])[:, None, None, None]
    clip = np.clip(np.rint(performance(0 * SHARES, 1.5) * flicker), 0, 255).astype(np.uint8)
    assert np.linalg.norm(flows_from_onset(clip, 1, EVERYWHERE), axis=-1).mean() < 0.006


def test_brief_motion_of_another_part_keeps_its_own_course() -> None:
    brow, frame = pull(60, 60, 1.5), 6
    also = np.zeros((len(SHARES), 192, 192, 2))
    also[frame] = brow
    motion = flows_from_onset(performance(SHARES, 1.5, also=also), 1, EVERYWHERE)
    assert share_of_error(motion[frame], SHARES[frame] * SMILE + brow) < 0.2
    assert share_of_error(motion[4], SMILE) < 0.15


def test_motion_to_the_next_frame_is_given_where_that_frame_shows_the_skin() -> None:
    clip = np.stack([shifted(face(), share * 2, 0) for share in SHARES])
    wide = np.zeros((192, 192), bool)
    wide[20:170, 20:170] = True
    found = clip_flow(clip, 1, 4, wide)
    np.testing.assert_allclose(np.median(found.frames[:, wide], axis=1)[:, 0], 2 * np.diff(SHARES), atol=0.05)
    assert not found.frames[:, ~wide].any()


@pytest.mark.parametrize("size", [37, 100, 192])
def test_surfaces_of_any_place_and_size(size: int) -> None:
    clip = performance(SHARES, 1.5)[:, :size, :size]
    for rows, columns in ((slice(0, 0), slice(0, 0)), (slice(size - 3, size), slice(0, 2)), (slice(5), slice(None))):
        surface = np.zeros((size, size), bool)
        surface[rows, columns] = True
        motion = flows_from_onset(clip, 1, surface)
        assert motion.shape == (len(SHARES), size, size, 2)
        assert np.isfinite(motion).all()
        assert not motion[:, ~surface].any()


def test_heads_that_move_far_are_followed_roughly() -> None:
    clip, true = [], []
    for share in np.linspace(0, 1, 8):
        matrix = cv2.getRotationMatrix2D((96, 96), 6 * share, 1.0)
        matrix[:, 2] += 8 * share
        clip.append(cv2.warpAffine(face(), matrix, (192, 192), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT))
        places = pixel_grid(192, 192) - 0.5
        true.append(places @ matrix[:, :2].T + matrix[:, 2] - places)
    motion = flows_from(np.asarray(clip, np.uint8), 0)
    away = np.linalg.norm(motion - np.array(true), axis=-1)[:, 40:-40, 40:-40]
    assert np.median(away[-1]) < 0.3
