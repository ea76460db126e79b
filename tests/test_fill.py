"""Surface outside the picture: mirrored by the face's own plane, in the light of its own side, and still."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from factories import head_surface, mean_landmarks
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from mvgen.core.camera import crop_camera, pixel_grid
from mvgen.core.config import BuildConfig, CameraConfig
from mvgen.core.errors import ConfigError
from mvgen.core.landmarks68 import MIRROR
from mvgen.core.records import ClipGeometry, DepthMap, Image, Mask, ViewGeometry
from mvgen.core.settings import load_config
from mvgen.motion.registration import leave, seen_in_all
from mvgen.render import get_renderer
from mvgen.render.fill import (
    SeenFace,
    SymmetryPlane,
    background,
    composite,
    fill_unseen,
    push_pull,
    symmetry_plane,
)
from mvgen.render.surface import source_points
from mvgen.views.view import make_scene, make_view, render_geometry

SIZE = 128
CAMERA = crop_camera(SIZE)
SURFACE = head_surface(CAMERA)
HIT = np.isfinite(SURFACE.depth)
MIDDLE = SIZE // 2
INSIDE = np.ones((SIZE, SIZE), bool)
LANDMARKS = mean_landmarks(SIZE).astype(np.float64)

angles = st.floats(-12, 12)


def plane_of(yaw: float, roll: float, offset: float) -> SymmetryPlane:
    yaw, roll = np.radians([yaw, roll])
    normal = np.array([np.cos(yaw) * np.cos(roll), np.sin(roll), np.sin(yaw) * np.cos(roll)])
    return SymmetryPlane(normal, offset)


def frontal(depth: NDArray[np.float32] = SURFACE.depth) -> ViewGeometry:
    """What the source itself sees: every pixel of the face at its own place."""
    source = np.where(np.isfinite(depth)[..., None], pixel_grid(SIZE, SIZE), np.nan).astype(np.float32)
    hit = np.isfinite(depth)
    return ViewGeometry(CAMERA, depth, source, hit, hit.astype(np.float32), np.zeros(depth.shape, np.float32))


def skin(seed: int = 0) -> Image:
    """A smooth random picture that is its own mirror image."""
    import cv2

    noise = np.random.default_rng(seed).normal(0, 1, (SIZE, SIZE, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 3.0)
    smooth += smooth[:, ::-1]
    return np.clip(120 + 250 * smooth, 20, 235).astype(np.uint8)


def hidden(picture: Image, where: Mask) -> Image:
    """The picture where the source sees nothing of a place: streaks of one colour."""
    return np.where(where[..., None], np.uint8(90), picture)


def cheek(left: float = 0.22, right: float = 0.36) -> Mask:
    """Part of the face at image left."""
    row, column = np.indices((SIZE, SIZE)) / SIZE
    return np.asarray((column > left) & (column < right) & (row > 0.4) & (row < 0.62) & HIT)


def seen_face(outside: Mask) -> SeenFace:
    """A symmetric head of which the picture's edge cuts off what is `outside`."""
    return SeenFace.of(SURFACE, ~outside, None)


def fill(clip: Image, unseen: Mask, face: SeenFace) -> Image:
    """The clip as the source's own camera sees it, filled."""
    return fill_unseen(clip, frontal(), unseen, clip, face, onset=0, grazing=65.0)


@given(angles, angles, st.floats(-0.3, 0.3), st.integers(0, 1000))
def test_mirroring_twice_is_the_identity(yaw: float, roll: float, offset: float, seed: int) -> None:
    plane = plane_of(yaw, roll, offset)
    points = np.random.default_rng(seed).normal(0, 1, (20, 3))
    np.testing.assert_allclose(plane.mirror(plane.mirror(points)), points, atol=1e-12)
    np.testing.assert_allclose((plane.mirror(points) + points) / 2 @ plane.normal, plane.offset, atol=1e-12)


