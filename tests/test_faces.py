"""Faces: the crop that five points ask for, and finding them in photographs."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from factories import astronaut, noisy_clip
from hypothesis import given
from hypothesis import strategies as st

from mvgen.core.camera import EYE_CENTRE, EYE_DISTANCE
from mvgen.core.errors import ClipError
from mvgen.core.records import FaceTrack, Image
from mvgen.faces.crop import crop_frames, crop_from_points, five_point_template, track_face, transform_points
from mvgen.faces.detection import FaceDetector, Faces


@cache
def detector() -> FaceDetector:
    return FaceDetector("cpu")


@cache
def astronaut_face() -> FaceTrack:
    return track_face(astronaut()[None], 256, detector())


class KnownFaces:
    """A detector that reports the same faces for every frame."""

    def __init__(self, *faces: Faces) -> None:
        self.faces = list(faces)
        self.seen = 0

    def detect(self, image: Image) -> Faces:
        self.seen += 1
        return self.faces[(self.seen - 1) % len(self.faces)]


def face_at(x: float, y: float, eyes: float, confidence: float = 0.99) -> Faces:
    points = five_point_template() * eyes + [x, y]
    box = [x - eyes, y - eyes, x + eyes, y + 2 * eyes]
    return Faces(np.array([box]), np.array([confidence]), points[None])


def together(*faces: Faces) -> Faces:
    return Faces(
        *(np.concatenate([getattr(face, name) for face in faces]) for name in ("boxes", "confidence", "points"))
    )


@given(
    zoom=st.floats(0.1, 10),
    turn=st.floats(-np.pi, np.pi),
    x=st.floats(-500, 500),
    y=st.floats(-500, 500),
    size=st.sampled_from([64, 256, 512]),
)
def test_crop_undoes_any_similarity(zoom: float, turn: float, x: float, y: float, size: int) -> None:
    rotation = zoom * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    points = five_point_template() @ rotation.T + [x, y]
    crop = crop_from_points(points, size)
    expected = five_point_template() * (EYE_DISTANCE * size) + np.array(EYE_CENTRE) * size
    np.testing.assert_allclose(transform_points(crop, points), expected, atol=1e-6 * size)


@given(noise=st.lists(st.floats(-0.1, 0.1), min_size=10, max_size=10))
def test_crop_is_a_similarity_without_reflection_and_of_least_error(noise: list[float]) -> None:
    points = (five_point_template() + np.reshape(noise, (5, 2))) * 40 + 100
    crop = crop_from_points(points, 256)
    assert crop[0, 0] == pytest.approx(crop[1, 1])
    assert crop[0, 1] == pytest.approx(-crop[1, 0])
    assert np.linalg.det(crop[:, :2]) > 0
    goal = five_point_template() * (EYE_DISTANCE * 256) + np.array(EYE_CENTRE) * 256
    least = ((transform_points(crop, points) - goal) ** 2).sum()
    for step in ([[1e-3, 0, 0], [0, 1e-3, 0]], [[0, 1e-3, 0], [-1e-3, 0, 0]], [[0, 0, 0.1], [0, 0, 0]]):
        assert ((transform_points(crop + np.array(step), points) - goal) ** 2).sum() >= least - 1e-9


def test_many_crops_at_once_are_the_crops_one_by_one() -> None:
    points = np.random.default_rng(0).uniform(0, 100, (3, 4, 5, 2))
    crops = crop_from_points(points, 128)
    assert crops.shape == (3, 4, 2, 3)
    np.testing.assert_allclose(crops[2, 1], crop_from_points(points[2, 1], 128))


def test_five_equal_points_are_refused() -> None:
    with pytest.raises(ValueError, match="equal points"):
        crop_from_points(np.ones((5, 2)), 64)


def test_astronaut_is_found_and_her_eyes_land_where_the_crop_puts_them() -> None:
    face = astronaut_face()
    assert face.faces == 1
    assert face.confidence > 0.99
    eyes = face.points[:2]
    assert np.linalg.norm(eyes.mean(axis=0) - np.array(EYE_CENTRE) * 256) < 8
    assert np.linalg.norm(eyes[1] - eyes[0]) == pytest.approx(EYE_DISTANCE * 256, rel=0.1)


def test_grey_face_that_fills_the_picture_is_found() -> None:
    face = astronaut_face()
    left, top = np.floor((np.array([28, 20]) - face.crop[:, 2]) / 2).astype(int)
    tight = astronaut()[top : top + 118, left : left + 100].mean(axis=2).astype(np.uint8)
    found = track_face(np.repeat(tight[None, ..., None], 3, axis=-1), 256, detector())
    own = transform_points(np.linalg.inv(np.vstack([face.crop, [0, 0, 1]]))[:2], face.points) - [left, top]
    back = transform_points(np.linalg.inv(np.vstack([found.crop, [0, 0, 1]]))[:2], found.points)
    assert np.abs(own - back).max() < 4


def test_large_frames_are_shrunk_for_the_detector_only() -> None:
    import cv2

    large = cv2.resize(astronaut(), None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
    found = track_face(np.asarray(large, np.uint8)[None], 256, detector())
    scale = np.hypot(found.crop[0, 0], found.crop[1, 0])
    assert scale == pytest.approx(np.hypot(*astronaut_face().crop[:, 0]) / 3, rel=0.03)


def test_no_face_is_a_clip_error_of_this_stage() -> None:
    with pytest.raises(ClipError, match="no face") as caught:
        track_face(np.full((3, 64, 64, 3), 127, np.uint8), 64, detector())
    assert caught.value.stage == "face"


def test_largest_face_is_taken_and_the_others_are_counted() -> None:
    small, large = face_at(40, 40, 10), face_at(140, 80, 30)
    found = track_face(np.zeros((4, 200, 200, 3), np.uint8), 128, KnownFaces(together(small, large)))
    assert found.faces == 2
    np.testing.assert_allclose(found.crop, crop_from_points(large.points[0], 128))


def test_unsure_faces_do_not_win_by_size() -> None:
    sure, unsure = face_at(40, 40, 10), face_at(140, 80, 30, confidence=0.75)
    found = track_face(np.zeros((1, 200, 200, 3), np.uint8), 128, KnownFaces(together(sure, unsure)))
    np.testing.assert_allclose(found.crop, crop_from_points(sure.points[0], 128))


def test_one_wild_frame_does_not_move_the_crop() -> None:
    steady, wild = face_at(100, 80, 30), face_at(106, 84, 31)
    found = track_face(np.zeros((9, 200, 200, 3), np.uint8), 128, KnownFaces(steady, steady, wild, steady, steady))
    np.testing.assert_allclose(found.crop, crop_from_points(steady.points[0], 128))


def test_crop_carries_pixels_where_its_matrix_says() -> None:
    # A smooth ramp in x and y: its colour is the source position of a crop pixel.
    row, column = np.mgrid[0:200, 0:220]
    ramp = np.stack([column, row, row], axis=-1).astype(np.uint8)
    face = track_face(ramp[None], 128, KnownFaces(face_at(110.37, 90.21, 31.73)))
    crop = crop_frames(ramp[None], face)[0].astype(float)
    v, u = np.mgrid[0:128, 0:128] + 0.5
    source = transform_points(np.linalg.inv(np.vstack([face.crop, [0, 0, 1]]))[:2], np.stack([u, v], axis=-1))
    away = crop[..., :2] + 0.5 - source
    assert np.abs(away[face.inside]).max() < 1.1
    assert np.abs(away[face.inside].mean(axis=0)).max() < 0.02


def test_crop_is_black_beyond_the_picture_and_says_so() -> None:
    white = np.full((2, 60, 60, 3), 255, np.uint8)
    face = track_face(white, 64, KnownFaces(face_at(30, 20, 30)))
    crops = crop_frames(white, face)
    assert 0 < face.inside.mean() < 1
    assert (crops[:, face.inside] == 255).all()
    assert (crops[:, ~face.inside] == 0).all()


def test_shrinking_does_not_alias() -> None:
    checks = ((np.indices((400, 400)).sum(axis=0) % 2) * 255).astype(np.uint8)
    frames = np.repeat(checks[None, ..., None], 3, axis=-1)
    face = track_face(frames, 64, KnownFaces(face_at(200, 160, 100)))
    crop = crop_frames(frames, face)[0].astype(float)
    assert crop[face.inside].std() < 3


@pytest.mark.slow
def test_noise_hardly_moves_the_crop_of_a_clip() -> None:
    still = track_face(noisy_clip(astronaut(), 5, 2.0), 256, detector())
    corners = np.array([[100, 50], [350, 50], [100, 300], [350, 300]])
    moved = transform_points(still.crop, corners) - transform_points(astronaut_face().crop, corners)
    assert np.abs(moved).max() < 0.01 * 256
