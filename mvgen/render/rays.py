"""Ray casting of a mesh (Open3D, Embree): exact visibility and surface coordinates for training and ground truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera

Floats = NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Hits:
    """Where rays hit a mesh, for rays of any shape (...,).

    hit : (...,) bool
    triangle : (...,) int32, 0 where nothing was hit
    corners : (..., 3) float32, barycentric coordinates; zeros where nothing was hit
    """

    hit: NDArray[np.bool_]
    triangle: NDArray[np.int32]
    corners: NDArray[np.float32]

    def interpolate(self, triangles: NDArray[np.integer], values: Floats) -> NDArray[np.float32]:
        """Values per vertex (N, K) at the points hit: (..., K) float32."""
        picked = triangles[self.triangle]
        values = np.asarray(values, dtype=np.float32)
        return sum(values[picked[..., corner]] * self.corners[..., corner, None] for corner in range(3))

    def where_hit(self) -> Hits:
        """The rays that hit, flattened to (P,)."""
        return Hits(self.hit[self.hit], self.triangle[self.hit], self.corners[self.hit])

    def interpolate_quadratic(self, six: NDArray[np.integer], values: Floats) -> NDArray[np.float32]:
        """Values at corners and edge middles (N + E, K), at the points hit: (..., K) float32.

        six : (M, 6) int, the six-node triangles of `edge_nodes`
        """
        a, b, c = (self.corners[..., corner, None] for corner in range(3))
        weights = (a * (2 * a - 1), b * (2 * b - 1), c * (2 * c - 1), 4 * a * b, 4 * b * c, 4 * c * a)
        picked = six[self.triangle]
        return sum(weight * values[picked[..., node]] for node, weight in enumerate(weights))


class RayScene:
    """A triangle mesh, ready for ray casting.

    vertices : (N, 3) float, world; triangles : (M, 3) int
    """

    def __init__(self, vertices: Floats, triangles: NDArray[np.integer]) -> None:
        import open3d

        self._scene: Any = open3d.t.geometry.RaycastingScene(nthreads=1)
        self._scene.add_triangles(
            tensor(np.asarray(vertices, dtype=np.float32)), tensor(np.asarray(triangles, dtype=np.uint32))
        )

    def cast(self, camera: Camera, pixels: Floats) -> Hits:
        """Cast one ray through each pixel position (..., 2), u and v of `camera`."""
        answer = self._scene.cast_rays(tensor(camera_rays(camera, pixels)), nthreads=1)
        distance = answer["t_hit"].numpy()
        hit = np.isfinite(distance)
        triangle = np.where(hit, answer["primitive_ids"].numpy().astype(np.int64), 0).astype(np.int32)
        uv = answer["primitive_uvs"].numpy()
        corners = np.concatenate([1 - uv.sum(axis=-1, keepdims=True), uv], axis=-1) * hit[..., None]
        return Hits(hit, triangle, corners.astype(np.float32))

    def occluded(self, points: Floats, direction: Floats) -> NDArray[np.bool_]:
        """Whether the mesh is between points (P, 3) and a light at infinity in `direction` (3,) or (P, 3)."""
        direction = np.broadcast_to(direction, points.shape)
        rays = np.concatenate([points + 0.02 * direction, direction], axis=-1).astype(np.float32)
        return self._scene.test_occlusions(tensor(rays), nthreads=1).numpy()


def tensor(array: NDArray) -> Any:
    """An array as an Open3D tensor."""
    from open3d import core

    return core.Tensor(np.ascontiguousarray(array))  # type: ignore[call-overload]


def edge_nodes(triangles: NDArray[np.integer], count: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Add a node in the middle of every edge of a mesh of `count` vertices, for quadratic interpolation.

    Returns the edges (E, 2) int32, and six-node triangles (M, 6) int32: corners a, b, c, then middles of ab, bc, ca.
    """
    corners = len(triangles)
    half_edges = np.sort(np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]), axis=1)
    edges, which = np.unique(half_edges, axis=0, return_inverse=True)
    middles = count + which.reshape(3, corners).T
    return edges.astype(np.int32), np.concatenate([triangles, middles], axis=1).astype(np.int32)


def camera_rays(camera: Camera, pixels: Floats) -> NDArray[np.float32]:
    """Rays (..., 6) float32, origin and direction in the world, through pixel positions (..., 2)."""
    if camera.focal is None:
        # All rays are parallel to the optical axis and start well in front of the head.
        origin = camera.unproject(np.concatenate([pixels, np.full((*pixels.shape[:-1], 1), 8.0)], axis=-1))
        direction = np.broadcast_to(-camera.rotation[2], origin.shape)
    else:
        eye = camera.to_world(camera.position)
        direction = camera.unproject(np.concatenate([pixels, np.zeros((*pixels.shape[:-1], 1))], axis=-1)) - eye
        direction = direction / np.linalg.norm(direction, axis=-1, keepdims=True)
        origin = np.broadcast_to(eye, direction.shape)
    return np.concatenate([origin, direction], axis=-1, dtype=np.float32, casting="same_kind")


def vertex_normals(vertices: Floats, triangles: NDArray[np.integer]) -> NDArray[np.float32]:
    """Area-weighted unit normals (N, 3) float32 of a mesh whose triangles are counter-clockwise seen from outside."""
    a, b, c = (vertices[triangles[:, corner]] for corner in range(3))
    face = np.cross(b - a, c - a)
    flat = triangles.reshape(-1)
    total = np.stack(
        [np.bincount(flat, weights=np.repeat(face[:, axis], 3), minlength=len(vertices)) for axis in range(3)], axis=1
    )
    return (total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)).astype(np.float32)