@given(angles, angles, st.floats(-0.1, 0.1))
def test_the_plane_of_a_symmetric_face_is_found_however_it_is_turned(yaw: float, roll: float, offset: float) -> None:
    # Landmarks that a plane mirrors onto each other, on a surface that passes through them.
    plane = plane_of(yaw, roll, offset)
    column, row = np.floor(LANDMARKS).astype(int).T
    start = source_points(SURFACE)[row, column]
    known = np.isfinite(start).all(axis=1) & np.isfinite(start[MIRROR]).all(axis=1)
    symmetric = (start + plane.mirror(start[MIRROR])) / 2
    pixels = CAMERA.project(np.nan_to_num(symmetric))
    depth = np.full((SIZE, SIZE), np.nan, np.float32)
    u, v = np.floor(pixels[known, :2]).astype(int).T
    depth[v, u] = pixels[known, 2]
    # Two landmarks may share a pixel; such a pair gives little information.
    landmarks = np.where(known[:, None], pixels[:, :2], np.nan)
    found = symmetry_plane(DepthMap(depth, np.ones_like(depth), CAMERA), landmarks)
    assert found.normal @ plane.normal > np.cos(np.radians(1.0))
    assert found.offset == pytest.approx(plane.offset, abs=0.03)


def test_without_landmarks_the_middle_of_the_crop_is_the_plane() -> None:
    for landmarks in (None, np.full((68, 2), 2.0), np.full((68, 2), np.nan)):
        plane = symmetry_plane(SURFACE, landmarks)
        np.testing.assert_array_equal(plane.normal, [1, 0, 0])
        assert plane.offset == 0


def test_a_symmetric_face_is_filled_with_its_own_colours() -> None:
    blind, picture = cheek(), skin()
    clip = hidden(picture, blind)[None]
    filled = fill(clip, blind, seen_face(blind))[0].astype(float)
    away = np.abs(filled - picture)[blind]
    before = np.abs(clip[0].astype(float) - picture)[blind]
    assert before.mean() > 15
    assert away.mean() < 0.25 * before.mean()


def test_mirrored_skin_takes_the_light_of_its_own_side() -> None:
    # The whole left half is darker; the mirrored cheek has to be as dark as the skin around it.
    blind = cheek(left=0.24)
    light = np.where(np.arange(SIZE) < MIDDLE, 0.6, 1.0)[None, :, None]
    lit = np.rint(skin() * light).astype(np.uint8)
    filled = fill(hidden(lit, blind)[None], blind, seen_face(blind))[0].astype(float)
    other_side = lit[:, ::-1][blind].astype(float).mean()
    assert filled[blind].mean() == pytest.approx(lit[blind].mean(), abs=6)
    assert other_side - lit[blind].mean() > 30


def test_only_unseen_pixels_change() -> None:
    blind = cheek()
    clip = np.stack([hidden(skin(seed), blind) for seed in range(2)])
    filled = fill(clip, blind, seen_face(blind))
    assert (filled != clip).any()
    np.testing.assert_array_equal(filled[:, ~blind], clip[:, ~blind])
    np.testing.assert_array_equal(fill(clip, blind & False, seen_face(blind)), clip)


def test_what_the_picture_shows_keeps_its_colours_however_badly_it_was_seen() -> None:
    blind, clip = cheek(), skin()[None]
    face = seen_face(blind & False)
    oblique = replace(face, cosine=np.where(blind, np.float32(0.05), face.cosine))
    np.testing.assert_array_equal(fill(clip, blind, oblique), clip)


def test_where_the_mirror_image_is_too_oblique_colour_is_interpolated() -> None:
    blind, picture = cheek(), skin()
    face = seen_face(blind)
    oblique = replace(face, cosine=np.where(blind[:, ::-1], np.float32(0.05), face.cosine))
    mirrored, filled = (fill(hidden(picture, blind)[None], blind, one)[0].astype(float) for one in (face, oblique))
    assert filled[blind].std() < 0.7 * mirrored[blind].std()


def test_an_expression_of_the_other_side_does_not_appear() -> None:
    # From onset to apex the right half changes; the mirrored left cheek must not.
    blind = cheek()
    onset = hidden(skin(), blind)
    apex = onset.copy()
    apex[:, MIDDLE:] = 255 - apex[:, MIDDLE:]
    filled = fill(np.stack([onset, apex, onset]), blind, seen_face(blind))
    np.testing.assert_array_equal(filled[1][blind], filled[0][blind])
    np.testing.assert_array_equal(filled[2], filled[0])


