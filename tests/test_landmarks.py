"""Landmarks: their mirror images, the places they name, and the crops they ask for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from crops import crop_by_landmarks
from factories import EllipsoidEstimator, astronaut, mean_landmarks
from hypothesis import given
from hypothesis import strategies as st

from mvgen.camera import EYE_CENTRE, EYE_DISTANCE
from mvgen.faces.crop import crop_from_points, five_point_template, transform_points
from mvgen.faces.landmarks import find_landmarks, settle_landmarks
from mvgen.ibug import COUNT, MIRROR, REGIONS, five_points, region_mask
from mvgen.records import FacePrediction, FaceTrack, Floats, Image

SIZE = 192
POINTS = np.array([[205.0, 101.7], [247.9, 103.9], [226.2, 130.2], [202.1, 140.2], [245.9, 142.5]])


def face(points: Floats = POINTS) -> FaceTrack:
    crop = crop_from_points(points, SIZE)
    return FaceTrack(crop, SIZE, transform_points(crop, points), 1.0, 1, np.ones((SIZE, SIZE), bool))


class KnowingLandmarker:
    """Knows where the landmarks of the photograph are, whatever the crop."""

    def __init__(self, truth: FaceTrack, noise: float = 0.0) -> None:
        self.source = source_pixels(truth, mean_landmarks(SIZE))
        self.noise = noise
        self.face = truth

    def predict(self, crops: Image) -> FacePrediction:
        seen = EllipsoidEstimator().predict(crops)
        landmarks = transform_points(self.face.crop, self.source)
        wobble = np.random.default_rng(0).normal(0, self.noise, seen.landmarks.shape)
        return seen._replace(landmarks=(landmarks + wobble).astype(np.float32))


def source_pixels(track: FaceTrack, points: Floats) -> Floats:
    return (points - track.crop[:, 2]) @ np.linalg.inv(track.crop[:, :2]).T


def test_the_mirror_image_of_a_mirror_image_is_the_face() -> None:
    np.testing.assert_array_equal(MIRROR[MIRROR], np.arange(COUNT))
    assert sorted(MIRROR.tolist()) == list(range(COUNT))
    # In the middle of the face: chin, bridge and tip of the nose, its base, and four points of the lips.
    np.testing.assert_array_equal(np.flatnonzero(np.arange(COUNT) == MIRROR), [8, 27, 28, 29, 30, 33, 51, 57, 62, 66])


def test_a_symmetric_face_is_its_own_mirror_image() -> None:
    landmarks = mean_landmarks(SIZE)
    turned = landmarks[MIRROR] * [-1, 1] + [SIZE, 0]
    assert np.abs(turned - landmarks).max() < 1e-3


def test_regions_are_all_the_landmarks_and_mirror_each_other() -> None:
    members = [index for part in REGIONS.values() for index in range(COUNT)[part]]
    assert members == list(range(COUNT))
    for name, part in REGIONS.items():
        other = name.replace("left", "x").replace("right", "left").replace("x", "right")
        assert sorted(MIRROR[part]) == list(range(COUNT))[REGIONS[other]]


@given(turn=st.floats(-np.pi, np.pi), zoom=st.floats(0.1, 10), x=st.floats(-100, 100), y=st.floats(-100, 100))
def test_five_points_of_landmarks_move_with_them_and_are_a_detectors(
    turn: float, zoom: float, x: float, y: float
) -> None:
    linear = zoom * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    landmarks = mean_landmarks(SIZE).astype(float)
    moved = five_points(landmarks @ linear.T + [x, y])
    np.testing.assert_allclose(moved, five_points(landmarks) @ linear.T + [x, y], atol=1e-6 * SIZE * zoom)
    world = (five_points(landmarks) / SIZE - EYE_CENTRE) / EYE_DISTANCE
    assert np.abs(world - five_point_template())[:3].max() < 0.07
    assert np.abs(world[:2] - five_point_template()[:2]).max() < 0.02


def test_blinking_leaves_the_pupils_where_they_are() -> None:
    landmarks = mean_landmarks(SIZE)
    closed = landmarks.copy()
    closed[[37, 38, 43, 44]] = closed[[41, 40, 47, 46]]
    np.testing.assert_array_equal(five_points(closed), five_points(landmarks))


def test_a_region_covers_its_landmarks_and_grows_by_the_margin() -> None:
    landmarks = mean_landmarks(SIZE)
    mouth = region_mask(landmarks, SIZE, ("mouth",), 0.0)
    column, row = landmarks[REGIONS["mouth"]].mean(axis=0).astype(int)
    assert mouth[row, column]
    eye_column, eye_row = landmarks[REGIONS["eye left"]].mean(axis=0).astype(int)
    assert not mouth[eye_row, eye_column]
    wide = region_mask(landmarks, SIZE, ("mouth",), 0.1)
    pixels = round(0.1 * EYE_DISTANCE * SIZE)
    rows, wide_rows = (np.flatnonzero(mask.any(axis=1)) for mask in (mouth, wide))
    assert (rows[0] - wide_rows[0], wide_rows[-1] - rows[-1]) == (pixels, pixels)
    both = region_mask(landmarks, SIZE, ("mouth", "eye left"), 0.0)
    assert both.sum() == mouth.sum() + region_mask(landmarks, SIZE, ("eye left",), 0.0).sum()


def test_landmarks_are_the_median_over_the_frames_looked_at() -> None:
    frames = np.repeat(astronaut()[None], 9, axis=0)
    found = find_landmarks(frames, face(), KnowingLandmarker(face(), noise=1.0))
    assert found.landmarks is not None
    assert found.visible is not None
    # Five frames with a deviation of one pixel each.
    assert 0.2 < np.abs(found.landmarks - mean_landmarks(SIZE)).mean() < 0.6
    assert found.visible.tolist() == [1.0] * COUNT
    np.testing.assert_array_equal(found.crop, face().crop)


def test_landmarks_settle_where_the_registered_frames_have_them() -> None:
    seen = EllipsoidEstimator().predict(np.zeros((3, SIZE, SIZE, 3), np.uint8))
    drifted = replace(face(), landmarks=mean_landmarks(SIZE) + 2.0, visible=np.ones(COUNT))
    settled = settle_landmarks(drifted, seen)
    np.testing.assert_array_equal(settled.landmarks, mean_landmarks(SIZE))
    assert settle_landmarks(face(), seen).landmarks is None


class ConfusedLandmarker(EllipsoidEstimator):
    """Landmarks of a face that is `zoom` times as large, or a single point."""

    def __init__(self, zoom: float) -> None:
        super().__init__()
        self.zoom = zoom

    def predict(self, crops: Image) -> FacePrediction:
        seen = super().predict(crops)
        centre = np.float32(crops.shape[1] / 2)
        return seen._replace(landmarks=(seen.landmarks - centre) * np.float32(self.zoom) + centre)


@pytest.mark.parametrize("zoom", [0.0, 0.5, 2.0])
def test_landmarks_of_something_else_are_left_out(zoom: float) -> None:
    assert find_landmarks(astronaut()[None], face(), ConfusedLandmarker(zoom)).landmarks is None


def test_landmarks_bring_a_crop_that_is_a_little_off_back() -> None:
    frames = astronaut()[None]
    wanted = crop_by_landmarks(find_landmarks(frames, face(), KnowingLandmarker(face())), 512, 512)
    for seed in range(5):
        off = face(POINTS + np.random.default_rng(seed).normal(0, 1.5, POINTS.shape))
        landmarker = KnowingLandmarker(face())
        landmarker.face = off
        again = crop_by_landmarks(find_landmarks(frames, off, landmarker), 512, 512)
        np.testing.assert_allclose(again.crop, wanted.crop, atol=1e-3)
        np.testing.assert_allclose(again.points, wanted.points, atol=1e-3)
        assert again.landmarks is not None
        np.testing.assert_allclose(
            source_pixels(again, again.landmarks), source_pixels(off, transform_points(off.crop, landmarker.source)),
            atol=1e-3,
        )  # fmt: skip


def test_a_face_without_landmarks_keeps_its_crop() -> None:
    assert crop_by_landmarks(face(), 512, 512) is not None
    np.testing.assert_array_equal(crop_by_landmarks(face(), 512, 512).crop, face().crop)
