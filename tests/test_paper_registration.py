"""Homographies by landmarks, ORB and RANSAC, frame by frame, as the paper has them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from factories import astronaut
from numpy.typing import NDArray

from mvgen.core.camera import pixel_grid
from mvgen.core.records import Image, Registration
from mvgen.motion.paper import register_by_homography
from mvgen.motion.registration import apply

SIDE, FRAMES = 192, 5
FACE = np.linalg.norm(pixel_grid(SIDE, SIDE) - SIDE / 2, axis=-1) < 0.42 * SIDE
NONE = np.zeros((FRAMES, 0, 2))


def shifted(pixels: float) -> Image:
    """(S, S, 3), the photograph moved to the right."""
    cut = np.float32([[1, 0, pixels - 130], [0, 1, -20]])
    return np.asarray(cv2.warpAffine(astronaut(), cut, (SIDE, SIDE), flags=cv2.INTER_CUBIC), np.uint8)


def crops() -> Image:
    return np.stack([shifted(2.0 * index) for index in range(FRAMES)])


def registered(frames: Image, landmarks: NDArray[np.floating] = NONE, least: int = 12) -> Registration:
    return register_by_homography(frames, 0, landmarks, FACE, least)


def test_a_shifted_picture_is_brought_back() -> None:
    found = registered(crops())
    np.testing.assert_allclose(found.length, 2.0 * np.arange(FRAMES), atol=0.25)
    assert not found.applied[0]
    still = apply(crops(), found, np.zeros((SIDE, SIDE)))
    np.testing.assert_array_equal(still[0], crops()[0])
    for before, after in zip(crops()[1:], still[1:], strict=True):
        wanted = crops()[0][FACE].astype(float)
        assert np.abs(after[FACE] - wanted).mean() < 0.4 * np.abs(before[FACE] - wanted).mean()


def test_it_knows_no_pose_and_no_parallax() -> None:
    found = registered(crops())
    assert np.isnan(found.pose).all()
    assert np.isnan(found.degrees)
    assert not found.parallax.any()
    assert found.reasons == ("",) * FRAMES


def test_refused_frames_go_between_their_neighbours() -> None:
    frames = crops()
    frames[2] = 128  # shows nothing that could be matched
    found = registered(frames)
    np.testing.assert_allclose(found.homography[2], found.homography[[1, 3]].mean(axis=0), atol=1e-12)
    assert found.length[2] == pytest.approx(4.0, abs=0.3)


def test_frames_at_the_end_stay_where_the_last_known_one_is() -> None:
    frames = crops()
    frames[3:] = 128
    found = registered(frames)
    np.testing.assert_array_equal(found.homography[3], found.homography[2])
    np.testing.assert_array_equal(found.homography[4], found.homography[2])


def test_without_any_match_nothing_moves() -> None:
    frames = np.full((FRAMES, SIDE, SIDE, 3), 128, np.uint8)
    found = registered(frames)
    np.testing.assert_array_equal(found.homography, np.tile(np.eye(3), (FRAMES, 1, 1)))
    assert not found.applied.any()
    assert not registered(crops(), least=10_000).applied.any()


def test_landmarks_count_as_matches() -> None:
    frames = np.full((FRAMES, SIDE, SIDE, 3), 128, np.uint8)
    base = np.random.default_rng(0).uniform(40, 150, (68, 2))
    landmarks = base + np.arange(FRAMES)[:, None, None] * [1.5, -0.5]
    found = registered(frames, landmarks)
    np.testing.assert_allclose(found.length, np.arange(FRAMES) * np.hypot(1.5, 0.5), atol=1e-3)
