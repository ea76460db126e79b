"""The mesh of a depth map: its triangles, and its export to files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from factories import astronaut, head_surface
from hypothesis import given, settings
from hypothesis import strategies as st

from mvgen.core.camera import crop_camera, pixel_grid
from mvgen.core.records import DepthMap, Mesh
from mvgen.render.mesh import export_mesh, mesh_from_depth, smooth_outline
from mvgen.render.surface import facing, source_normals, vertex_normals

CAMERA = crop_camera(96)


def plane(slope_x: float = 0.0, slope_y: float = 0.0) -> DepthMap:
    """A disc of an inclined plane."""
    grid = pixel_grid(96, 96)
    x, y = (grid[..., 0] - CAMERA.centre[0]) / CAMERA.scale, -(grid[..., 1] - CAMERA.centre[1]) / CAMERA.scale
    inside = ((grid - 48) ** 2).sum(axis=-1) < 35**2
    depth = np.where(inside, slope_x * x + slope_y * y, np.nan)
    return DepthMap(depth.astype(np.float32), inside.astype(np.float32), CAMERA)


def test_every_face_pixel_is_a_vertex_at_its_own_centre() -> None:
    surface = head_surface(CAMERA)
    mesh = mesh_from_depth(surface)
    assert len(mesh.vertices) == np.isfinite(surface.depth).sum()
    np.testing.assert_allclose(CAMERA.project(mesh.vertices.astype(np.float64))[:, :2], mesh.uv, atol=1e-4)


@settings(max_examples=20)
@given(seed=st.integers(0, 1000))
def test_triangles_cover_the_mask_once_and_face_the_front(seed: int) -> None:
    rng = np.random.default_rng(seed)
    known = rng.random((12, 12)) < 0.8
    depth = np.where(known, rng.normal(0, 0.05, (12, 12)), np.nan).astype(np.float32)
    mesh = mesh_from_depth(DepthMap(depth, known.astype(np.float32), crop_camera(12)))
    a, b, c = (mesh.uv[mesh.triangles[:, corner]].astype(np.float64) for corner in range(3))
    # v points down, so counter-clockwise from the front is a negative area in (u, v).
    area = ((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]) / 2
    np.testing.assert_allclose(area, -0.5)
    corners = known[:-1, :-1].astype(int) + known[:-1, 1:] + known[1:, :-1] + known[1:, 1:]
    assert len(mesh.triangles) == 2 * (corners == 4).sum() + (corners == 3).sum()


def test_quads_are_split_along_the_flatter_diagonal() -> None:
    depth = np.zeros((2, 2), np.float32)
    depth[0, 0] = 1  # a corner is raised: the diagonal must not run through it
    mesh = mesh_from_depth(DepthMap(depth, np.ones((2, 2), np.float32), crop_camera(2)))
    assert all({1, 2} <= set(triangle) for triangle in mesh.triangles.tolist())


@given(slope_x=st.floats(-2, 2), slope_y=st.floats(-2, 2))
@settings(max_examples=20)
def test_normals_of_a_plane_are_its_normal(slope_x: float, slope_y: float) -> None:
    surface = plane(slope_x, slope_y)
    normal = np.array([-slope_x, -slope_y, 1]) / np.sqrt(1 + slope_x**2 + slope_y**2)
    mesh = mesh_from_depth(surface)
    np.testing.assert_allclose(vertex_normals(mesh), np.tile(normal, (len(mesh.vertices), 1)), atol=1e-3)
    known = source_normals(surface)[np.isfinite(surface.depth)]
    # A pixel with one neighbour in a row or column at most is rare, and taken to face the camera there.
    assert np.quantile(np.abs(known - normal).max(axis=1), 0.95) < 1e-3
    assert facing(mesh.vertices[:1].astype(np.float64), normal[None], CAMERA)[0] == pytest.approx(normal[2])


@pytest.mark.parametrize("ending", [".glb", ".obj", ".ply"])
def test_exported_mesh_reads_back(tmp_path: Path, ending: str) -> None:
    import trimesh

    mesh = mesh_from_depth(head_surface(CAMERA))
    texture = astronaut()[50:146, 170:266]
    path = tmp_path / f"face{ending}"
    export_mesh(mesh, texture, path)
    back: Any = trimesh.load(path, force="mesh", process=False)
    assert len(back.faces) == len(mesh.triangles)
    np.testing.assert_allclose(back.bounds, [mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)], atol=1e-4)
    colours = np.asarray(back.visual.vertex_colors if ending == ".ply" else back.visual.to_color().vertex_colors)
    first = mesh.uv[mesh.triangles[0, 0]].astype(int)
    if ending == ".ply":
        np.testing.assert_array_equal(colours[mesh.triangles[0, 0], :3], texture[first[1], first[0]])
    else:
        assert np.abs(colours[:, :3].astype(int).mean(axis=0) - texture[48, 48]).max() < 120
        assert back.visual.material is not None


def test_other_file_kinds_are_refused(tmp_path: Path) -> None:
    mesh = mesh_from_depth(head_surface(CAMERA))
    with pytest.raises(ValueError, match=r"\.glb, \.obj or \.ply"):
        export_mesh(mesh, astronaut(), tmp_path / "face.stl")


def _turning(mesh: Mesh) -> float:
    """Sum of the angles by which a mesh's outline turns, left or right, in radians; 2 pi for a convex one."""
    edges = np.sort(mesh.triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    edges, uses = np.unique(edges, axis=0, return_counts=True)
    neighbours: dict[int, list[int]] = {}
    for a, b in edges[uses == 1].tolist():
        neighbours.setdefault(a, []).append(b)
        neighbours.setdefault(b, []).append(a)
    total = 0.0
    for vertex, (before, after) in neighbours.items():
        steps = np.diff(mesh.uv[[before, vertex, after]].astype(np.float64) @ [1, 1j])
        total += abs(np.angle(steps[1] / steps[0]))
    return total


def test_a_smoothed_outline_is_less_of_a_stair_and_stays_in_its_pixels() -> None:
    tilted = crop_camera(96)
    v, u = np.mgrid[0:96, 0:96] + 0.5
    inside = np.hypot(u - 48, 1.1 * (v - 50)) < 34
    depth = np.where(inside, 0.05 * (u - 48) - 0.02 * (v - 50), np.nan).astype(np.float32)
    grid = mesh_from_depth(DepthMap(depth, inside.astype(np.float32), tilted))
    smooth = smooth_outline(grid, tilted)
    assert np.array_equal(smooth.triangles, grid.triangles)
    assert np.array_equal(np.floor(smooth.uv), np.floor(grid.uv))
    moved = np.abs(smooth.uv - grid.uv).max(axis=1) > 0
    assert 100 < moved.sum() < 400
    # Corners are what makes a stair: the outline turns far less in all.
    assert _turning(smooth) < 0.35 * _turning(grid)
    # A plane stays a plane, and every triangle keeps facing the front.
    projected = tilted.project(smooth.vertices.astype(np.float64))
    assert np.abs(projected[:, 2] - (0.05 * (projected[:, 0] - 48) - 0.02 * (projected[:, 1] - 50))).max() < 1e-5
    a, b, c = (smooth.vertices[smooth.triangles[:, corner], :2] for corner in range(3))
    (ux, uy), (vx, vy) = (b - a).T, (c - a).T
    assert (ux * vy - uy * vx > 0).all()
