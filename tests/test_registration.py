"""Registration along the head's path, on a photograph that is moved like a head."""

from __future__ import annotations

from functools import cache
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
import pytest
from factories import AstronautDetector, acted_points, astronaut, mean_points
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from mvgen.core.camera import crop_camera, pixel_grid
from mvgen.core.errors import ClipError
from mvgen.core.records import Clip, FaceFit, Frame, Image, Registration
from mvgen.faces.crop import crop_frames, track_face
from mvgen.morphable.fitting import fit_face
from mvgen.morphable.model import face_model
from mvgen.morphable.rasterise import face_region, rasterise
from mvgen.motion.head_motion import HeadFitter, plane_parallax, rotation_matrix
from mvgen.motion.registration import apply, leave, only_usable, register, seen_in_all, usable_span
from mvgen.pipeline.frontal import depth_everywhere

pytestmark = pytest.mark.slow

Floats = NDArray[np.floating]

SIDE, FRAMES, ONSET = 256, 24, 3
CAMERA, MODEL = crop_camera(SIDE), face_model()
# Shift in pixels, rotation in radians, logarithm of the scale, at the end of the path.
FAR = {
    "shift": (5.0, -3.0, 0, 0, 0, 0),
    "turn": (0, 0, 0.03, 0.07, 0, 0),
    "roll": (0, 0, 0, 0, 0.05, 0),
    "scale": (0, 0, 0, 0, 0, 0.03),
    "all": (3.0, 2.0, -0.03, 0.05, 0.03, -0.02),
}
poses = st.tuples(*(st.floats(-reach, reach) for reach in (8.0, 8.0, 0.25, 0.25, 0.25, 0.1))).map(np.array)


@cache
def photograph() -> Image:
    """(S, S, 3), the face of the photograph in its crop."""
    track = track_face(astronaut()[None], SIDE, AstronautDetector(), 0)
    return np.asarray(crop_frames(astronaut()[None], track)[0])


@cache
def fitted() -> FaceFit:
    return fit_face(mean_points(SIDE)[None], CAMERA, MODEL)


@cache
def depth() -> Floats:
    return depth_everywhere(CAMERA, fitted())


@cache
def face() -> NDArray[np.bool_]:
    return face_region(CAMERA, fitted().vertices[0])


def moved_to(pose: Floats, at: Floats, deep: Floats) -> Floats:
    """Where a frame shows the onset frame's pixels `at` (..., 2), which are `deep` (...)."""
    homography, parallax = plane_parallax(pose, CAMERA)
    return np.asarray(at @ homography[:2, :2].T + homography[:2, 2] + deep[..., None] * parallax)


