"""The camera convention: where points land, and back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvgen.core.camera import EYE_CENTRE, EYE_DISTANCE, Camera, crop_camera, pinhole_crop_camera, pixel_grid

ORTHOGRAPHIC = crop_camera(256)
PINHOLE = pinhole_crop_camera(256, np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]), 900.0, (140.0, 100.0))
NEAR_FACE = st.floats(-1.5, 1.5)


@pytest.mark.parametrize("camera", [ORTHOGRAPHIC, PINHOLE], ids=["orthographic", "pinhole"])
@given(yaw=st.floats(-90, 90), pitch=st.floats(-60, 60), point=st.tuples(NEAR_FACE, NEAR_FACE, NEAR_FACE))
def test_unproject_undoes_project(camera: Camera, yaw: float, pitch: float, point: tuple[float, float, float]) -> None:
    view = camera.at(yaw, pitch)
    np.testing.assert_allclose(view.unproject(view.project(np.array(point))), point, atol=1e-9)


@pytest.mark.parametrize("camera", [ORTHOGRAPHIC, PINHOLE], ids=["orthographic", "pinhole"])
@given(yaw=st.floats(-90, 90), pitch=st.floats(-60, 60))
def test_rotation_is_a_rotation(camera: Camera, yaw: float, pitch: float) -> None:
    rotation = camera.at(yaw, pitch).rotation
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1)


def test_eyes_land_where_the_crop_puts_them() -> None:
    left, right = ORTHOGRAPHIC.project(np.array([[-0.5, 0, 0], [0.5, 0, 0]]))[:, :2]
    np.testing.assert_allclose((left + right) / 2, np.array(EYE_CENTRE) * 256)
    np.testing.assert_allclose(right - left, [EYE_DISTANCE * 256, 0])


@pytest.mark.parametrize("camera", [ORTHOGRAPHIC, PINHOLE], ids=["orthographic", "pinhole"])
def test_positive_yaw_turns_the_nose_to_image_left_and_shows_the_subjects_left(camera: Camera) -> None:
    nose, left_ear = np.array([0.0, -0.5, 0.5]), np.array([1.0, 0.0, -0.9])
    frontal, turned = camera.at(0), camera.at(30)
    assert turned.project(nose)[0] < frontal.project(nose)[0]
    assert turned.project(left_ear)[2] > frontal.project(left_ear)[2]


def test_positive_pitch_looks_from_above() -> None:
    top = np.array([0.0, 1.0, -0.9])
    assert ORTHOGRAPHIC.at(0, 30).project(top)[2] > ORTHOGRAPHIC.project(top)[2]


@given(yaw=st.floats(-90, 90))
def test_pivot_stays_in_place(yaw: float) -> None:
    pivot = np.array(ORTHOGRAPHIC.pivot)
    np.testing.assert_allclose(ORTHOGRAPHIC.at(yaw).project(pivot), ORTHOGRAPHIC.project(pivot), atol=1e-9)


def test_distant_pinhole_is_orthographic() -> None:
    far = replace(ORTHOGRAPHIC, focal=1e7, principal=(130.0, 90.0))
    points = np.random.default_rng(0).uniform(-1, 1, (20, 3))
    np.testing.assert_allclose(far.at(20).project(points), ORTHOGRAPHIC.at(20).project(points), atol=1e-2)


def test_pinhole_enlarges_what_is_near_and_has_a_centre_of_projection() -> None:
    near, far = (PINHOLE.project(np.array([[-0.5, 0, z], [0.5, 0, z]]))[:, 0] for z in (0.5, -0.5))
    assert np.ptp(near) > EYE_DISTANCE * 256 > np.ptp(far)
    assert PINHOLE.position[2] == pytest.approx(900 / PINHOLE.scale)
    with pytest.raises(ValueError, match="orthographic"):
        _ = ORTHOGRAPHIC.position


def test_pinhole_crop_follows_the_crops_zoom_and_shift() -> None:
    camera = pinhole_crop_camera(256, np.array([[0.0, -2.0, 300.0], [2.0, 0.0, -50.0]]), 500.0, (100.0, 60.0))
    assert camera.focal == pytest.approx(1000)
    assert camera.principal == pytest.approx((180.0, 150.0))


def test_pixel_centres_are_at_one_half() -> None:
    grid = pixel_grid(2, 3)
    assert grid.shape == (2, 3, 2)
    np.testing.assert_array_equal(grid[1, 2], [2.5, 1.5])
