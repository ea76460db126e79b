"""The fit of the face model to landmarks, of its own faces and of a photograph."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from factories import AstronautDetector, acted_points, astronaut, landmarker_points
from hypothesis import given, settings
from hypothesis import strategies as st
from model_faces import CAMERA, CAMERAS, MODEL, NEUTRAL, SIZE, action, angle, misses, person, posed, turns

from mvgen.core.camera import crop_camera
from mvgen.core.records import ClipGeometry, FacePoints
from mvgen.core.settings import load_config
from mvgen.depth.clip_geometry import clip_geometry
from mvgen.faces.crop import crop_frames
from mvgen.faces.landmarks import ibug_landmarks
from mvgen.morphable.fitting import FaceFit, fit_face, pupils
from mvgen.morphable.rasterise import vertex_normals
from mvgen.morphable.topology import LANDMARKS, topology
from mvgen.pipeline.frontal import find_face
from mvgen.pipeline.tools import Tools
from mvgen.scans.imaging.rotation import rotation
from mvgen.views.view import make_scene, make_view, render_geometry


@pytest.mark.parametrize("kind", CAMERAS)
@settings(max_examples=8, derandomize=True)
@given(
    seed=st.integers(0, 1000),
    turn=turns,
    scale=st.floats(0.85, 1.15),
    shift=st.tuples(st.floats(-0.2, 0.2), st.floats(-0.2, 0.2)),
)
def test_a_face_of_the_model_is_found_again(
    kind: str, seed: int, turn: tuple[float, float, float], scale: float, shift: tuple[float, float]
) -> None:
    camera, held = CAMERAS[kind], rotation(*turn)
    true = posed(*person(seed), held, scale, shift)
    points = landmarker_points(true[None], camera)
    fit = fit_face(points, camera, MODEL)
    assert fit.residual[0] < 0.02
    assert misses(fit, points, camera).mean() < 0.03
    assert angle(fit.rotation[0], held) < 2.5
    assert fit.scale == pytest.approx(scale, rel=0.04)
    assert np.abs(fit.vertices[0] - true).mean() < 0.03
    assert pupils(fit.vertices[0])[2] == pytest.approx(0, abs=1e-9)
    assert 0 <= fit.actions.min() <= fit.actions.max() <= 1


def test_a_fit_is_its_own_pose_of_its_own_person() -> None:
    points = landmarker_points(np.stack([posed(*person(seed), rotation(8, -5, 4)) for seed in (1, 2)]), CAMERA)
    fit = fit_face(points, CAMERA, MODEL)
    assert fit.vertices.shape == (2, topology().count, 3)
    for frame in range(2):
        shape = MODEL.vertices(fit.identity, fit.actions[frame])
        np.testing.assert_allclose(
            fit.vertices[frame], fit.scale * shape @ fit.rotation[frame].T + fit.shift[frame], atol=1e-9
        )
        np.testing.assert_allclose(fit.rotation[frame] @ fit.rotation[frame].T, np.eye(3), atol=1e-9)
        assert np.linalg.det(fit.rotation[frame]) == pytest.approx(1)
    np.testing.assert_allclose(fit.residual, np.median(misses(fit, points, CAMERA), axis=1))


def test_frames_share_the_person_and_tell_more_of_it_together() -> None:
    identity, _ = person(5)
    rng = np.random.default_rng(0)
    turned = [posed(identity, NEUTRAL[1], rotation(yaw, 0, 0)) for yaw in (-15, -9, -3, 3, 9, 15)]
    points = landmarker_points(np.stack(turned), CAMERA)
    noisy = points + rng.normal(0, 2, points.shape)
    shape = MODEL.vertices(identity, NEUTRAL[1])

    def wrong(fit: FaceFit) -> float:
        return float(np.abs(fit.scale * MODEL.vertices(fit.identity, NEUTRAL[1]) - shape).mean())

    together = fit_face(noisy, CAMERA, MODEL)
    alone = [fit_face(one[None], CAMERA, MODEL) for one in noisy]
    assert together.identity.shape == (len(MODEL.identity),)
    assert wrong(together) < np.mean([wrong(one) for one in alone])
    yaws = [np.degrees(np.arctan2(turn[0, 2], turn[2, 2])) for turn in together.rotation]
    np.testing.assert_allclose(yaws, [-15, -9, -3, 3, 9, 15], atol=2)


@settings(max_examples=5, derandomize=True)
@given(seed=st.integers(0, 1000))
def test_wrong_landmarks_do_not_pull(seed: int) -> None:
    rng = np.random.default_rng(seed)
    true = posed(*person(seed), rotation(*rng.uniform(-12, 12, 3)))
    points = landmarker_points(true[None], CAMERA)
    wrong = points.copy()
    far = rng.choice(LANDMARKS, LANDMARKS // 10, replace=False)
    angles = rng.uniform(0, 2 * np.pi, len(far))
    wrong[0, far, :2] += rng.uniform(25, 60, (len(far), 1)) * np.column_stack([np.cos(angles), np.sin(angles)])
    right, fit = (fit_face(one, CAMERA, MODEL) for one in (points, wrong))
    assert angle(fit.rotation[0], right.rotation[0]) < 0.3
    assert np.abs(fit.vertices - right.vertices).max() < 0.02


def test_the_origin_of_the_landmarkers_depth_does_not_matter_and_a_shifted_face_is_a_shifted_fit() -> None:
    points = landmarker_points(posed(*person(3), rotation(10, 5, -5))[None], CAMERA)
    fit = fit_face(points, CAMERA, MODEL)
    moved = fit_face(points + np.float32([8, -4, 500]), CAMERA, MODEL)
    np.testing.assert_allclose(moved.rotation, fit.rotation, atol=1e-4)
    np.testing.assert_allclose(
        moved.vertices - fit.vertices, np.broadcast_to([8 / CAMERA.scale, 4 / CAMERA.scale, 0], fit.vertices.shape),
        atol=1e-3,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["jawOpen", "mouthSmileLeft", "mouthPucker", "eyeBlinkRight"])
def test_what_a_face_does_is_found_in_its_landmarks(name: str) -> None:
    weights = np.zeros((2, len(MODEL.actions)))
    weights[1, action(name)] = 0.7
    fit = fit_face(acted_points(weights, CAMERA), CAMERA, MODEL)
    change = fit.actions[1] - fit.actions[0]
    # The prior shrinks it, and actions that look alike share it.
    assert change.argmax() == action(name)
    assert 0.2 < change.max() < 0.8


def test_a_picture_of_half_the_size_has_the_same_fit() -> None:
    true = posed(*person(7), rotation(-9, 4, 2))[None]
    small = crop_camera(SIZE // 2)
    one, other = (fit_face(landmarker_points(true, camera), camera, MODEL) for camera in (CAMERA, small))
    np.testing.assert_allclose(one.vertices, other.vertices, atol=1e-3)


@cache
def tools() -> Tools:
    """The real tools; the face's box alone is known."""
    return replace(Tools.load(load_config(None, {"run": {"device": "cpu"}})), detector=AstronautDetector())


