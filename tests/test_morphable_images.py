"""The images that are drawn of a fitted face."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_faces import CAMERA, CAMERAS, MODEL, SIZE, person, posed, turns
from scipy import ndimage

from mvgen.core.camera import crop_camera, pixel_grid
from mvgen.faces.face_mesh_topology import OVAL
from mvgen.morphable.rasterise import face_region, fit_image, rasterise, vertex_normals
from mvgen.morphable.topology import LANDMARKS, topology
from mvgen.scans.imaging.rotation import rotation


@pytest.mark.slow
@settings(max_examples=8, derandomize=True)
@given(seed=st.integers(0, 1000), turn=turns, kind=st.sampled_from(sorted(CAMERAS)))
def test_rasterising_agrees_with_casting_rays(seed: int, turn: tuple[float, float, float], kind: str) -> None:
    from mvgen.render.rays import RayScene

    vertices, camera = posed(*person(seed), rotation(*turn)), CAMERAS[kind]
    drawn = rasterise(camera, vertices, np.column_stack([vertices, np.ones(len(vertices))]))
    hits = RayScene(vertices, topology().triangles).cast(camera, pixel_grid(SIZE, SIZE))
    traced = hits.interpolate(topology().triangles, vertices)
    known = np.isfinite(drawn[..., 0])
    # Rays also hit what is seen from behind, at the outline.
    assert (known & ~hits.hit).sum() < 20
    assert (hits.hit & ~known).sum() < 0.01 * known.sum()
    away = np.linalg.norm(drawn[..., :3] - traced, axis=-1)[known & hits.hit]
    # A lens bends what is interpolated over a triangle in the picture, by less than a hundredth of its size.
    assert np.quantile(away, 0.98) < 0.002
    np.testing.assert_allclose(drawn[known, 3], 1)


def test_a_plane_is_drawn_exactly_and_the_nearer_surface_wins() -> None:
    camera = crop_camera(64)
    square = np.array([[-1.0, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]])
    near, far = square * [0.5, 0.5, 0] + np.array([0, 0, 0.3]), square + np.array([0, 0, -0.5])
    triangles = np.array([[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]])
    vertices = np.concatenate([near, far])
    for order in (triangles, triangles[::-1]):
        x, y, z = np.moveaxis(rasterise(camera, vertices, vertices, order), -1, 0)
        u, v = np.moveaxis(camera.project(np.dstack([x, y, z]))[..., :2], -1, 0)
        known = np.isfinite(z)
        np.testing.assert_allclose(np.stack([u, v], axis=-1)[known], pixel_grid(64, 64)[known], atol=1e-9)
        inner = (np.abs(x) < 0.5) & (np.abs(y) < 0.5)
        np.testing.assert_allclose(z[inner], 0.3)
        np.testing.assert_allclose(z[known & ~inner], -0.5)
        assert inner.sum() == 20**2
        assert known.sum() == 40**2
    assert not np.isfinite(rasterise(camera, vertices, vertices, triangles[:, ::-1])).any()


@settings(max_examples=8, derandomize=True)
@given(seed=st.integers(0, 1000), turn=turns)
def test_a_fit_image_holds_the_depth_and_the_normals_of_the_face(seed: int, turn: tuple[float, float, float]) -> None:
    vertices = posed(*person(seed), rotation(*turn))
    image = fit_image(CAMERA, vertices)
    assert image.shape == (SIZE, SIZE, 4)
    assert image.dtype == np.float32
    known = np.isfinite(image[..., 0])
    assert (np.isfinite(image) == known[..., None]).all()
    drawn = rasterise(CAMERA, vertices, vertices[:, 2:])[..., 0]
    assert np.quantile(np.abs(image[..., 0] - drawn)[known], 0.95) < 0.02  # smoothed a little
    # Normals are those of the depth: one pixel to the right it falls as they lean.
    slope = np.gradient(image[..., 0], 1 / CAMERA.scale)
    flat = ndimage.binary_erosion(known, iterations=4) & (image[..., 3] > 0.6)
    for change, lean, sign in ((slope[1], image[..., 1], -1), (slope[0], image[..., 2], 1)):
        assert np.median(np.abs(change - sign * lean / image[..., 3])[flat]) < 0.06


def test_normals_turn_with_the_face_and_point_outward() -> None:
    normals, turn = vertex_normals(MODEL.mean.astype(np.float64)), rotation(20, -10, 15)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(vertex_normals(MODEL.mean @ turn.T), normals @ turn.T, atol=1e-6)
    outward = MODEL.mean - [0, -0.4, -1.2]
    assert ((normals * outward).sum(axis=1) > 0).mean() > 0.97


@settings(max_examples=10, derandomize=True)
@given(seed=st.integers(0, 1000), turn=turns, size=st.sampled_from([64, 128, 256]))
def test_the_region_of_a_face_is_one_piece_without_holes(
    seed: int, turn: tuple[float, float, float], size: int
) -> None:
    camera = crop_camera(size)
    vertices = posed(*person(seed), rotation(*turn))
    region = face_region(camera, vertices)
    assert region.shape == (size, size)
    assert ndimage.label(region)[1] == 1
    assert not (ndimage.binary_fill_holes(region) & ~region).any()
    assert np.isfinite(fit_image(camera, vertices)[region]).all()
    # It holds the features of the face and ends at its oval.
    landmarks = camera.project(vertices[:LANDMARKS])[:, :2]
    column, row = np.floor(landmarks[[1, 159, 386, 13, 9, 17]]).astype(int).T
    assert region[row, column].all()
    v, u = np.nonzero(region)
    oval = landmarks[OVAL]
    margin = 0.03 * size
    assert u.min() > oval[:, 0].min() - margin
    assert u.max() < oval[:, 0].max() + margin
    assert v.min() > oval[:, 1].min() - margin
    assert v.max() < oval[:, 1].max() + margin


def test_a_face_that_is_not_in_the_picture_has_no_region() -> None:
    assert not face_region(crop_camera(64), MODEL.mean + np.array([50, 0, 0])).any()
    behind = rotation(180, 0, 0)
    assert not face_region(crop_camera(64), MODEL.mean @ behind.T).any()
