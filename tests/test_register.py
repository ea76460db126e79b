"""Registration: it finds small head motion, and never makes a clip worse."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
import pytest
from factories import astronaut, mean_landmarks, noisy_clip
from hypothesis import given, settings
from hypothesis import strategies as st

from mvgen.camera import EYE_DISTANCE, pixel_grid
from mvgen.faces.crop import crop_from_points, transform_points
from mvgen.ibug import BROW_LEFT, BROW_RIGHT, MOUTH
from mvgen.records import FaceTrack, Floats, Image, Registration
from mvgen.register import REFERENCE, apply, face_region, leave, register, seen_in_all, transform

SIZE = 192
# Where the eyes, nose and mouth corners of the photograph are.
POINTS = np.array([[205.0, 101.7], [247.9, 103.9], [226.2, 130.2], [202.1, 140.2], [245.9, 142.5]])


@cache
def face() -> FaceTrack:
    crop = crop_from_points(POINTS, SIZE)
    return FaceTrack(crop, SIZE, transform_points(crop, POINTS), 1.0, 1, np.ones((SIZE, SIZE), bool))


@cache
def grid() -> Floats:
    return pixel_grid(SIZE, SIZE)[face_region(face().points, SIZE)]


def crops_of(frames: Image) -> Image:
    from mvgen.faces.crop import crop_frames

    return crop_frames(frames, face())


def head_motion(shift: tuple[float, float], turn: float, zoom: float) -> Floats:
    """Homography in crop pixels: a similarity about the crop's centre."""
    angle, centre = np.radians(turn), np.full(2, SIZE / 2)
    motion = np.eye(3)
    motion[:2, :2] = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    motion[:2, 2] = centre - motion[:2, :2] @ centre + shift
    return motion


def moved_photograph(motion: Floats) -> Image:
    """The photograph with its face moved, warped at the photograph's own resolution, as a camera would see it."""
    to_crop, half = np.vstack([face().crop, [0, 0, 1]]), np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    source = np.linalg.inv(half) @ np.linalg.inv(to_crop) @ motion @ to_crop @ half
    return np.asarray(
        cv2.warpPerspective(astronaut(), source, (512, 512), flags=cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REFLECT),
        np.uint8,
    )


def rms(vectors: Floats) -> float:
    return float(np.sqrt((vectors**2).sum(axis=-1).mean()))


def with_noise(*images: Image, sigma: float) -> Image:
    return np.concatenate([noisy_clip(image, 1, sigma, seed) for seed, image in enumerate(images)])


@settings(max_examples=12, derandomize=True)
@given(
    x=st.floats(-4, 4),
    y=st.floats(-4, 4),
    turn=st.floats(-1.5, 1.5),
    zoom=st.floats(0.99, 1.01),
)
def test_known_head_motion_is_recovered(x: float, y: float, turn: float, zoom: float) -> None:
    motion = head_motion((x, y), turn, zoom)
    found = register(crops_of(with_noise(astronaut(), moved_photograph(motion), sigma=1.0)), 0, face().points)
    left = rms(transform(found.homography[1] @ motion, grid()) - grid())
    assert left < 0.1
    if found.applied[1]:
        assert found.residual[1] < 0.5
        assert found.inliers[1] >= 12
    else:
        assert rms(transform(motion, grid()) - grid()) < 0.1


@pytest.mark.parametrize("sigma", [0.0, 2.0, 5.0])
def test_still_clip_is_left_still(sigma: float) -> None:
    found = register(crops_of(noisy_clip(astronaut(), 5, sigma)), 0, face().points)
    false_motion = [rms(transform(homography, grid()) - grid()) for homography in found.homography]
    assert max(false_motion) <= 0.03
    assert all(found.reasons)


def test_frames_left_alone_come_back_bit_for_bit_and_moved_ones_agree_better() -> None:
    crops = crops_of(with_noise(astronaut(), astronaut(), moved_photograph(head_motion((3, -2), 0, 1)), sigma=1.0))
    found = register(crops, 0, face().points)
    moved = apply(crops, found)
    assert found.applied.tolist() == [False, False, True]
    assert found.reasons[0] == REFERENCE
    np.testing.assert_array_equal(moved[:2], crops[:2])
    region = face_region(face().points, SIZE)
    before, after = (np.abs(frame.astype(float) - crops[0])[region].mean() for frame in (crops[2], moved[2]))
    assert after < 0.4 * before


def test_local_expression_is_not_taken_for_head_motion() -> None:
    # The mouth corners are pulled by two pixels; the head does not move.
    crop = crops_of(astronaut()[None])[0]
    where = pixel_grid(SIZE, SIZE)
    pull = np.zeros_like(where)
    for corner in face().points[3:]:
        pull[..., 1] += 2.0 * np.exp(-(((where - corner) / 10) ** 2).sum(axis=-1))
    at = (where + pull - 0.5).astype(np.float32)
    smiling = np.asarray(cv2.remap(crop, at, np.empty(0), cv2.INTER_CUBIC), np.uint8)
    found = register(np.stack([crop, smiling]), 0, face().points)
    assert rms(transform(found.homography[1], grid()) - grid()) < 0.1


