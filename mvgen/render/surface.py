"""Points and normals of a surface seen by a camera, and the angle that it is seen at.

Convention: points and normals in world units and axes, see `mvgen.core.camera`; normals have unit length and point
outward, toward the camera that saw the surface.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera, pixel_grid
from mvgen.core.records import DepthMap, Mesh

Floats = NDArray[np.floating]


def _unit(vectors: Floats) -> Floats:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def source_points(depth: DepthMap) -> Floats:
    """(S, S, 3) float64, world points of a depth map's pixels; NaN where the depth is unknown."""
    height, width = depth.depth.shape
    pixels = np.concatenate([pixel_grid(height, width), depth.depth[..., None].astype(np.float64)], axis=-1)
    return depth.camera.unproject(pixels)


def source_normals(depth: DepthMap) -> Floats:
    """(S, S, 3) float64, unit normals of a depth map's pixels, from their known neighbours; toward the camera.

    A pixel without a known neighbour along its row or column is taken to face the camera along that axis.
    """
    points = source_points(depth)
    right, down = _difference(points, axis=1), _difference(points, axis=0)
    step = 1 / depth.camera.scale
    right = np.where(np.isfinite(right), right, [step, 0, 0])
    down = np.where(np.isfinite(down), down, [0, -step, 0])
    return _unit(np.cross(down, right))


def _difference(points: Floats, axis: int) -> Floats:
    """Central difference along an axis, one-sided where only one neighbour is known, NaN where none is."""
    step = np.diff(points, axis=axis)
    unknown = np.full_like(step.take([0], axis=axis), np.nan)
    before, after = np.concatenate([unknown, step], axis=axis), np.concatenate([step, unknown], axis=axis)
    known_before, known_after = np.isfinite(before), np.isfinite(after)
    total = np.where(known_before, before, 0) + np.where(known_after, after, 0)
    count = known_before.astype(int) + known_after
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def vertex_normals(mesh: Mesh) -> Floats:
    """(N, 3) float64, unit normals of the vertices: the mean of their triangles' normals weighted by area."""
    points = mesh.vertices.astype(np.float64)
    first, second, third = (points[mesh.triangles[:, corner]] for corner in range(3))
    faces = np.cross(second - first, third - first)
    normals = np.empty_like(points)
    for axis in range(3):
        weights = np.repeat(faces[:, axis], 3)
        normals[:, axis] = np.bincount(mesh.triangles.ravel(), weights=weights, minlength=len(points))
    return _unit(normals)


def facing(points: Floats, normals: Floats, camera: Camera) -> Floats:
    """(...,) float64, cosine of the angle between a surface's normal and the direction to the camera.

    points, normals : (..., 3), world
    1 is seen head-on, 0 is seen edge-on, below 0 is seen from behind.
    """
    if camera.focal is None:
        return np.asarray(normals @ camera.rotation[2])
    return np.asarray((normals * _unit(camera.to_world(camera.position) - points)).sum(axis=-1))
