"""The second face detector: what its network's numbers mean, and finding the face of a photograph."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from factories import AstronautDetector, astronaut

from mvgen.core.config import FaceConfig
from mvgen.core.files import blazeface_weights
from mvgen.core.records import Image
from mvgen.faces.blazeface import BlazeFace, anchors, merged
from mvgen.faces.crop import track_face
from mvgen.faces.detection import Faces
from mvgen.faces.detectors import get_detector
from mvgen.faces.face_mesh import FaceMesh
from mvgen.faces.graph_torch import TorchBackend
from mvgen.faces.landmarks import find_landmarks
from mvgen.faces.network_backends import get_backend

EYES = 43.0  # pixels between the photograph's eyes


@cache
def detector() -> BlazeFace:
    return BlazeFace("cpu")


def found(image: Image) -> Faces:
    faces = detector().detect(np.ascontiguousarray(image))
    assert len(faces.boxes) == len(faces.points) == len(faces.confidence)
    return faces


def test_the_anchors_are_the_centres_of_two_grids() -> None:
    places = anchors()
    assert places.shape == (896, 2)
    np.testing.assert_allclose(places[:4], np.array([[0.5, 0.5], [0.5, 0.5], [1.5, 0.5], [1.5, 0.5]]) / 16)
    np.testing.assert_allclose(places[-1], [7.5 / 8, 7.5 / 8])
    np.testing.assert_allclose(places.mean(axis=0), 0.5)


def test_boxes_of_one_face_become_their_weighted_mean() -> None:
    one, near, other = ([[x, 0.0], [x + 1, 1.0], [x + 0.5, 0.5]] for x in (0.0, 0.2, 5.0))
    faces, confidence = merged(np.array([near, other, one]), np.array([0.3, 0.6, 0.9]))
    np.testing.assert_allclose(confidence, [0.9, 0.6])
    np.testing.assert_allclose(faces[0], np.add(one, [0.05, 0]))
    np.testing.assert_allclose(faces[1], other)
    none, scores = merged(np.zeros((0, 3, 2)), np.zeros(0))
    assert none.shape == (0, 3, 2)
    assert scores.shape == (0,)


def test_the_photographs_face_is_found_where_it_is() -> None:
    faces, known = found(astronaut()), AstronautDetector().detect(astronaut())
    assert len(faces.boxes) == 1
    assert faces.confidence[0] > 0.9
    assert np.linalg.norm(faces.points - known.points, axis=-1).max() < 0.25 * EYES
    left, top, right, bottom = faces.boxes[0]
    assert ((faces.points[0] > [left, top]) & (faces.points[0] < [right, bottom])).all()


@pytest.mark.parametrize("border", [(0, 100), (150, 0)])
def test_pictures_that_are_not_square_keep_their_pixels(border: tuple[int, int]) -> None:
    padded = np.pad(astronaut(), ((0, border[0]), (0, border[1]), (0, 0)))
    np.testing.assert_allclose(found(padded).points, found(astronaut()).points, atol=0.1 * EYES)


def test_a_mirrored_picture_has_the_eye_at_image_left_first() -> None:
    turned = found(astronaut()[:, ::-1]).points[0]
    assert turned[0, 0] < turned[1, 0]
    assert turned[3, 0] < turned[4, 0]


def test_nothing_is_found_where_there_is_no_face() -> None:
    rng = np.random.default_rng(0)
    for image in (rng.integers(0, 256, (96, 128, 3), np.uint8), np.zeros((1, 300, 3), np.uint8)):
        assert found(image).boxes.shape == (0, 4)
        assert found(image).points.shape == (0, 5, 2)


def test_torch_gives_the_same_as_openvino() -> None:
    picture = np.random.default_rng(0).random((1, 128, 128, 3), np.float32) * 2 - 1
    backend = TorchBackend(blazeface_weights(), "cpu")
    for ours, theirs in zip(backend(picture), get_backend(blazeface_weights(), "cpu")(picture), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-3)


@pytest.mark.slow
def test_the_landmarks_give_the_same_crop_from_either_detector() -> None:
    mesh, crops = FaceMesh("cpu"), []
    for name in ("mtcnn", "blazeface"):
        face = track_face(astronaut()[None], 256, get_detector(name, "cpu"))
        crops.append(find_landmarks(astronaut()[None], face, mesh, 0).crop)
    np.testing.assert_allclose(crops[0][:, :2], crops[1][:, :2], rtol=0.05, atol=0.05)
    assert type(get_detector(FaceConfig().detector, "cpu")).__name__ == "FaceDetector"