def test_surface_outside_the_picture_is_interpolated_and_still() -> None:
    # The picture ends below the nose: both sides are missing, so there is nothing to mirror.
    inside = INSIDE.copy()
    inside[90:] = False
    missing = HIT & ~inside
    clip = np.stack([np.where(inside[..., None], skin(), 0)] * 2).astype(np.uint8)
    clip[1, :40] += 3
    filled = fill(clip, missing, seen_face(~inside))
    np.testing.assert_array_equal(filled[0][missing], filled[1][missing])
    assert filled[0][missing].min() >= 20
    border = filled[0][90:92, 40:88].astype(float).mean(axis=(0, 1))
    np.testing.assert_allclose(border, filled[0][86:90, 40:88].astype(float).mean(axis=(0, 1)), atol=12)


def test_interpolation_keeps_known_values_and_stays_within_their_range() -> None:
    rng = np.random.default_rng(0)
    values, known = rng.uniform(10, 20, (50, 37, 3)).astype(np.float32), rng.random((50, 37)) < 0.05
    filled = push_pull(values, known)
    np.testing.assert_array_equal(filled[known], values[known])
    assert filled.min() >= values[known].min() - 1e-4
    assert filled.max() <= values[known].max() + 1e-4
    assert not push_pull(values, np.zeros_like(known)).any()


@pytest.mark.parametrize(("kind", "colour"), [("black", (0, 0, 0)), ("#ff8000", (255, 128, 0))])
def test_a_constant_background_is_that_colour(kind: str, colour: tuple[int, int, int]) -> None:
    behind = background(kind, skin(), seen_face(~INSIDE))
    assert (behind == colour).all()


def test_a_grey_clip_keeps_a_grey_background() -> None:
    grey = np.repeat(skin()[..., :1], 3, axis=2)
    behind = background("#ff8000", grey, seen_face(~INSIDE))
    assert (behind == behind[0, 0, 0]).all()
    assert 140 < behind[0, 0, 0] < 160


def test_a_blurred_background_holds_nothing_of_the_face() -> None:
    picture = np.where(HIT[..., None], np.uint8(250), np.uint8(40)) * np.ones((1, 1, 3), np.uint8)
    behind = background("blurred", picture, SeenFace.of(SURFACE, INSIDE, None))
    assert np.abs(behind.astype(int) - 40).max() <= 1


def test_a_pixel_covered_in_part_is_a_mixture() -> None:
    coverage = np.zeros((1, SIZE, SIZE), np.float32)
    coverage[0, :, :50], coverage[0, :, 50] = 1, 0.25
    colour = np.full((2, SIZE, SIZE, 3), 200, np.uint8)
    shown = composite(colour, coverage, np.full((SIZE, SIZE, 3), 100, np.uint8))
    assert (shown[:, :, :50] == 200).all()
    assert (shown[:, :, 50] == 125).all()
    assert (shown[:, :, 51:] == 100).all()


@pytest.mark.parametrize("value", ["white", "#12345", "#12345g", "0"])
def test_a_background_that_is_none_is_refused(value: str) -> None:
    with pytest.raises(ConfigError, match="background"):
        load_config(None, {"render": {"background": value}})
    assert load_config(None, {"render": {"background": "#FF0080"}}).render.background == "#ff0080"


@pytest.mark.parametrize("yaw", [-15.0, 0.0, 20.0])
def test_no_dark_seam_shows_where_the_picture_ends(yaw: float) -> None:
    inside = np.broadcast_to(np.arange(SIZE) < MIDDLE + 6, (SIZE, SIZE)).copy()
    crops = np.repeat(np.where(inside, np.uint8(150), np.uint8(0))[None, ..., None], 3, axis=3)
    nowhere = np.zeros((SIZE, SIZE), np.float32)
    scene = make_scene(crops, 0, seen_in_all(inside, leave(1)), LANDMARKS, nowhere, ClipGeometry((SURFACE,)))
    config = BuildConfig(camera=CameraConfig(size=SIZE))
    seen = render_geometry(scene, yaw, 0.0, config.render, get_renderer("grid", "cpu"))
    view = make_view(scene, seen, config, with_flow=False)
    face = ndimage.binary_erosion(np.isfinite(view.depth), iterations=3)
    # Where a view shrinks the source its filter reaches a little further; black beside it would make 100 and more.
    assert np.ptp(view.colour[0][face]) <= 8
