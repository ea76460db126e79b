"""Meshes of what is worn on a head: tubes, sheets and rings, each with its paint.

All are built in the world of the head (unit the inter-ocular distance, y up, z toward the camera) and posed with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Garment:
    """A painted mesh.

    vertices : (N, 3) float32; triangles : (M, 3) int32
    albedo : (N, 3) float32 linear RGB; shine : (N,) float32; opacity : (N,) float32, 1 where opaque
    """

    vertices: NDArray[np.float32]
    triangles: NDArray[np.int32]
    albedo: NDArray[np.float32]
    shine: NDArray[np.float32]
    opacity: NDArray[np.float32]


def garment(
    grid: Floats, colour: Floats, shine: float | Floats = 0.0, opacity: float | Floats = 1.0, *, closed: bool = False
) -> Garment:
    """A sheet of points (R, C, 3); `closed` joins its last column to its first.

    colour : broadcasts to (R, C, 3); shine, opacity : to (R, C)
    """
    rows, columns = grid.shape[:2]
    index = np.arange(rows * columns).reshape(rows, columns)
    after = np.roll(index, -1, axis=1) if closed else index[:, 1:]
    here = index if closed else index[:, :-1]
    a, b, c, d = here[:-1].ravel(), after[:-1].ravel(), after[1:].ravel(), here[1:].ravel()
    return Garment(
        vertices=grid.reshape(-1, 3).astype(np.float32),
        triangles=np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)]).astype(np.int32),
        albedo=np.broadcast_to(colour, grid.shape).reshape(-1, 3).astype(np.float32),
        shine=np.broadcast_to(shine, (rows, columns)).reshape(-1).astype(np.float32),
        opacity=np.broadcast_to(opacity, (rows, columns)).reshape(-1).astype(np.float32),
    )


def join(parts: Sequence[Garment]) -> Garment | None:
    """Several garments as one; None for none."""
    if not parts:
        return None
    starts = np.cumsum([0, *(len(part.vertices) for part in parts[:-1])])
    triangles = [part.triangles + start for part, start in zip(parts, starts, strict=True)]
    return Garment(
        vertices=np.concatenate([part.vertices for part in parts]),
        triangles=np.concatenate(triangles).astype(np.int32),
        albedo=np.concatenate([part.albedo for part in parts]),
        shine=np.concatenate([part.shine for part in parts]),
        opacity=np.concatenate([part.opacity for part in parts]),
    )


def tube(
    path: Floats, width: float, depth: float, colour: Floats, shine: float, *, closed: bool = False, sides: int = 6
) -> Garment:
    """A tube along points (K, 3), an ellipse across: `width` up and sideways, `depth` along z, or x where it runs in z.

    closed : the path returns to its start
    """
    ahead = np.roll(path, -1, axis=0) - np.roll(path, 1, axis=0) if closed else np.gradient(path, axis=0)
    ahead = ahead / np.maximum(np.linalg.norm(ahead, axis=1, keepdims=True), 1e-9)
    # One axis across the path is as close to z as possible, or to x for paths along z.
    near = np.where(np.abs(ahead[:, 2:]) > 0.8, [1.0, 0.0, 0.0], [0.0, 0.0, 1.0])
    second = near - (near * ahead).sum(axis=1, keepdims=True) * ahead
    second = second / np.linalg.norm(second, axis=1, keepdims=True)
    first = np.cross(ahead, second)
    angles = 2 * np.pi * np.arange(sides) / sides
    ring = path[None] + width * np.cos(angles)[:, None, None] * first + depth * np.sin(angles)[:, None, None] * second
    if closed:
        return garment(np.concatenate([ring, ring[:1]]), colour, shine, closed=True)
    return garment(np.concatenate([ring, ring[:1]]), colour, shine)
