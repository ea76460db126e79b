"""The course of an expression: how far each frame is on it, and what all of them tell of its two ends."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
import pytest
from factories import astronaut, noisy_clip

from mvgen.camera import pixel_grid
from mvgen.course import expression_course, expression_ends
from mvgen.flow import clip_flow
from mvgen.records import Floats, Image

SIZE, ONSET, APEX = 160, 1, 4
SHARES = np.array([0.0, 0.0, 0.3, 0.7, 1.0, 0.6, 0.2, 0.0])
SURFACE = np.ones((SIZE, SIZE), bool)


@cache
def face() -> Image:
    return np.ascontiguousarray(astronaut()[40:200, 145:305])


def pull(x: float, y: float, pixels: float) -> Floats:
    """(S, S, 2), skin that is lifted around a place."""
    away = (pixel_grid(SIZE, SIZE) - [x, y]) / 22
    return np.exp(-(away**2).sum(axis=-1))[..., None] * np.array([0.2, -1.0]) * pixels


SMILE = pull(80, 100, 1.2)


def shown(motion: Floats) -> Image:
    at = (pixel_grid(SIZE, SIZE) - motion - 0.5).astype(np.float32)
    return np.asarray(cv2.remap(face(), at, np.empty(0), cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE), np.uint8)


@cache
def clip(sigma: float) -> Image:
    """(T, S, S, 3) uint8, lips that are lifted as far as SHARES say."""
    return np.concatenate([noisy_clip(shown(share * SMILE), 1, sigma, seed) for seed, share in enumerate(SHARES)])


@pytest.mark.parametrize("sigma", [0.0, 1.5])
def test_frames_are_as_far_on_the_course_as_the_face_has_moved(sigma: float) -> None:
    course = expression_course(clip(sigma), ONSET, APEX, SURFACE)
    np.testing.assert_allclose(course.share, SHARES, atol=0.1)
    assert course.pure.all()


def test_a_frame_that_shows_another_expression_does_not_count() -> None:
    frowning = clip(1.5).copy()
    frowning[6] = noisy_clip(shown(pull(60, 45, 1.5)), 1, 1.5, seed=9)[0]
    course = expression_course(frowning, ONSET, APEX, SURFACE)
    assert course.pure.tolist() == [True] * 6 + [False, True]
    ends = expression_ends(frowning, ONSET, APEX, SURFACE)
    without = expression_ends(np.delete(frowning, 6, axis=0), ONSET, APEX, SURFACE)
    for one, other in zip(ends, without, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_flicker_of_the_light_is_not_a_change_of_the_face() -> None:
    brighter = clip(0.0).astype(np.float32) + 10 * (np.arange(len(SHARES)) % 2)[:, None, None, None]
    course = expression_course(np.clip(brighter, 0, 255).astype(np.uint8), ONSET, APEX, SURFACE)
    np.testing.assert_allclose(course.share, SHARES, atol=0.1)


def test_ends_are_nearer_to_the_clean_frames_than_the_frames_are() -> None:
    ends = expression_ends(clip(3.0), ONSET, APEX, SURFACE)
    # Three frames show the onset, but one shows the apex.
    for end, frame, share in zip(ends, (ONSET, APEX), (0.5, 0.95), strict=True):
        clean = clip(0.0)[frame].astype(np.float32)
        assert np.square(end - clean).mean() < share * np.square(clip(3.0)[frame] - clean).mean()


def test_motion_to_the_apex_is_nearer_to_the_truth_with_all_frames_than_with_two() -> None:
    two = clip_flow(clip(2.0)[[ONSET, APEX]], 0, 1, SURFACE).apex
    all_of_them = clip_flow(clip(2.0), ONSET, APEX, SURFACE).apex
    errors = [np.linalg.norm(motion - SMILE, axis=-1).mean() for motion in (all_of_them, two)]
    assert errors[0] < 0.9 * errors[1]


def test_with_two_frames_or_no_surface_the_ends_are_the_frames() -> None:
    frames = clip(1.5)
    for colour, onset, apex, surface in (
        (frames[[ONSET, APEX]], 0, 1, SURFACE),
        (frames, ONSET, APEX, np.zeros((SIZE, SIZE), bool)),
    ):
        first, last = expression_ends(colour, onset, apex, surface)
        np.testing.assert_array_equal(first, colour[onset])
        np.testing.assert_array_equal(last, colour[apex])


def test_a_clip_in_which_nothing_happens_has_ends() -> None:
    still = np.repeat(face()[None], 5, axis=0)
    first, last = expression_ends(still, 0, 3, SURFACE)
    np.testing.assert_array_equal(first, face())
    np.testing.assert_array_equal(last, face())