def sampled(image: NDArray[np.generic], at: Floats) -> NDArray[np.generic]:
    where = (at - 0.5).astype(np.float32)
    return cv2.remap(image, where[..., 0], where[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def filmed(pose: Floats, picture: Image | None = None) -> Image:
    """(S, S, 3), the photograph's head moved by a pose."""
    there = pixel_grid(SIDE, SIDE)
    here = there.copy()
    for _ in range(20):  # the pixel of the photograph that is seen there
        deep = np.asarray(sampled(depth().astype(np.float32), here), np.float64)
        here += there - moved_to(pose, here, deep)
    return np.asarray(sampled(photograph() if picture is None else picture, here), np.uint8)


def path(far: tuple[float, ...] | Floats, frames: int = FRAMES) -> Floats:
    """(T, 6), a smooth path that is zero in the onset frame."""
    strength = np.sin(np.linspace(-0.5, 2.2, frames))
    return np.outer((strength - strength[ONSET]) / np.ptp(strength), far)


def with_noise(frames: Image | list[Image], sigma: float = 1.0) -> Image:
    noise = np.random.default_rng(0).normal(0, sigma, np.shape(frames))
    return np.clip(np.asarray(frames) + noise, 0, 255).round().astype(np.uint8)


def registered(crops: Image, onset: int = ONSET) -> Registration:
    return register(crops, onset, fitted(), depth(), CAMERA)


def miss(found: Registration, true: Floats) -> Floats:
    """(T,), mean distance in the face between where frames are read and where they show the onset frame, pixels."""
    at, deep = pixel_grid(SIDE, SIDE)[face()], depth()[face()]
    errors = []
    for matrix, shift, pose in zip(found.homography, found.parallax, true, strict=True):
        read = at @ matrix[:2, :2].T + matrix[:2, 2] + deep[:, None] * shift
        errors.append(np.linalg.norm(read - moved_to(pose, at, deep), axis=1).mean())
    return np.array(errors)


# Where a pose shows the onset frame


@given(poses)
def test_a_pose_moves_pixels_as_it_moves_the_head_in_space(pose: Floats) -> None:
    points = np.random.default_rng(1).uniform(-0.8, 0.8, (50, 3))
    pixels = CAMERA.project(points)
    turned = np.exp(pose[5]) * points @ rotation_matrix(pose[2:5]).T
    wanted = CAMERA.project(turned)[:, :2] + pose[:2]
    np.testing.assert_allclose(moved_to(pose, pixels[:, :2], pixels[:, 2]), wanted, atol=1e-9)


@given(poses)
def test_a_turn_keeps_lengths_and_the_way_back_undoes_it(pose: Floats) -> None:
    matrix = rotation_matrix(pose[2:5])
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(matrix) == pytest.approx(1)
    np.testing.assert_allclose(rotation_matrix(-pose[2:5]) @ matrix, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(matrix @ pose[2:5], pose[2:5], atol=1e-12)


@given(poses)
def test_the_fitter_moves_a_face_where_its_pixels_are_read(pose: Floats) -> None:
    fitter = fitter_of_the_face()
    deep = fitter._points[:, 2]
    read = moved_to(pose, fitter.places, deep)
    np.testing.assert_allclose(fitter.places + fitter.motion(pose), read, atol=1e-9)


@cache
def fitter_of_the_face() -> HeadFitter:
    return HeadFitter(fitted(), depth(), CAMERA)


def test_a_head_at_rest_is_read_where_it_is() -> None:
    homography, parallax = plane_parallax(np.zeros(6), CAMERA)
    np.testing.assert_array_equal(homography, np.eye(3))
    np.testing.assert_array_equal(parallax, [0, 0])
    assert rotation_matrix(np.radians([0, 20, 0]))[0, 2] > 0  # a positive turn about y brings what is near to the right


# Still heads


def test_a_still_clip_comes_back_bit_for_bit() -> None:
    crops = with_noise([photograph()] * FRAMES, 2.0)
    found = registered(crops)
    assert not found.applied.any()
    assert found.reasons == ("",) * FRAMES
    assert found.degrees == 0
    np.testing.assert_array_equal(apply(crops, found, depth()), crops)


def test_the_smile_of_a_still_head_leaves_the_head_still() -> None:
    weights = np.zeros((1, len(MODEL.actions)))
    weights[:, [MODEL.action_names.index(f"mouthSmile{side}") for side in ("Left", "Right")]] = 0.4
    base = acted_points(np.zeros_like(weights), CAMERA)[0, :, :2]
    smile = acted_points(weights, CAMERA)[0, :, :2] - base
    vertices = fitted().vertices[0]
    skin = np.zeros((len(vertices), 2))
    skin[:468] = smile
    dense = np.nan_to_num(rasterise(CAMERA, vertices, skin))
    dense = np.stack([cv2.GaussianBlur(dense[..., axis], (0, 0), 3) for axis in (0, 1)], axis=-1)
    assert np.linalg.norm(dense, axis=-1).max() > 2
    strength = np.exp(-(((np.arange(FRAMES) - 14) / 4) ** 2))
    crops = [np.asarray(sampled(photograph(), pixel_grid(SIDE, SIDE) - share * dense), np.uint8) for share in strength]
    assert miss(registered(with_noise(crops)), np.zeros((FRAMES, 6))).max() < 0.15


# Heads that move


@pytest.mark.parametrize("kind", FAR)
def test_a_known_motion_of_the_head_is_found_and_taken_out(kind: str) -> None:
    true = path(FAR[kind])
    crops = with_noise([filmed(pose) for pose in true])
    found = registered(crops)
    assert found.reasons == ("",) * FRAMES
    assert miss(found, true).max() < 0.1
    assert found.degrees == pytest.approx(np.degrees(np.linalg.norm(true[:, 2:5], axis=1).max()), abs=0.3)
    still = apply(crops, found, depth())
    inner = cv2.erode(face().astype(np.uint8), np.ones((9, 9), np.uint8)).astype(bool)
    before, after = (
        np.abs(cut[:, inner].astype(float) - crops[ONSET, inner]).mean(axis=(1, 2)).max() for cut in (crops, still)
    )
    assert after < 2.0 < before  # the noise of two frames makes 1.1


def test_one_hidden_frame_amid_good_ones_goes_the_way_of_its_neighbours() -> None:
    true = path(FAR["all"])
    crops = with_noise([filmed(pose) for pose in true])
    crops[12] = np.random.default_rng(5).integers(0, 256, crops[12].shape)
    found = registered(crops)
    assert miss(found, true).max() < 0.1
    bend = np.abs(np.diff(found.pose[:, :2], n=2, axis=0)).max()
    assert bend < 0.2
    assert usable_span(found, ONSET) == slice(0, FRAMES)


# Frames that are left out


def clip(frames: int, onset: int = ONSET, apex: int | None = None) -> Clip:
    return Clip(
        dataset="demo",
        subject="s1",
        subject_key="1",
        name="clip",
        emotion="none",
        label=None,
        onset=100 + onset,
        apex=None if apex is None else 100 + apex,
        offset=100 + frames - 1,
        fps=30.0,
        directory=PurePosixPath("s1/clip"),
        frames=tuple(Frame(Path(f"{100 + n}.jpg"), 100 + n, f"{100 + n}.jpg") for n in range(frames)),
        licence="CC0-1.0",
        redistribution="open",
    )


def cut_clip() -> Image:
    """A clip whose frames from the 14th on show something else."""
    crops = with_noise([filmed(pose) for pose in path(FAR["shift"])])
    crops[14:] = cv2.resize(np.ascontiguousarray(astronaut()[230:, :280]), (SIDE, SIDE))
    return crops


def test_frames_after_a_cut_are_left_out() -> None:
    found = registered(cut_clip())
    span = usable_span(found, ONSET)
    assert span == slice(0, 14)
    assert miss(found.part(span), path(FAR["shift"])[span]).max() < 0.15
    kept = only_usable(clip(FRAMES, apex=10), span, found)
    assert [frame.number for frame in kept.frames] == list(range(100, 114))
    assert kept.notes == ("10 of 24 frames cannot be registered and are left out, 100 to 113 stay: the face is hidden",)
    assert kept.position(kept.offset, 0) == 13


def turning() -> Floats:
    """(T, 6), a still head that then turns by 20 degrees."""
    poses = np.zeros((FRAMES, 6))
    poses[ONSET:, 3] = np.radians(np.linspace(0, -20, FRAMES - ONSET))
    return poses


def test_a_head_that_turns_far_ends_the_span() -> None:
    true = turning()
    found = registered(with_noise([filmed(pose) for pose in true]))
    span, farther = usable_span(found, ONSET), np.abs(true[:, 3]) > np.radians(15)
    assert span.start == 0
    assert abs(span.stop - int(np.flatnonzero(farther)[0])) <= 1
    assert miss(found, true)[span].max() < 0.5
    assert set(found.reasons[span.stop :]) == {"the head turns too far"}
    assert found.degrees == pytest.approx(20, abs=4)


def reasons(text: str) -> Registration:
    """A registration that has no reason against the frames marked with a dot."""
    words = tuple("" if mark == "." else "the head turns too far" for mark in text)
    return Registration(**{**{name: getattr(leave(len(text)), name) for name in leave(1).__slots__}, "reasons": words})


@pytest.mark.parametrize(
    ("marks", "onset", "span"),
    [
        ("......", 0, (0, 6)),
        ("...xx.", 0, (0, 6)),  # a short gap
        ("...xxxxxx.", 0, (0, 3)),  # a long one
        ("....xx", 0, (0, 4)),
        ("xx....", 3, (2, 6)),
        (".xxxxxx...xx", 8, (7, 10)),
        ("xxxxxx", 2, (2, 3)),  # the onset frame lies on itself
    ],
)
def test_the_span_reaches_over_short_gaps_only(marks: str, onset: int, span: tuple[int, int]) -> None:
    assert usable_span(reasons(marks), onset) == slice(*span)


def test_an_apex_outside_the_span_gives_the_clip_up() -> None:
    found = reasons("....xx")
    with pytest.raises(ClipError, match=r"apex frame 104 cannot be brought.*turns too far") as caught:
        only_usable(clip(6, onset=0, apex=4), usable_span(found, 0), found)
    assert caught.value.stage == "register"
    with pytest.raises(ClipError, match="no frame can be brought"):
        only_usable(clip(6, onset=0), usable_span(reasons(".xxxxx"), 0), reasons(".xxxxx"))


def test_frames_before_the_onset_may_be_left_out_and_positions_follow() -> None:
    found = reasons("xx....")
    kept = only_usable(clip(6, onset=3, apex=5), usable_span(found, 3), found)
    assert (kept.position(kept.onset, 0), kept.position(kept.apex, 0)) == (1, 3)
    assert "2 of 6 frames" in kept.notes[0]
    whole = clip(6, onset=3, apex=5)
    assert only_usable(whole, slice(0, 6), reasons("......")) is whole


def test_pixels_count_as_seen_where_every_frame_covers_them() -> None:
    inside = np.ones((SIDE, SIDE), bool)
    inside[:, :20] = False
    pose = np.array([[0, 0, 0, 0, 0, 0], [-10.0, 0, 0, 0, 0, 0]])
    homography, parallax = (np.stack(part) for part in zip(*(plane_parallax(one, CAMERA) for one in pose), strict=True))
    found = Registration(pose, homography, parallax, np.array([0.0, 10.0]), ("", ""))
    seen = seen_in_all(inside, found)
    rim = 2  # of pixels that are interpolated with the black outside
    assert not seen[:, : 30 + rim].any()
    assert seen[:, 30 + rim :].all()
