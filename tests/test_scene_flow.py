"""Motion in depth, inferred from the frontal flow of a synthetic performance."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mvgen.core.camera import Camera, crop_camera, pinhole_crop_camera
from mvgen.core.errors import WeightsError
from mvgen.core.records import ClipGeometry, DepthMap
from mvgen.morphable.fitting import FaceFit
from mvgen.morphable.model import face_model
from mvgen.morphable.rasterise import face_region, fit_image, rasterise
from mvgen.motion.flow.methods import ClipFlow
from mvgen.motion.scene_flow import COARSE, WEIGHTS, MotionActions, SceneFlow, motion_actions
from mvgen.motion.surface_motion import clip_surface_motion
from mvgen.scans.imaging.rotation import rotation

Floats = NDArray[np.floating]

SIDE = 128
CAMERAS = {
    "orthographic": crop_camera(SIDE),
    "pinhole": pinhole_crop_camera(SIDE, np.eye(2, 3), 500.0, (64.0, 50.0)),
}


@cache
def fitted(turn: tuple[float, float, float] = (0, 0, 0)) -> FaceFit:
    model, turned = face_model(), rotation(*turn)
    vertices = model.mean.astype(np.float64) @ turned.T
    none = np.zeros(1)
    return FaceFit(vertices[None], none, none[None], turned[None], np.zeros((1, 3)), 1.0, none)


def surface_of(fit: FaceFit, camera: Camera) -> DepthMap:
    depth = np.where(face_region(camera, fit.vertices[0]), fit_image(camera, fit.vertices[0])[..., 0], np.nan)
    return DepthMap(depth.astype(np.float32), np.isfinite(depth).astype(np.float32), camera)


def performed(fit: FaceFit, camera: Camera, action: str, pixels: float = 1.2) -> tuple[Floats, Floats]:
    """Flow (S, S, 2) and motion in depth (S, S), world units, of an action, or of its two sides, of the face model."""
    model = face_model()
    names = (action, f"{action}Left", f"{action}Right")
    parts = [index for index, name in enumerate(model.action_names) if name in names]
    shift = model.actions[parts].sum(axis=0).astype(np.float64) @ fit.rotation[0].T
    shift *= pixels / camera.scale / np.linalg.norm(shift[:468, :2], axis=1).max()
    vertices = fit.vertices[0]
    image = rasterise(camera, vertices, camera.project(vertices + shift) - camera.project(vertices))
    seen = np.isfinite(surface_of(fit, camera).depth)[..., None]
    image = np.where(seen, np.nan_to_num(image), 0)
    return image[..., :2].astype(np.float32), image[..., 2]


@pytest.mark.slow
@pytest.mark.parametrize("kind", CAMERAS)
@pytest.mark.parametrize("turn", [(0, 0, 0), (8, -6, 3)])
@pytest.mark.parametrize(("action", "left"), [("jawOpen", 0.35), ("mouthPucker", 0.4), ("browDown", 0.7)])
def test_depth_of_what_families_agree_about_is_found(
    kind: str, turn: tuple[float, float, float], action: str, left: float
) -> None:
    camera, fit = CAMERAS[kind], fitted(turn)
    flow, true = performed(fit, camera, action)
    (found,) = SceneFlow(fit, surface_of(fit, camera)).depth_motion(flow[None])
    assert found.dtype == np.float32
    assert found.shape == (SIDE, SIDE)
    assert np.square(found - true).sum() < left**2 * np.square(true).sum()


def test_an_opening_jaw_goes_back_and_moves_nothing_above_the_nose() -> None:
    camera, fit = CAMERAS["orthographic"], fitted()
    flow, _ = performed(fit, camera, "jawOpen")
    scene = SceneFlow(fit, surface_of(fit, camera))
    (found,) = scene.depth_motion(flow[None]) * camera.scale
    assert found.min() < -0.5
    assert np.abs(found[: int(camera.centre[1])]).max() < 0.1
    names = motion_actions().names
    assert names[int(scene.weights(flow[None])[0].argmax())].endswith("/jawOpen")


def test_what_goes_undoes_what_came_and_depth_goes_with_the_length_of_the_flow() -> None:
    fit = fitted()
    flow, _ = performed(fit, CAMERAS["orthographic"], "mouthSmile", pixels=2.0)
    scene = SceneFlow(fit, surface_of(fit, CAMERAS["orthographic"]))
    come, gone, double, still = scene.depth_motion(np.stack([flow, -flow, 2 * flow, 0 * flow]), flow)
    np.testing.assert_allclose(gone, -come, atol=1e-6)
    np.testing.assert_allclose(double, 2 * come, atol=0.01 * np.abs(come).max())
    assert not still.any()
    np.testing.assert_array_equal(scene.depth_motion(flow[None])[0], come)


def test_depth_of_noise_stays_small() -> None:
    from scipy.ndimage import gaussian_filter

    camera, fit = CAMERAS["orthographic"], fitted()
    noise = gaussian_filter(np.random.default_rng(3).normal(0, 1, (1, SIDE, SIDE, 2)), (0, 3, 3, 0))
    noise *= 0.05 / noise.std()
    found = SceneFlow(fit, surface_of(fit, camera)).depth_motion(noise) * camera.scale
    assert np.sqrt(np.square(found).mean()) < 0.05


def test_a_face_that_is_not_seen_only_slides() -> None:
    camera, fit = CAMERAS["orthographic"], fitted()
    empty = DepthMap(np.full((SIDE, SIDE), np.nan, np.float32), np.zeros((SIDE, SIDE), np.float32), camera)
    scene = SceneFlow(fit, empty)
    flow = np.ones((2, SIDE, SIDE, 2), np.float32)
    assert not scene.weights(flow).any()
    assert not scene.depth_motion(flow).any()


def test_a_clips_motion_keeps_its_flow_and_gains_the_depth() -> None:
    camera, fit = CAMERAS["orthographic"], fitted()
    surface = surface_of(fit, camera)
    flow, _ = performed(fit, camera, "jawOpen")
    frontal = ClipFlow(np.stack([flow, -0.5 * flow]), flow)
    scene = SceneFlow(fit, surface)
    flows = np.stack([0 * flow, flow, 0.5 * flow])
    motion = clip_surface_motion(frontal, ClipGeometry((surface,)), 1, scene.lift(flows, flow))
    face = np.isfinite(surface.depth)
    depth = np.diff(scene.depth_motion(flows, flow), axis=0)
    assert motion.frames.shape == (2, SIDE, SIDE, 3)
    np.testing.assert_allclose(motion.frames[:, face, 2], depth[:, face], atol=1e-6)
    np.testing.assert_allclose(motion.apex[face, :2], flow[face] * [1, -1] / camera.scale, atol=1e-6)
    np.testing.assert_allclose(motion.apex, motion.frames[0], atol=1e-6)
    rest = np.zeros((1, SIDE, SIDE), np.float32)
    still = clip_surface_motion(
        ClipFlow(np.zeros((0, SIDE, SIDE, 2), np.float32), 0 * flow), ClipGeometry((surface,)), 0, rest
    )
    assert still.frames.shape == (0, SIDE, SIDE, 3)
    assert not still.apex.any()


def test_a_clip_whose_frames_have_surfaces_of_their_own_has_its_depth_from_them() -> None:
    camera, fit = CAMERAS["orthographic"], fitted()
    surface = surface_of(fit, camera)
    flow, _ = performed(fit, camera, "jawOpen")
    frontal = ClipFlow(flow[None], flow)
    plain = clip_surface_motion(frontal, ClipGeometry((surface, surface)), 1)
    lift = SceneFlow(fit, surface).lift(np.stack([0 * flow, flow]), flow)
    np.testing.assert_array_equal(
        clip_surface_motion(frontal, ClipGeometry((surface, surface)), 1, lift).apex, plain.apex
    )


def test_shipped_actions_are_of_both_families_and_small() -> None:
    known = motion_actions()
    assert {name.split("/")[0] for name in known.names} == {"anny", "ict"}
    np.testing.assert_allclose(np.linalg.norm(known.actions, axis=-1).max(axis=1), 1, atol=1e-3)
    assert WEIGHTS.stat().st_size < 400_000


def test_actions_come_back_from_their_file(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    drawn = generator.normal(0, 1, (3, COARSE + 5, 3))
    made = MotionActions.of({"one": (("jawOpen", "tongueOut"), drawn[:2]), "two": (("jawOpen",), drawn[2:])})
    assert made.names == ("one/jawOpen", "two/jawOpen")
    made.save(tmp_path / "actions.safetensors")
    read = MotionActions.load(tmp_path / "actions.safetensors")
    assert read.names == made.names
    np.testing.assert_allclose(read.actions, made.actions, atol=1e-3)


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    (tmp_path / "noise.safetensors").write_bytes(b"noise")
    save_file({"actions": np.zeros((2, 5, 3), np.float16)}, tmp_path / "other.safetensors", {"actions": "a b"})
    for name in ("noise", "other", "missing"):
        with pytest.raises(WeightsError, match=f"{name}.*make-face-model"):
            MotionActions.load(tmp_path / f"{name}.safetensors")
