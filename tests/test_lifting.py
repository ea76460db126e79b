"""Skin that bulges moves in a view from the side by its displacement in depth, and nowhere else."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from mvgen.core.camera import crop_camera, pixel_grid
from mvgen.core.records import Image, ViewGeometry
from mvgen.motion.flow.methods import flow_between
from mvgen.render.lifting import lift_skin

SIZE, YAW = 128, 30.0


def view(yaw: float = YAW) -> ViewGeometry:
    """A plane that faces the camera, seen at each pixel where the source shows it."""
    known = np.ones((SIZE, SIZE), bool)
    return ViewGeometry(
        camera=crop_camera(SIZE).at(yaw),
        depth=np.zeros((SIZE, SIZE), np.float32),
        source=pixel_grid(SIZE, SIZE).astype(np.float32),
        valid=known,
        coverage=known.astype(np.float32),
        blend=np.zeros((SIZE, SIZE), np.float32),
    )


def skin() -> Image:
    texture = gaussian_filter(np.random.default_rng(0).normal(0, 1, (SIZE, SIZE)), 2)
    grey = np.clip(128 + 40 * texture / texture.std(), 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1)


def bulge(height: float) -> NDArray[np.float16]:
    """(1, 32, 32) world units: a smooth hill in the middle."""
    away = np.square(pixel_grid(32, 32) - 16).sum(axis=-1)
    return (height * np.exp(-away / (2 * 6**2)))[None].astype(np.float16)


def test_skin_that_comes_nearer_moves_away_from_the_side_it_is_seen_from() -> None:
    before = skin()
    camera = crop_camera(SIZE).at(YAW)
    height = 1.5 / (camera.scale * np.sin(np.radians(YAW)))  # 1.5 pixels in this view
    after = before[None].copy()
    lift_skin(after, bulge(height), view())
    moved = flow_between(before, after[0])
    middle = moved[SIZE // 2 - 6 : SIZE // 2 + 6, SIZE // 2 - 6 : SIZE // 2 + 6].mean(axis=(0, 1))
    points = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, height]])
    wanted = np.diff(camera.project(points)[:, :2], axis=0)[0]
    np.testing.assert_allclose(middle, wanted, atol=0.25)


def test_far_from_the_bulge_nothing_moves() -> None:
    after = skin()[None].copy()
    lift_skin(after, bulge(0.1), view())
    np.testing.assert_array_equal(after[0, :8, :8], skin()[:8, :8])


def test_from_the_front_nothing_moves() -> None:
    after = skin()[None].copy()
    lift_skin(after, bulge(0.1), view(0.0))
    np.testing.assert_array_equal(after[0], skin())


def test_skin_at_rest_stays_bit_for_bit() -> None:
    after = np.stack([skin(), skin()])
    lift_skin(after, np.zeros((2, 32, 32), np.float16), view())
    np.testing.assert_array_equal(after, np.stack([skin(), skin()]))
