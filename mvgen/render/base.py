"""The interface of renderers, and the view that follows from a rendered depth map.

Convention: a renderer only computes the depth of a mesh in a view. The source pixel of each view pixel follows from
that depth and the camera, so that depth, camera and colour of a view agree.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera, pixel_grid
from mvgen.core.records import Mask, Mesh, ViewGeometry
from mvgen.render.surface import facing, vertex_normals

Floats = NDArray[np.floating]


class Renderer(Protocol):
    """Renders a mesh through a camera."""

    def render(self, mesh: Mesh, camera: Camera, grazing: float) -> ViewGeometry:
        """Render a mesh whose `uv` are the pixels of the camera's source view (yaw 0, pitch 0).

        grazing : degrees; surface that the source saw at more than this angle from its normal is not valid
        """
        ...


def source_cosine(mesh: Mesh, camera: Camera) -> Floats:
    """Cosine of the angle at which the source saw the surface: (S, S) float64 on its pixels, 0 off the mesh.

    camera : of the source or of any view of it
    """
    return cosine_on_pixels(mesh, camera, vertex_normals(mesh))


def cosine_on_pixels(mesh: Mesh, camera: Camera, normals: Floats) -> Floats:
    """`source_cosine` of a mesh with known unit normals (N, 3)."""
    source = camera.at(0.0, 0.0)
    cosine = np.zeros((source.size, source.size))
    column, row = np.floor(mesh.uv).astype(int).clip(0, source.size - 1).T
    cosine[row, column] = facing(mesh.vertices.astype(np.float64), normals, source)
    return cosine


def view_geometry(
    camera: Camera,
    depth: NDArray[np.float32],
    cosine: Floats,
    grazing: float,
    coverage: NDArray[np.float32] | None = None,
) -> ViewGeometry:
    """The view of a rendered depth map (S, S), NaN where nothing is hit; `blend` is zero.

    cosine : (S, S), of the angle at which the source saw the surface, see `source_cosine`
    grazing : degrees
    coverage : (S, S); by default the share of hits in the 3 x 3 pixels around, weighted 1 2 1 along both axes
    """
    hit = np.isfinite(depth)
    pixels = np.concatenate([pixel_grid(camera.size, camera.size)[hit], depth[hit, None].astype(np.float64)], axis=-1)
    source_pixels = camera.at(0.0, 0.0).project(camera.unproject(pixels))[:, :2]
    source = np.full((*depth.shape, 2), np.nan, np.float32)
    source[hit] = source_pixels
    column, row = np.floor(source_pixels).astype(int).clip(0, camera.size - 1).T
    valid = np.zeros_like(hit)
    valid[hit] = ((source_pixels >= 0) & (source_pixels <= camera.size)).all(axis=-1)
    valid[hit] &= cosine[row, column] > np.cos(np.radians(grazing))
    if coverage is None:
        coverage = _smooth(hit.astype(np.float32))
    return ViewGeometry(
        camera=camera,
        depth=depth,
        source=_filled(source, hit, (coverage > 0) & ~hit),
        valid=valid,
        coverage=coverage,
        blend=np.zeros_like(coverage),
    )


def _smooth(hits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean of 3 x 3 pixels, weighted 1 2 1 along both axes. The border is replicated."""
    padded = np.pad(hits, 1, mode="edge")
    columns = padded[:-2] + 2 * padded[1:-1] + padded[2:]
    return np.asarray((columns[:, :-2] + 2 * columns[:, 1:-1] + columns[:, 2:]) / 16, np.float32)


def _filled(source: NDArray[np.float32], hit: Mask, fringe: Mask) -> NDArray[np.float32]:
    """Source pixels, with those of the fringe filled in from one of the eight neighbours that is hit."""
    row, column = np.nonzero(fringe)
    todo = np.ones(len(row), bool)
    for down, right in ((0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1)):
        there = (row + down).clip(0, len(hit) - 1), (column + right).clip(0, len(hit) - 1)
        found = todo & hit[there]
        source[row[found], column[found]] = source[there[0][found], there[1][found]]
        todo &= ~found
    return source


def seen_inside(view: ViewGeometry, inside: Mask) -> Mask:
    """(S, S) bool, valid pixels of a view whose source pixel is in the mask (S, S) of the source."""
    column, row = np.floor(view.source[view.valid]).astype(int).clip(0, len(inside) - 1).T
    seen = view.valid.copy()
    seen[view.valid] = inside[row, column]
    return seen
