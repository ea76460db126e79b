"""The face model: its topology and file, its fit to landmarks, and the images that are drawn of it."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from factories import AstronautDetector, acted_points, astronaut, landmarker_points
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from scipy import ndimage

from mvgen.core.camera import Camera, crop_camera, pixel_grid
from mvgen.core.config import file_digest
from mvgen.core.errors import WeightsError
from mvgen.core.records import ClipGeometry, FacePoints
from mvgen.core.settings import load_config
from mvgen.depth.clip_geometry import clip_geometry
from mvgen.faces.crop import crop_frames
from mvgen.faces.face_mesh_topology import MIRROR, OVAL
from mvgen.faces.landmarks import ibug_landmarks
from mvgen.morphable.action_units import FACIAL_ACTIONS, facial_action_weights
from mvgen.morphable.fitting import FaceFit, fit_face, pupils
from mvgen.morphable.model import WEIGHTS, FaceModel, face_model
from mvgen.morphable.rasterise import face_region, fit_image, rasterise, vertex_normals
from mvgen.morphable.topology import EYE_LEFT, EYE_RIGHT, LANDMARKS, LIPS, RING, topology
from mvgen.pipeline.frontal import find_face
from mvgen.pipeline.tools import Tools
from mvgen.scans.imaging.rotation import rotation
from mvgen.training import face_model as making
from mvgen.views.view import make_scene, make_view, render_geometry

Floats = NDArray[np.floating]

SIZE = 256
CAMERA = crop_camera(SIZE)
CAMERAS = {
    "orthographic": CAMERA,
    "far": replace(CAMERA, focal=25 * CAMERA.scale, principal=(SIZE / 2, SIZE / 2)),
    "near": replace(CAMERA, focal=8 * CAMERA.scale, principal=(SIZE / 2, SIZE / 2)),
}
MODEL = face_model()
NEUTRAL = np.zeros(len(MODEL.identity)), np.zeros(len(MODEL.actions))
turns = st.tuples(st.floats(-20, 20), st.floats(-20, 20), st.floats(-20, 20))


def action(name: str) -> int:
    return MODEL.action_names.index(name)


def posed(identity: Floats, actions: Floats, turn: Floats, scale: float = 1.0, shift: Any = (0, 0)) -> Floats:
    """A face of the model (N, 3) in the world, its pupils at depth 0."""
    vertices = scale * MODEL.vertices(identity, actions) @ turn.T
    vertices[:, 2] -= pupils(vertices)[2]
    return np.asarray(vertices + np.array([*shift, 0]))


def person(seed: int) -> tuple[Floats, Floats]:
    """Identity weights, and action weights of which most are 0."""
    rng = np.random.default_rng(seed)
    identity = np.clip(rng.normal(0, 0.8, len(MODEL.identity)), -2, 2)
    return identity, rng.uniform(0, 0.8, len(MODEL.actions)) * (rng.random(len(MODEL.actions)) < 0.1)


def angle(one: Floats, other: Floats) -> float:
    """Degrees between two rotations."""
    return float(np.degrees(np.arccos(np.clip((np.trace(one.T @ other) - 1) / 2, -1, 1))))


def misses(fit: FaceFit, points: Floats, camera: Camera) -> Floats:
    """(T, 468) world units, how far the fit's landmarks are from those that were seen."""
    away = camera.project(fit.vertices[:, :LANDMARKS])[..., :2] - points[..., :2]
    return np.asarray(np.linalg.norm(away, axis=-1) / camera.scale)


# The topology


def test_the_topology_is_one_disk_whose_triangles_all_face_the_same_way() -> None:
    triangles = topology().triangles
    directed = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    assert len(np.unique(directed, axis=0)) == len(directed)  # no edge has two triangles on one side
    edges, uses = np.unique(np.sort(directed, axis=1), axis=0, return_counts=True)
    assert set(uses) == {1, 2}
    border = edges[uses == 1]
    assert len(border) == len(np.unique(border)) == 2 * RING  # one loop, split like all edges
    assert set(border.ravel()) >= set(range(LANDMARKS + RING, LANDMARKS + 2 * RING))
    assert topology().count - len(edges) + len(triangles) == 1  # Euler's number of a disk
    assert np.array_equal(np.unique(triangles), np.arange(topology().count))


