"""Landmarks: their mirror images, the places they name, and the crops they ask for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from factories import MeanLandmarker, astronaut, mean_landmarks, mean_points
from hypothesis import given
from hypothesis import strategies as st

from mvgen.core.camera import EYE_CENTRE, EYE_DISTANCE, crop_camera
from mvgen.core.errors import ClipError
from mvgen.core.landmarks68 import COUNT, MIRROR, REGIONS, five_points, region_mask
from mvgen.core.records import DepthMap, FacePoints, FaceTrack, Floats, Image
from mvgen.faces.crop import crop_from_points, five_point_template, transform_points
from mvgen.faces.face_mesh_topology import IBUG
from mvgen.faces.landmarks import find_landmarks
from mvgen.morphable.fitting import fit_face
from mvgen.morphable.model import face_model
from mvgen.pipeline.frontal import settle_landmarks
from mvgen.scans.imaging.rotation import rotation

SIZE = 192
MEAN = mean_points(SIZE)[IBUG, :2].astype(float)
POINTS = np.array([[205.0, 101.7], [247.9, 103.9], [226.2, 130.2], [202.1, 140.2], [245.9, 142.5]])


def face(points: Floats = POINTS) -> FaceTrack:
    crop = crop_from_points(points, SIZE)
    return FaceTrack(crop, SIZE, transform_points(crop, points), 1.0, 1, np.ones((SIZE, SIZE), bool))


class KnowingLandmarker:
    """Knows where the points are in the photograph, whatever the crop: a mean face in the crop of `truth`."""

    def __init__(self, truth: FaceTrack, noise: float = 0.0, confidence: float = 1.0) -> None:
        self.source = source_pixels(truth, mean_points(SIZE)[:, :2])
        self.noise = noise
        self.confidence = confidence
        self.crop = truth.crop

    def find(self, crops: Image) -> FacePoints:
        found = MeanLandmarker().find(crops)
        points = found.points.copy()
        points[..., :2] = transform_points(self.crop, self.source)
        points += np.random.default_rng(0).normal(0, self.noise, points.shape)
        return FacePoints(points, np.full(len(crops), self.confidence, np.float32))


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


def test_landmarks_are_the_median_over_the_frames_used() -> None:
    frames = np.repeat(astronaut()[None], 9, axis=0)
    found = find_landmarks(frames, face(), KnowingLandmarker(face(), noise=1.0))
    away = source_pixels(found, found.landmarks) - source_pixels(face(), MEAN)
    # Three frames with a deviation of one pixel of the crop each.
    assert 0.4 < np.abs(away).mean() * np.hypot(*face().crop[:, 0]) < 0.7
    assert np.abs(found.crop - face().crop).max() < 3


def test_landmarks_settle_where_the_registered_frames_have_them_and_are_seen_where_they_face_the_camera() -> None:
    camera = crop_camera(SIZE)
    points = MeanLandmarker().find(np.zeros((3, SIZE, SIZE, 3), np.uint8))
    fit = fit_face(points.points[:1], camera, face_model())
    sure = np.ones((SIZE, SIZE), np.float32)
    drifted = replace(face(), landmarks=MEAN + 2.0)
    settled = settle_landmarks(drifted, points, fit, DepthMap(sure, sure, camera))
    np.testing.assert_array_equal(settled.landmarks, MEAN)
    assert (settled.visible[17:] == 1).all()  # all but the jaw, which turns away
    assert settled.visible.min() < 0.5
    aside = replace(fit, vertices=fit.vertices @ rotation(60, 0, 0).T)
    seen = settle_landmarks(drifted, points, aside, DepthMap(sure, sure, camera)).visible
    # The nose turns to image right: the cheek at image left stays, the other goes.
    assert seen[REGIONS["eye left"]].mean() > 0.9
    assert seen[REGIONS["eye right"]].mean() < 0.5
    covered = sure.copy()
    covered[:, SIZE // 2 :] = 0
    hidden = settle_landmarks(drifted, points, fit, DepthMap(sure, covered, camera)).visible
    np.testing.assert_array_equal(hidden > 0, (settled.visible > 0) & (MEAN[:, 0] < SIZE // 2))


@pytest.mark.parametrize("zoom", [0.0, 0.5, 2.0])
def test_landmarks_of_something_else_are_a_clip_error(zoom: float) -> None:
    landmarker = KnowingLandmarker(face())
    middle = landmarker.source.mean(axis=0)
    landmarker.source = zoom * (landmarker.source - middle) + middle
    with pytest.raises(ClipError, match="not on the face") as caught:
        find_landmarks(astronaut()[None], face(), landmarker)
    assert caught.value.stage == "face"


def test_what_the_landmarker_does_not_take_for_a_face_is_a_clip_error() -> None:
    with pytest.raises(ClipError, match="the landmarker does not") as caught:
        find_landmarks(astronaut()[None], face(), KnowingLandmarker(face(), confidence=0.2))
    assert caught.value.stage == "face"


def test_landmarks_bring_a_crop_that_is_a_little_off_back() -> None:
    frames = astronaut()[None]
    wanted = find_landmarks(frames, face(), KnowingLandmarker(face()))
    np.testing.assert_allclose(wanted.crop, face().crop, atol=1e-3)
    for seed in range(5):
        off = face(POINTS + np.random.default_rng(seed).normal(0, 1.5, POINTS.shape))
        landmarker = KnowingLandmarker(face())
        landmarker.crop = off.crop
        again = find_landmarks(frames, off, landmarker)
        np.testing.assert_allclose(again.crop, wanted.crop, atol=1e-3)
        np.testing.assert_allclose(again.points, wanted.points, atol=1e-3)
        np.testing.assert_allclose(source_pixels(again, again.landmarks), landmarker.source[IBUG], atol=1e-3)
        np.testing.assert_allclose(again.points, five_points(again.landmarks), atol=1e-9)
