"""The fast renderer, for the meshes of depth maps: on one CPU core or on CUDA, with the same kernels.

With an orthographic camera that only yaws, every point stays in its image row: row r of any such view shows the
intersection of the mesh with the plane through the pixel centres of row r. These lines are computed once for a mesh,
and a view is a one-dimensional z-buffer for every row, exact to the sub-pixel. Views of a pinhole or with a pitch
rasterise triangles.

Convention: P (4, 4) takes the world to (U, V, z, w), with u = U / w and v = V / w and w = 1 for an orthographic camera,
eye - z for a pinhole; all four are linear in the world. B (4, 4) takes (u w, v w, z, 1) of a view to the source's
(U, V, z, w).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera
from mvgen.core.records import Floats, Mesh, ViewGeometry
from mvgen.render.base import cosine_on_pixels
from mvgen.render.kernels.runtime import open_warp, uploaded

_ON_ROW = 1e-3  # pixels; a vertex this near to the centre of a row differs from it by rounding only
_JUMP = 3.0  # pixels; a larger difference in depth at the end of a surface means another surface behind it
_FARTHEST = 64.0  # world units; larger than the x of any point of a face
_MOST_CUTS = 3  # rows that cut a triangle of a depth grid: its corners are a row apart, and each moves half a row


def _projection(camera: Camera) -> Floats:
    """P of the source view of a camera: (4, 4) float64."""
    if camera.focal is None:
        u, v = camera.centre
        return np.array([[camera.scale, 0, 0, u], [0, -camera.scale, 0, v], [0, 0, 1, 0], [0, 0, 0, 1]])
    u, v = camera.principal or (camera.size / 2, camera.size / 2)
    x, y, z = camera.position
    focal = camera.focal
    return np.array(
        [[focal, 0, -u, u * z - focal * x], [0, -focal, -v, v * z + focal * y], [0, 0, 1, 0], [0, 0, -1, z]]
    )


def _inverse(projection: Floats) -> Floats:
    """(U, V, z, 1) of the source view to the world: (4, 4) float64."""
    matrix = projection.copy()
    matrix[3] = (0, 0, 0, 1)
    return np.linalg.inv(matrix)


def _matrices(camera: Camera, projection: Floats, inverse: Floats) -> NDArray[np.float32]:
    """P and B of a view: (2, 4, 4)."""
    rotations = np.zeros((2, 4, 4))
    rotations[:, :3, :3] = camera.rotation, camera.rotation.T
    rotations[:, :3, 3] = camera.pivot - rotations[:, :3, :3] @ camera.pivot
    rotations[:, 3, 3] = 1
    to_view, back = projection @ rotations
    return np.array([to_view, back @ inverse], np.float32)


@dataclass(frozen=True, slots=True)
class _PreparedMesh:
    """A mesh, and data derived from it for all views, on the device.

    points, starts : lines along the pixel rows, see `_lines`
    outline : (E, 3) edges that belong to one triangle only, and that triangle's third corner
    """

    mesh: Mesh
    source: Camera
    projection: Floats
    inverse: Floats
    vertices: Any
    triangles: Any
    cosine: Any
    points: Any
    starts: Any
    outline: Any


@dataclass(frozen=True, slots=True)
class _Drawing:
    """Recorded kernel launches that draw one view of a mesh after the other, with their memory.

    Passing the arguments of a kernel takes a tenth of a view's time, and so does allocating its memory: both are kept.

    settings : cosine of the grazing angle, and whether views are drawn along rows
    set_view : takes P and B of the view, see `_matrices`
    launches : of kernels, in order
    images : return the view's images, in the order of `ViewGeometry`, as copies
    """

    settings: tuple[float, bool]
    set_view: Callable[[NDArray[np.float32]], object]
    launches: tuple[Any, ...]
    images: tuple[Callable[[], NDArray[Any]], ...]


class GridRenderer:
    """Draws views with the kernels of `mvgen.render.kernels.rasterise`, on "cpu" (one core) or "cuda"."""

    def __init__(self, device: str = "cpu") -> None:
        self._warp = open_warp(device)
        self._device = device
        self._prepared: _PreparedMesh | None = None
        self._drawing: _Drawing | None = None

    def render(self, mesh: Mesh, camera: Camera, grazing: float) -> ViewGeometry:
        """Render a mesh, see `mvgen.render.base.Renderer`."""
        source = camera.at(0.0, 0.0)
        # All views of a clip render one mesh: its data is made once.
        if self._prepared is None or self._prepared.mesh is not mesh or self._prepared.source != source:
            self._prepared, self._drawing = self._prepare(mesh, source), None
        settings = float(np.cos(np.radians(grazing))), source.focal is None and camera.pitch == 0
        if self._drawing is None or self._drawing.settings != settings:
            self._drawing = self._record(self._prepared, *settings)
        return self._draw(self._drawing, camera, _matrices(camera, self._prepared.projection, self._prepared.inverse))

    def _array(self, array: NDArray[Any], kind: Any) -> Any:
        return uploaded(array, kind, self._device)

    def _prepare(self, mesh: Mesh, source: Camera) -> _PreparedMesh:
        from mvgen.render.kernels import mesh as mesh_kernels

        warp = self._warp
        # Always on the CPU: the sum of normals depends on the order of the triangles.
        vertices = uploaded(mesh.vertices, warp.vec3, "cpu")
        triangles = uploaded(mesh.triangles, warp.vec3i, "cpu")
        normals, turns = np.zeros((len(mesh.vertices), 3)), np.zeros(len(mesh.vertices), np.int32)
        sums = [uploaded(normals, warp.vec3d, "cpu"), uploaded(turns, warp.int32, "cpu")]
        warp.launch(mesh_kernels.sum_triangles, len(mesh.triangles), [vertices, triangles, *sums], device="cpu")
        normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
        points, starts = self._lines(mesh, source.size, vertices, triangles)
        return _PreparedMesh(
            mesh=mesh,
            source=source,
            projection=_projection(source),
            inverse=_inverse(_projection(source)),
            vertices=self._array(mesh.vertices, warp.vec3),
            triangles=self._array(mesh.triangles, warp.vec3i),
            cosine=self._array(cosine_on_pixels(mesh, source, normals).astype(np.float32).ravel(), warp.float32),
            points=self._array(points.ravel(), warp.float32),
            starts=self._array(starts, warp.int32),
            outline=self._array(_outline(mesh.triangles, turns != 0), warp.vec3i),
        )

    def _lines(
        self, mesh: Mesh, size: int, vertices: Any, triangles: Any
    ) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """The mesh cut along its pixel rows into lines, from left to right where the source saw their front.

        Returns points (3, P): x and z in the world, and 1 where a line leads here from the point before, else 0; and
        (S + 1,), the index of each row's first point.
        """
        from mvgen.render.kernels import mesh as mesh_kernels

        warp = self._warp
        level = mesh.uv[:, 1] - np.float32(0.5)
        nearest = np.round(level)
        level = np.where(np.abs(level - nearest) < _ON_ROW, nearest, level)
        rows = np.empty((len(mesh.triangles), _MOST_CUTS), np.int32)
        lines = np.empty((len(mesh.triangles), _MOST_CUTS, 4), np.float32)
        inputs = [vertices, uploaded(level, warp.float32, "cpu"), triangles]
        outputs = [uploaded(rows, warp.int32, "cpu"), uploaded(lines, warp.vec4, "cpu")]
        warp.launch(mesh_kernels.cut_triangles, len(mesh.triangles), inputs, outputs, device="cpu")
        cut = (rows >= 0) & (rows < size)
        row, line = rows[cut], lines[cut]
        # Row and start in one number: sorting by one is much faster than by two.
        order = np.argsort(row + 0.5 * (1 + line[:, 0] / _FARTHEST), kind="stable")
        row, line = row[order], line[order]
        fresh = np.ones(len(row), bool)
        fresh[1:] = (row[1:] != row[:-1]) | (line[1:, 0] != line[:-1, 2]) | (line[1:, 1] != line[:-1, 3])
        at = np.arange(len(row)) + np.cumsum(fresh)
        points = np.zeros((3, len(row) + np.count_nonzero(fresh)), np.float32)
        points[:2, at], points[2, at] = line[:, 2:].T, 1
        points[:2, at[fresh] - 1] = line[fresh, :2].T
        count = np.bincount(row, minlength=size) + np.bincount(row[fresh], minlength=size)
        return points, np.concatenate([[0], np.cumsum(count)]).astype(np.int32)

    def _record(self, prepared: _PreparedMesh, least: float, along_rows: bool) -> _Drawing:
        from mvgen.render.kernels import rasterise, silhouette

        warp, device, size = self._warp, self._device, prepared.source.size
        pixels = size * size

        def empty(kind: Any, count: int = pixels) -> Any:
            return warp.empty(count, dtype=kind, device=device)

        def launch(kernel: Any, dim: Any, inputs: list[Any], outputs: Sequence[Any]) -> Any:
            return warp.launch(kernel, dim, inputs, list(outputs), device=device, record_cmd=True)

        matrices = empty(warp.mat44, 2)
        images = tuple(empty(kind) for kind in (warp.float32, warp.vec2, warp.bool, warp.float32, warp.float32))
        depth, source, _, coverage, blend = images
        ends = warp.full(2 * pixels, float(silhouette.NOWHERE), dtype=warp.float32, device=device)
        marked = warp.zeros(1 + 2 * pixels, dtype=warp.int32, device=device)
        eye = 0.0 if prepared.source.focal is None else float(prepared.source.position[2])
        perspective = int(prepared.source.focal is not None)
        lens, surface = [matrices, eye, perspective], [prepared.cosine, least, size]
        vertices, triangles, edges = prepared.vertices, prepared.triangles, prepared.outline
        if along_rows:
            in_view = empty(warp.float32, 2 * len(prepared.points) // 3)
            inputs = [prepared.points, prepared.starts, matrices, *surface, ends, marked, in_view]
            draw = [
                launch(rasterise.draw_rows, size, inputs, images),
                launch(silhouette.mark_outline, len(edges), [vertices, edges, matrices, size], [ends, marked]),
            ]
        else:
            in_view, turns = empty(warp.vec3, len(vertices)), empty(warp.int32, len(vertices))
            nearness = empty(warp.float32)
            draw = [
                launch(rasterise.project_vertices, len(vertices), [vertices, matrices, perspective], [in_view, turns]),
                launch(rasterise.empty_pixels, pixels, [], [nearness]),
                launch(rasterise.draw_triangles, len(triangles), [in_view, triangles, size], [nearness, turns]),
                launch(rasterise.read_depth, pixels, [nearness, eye, perspective], [depth]),
                launch(silhouette.mark_contours, len(triangles), [in_view, triangles, turns, size], [ends, marked]),
                launch(rasterise.find_source_rows, size, [depth, *lens, *surface], images[1:]),
            ]
        inputs = [marked, depth, ends, *lens, _JUMP / prepared.source.scale, size]
        finish = [
            launch(silhouette.antialias, (silhouette.STRIDE, 2), inputs, [source, coverage, blend]),
            launch(silhouette.reset_ends, silhouette.STRIDE, [marked], [ends]),
        ]
        on_host = device == "cpu"  # where NumPy sees the same memory
        return _Drawing(
            settings=(least, along_rows),
            set_view=partial(np.copyto, matrices.numpy()) if on_host else matrices.assign,
            launches=(launch(silhouette.reset_marks, 1, [], [marked]), *draw, *finish),
            images=tuple(image.numpy().copy if on_host else image.numpy for image in images),
        )

    @staticmethod
    def _draw(drawing: _Drawing, camera: Camera, matrices: NDArray[np.float32]) -> ViewGeometry:
        drawing.set_view(matrices)
        for launch in drawing.launches:
            launch.launch()
        images = [image() for image in drawing.images]
        return ViewGeometry(camera, *(image.reshape(camera.size, camera.size, *image.shape[1:]) for image in images))


def _outline(triangles: NDArray[np.int32], open_vertices: NDArray[np.bool_]) -> NDArray[np.int32]:
    """(E, 3) the edges that belong to one triangle only, and that triangle's third corner.

    open_vertices : (N,) bool, vertices that triangles do not surround; both ends of such an edge are among them
    """
    edges = np.concatenate([triangles[:, [0, 1, 2]], triangles[:, [1, 2, 0]], triangles[:, [2, 0, 1]]])
    edges = edges[open_vertices[edges[:, 0]] & open_vertices[edges[:, 1]]]
    low, high = np.sort(edges[:, :2].astype(np.int64), axis=1).T
    _, which, uses = np.unique(low * len(open_vertices) + high, return_inverse=True, return_counts=True)
    return edges[uses[which] == 1]