def pulled(crop: Image, part: slice, generator: np.random.Generator) -> Image:
    """A crop with one part of the face pulled by one to two pixels somewhere, and the skin around it with it."""
    where, reach = pixel_grid(SIZE, SIZE), 0.2 * EYE_DISTANCE * SIZE
    near = np.max([np.exp(-(((where - at) / reach) ** 2).sum(axis=-1)) for at in mean_landmarks(SIZE)[part]], axis=0)
    angle = generator.uniform(0, 2 * np.pi)
    pull = near[..., None] * generator.uniform(1, 2) * np.array([np.cos(angle), np.sin(angle)])
    return np.asarray(cv2.remap(crop, (where - pull - 0.5).astype(np.float32), np.empty(0), cv2.INTER_CUBIC), np.uint8)


@cache
def errors_with_expressions(landmarks: bool, refine: bool) -> float:
    """Mean error of the head's motion over acted brows, lids, lips and chin, pixels."""
    motion = head_motion((2, -1), 0.5, 1)
    crop, moved = crops_of(with_noise(astronaut(), moved_photograph(motion), sigma=1.0))
    errors = []
    for seed, part in enumerate((BROW_LEFT, BROW_RIGHT, MOUTH, slice(17, 27), slice(36, 48), MOUTH)):
        crops = np.stack([crop, pulled(moved, part, np.random.default_rng(seed))])
        known = mean_landmarks(SIZE) if landmarks else None
        found = register(crops, 0, face().points, landmarks=known, refine=refine)
        errors.append(rms(transform(found.homography[1] @ motion, grid()) - grid()))
    return float(np.mean(errors))


def test_with_landmarks_expressions_disturb_matched_points_less() -> None:
    assert errors_with_expressions(True, False) < 0.75 * errors_with_expressions(False, False)


@pytest.mark.parametrize("landmarks", [False, True])
def test_expressions_disturb_a_refined_registration_less(landmarks: bool) -> None:
    assert errors_with_expressions(landmarks, True) < 0.75 * errors_with_expressions(landmarks, False)


def test_where_too_little_of_the_face_is_rigid_all_of_it_is_searched() -> None:
    crops = crops_of(with_noise(astronaut(), moved_photograph(head_motion((3, 0), 0, 1)), sigma=1.0))
    # Landmarks that make an expression of the whole face.
    everywhere = (mean_landmarks(SIZE) - SIZE / 2) * 3 + SIZE / 2
    found = register(crops, 0, face().points, landmarks=everywhere)
    np.testing.assert_array_equal(found.homography, register(crops, 0, face().points).homography)
    assert found.applied[1]


def test_any_frame_may_be_the_reference() -> None:
    motion = head_motion((2, 1), 0, 1)
    crops = crops_of(with_noise(astronaut(), moved_photograph(motion), sigma=0.5))
    found = register(crops, 1, face().points)
    assert found.reasons[1] == REFERENCE
    assert rms(transform(found.homography[0], grid()) - transform(motion, grid())) < 0.1


def test_faceless_frames_keep_the_identity_with_the_reason() -> None:
    flat = np.full((2, SIZE, SIZE, 3), 90, np.uint8)
    found = register(flat, 0, face().points)
    assert not found.applied.any()
    assert "needed" in found.reasons[1]


def test_unrelated_picture_keeps_the_identity() -> None:
    other = np.random.default_rng(0).integers(0, 255, (SIZE, SIZE, 3)).astype(np.uint8)
    found = register(np.stack([crops_of(astronaut()[None])[0], other]), 0, face().points)
    assert not found.applied[1]
    assert found.reasons[1]


def test_more_inliers_than_there_are_keeps_the_identity() -> None:
    crops = crops_of(with_noise(astronaut(), moved_photograph(head_motion((3, 0), 0, 1)), sigma=1.0))
    found = register(crops, 0, face().points, min_inliers=5000)
    assert not found.applied.any()
    assert "5000 needed" in found.reasons[1]


def test_registration_is_the_same_every_time() -> None:
    crops = crops_of(with_noise(astronaut(), moved_photograph(head_motion((1, 2), 0.5, 1)), sigma=2.0))
    first, second = (register(crops, 0, face().points) for _ in range(2))
    np.testing.assert_array_equal(first.homography, second.homography)


def test_pixels_that_a_moved_frame_does_not_cover_are_not_seen_in_all() -> None:
    motion = np.tile(np.eye(3), (2, 1, 1))
    motion[1, 0, 2] = 5.0  # frame 1 is moved five pixels to the right
    registration = Registration(motion, np.zeros(2, int), np.zeros(2), np.array([False, True]), ("", ""))
    seen = seen_in_all(np.ones((32, 32), bool), registration)
    assert not seen[:, :5].any()
    assert seen[:, 5:].all()


def test_left_registration_moves_nothing() -> None:
    crops = np.random.default_rng(0).integers(0, 255, (3, 16, 16, 3)).astype(np.uint8)
    np.testing.assert_array_equal(apply(crops, leave(3, "off")), crops)