@cache
def photographed() -> tuple[Any, FacePoints, FaceFit, Any]:
    """Crops, points, fit and surface of the astronaut."""
    config = load_config(None, {"camera": {"size": SIZE}})
    frames = astronaut()[None]
    crops = crop_frames(frames, find_face(frames, 0, config.camera, tools()))
    points = tools().landmarker.find(crops)
    surfaces, fits = clip_geometry(crops, points, CAMERA, "clip", 1.0, MODEL, tools().estimator)
    return crops, points, fits.at_onset, surfaces.at_onset


@pytest.mark.slow
def test_a_real_face_is_fitted_closely() -> None:
    _, points, fit, surface = photographed()
    assert fit.residual[0] < 0.03
    assert np.quantile(misses(fit, points.points, CAMERA), 0.9) < 0.08
    assert 0.9 < fit.scale < 1.15
    assert angle(fit.rotation[0], np.eye(3)) < 8
    assert np.abs(fit.identity).max() < 3
    smile = fit.actions[0, [action("mouthSmileLeft"), action("mouthSmileRight")]]
    assert smile.min() > 0.1
    assert 0.3 < np.isfinite(surface.depth).mean() < 0.6


@pytest.mark.slow
@pytest.mark.parametrize("yaw", [-20.0, 20.0])
def test_landmarks_sit_where_the_fit_has_them_in_a_view_from_the_side(yaw: float) -> None:
    crops, points, fit, surface = photographed()
    config = load_config(None, {"camera": {"size": SIZE, "angles": "-20,20"}})
    nowhere = np.zeros((SIZE, SIZE), np.float32)
    inside = np.ones((SIZE, SIZE), bool)
    scene = make_scene(crops, 0, inside, ibug_landmarks(points)[0], nowhere, ClipGeometry((surface,)))
    view = make_view(scene, render_geometry(scene, yaw, 0.0, config.render, tools().renderer), config, with_flow=False)
    seen = tools().landmarker.find(view.colour)
    camera = CAMERA.at(yaw)
    away = np.linalg.norm(seen.points[0, :, :2] - camera.project(fit.vertices[0, :LANDMARKS])[:, :2], axis=1)
    facing = vertex_normals(fit.vertices[0])[:LANDMARKS] @ camera.rotation[2] > 0.3
    assert seen.confidence[0] > 0.9
    assert np.median(away[facing]) < 0.05 * camera.scale
    assert np.quantile(away[facing], 0.9) < 0.1 * camera.scale
    # When the camera moves to the right, the head appears to turn to the left.
    turned = fit_face(seen.points, CAMERA, MODEL).rotation[0]
    assert angle(turned, camera.rotation @ fit.rotation[0]) < 5
