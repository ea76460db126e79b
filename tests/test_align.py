"""Rigid motion of a head from all pixels of its face: exact, blind to expressions, honest about its noise."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from factories import astronaut, head_depth, mean_landmarks, noisy_clip
from hypothesis import given, settings
from hypothesis import strategies as st

from mvgen.align import Aligner, HeadMotion
from mvgen.camera import EYE_DISTANCE, crop_camera, pixel_grid
from mvgen.faces.crop import crop_from_points, transform_points
from mvgen.ibug import EXPRESSIVE, MOUTH, region_mask
from mvgen.records import Floats, Image, Mask, Registration
from mvgen.register import apply, face_region, register, transform

SIZE = 160
POINTS = np.array([[205.0, 101.7], [247.9, 103.9], [226.2, 130.2], [202.1, 140.2], [245.9, 142.5]])
GRID = pixel_grid(SIZE, SIZE)


@cache
def crop() -> Image:
    """(S, S) uint8, the photograph's face as a build cuts it out."""
    matrix = crop_from_points(POINTS, SIZE)
    matrix[:, 2] += matrix[:, :2] @ [0.5, 0.5] - 0.5
    grey = cv2.cvtColor(astronaut(), cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.warpAffine(grey, matrix, (SIZE, SIZE), flags=cv2.INTER_CUBIC), np.uint8)


@cache
def depth() -> Floats:
    return np.asarray(head_depth(crop_camera(SIZE)).depth, np.float64)


@cache
def face() -> Mask:
    """Skin that no expression moves, on the head."""
    return (head_depth(crop_camera(SIZE)).confidence > 0.5) & ~region_mask(mean_landmarks(SIZE), SIZE, EXPRESSIVE, 0.2)


def moved(image: Image, way: Floats) -> Image:
    """The image with what is at pixel p moved to p + way(p); the way is smooth."""
    back = np.zeros_like(GRID)
    for _ in range(6):
        at = (GRID + back - 0.5).astype(np.float32)
        back = -np.stack([cv2.remap(way[..., axis], at[..., 0], at[..., 1], cv2.INTER_LINEAR) for axis in (0, 1)], -1)
    at = (GRID + back - 0.5).astype(np.float32)
    return np.asarray(
        cv2.remap(image, at[..., 0], at[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE), np.uint8
    )


def head_way(shift: tuple[float, float], turn: float, parallax: tuple[float, float]) -> Floats:
    """(S, S, 2), where a head's pixels go: shifted, rolled by degrees about the crop's centre, and turned."""
    angle, away = np.radians(turn), GRID - SIZE / 2
    rolled = away @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]) - away
    return np.asarray(rolled + shift + depth()[..., None] * parallax)


def found_way(motion: HeadMotion) -> Floats:
    return np.asarray(GRID @ motion.matrix[:, :2].T + motion.matrix[:, 2] + depth()[..., None] * motion.parallax - GRID)


def error(motion: HeadMotion | None, way: Floats) -> float:
    assert motion is not None
    return float(np.sqrt(((found_way(motion) - way)[face()] ** 2).sum(axis=-1).mean()))


def noisy(image: Image, sigma: float, seed: int) -> Image:
    return noisy_clip(image, 1, sigma, seed)[0]


@settings(max_examples=12, derandomize=True, deadline=None)
@given(
    x=st.floats(-2, 2),
    y=st.floats(-2, 2),
    turn=st.floats(-1, 1),
    right=st.floats(-0.8, 0.8),
    up=st.floats(-0.8, 0.8),
)
def test_shift_roll_and_turn_of_a_head_are_found(x: float, y: float, turn: float, right: float, up: float) -> None:
    way = head_way((x, y), turn, (right, up))
    frame = noisy(moved(crop(), way), 1.0, 1)
    assert error(Aligner(noisy(crop(), 1.0, 0), face(), depth()).find(frame), way) < 0.06


def test_a_turn_needs_depth_to_be_seen() -> None:
    way = head_way((0.3, 0), 0, (0.8, 0))
    frame = moved(crop(), way)
    with_depth, without = (error(Aligner(crop(), face(), known).find(frame), way) for known in (depth(), None))
    assert with_depth < 0.4 * without


def test_an_expression_does_not_move_the_head() -> None:
    reach = 0.25 * EYE_DISTANCE * SIZE
    near = np.max([np.exp(-(((GRID - at) / reach) ** 2).sum(axis=-1)) for at in mean_landmarks(SIZE)[MOUTH]], axis=0)
    smile = near[..., None] * [0.5, -2.0]
    still = np.zeros_like(GRID)
    assert error(Aligner(crop(), face(), depth()).find(moved(crop(), smile)), still) < 0.05


def test_a_change_of_light_does_not_move_the_head() -> None:
    way = head_way((0.4, -0.2), 0, (0, 0))
    darker = np.rint(0.85 * moved(crop(), way) + 6).astype(np.uint8)
    assert error(Aligner(crop(), face(), depth()).find(darker), way) < 0.05


