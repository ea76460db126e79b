"""The face mesh: its tables, and the points that MediaPipe's network finds in a photograph."""

from __future__ import annotations

import re
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from factories import AstronautDetector, astronaut

from mvgen.core import landmarks68 as ibug
from mvgen.core.config import file_digest
from mvgen.core.files import blazeface_weights, face_mesh_weights
from mvgen.core.records import FacePoints, FaceTrack, Image
from mvgen.faces.crop import crop_frames, track_face
from mvgen.faces.face_mesh import INPUT_SIZE, FaceMesh
from mvgen.faces.face_mesh_topology import IBUG, MIRROR, OVAL, POINTS, TRIANGLES
from mvgen.faces.graph_torch import TorchBackend
from mvgen.faces.network_backends import get_backend

SIZE = 256
EYES = 0.3125 * SIZE


@cache
def mesh() -> FaceMesh:
    return FaceMesh("cpu")


@cache
def face() -> FaceTrack:
    return track_face(astronaut()[None], SIZE, AstronautDetector())


@cache
def crops() -> Image:
    """The photograph, and a little moved: (5, S, S, 3). More than go into one batch."""
    one = crop_frames(astronaut()[None], face())[0]
    return np.stack([np.roll(one, shift, axis=(0, 1)) for shift in ((0, 0), (3, 0), (0, 5), (-4, 2), (1, -6))])


@cache
def found() -> FacePoints:
    return mesh().find(crops())


@cache
def inputs() -> np.ndarray:
    """(4, 192, 192, 3) float32, what an backend takes."""
    patch = astronaut()[5 : 5 + INPUT_SIZE, 130 : 130 + INPUT_SIZE] / np.float32(255)
    return np.stack([np.roll(patch, shift, axis=1) for shift in (0, 2, 4, 6)])


def edges() -> Counter[tuple[int, int]]:
    """How many triangles run along an edge in a direction."""
    return Counter((int(a), int(b)) for t in TRIANGLES for a, b in zip(t, np.roll(t, -1), strict=True))


def test_the_mirror_image_of_a_mirror_image_is_the_point_itself() -> None:
    assert np.array_equal(MIRROR[MIRROR], np.arange(POINTS))


def test_points_in_the_middle_of_the_face_are_their_own_mirror_images() -> None:
    middle = [10, 151, 9, 8, 168, 6, 197, 195, 5, 4, 1, 2, 164, 0, 13, 14, 17, 200, 152]
    assert np.array_equal(MIRROR[middle], middle)


def test_the_68_landmarks_and_the_oval_are_symmetric() -> None:
    assert np.array_equal(MIRROR[IBUG], IBUG[ibug.MIRROR])
    assert np.array_equal(MIRROR[OVAL], np.roll(OVAL[::-1], 1))
    assert len(set(IBUG.tolist())) == ibug.COUNT


def test_triangles_make_one_surface_with_holes_for_the_eyes_and_the_mouth() -> None:
    around = edges()
    assert set(around.values()) == {1}  # no edge has two triangles on one side: manifold, all oriented alike
    border = dict(edge for edge in around if edge[::-1] not in around)
    loops = []
    while border:
        start, following = border.popitem()
        loop = [start]
        while following != start:
            loop.append(following)
            following = border.pop(following)
        loops.append(loop)
    assert sorted(map(len, loops)) == [16, 16, 20, 36]
    assert set(max(loops, key=len)) == set(OVAL.tolist())
    undirected = {tuple(sorted(edge)) for edge in around}
    assert POINTS - len(undirected) + len(TRIANGLES) == 1 - 3


def test_triangles_run_counter_clockwise_seen_from_the_front() -> None:
    points = found().points[0] * [1, -1, 1]
    a, b, c = (points[TRIANGLES[:, corner], :2] for corner in range(3))
    area = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
    assert area[area > 0].sum() > 50 * -area[area < 0].sum()  # lids and lips fold a little


def test_the_oval_runs_clockwise_seen_from_the_front() -> None:
    x, y = found().points[0, OVAL, :2].T
    assert (x * np.roll(y, -1) - y * np.roll(x, -1)).sum() > 0  # y down