def test_the_last_vertices_are_the_middles_of_the_edges() -> None:
    mesh = topology()
    first = mesh.count - len(mesh.edges)
    assert first == LANDMARKS + 2 * RING
    corners = [set(triangle[triangle < first]) for triangle in mesh.triangles]
    of_corner = {
        (min(c), int(middle)) for c, t in zip(corners, mesh.triangles, strict=True) if len(c) == 1
        for middle in t[t >= first]
    }  # fmt: skip
    assert of_corner == {(int(end), first + i) for i, edge in enumerate(mesh.edges) for end in edge}


def test_eyes_and_mouth_are_closed_and_the_mouth_is_known_where_it_opens() -> None:
    mesh = topology()
    first = mesh.count - len(mesh.edges)
    for loop in (EYE_LEFT, EYE_RIGHT, LIPS):
        pairs = {frozenset(pair) for pair in zip(loop, np.roll(loop, -1), strict=True)}
        across = [set(edge) <= set(loop) and frozenset(edge) not in pairs for edge in mesh.edges.tolist()]
        assert sum(across) == len(loop) - 3  # as many diagonals as any polygon has
        if loop is LIPS:
            np.testing.assert_array_equal(mesh.across_mouth, across)
    opening = MODEL.mean[first:][mesh.across_mouth]
    assert np.abs(opening[:, 0]).max() < 0.4
    assert -1.3 < opening[:, 1].min() < opening[:, 1].max() < -0.8


def test_the_face_ends_at_the_oval() -> None:
    mesh = topology()
    inner, outer = mesh.triangles[mesh.in_face], mesh.triangles[~mesh.in_face]
    assert len(outer) == 4 * 4 * RING
    shared = np.intersect1d(inner, outer)
    assert set(OVAL.tolist()) == set(shared[shared < LANDMARKS].tolist())
    assert len(shared) == 2 * RING


def test_triangles_face_the_front_on_the_mean_face() -> None:
    a, b, c = (MODEL.mean[topology().triangles[:, corner]] for corner in range(3))
    area = np.cross(b - a, c - a)[:, 2]
    assert area[area > 0].sum() > 500 * -area[area < 0].sum()  # lids and nostrils fold a little


# The model


def test_the_mean_face_is_its_own_mirror_image_and_of_unit_size() -> None:
    landmarks = MODEL.mean[:LANDMARKS]
    away = np.abs(landmarks[MIRROR] * [-1, 1, 1] - landmarks)
    assert away.mean() < 0.005
    assert away.max() < 0.015  # the people behind it are not symmetric
    eyes = np.stack([MODEL.mean[list(loop)].mean(axis=0) for loop in (EYE_LEFT, EYE_RIGHT)])
    np.testing.assert_allclose(eyes, [[-0.5, 0, 0], [0.5, 0, 0]], atol=0.02)
    nose, chin = landmarks[1], landmarks[152]
    assert 0.3 < nose[2] < 0.7
    assert -2.1 < chin[1] < -1.5


def test_the_shipped_model_is_small_and_has_a_card() -> None:
    assert WEIGHTS.stat().st_size < 2e6
    assert file_digest(WEIGHTS) in WEIGHTS.with_suffix(".md").read_text(encoding="utf-8")
    assert MODEL.mean.shape == (topology().count, 3)
    assert MODEL.depth_bias.shape == (LANDMARKS,)
    assert MODEL.point_deviation.shape == (LANDMARKS, 3)
    spread = np.sqrt(np.square(MODEL.identity).sum(axis=2).mean(axis=1))
    assert (np.diff(spread) <= 0).all()
    assert 0.01 < spread[0] < 0.1


