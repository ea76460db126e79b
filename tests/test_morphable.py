"""The face model: its topology, its file, and how it is made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_faces import CAMERA, MODEL, NEUTRAL, action
from safetensors.numpy import load_file, save_file

from mvgen.core.config import file_digest
from mvgen.core.errors import WeightsError
from mvgen.faces.face_mesh_topology import MIRROR, OVAL
from mvgen.morphable.action_units import FACIAL_ACTIONS, facial_action_weights
from mvgen.morphable.model import WEIGHTS, FaceModel
from mvgen.morphable.topology import EYE_LEFT, EYE_RIGHT, LANDMARKS, LIPS, RING, topology
from mvgen.scans.imaging.rotation import rotation
from mvgen.training import face_model as making


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