def test_points_sit_on_the_photographed_face() -> None:
    points = found().points[0, :, :2]
    five = ibug.five_points(points[IBUG])
    away = np.linalg.norm(five - face().points, axis=1) / EYES
    assert away.max() < 0.1, away
    inner, outer = points[[133, 362]], points[[33, 263]]
    for eye, corners in zip(face().points[:2], np.stack([inner, outer], axis=1), strict=True):
        assert corners[:, 0].min() < eye[0] < corners[:, 0].max()


def test_points_move_with_the_face() -> None:
    moved = found().points[1:] - found().points[0]
    shifts = np.array([(0, 3), (5, 0), (2, -4), (-6, 1)], float)
    assert np.abs(np.median(moved[..., :2], axis=1) - shifts).max() < 1.0


def test_depth_is_positive_toward_the_camera_and_as_large_as_a_face() -> None:
    z = found().points[0, :, 2] / EYES
    assert z[1] > z[[33, 263]].max() > z[[234, 454]].max()  # nose, eyes, ears
    assert 0.8 < z[1] - z[[234, 454]].mean() < 2.5


def test_a_mirrored_crop_has_mirrored_points() -> None:
    turned = mesh().find(crops()[:, :, ::-1])
    expected = found().points[:, MIRROR]
    expected[..., 0] = SIZE - expected[..., 0]
    np.testing.assert_allclose(turned.points, expected, atol=1e-3)
    np.testing.assert_allclose(turned.confidence, found().confidence, atol=1e-6)


def test_crops_are_read_alike_alone_and_together() -> None:
    alone = [mesh().find(crop[None]) for crop in crops()]
    np.testing.assert_allclose(np.concatenate([one.points for one in alone]), found().points, atol=1e-3)


def test_points_scale_with_the_crop() -> None:
    import cv2

    large = np.asarray(cv2.resize(crops()[0], (2 * SIZE, 2 * SIZE), interpolation=cv2.INTER_CUBIC), np.uint8)
    assert np.abs(mesh().find(large[None]).points[0] / 2 - found().points[0]).max() < 0.02 * EYES


def test_a_face_is_told_from_none() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1, SIZE, SIZE, 3), dtype=np.uint8)
    assert found().confidence.min() > 0.99
    assert mesh().find(noise).confidence.max() < 0.01


def test_no_crops_have_no_points_and_other_shapes_are_refused() -> None:
    none = mesh().find(np.zeros((0, SIZE, SIZE, 3), np.uint8))
    assert none.points.shape == (0, POINTS, 3)
    assert none.confidence.shape == (0,)
    assert none.points.dtype == none.confidence.dtype == np.float32
    for wrong in (crops()[0], crops()[:, 1:], crops().astype(np.float32)):
        with pytest.raises(ValueError, match="crops are"):
            mesh().find(wrong)


@pytest.mark.slow
def test_torch_reads_the_same_points_as_openvino() -> None:
    weights, cpu = face_mesh_weights(), get_backend(face_mesh_weights(), "cpu")(inputs())
    backend = TorchBackend(weights, "cpu")
    for ours, theirs in zip(backend(inputs()), cpu, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=0.01)
    # On a CPU both may run the very same kernels, which would agree on a wrong number too; float64 shares none of them.
    exact = backend._network.double()(torch.from_numpy(inputs()).double())
    np.testing.assert_allclose(exact[0].numpy(), cpu[0], atol=0.01)
    np.testing.assert_allclose(exact[1].numpy(), cpu[1], atol=0.01)


def test_openvino_does_not_report_to_anybody() -> None:
    mesh()
    assert not hasattr(sys.modules["openvino_telemetry"], "Telemetry")


def test_the_notice_and_the_cards_name_the_files_that_are_shipped() -> None:
    notice = Path(__file__).parents[1] / "NOTICE"
    for weights in (face_mesh_weights(), blazeface_weights()):
        for page in (notice, weights.with_suffix(".md")):
            assert file_digest(weights) in re.findall(r"\b[0-9a-f]{64}\b", page.read_text())