def test_actions_carry_arkit_names_and_every_action_unit_can_be_acted() -> None:
    assert set(MODEL.action_names) <= set(making.ARKIT_ACTIONS)
    assert len(set(MODEL.action_names)) == len(MODEL.action_names) == len(MODEL.actions)
    for unit in FACIAL_ACTIONS:
        assert facial_action_weights((unit,), MODEL.action_names).max() > 0, unit


@pytest.mark.parametrize(
    ("unit", "landmark", "direction"),
    [
        ("1", 107, (0, 1, 0)), ("2", 105, (0, 1, 0)), ("4", 107, (0, -1, 0)), ("5", 159, (0, 1, 0)),
        ("9", 48, (0, 1, 0)), ("10", 37, (0, 1, 0)), ("12", 61, (-1, 1, 0)), ("15", 61, (0, -1, 0)),
        ("16", 84, (0, -1, 0)), ("20", 61, (-1, 0, 0)), ("26", 152, (0, -1, 0)), ("45", 159, (0, -1, 0)),
    ],
)  # fmt: skip
def test_action_units_move_the_face_as_facs_says(unit: str, landmark: int, direction: tuple[int, int, int]) -> None:
    weights = facial_action_weights((unit,), MODEL.action_names)
    moved = MODEL.vertices(NEUTRAL[0], weights) - MODEL.mean
    for point, expected in ((landmark, direction), (MIRROR[landmark], np.array(direction) * [-1, 1, 1])):
        assert moved[point] @ expected > 0.02
    if unit not in ("1", "9", "10", "15", "16", "26"):
        # Of the subject's left, which is to the right in the picture, alone.
        left = MODEL.vertices(NEUTRAL[0], facial_action_weights((f"L{unit}",), MODEL.action_names)) - MODEL.mean
        assert np.linalg.norm(left[MIRROR[landmark]]) > 3 * np.linalg.norm(left[landmark])


def test_a_model_comes_back_from_its_file_in_half_precision(tmp_path: Path) -> None:
    MODEL.save(tmp_path / "model.safetensors")
    assert (tmp_path / "model.safetensors").read_bytes() == WEIGHTS.read_bytes()
    back = FaceModel.load(tmp_path / "model.safetensors")
    assert back.action_names == MODEL.action_names
    np.testing.assert_array_equal(back.identity, MODEL.identity)