def test_noise_moves_a_still_head_by_no_more_than_it_is_said_to() -> None:
    still = np.zeros_like(GRID)
    for sigma in (2.0, 5.0):
        aligner = Aligner(noisy(crop(), sigma, 0), face(), depth())
        motions = [aligner.find(noisy(crop(), sigma, seed)) for seed in range(1, 7)]
        errors = np.array([error(motion, still) for motion in motions])
        said = np.array([motion.uncertainty for motion in motions if motion])
        assert (errors < 3 * said).all()
        assert said.max() < 0.05 * sigma


def test_a_start_far_away_is_needed_for_large_motion_only() -> None:
    way = head_way((7.0, -5.0), 0, (0, 0))
    start = np.array([[1.0, 0, 6.5], [0, 1.0, -5.4]])
    assert error(Aligner(crop(), face(), depth()).find(moved(crop(), way), start), way) < 0.05


def test_a_face_without_texture_says_nothing() -> None:
    flat = np.full((SIZE, SIZE), 90, np.uint8)
    assert Aligner(flat, np.zeros((SIZE, SIZE), bool), depth()).find(flat) is None
    other = np.random.default_rng(0).integers(0, 255, (SIZE, SIZE)).astype(np.uint8)
    far = np.array([[1.0, 0, SIZE], [0, 1.0, 0]])
    assert Aligner(crop(), face(), depth()).find(other, far) is None


def clip(*frames: Image) -> Image:
    """(T, S, S, 3) uint8 with the noise of a sensor."""
    return np.stack([np.repeat(noisy(frame, 1.5, seed)[..., None], 3, axis=-1) for seed, frame in enumerate(frames)])


def registered(frames: Image, refine: bool, known: Floats | None = None, seconds: Floats | None = None) -> Registration:
    points = transform_points(crop_from_points(POINTS, SIZE), POINTS)
    return register(frames, 0, points, landmarks=mean_landmarks(SIZE), refine=refine, depth=known, seconds=seconds)


def left_over(registration: Registration, index: int, way: Floats) -> float:
    """RMS over the skin that is looked at of what a registration leaves of a head's motion."""
    there = transform(np.linalg.inv(registration.homography[index]), GRID)
    if registration.parallax is not None:
        there = there + depth()[..., None] * registration.parallax[index]
    where = face() & face_region(transform_points(crop_from_points(POINTS, SIZE), POINTS), SIZE)
    return float(np.sqrt(((there - GRID - way)[where] ** 2).sum(axis=-1).mean()))


def test_refinement_leaves_less_of_a_heads_motion_than_matched_points_do() -> None:
    ways = [head_way((0.1, 0.05), 0, (0, 0)), head_way((0.5, -0.3), 0.2, (0.5, -0.3)), head_way((2, 1), 0.5, (-0.6, 0))]
    frames = clip(crop(), *(moved(crop(), way) for way in ways))
    plain, refined = registered(frames, refine=False), registered(frames, refine=True, known=depth())
    errors = [[left_over(one, index, way) for index, way in enumerate(ways, start=1)] for one in (plain, refined)]
    assert np.mean(errors[1]) < 0.7 * np.mean(errors[0])
    assert max(errors[1]) < 0.08
    assert refined.applied[1:].all()


def test_frames_are_brought_back_by_the_parallax_too() -> None:
    way = head_way((0.5, 0), 0, (0.8, 0))
    frames = clip(crop(), moved(crop(), way))
    found = registered(frames, refine=True, known=depth())
    region = face() & face_region(transform_points(crop_from_points(POINTS, SIZE), POINTS), SIZE)
    difference = [
        np.abs(cv2.GaussianBlur(one.astype(np.float32) - frames[0], (0, 0), 1.5))[region].mean()
        for one in (frames[1], apply(frames, found)[1], apply(frames, found, depth())[1])
    ]
    assert difference[2] < 0.8 * difference[1] < 0.8 * difference[0]


def test_still_heads_stay_where_they_are_whatever_is_known_of_them() -> None:
    frames = clip(*[crop()] * 5)
    for known in (None, depth()):
        found = registered(frames, refine=True, known=known)
        assert not found.applied.any()
        assert all(found.reasons)


def test_an_expression_that_moves_the_whole_face_is_told_from_the_head_by_its_course() -> None:
    seconds = np.arange(9) / 30
    strength = np.sin(np.pi * seconds / seconds[-1]) ** 2
    lifted = np.exp(-(((GRID - SIZE * np.array([0.5, 0.4])) / (0.6 * EYE_DISTANCE * SIZE)) ** 2).sum(axis=-1))
    ways = [head_way((4 * second, -2 * second), 0, (0, 0)) for second in seconds]
    expressions = [share * lifted[..., None] * [0.0, -1.2] for share in strength]
    frames = clip(*(moved(crop(), way + expression) for way, expression in zip(ways, expressions, strict=True)))
    alone, path = (registered(frames, refine=True, known=depth(), seconds=times) for times in (None, seconds))
    errors = [left_over(one, 4, ways[4]) for one in (alone, path)]
    assert errors[1] < 0.5 * errors[0]
    assert errors[1] < 0.12
    assert path.applied[1:].all()
