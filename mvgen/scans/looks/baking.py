"""The surface and colour of a scan, simplified so that it renders quickly."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvgen.scans.looks.paint import to_linear

Floats = NDArray[np.floating]

_CELL = 4  # pixels of a triangle's square in an atlas


def simplified(
    vertices: Floats, triangles: NDArray[np.integer], most: int
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """A mesh with the same surface and about `most` triangles, and only the vertices it uses.

    vertices : (N, 3); triangles : (M, 3)
    A mesh that is hardly larger keeps its triangles.
    Source: quadric edge collapse, Garland and Heckbert, "Surface simplification using quadric error metrics", 1997.
    """
    if len(triangles) > 1.5 * most:
        import open3d

        mesh = open3d.geometry.TriangleMesh(
            open3d.utility.Vector3dVector(np.asarray(vertices, np.float64)),
            open3d.utility.Vector3iVector(np.asarray(triangles, np.int32)),
        )
        # Exporters split vertices where the texture has a seam: the surface must not open there.
        mesh.remove_duplicated_vertices()
        mesh.remove_degenerate_triangles()
        mesh = mesh.simplify_quadric_decimation(most)
        vertices, triangles = np.asarray(mesh.vertices), np.asarray(mesh.triangles)
    used, small = np.unique(triangles, return_inverse=True)
    return vertices[used].astype(np.float32), small.reshape(-1, 3).astype(np.int32)


def sample_texture(texture: NDArray[np.uint8], uv: Floats, side: float) -> NDArray[np.float32]:
    """Colours of a texture after a low-pass filter.

    texture : (H, W, 3) uint8 RGB; uv : (P, 2), v up; side : samples along the longer side of the texture
    Returns (P, 3) float32 linear RGB.
    """
    import cv2

    shrink = side / max(texture.shape[:2])
    if shrink < 1:
        size = tuple(max(1, round(length * shrink)) for length in texture.shape[1::-1])
        texture = np.asarray(cv2.resize(texture, size, interpolation=cv2.INTER_AREA))
    height, width = texture.shape[:2]
    column = np.clip(uv[:, 0] * width - 0.5, 0, width - 1)
    row = np.clip((1 - uv[:, 1]) * height - 0.5, 0, height - 1)
    left, top = column.astype(int), row.astype(int)
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    x, y = (column - left)[:, None], (row - top)[:, None]
    upper = texture[top, left] * (1 - x) + texture[top, right] * x
    lower = texture[bottom, left] * (1 - x) + texture[bottom, right] * x
    return to_linear((upper * (1 - y) + lower * y) / 255).astype(np.float32)


def bake(
    points: Floats, vertices: Floats, triangles: NDArray[np.integer], corner_uv: Floats, texture: NDArray[np.uint8]
) -> NDArray[np.float32]:
    """The texture's colour where a mesh is nearest to each of some points close to it.

    points : (P, 3), about evenly spread over the surface; vertices (N, 3), triangles (M, 3), corner_uv (M, 3, 2)
    Returns (P, 3) float32 linear RGB.
    """
    import open3d

    tensor: Any = open3d.core.Tensor
    scene = open3d.t.geometry.RaycastingScene(nthreads=1)
    scene.add_triangles(
        tensor(np.ascontiguousarray(vertices, np.float32)), tensor(np.ascontiguousarray(triangles, np.uint32))
    )
    nearest = scene.compute_closest_points(tensor(np.ascontiguousarray(points, np.float32)), nthreads=1)
    inner = nearest["primitive_uvs"].numpy()
    corners = np.column_stack([1 - inner.sum(axis=1), inner])
    uv = np.einsum("pc,pcd->pd", corners, corner_uv[nearest["primitive_ids"].numpy().astype(np.int64)])
    # As many texels as points, on the part of the texture that the mesh uses.
    first, second = (corner_uv[:, corner] - corner_uv[:, 0] for corner in (1, 2))
    used = np.abs(first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]).sum() / 2
    return sample_texture(texture, uv, float(np.sqrt(len(points) / np.clip(used, 0.05, 1))))


def atlas(triangles: NDArray[np.integer], colours: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """A texture of a mesh with a colour (N, 3) per vertex: every triangle has a square of it for itself.

    Returns texture coordinates of the triangles' corners (M, 3, 2), v up, and the texture (H, W, 3).
    """
    side = int(np.ceil(np.sqrt(len(triangles))))
    right, down = np.meshgrid(np.arange(_CELL), np.arange(_CELL))
    second, third = right.ravel() / (_CELL - 1), down.ravel() / (_CELL - 1)
    weights = np.stack([1 - second - third, second, third], axis=1)
    squares = np.zeros((side * side, _CELL, _CELL, 3), np.uint8)
    shown = np.clip(np.einsum("tc,mcd->mtd", weights, colours[triangles].astype(np.float64)), 0, 255)
    squares[: len(triangles)] = shown.round().reshape(-1, _CELL, _CELL, 3)
    texture = squares.reshape(side, side, _CELL, _CELL, 3).swapaxes(1, 2).reshape(side * _CELL, side * _CELL, 3)
    row, column = np.divmod(np.arange(len(triangles)), side)
    corners = np.array([[0.5, 0.5], [_CELL - 0.5, 0.5], [0.5, _CELL - 0.5]])
    pixels = np.stack([column, row], axis=1)[:, None] * _CELL + corners
    return ((pixels / (side * _CELL)) * [1, -1] + [0, 1]).astype(np.float32), texture