def test_a_model_that_is_damaged_or_of_another_kind_is_explained(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"

    def refused(reason: str) -> None:
        with pytest.raises(WeightsError, match=reason) as caught:
            FaceModel.load(path)
        assert str(path) in str(caught.value)
        assert "mvgen make-face-model" in str(caught.value)

    refused("cannot be read")
    path.write_bytes(WEIGHTS.read_bytes()[:-100])
    refused("cannot be read")
    path.write_bytes(b"not a tensor in sight")
    refused("cannot be read")
    tensors = load_file(WEIGHTS)
    names = {"actions": " ".join(MODEL.action_names)}
    for name in tensors:
        save_file({other: value for other, value in tensors.items() if other != name}, path, metadata=names)
        refused("of another kind")
    save_file(tensors | {"mean": tensors["mean"][:-1]}, path, metadata=names)
    refused("of another kind")
    save_file(tensors, path, metadata={"actions": " ".join(MODEL.action_names[1:])})
    refused("of another kind")
    save_file(tensors, path)
    refused("of another kind")


# The fit


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


# The images


@pytest.mark.slow
@settings(max_examples=8, derandomize=True)
@given(seed=st.integers(0, 1000), turn=turns, kind=st.sampled_from(sorted(CAMERAS)))
def test_rasterising_agrees_with_casting_rays(seed: int, turn: tuple[float, float, float], kind: str) -> None:
    from mvgen.render.rays import RayScene

    vertices, camera = posed(*person(seed), rotation(*turn)), CAMERAS[kind]
    drawn = rasterise(camera, vertices, np.column_stack([vertices, np.ones(len(vertices))]))
    hits = RayScene(vertices, topology().triangles).cast(camera, pixel_grid(SIZE, SIZE))
    traced = hits.interpolate(topology().triangles, vertices)
    known = np.isfinite(drawn[..., 0])
    # Rays also hit what is seen from behind, at the outline.
    assert (known & ~hits.hit).sum() < 20
    assert (hits.hit & ~known).sum() < 0.01 * known.sum()
    away = np.linalg.norm(drawn[..., :3] - traced, axis=-1)[known & hits.hit]
    # A lens bends what is interpolated over a triangle in the picture, by less than a hundredth of its size.
    assert np.quantile(away, 0.98) < 0.002
    np.testing.assert_allclose(drawn[known, 3], 1)


def test_a_plane_is_drawn_exactly_and_the_nearer_surface_wins() -> None:
    camera = crop_camera(64)
    square = np.array([[-1.0, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]])
    near, far = square * [0.5, 0.5, 0] + np.array([0, 0, 0.3]), square + np.array([0, 0, -0.5])
    triangles = np.array([[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]])
    vertices = np.concatenate([near, far])
    for order in (triangles, triangles[::-1]):
        x, y, z = np.moveaxis(rasterise(camera, vertices, vertices, order), -1, 0)
        u, v = np.moveaxis(camera.project(np.dstack([x, y, z]))[..., :2], -1, 0)
        known = np.isfinite(z)
        np.testing.assert_allclose(np.stack([u, v], axis=-1)[known], pixel_grid(64, 64)[known], atol=1e-9)
        inner = (np.abs(x) < 0.5) & (np.abs(y) < 0.5)
        np.testing.assert_allclose(z[inner], 0.3)
        np.testing.assert_allclose(z[known & ~inner], -0.5)
        assert inner.sum() == 20**2
        assert known.sum() == 40**2
    assert not np.isfinite(rasterise(camera, vertices, vertices, triangles[:, ::-1])).any()


@settings(max_examples=8, derandomize=True)
@given(seed=st.integers(0, 1000), turn=turns)
def test_a_fit_image_holds_the_depth_and_the_normals_of_the_face(seed: int, turn: tuple[float, float, float]) -> None:
    vertices = posed(*person(seed), rotation(*turn))
    image = fit_image(CAMERA, vertices)
    assert image.shape == (SIZE, SIZE, 4)
    assert image.dtype == np.float32
    known = np.isfinite(image[..., 0])
    assert (np.isfinite(image) == known[..., None]).all()
    drawn = rasterise(CAMERA, vertices, vertices[:, 2:])[..., 0]
    assert np.quantile(np.abs(image[..., 0] - drawn)[known], 0.95) < 0.02  # smoothed a little
    # Normals are those of the depth: one pixel to the right it falls as they lean.
    slope = np.gradient(image[..., 0], 1 / CAMERA.scale)
    flat = ndimage.binary_erosion(known, iterations=4) & (image[..., 3] > 0.6)
    for change, lean, sign in ((slope[1], image[..., 1], -1), (slope[0], image[..., 2], 1)):
        assert np.median(np.abs(change - sign * lean / image[..., 3])[flat]) < 0.06


def test_normals_turn_with_the_face_and_point_outward() -> None:
    normals, turn = vertex_normals(MODEL.mean.astype(np.float64)), rotation(20, -10, 15)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(vertex_normals(MODEL.mean @ turn.T), normals @ turn.T, atol=1e-6)
    outward = MODEL.mean - [0, -0.4, -1.2]
    assert ((normals * outward).sum(axis=1) > 0).mean() > 0.97


@settings(max_examples=10, derandomize=True)
@given(seed=st.integers(0, 1000), turn=turns, size=st.sampled_from([64, 128, 256]))
def test_the_region_of_a_face_is_one_piece_without_holes(
    seed: int, turn: tuple[float, float, float], size: int
) -> None:
    camera = crop_camera(size)
    vertices = posed(*person(seed), rotation(*turn))
    region = face_region(camera, vertices)
    assert region.shape == (size, size)
    assert ndimage.label(region)[1] == 1
    assert not (ndimage.binary_fill_holes(region) & ~region).any()
    assert np.isfinite(fit_image(camera, vertices)[region]).all()
    # It holds the features of the face and ends at its oval.
    landmarks = camera.project(vertices[:LANDMARKS])[:, :2]
    column, row = np.floor(landmarks[[1, 159, 386, 13, 9, 17]]).astype(int).T
    assert region[row, column].all()
    v, u = np.nonzero(region)
    oval = landmarks[OVAL]
    margin = 0.03 * size
    assert u.min() > oval[:, 0].min() - margin
    assert u.max() < oval[:, 0].max() + margin
    assert v.min() > oval[:, 1].min() - margin
    assert v.max() < oval[:, 1].max() + margin


def test_a_face_that_is_not_in_the_picture_has_no_region() -> None:
    assert not face_region(crop_camera(64), MODEL.mean + np.array([50, 0, 0])).any()
    behind = rotation(180, 0, 0)
    assert not face_region(crop_camera(64), MODEL.mean @ behind.T).any()


# A photograph of a real face, from the picture to the view


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


# Making a model


@settings(max_examples=20)
@given(seed=st.integers(0, 1000))
def test_shapes_that_differ_in_pose_and_size_alone_become_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    face = MODEL.mean.astype(np.float64)
    shapes = np.stack(
        [rng.uniform(0.5, 2) * face @ rotation(*rng.uniform(-15, 15, 3)).T + rng.uniform(-1, 1, 3) for _ in range(4)]
    )
    aligned = making.align_shapes(shapes)
    np.testing.assert_allclose(aligned, np.broadcast_to(aligned[0], aligned.shape), atol=1e-6)
    eyes = np.stack([aligned[0, list(loop)].mean(axis=0) for loop in (EYE_LEFT, EYE_RIGHT)])
    assert np.linalg.norm(eyes[1] - eyes[0]) == pytest.approx(1)
    np.testing.assert_allclose(eyes.mean(axis=0), 0, atol=1e-9)


def test_the_error_of_landmarks_is_in_world_units_with_depth_of_any_origin() -> None:
    true = MODEL.mean[:LANDMARKS].astype(np.float64)
    found = CAMERA.project(true) * [1, 1, CAMERA.scale]
    np.testing.assert_allclose(making.landmark_error(found + np.array([0, 0, 77]), true), 0, atol=1e-9)
    off = making.landmark_error(found + np.array([8, -4, 0]), true)
    np.testing.assert_allclose(off, np.broadcast_to([0.1, -0.05, 0], off.shape), atol=1e-9)


@pytest.mark.slow
def test_a_model_is_made_of_rendered_heads(heads: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mvgen.faces.face_mesh import FaceMesh
    from mvgen.training.face_model_card import write_card

    monkeypatch.setattr(making, "_MODELLED", 8)
    monkeypatch.setattr(making, "_TESTED", 4)
    messages: list[str] = []
    made = making.make_face_model({"anny": making.Family(heads, 0.25, 60)}, FaceMesh("cpu"), messages.append)
    assert made.mean.shape == MODEL.mean.shape
    assert set(made.action_names) >= set(MODEL.action_names)
    # Eight heads of one family place the landmarks nearly where many of two do.
    away = np.linalg.norm(made.mean - MODEL.mean, axis=1)
    assert np.median(away) < 0.1
    for name in ("jawOpen", "mouthSmileLeft", "browInnerUp"):
        ours, theirs = made.actions[made.action_names.index(name)], MODEL.actions[action(name)]
        assert (ours * theirs).sum() / np.sqrt(np.square(ours).sum() * np.square(theirs).sum()) > 0.7
    assert messages[0].startswith("anny: 60 people")
    made.save(tmp_path / "face.safetensors")
    card = write_card(made, tmp_path / "face.safetensors").read_text()
    assert file_digest(tmp_path / "face.safetensors") in card
    assert FaceModel.load(tmp_path / "face.safetensors").action_names == made.action_names
