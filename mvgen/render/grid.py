"""The fast renderer, for the meshes of depth maps: on one CPU core or on CUDA, from the same kernels.

Under an orthographic camera that only yaws, every point stays in its image row. What row r of any such view shows is
what the mesh has in the plane through the centres of row r: the same lines for every yaw. They are cut once for a mesh,
and a view is a z-buffer of one dimension for every row, exact to the sub-pixel. Views of a pinhole or with a pitch draw
triangles.

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

_ON_ROW = 1e-3  # pixels; a vertex this near to the centre of a row lies on it, whatever rounding says
_JUMP = 3.0  # pixels; a larger difference in depth at the end of a surface is another surface behind it
_FARTHEST = 64.0  # world units; no point of a face is as far to a side
_MOST_CUTS = 3  # rows that cut a triangle of a depth grid: two corners are a row apart, and each moves half a row


def _lens(camera: Camera) -> Floats:
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


def _unlens(lens: Floats) -> Floats:
    """(U, V, z, 1) of the source view to the world: (4, 4) float64."""
    known = lens.copy()
    known[3] = (0, 0, 0, 1)
    return np.linalg.inv(known)


def _matrices(camera: Camera, lens: Floats, unlens: Floats) -> NDArray[np.float32]:
    """P and B of a view: (2, 4, 4)."""
    there = camera.rotation
    turns = np.zeros((2, 4, 4))
    turns[:, :3, :3] = there, there.T
    turns[:, :3, 3] = camera.pivot - turns[:, :3, :3] @ camera.pivot
    turns[:, 3, 3] = 1
    to_view, back = lens @ turns
    return np.array([to_view, back @ unlens], np.float32)


@dataclass(frozen=True, slots=True)
class _Known:
    """A mesh and what follows from it for every view, on the device.

    points, starts : lines along the pixel rows, see `_lines`
    outline : (E, 3) edges that one triangle has, and that triangle's third corner
    """

    mesh: Mesh
    source: Camera
    lens: Floats
    unlens: Floats
    vertices: Any
    triangles: Any
    cosine: Any
    points: Any
    starts: Any
    outline: Any


@dataclass(frozen=True, slots=True)
class _Drawing:
    """Views of a mesh, to be drawn one after the other: kernels with the memory they work in.

    Handing a kernel its arguments takes as long as a tenth of a view, as does asking for its memory; here they stay.

    asked : what the drawing is for: cosine of grazing, along rows
    turn : takes P and B of the view, see `_matrices`
    launches : of kernels, one after the other
    images : give those of the view, in the order of `ViewGeometry`, each time in memory of their own
    """

    asked: tuple[float, bool]
    turn: Callable[[NDArray[np.float32]], object]
    launches: tuple[Any, ...]
    images: tuple[Callable[[], NDArray[Any]], ...]


class GridRenderer:
    """Draws views with the kernels of `mvgen.render.kernels.rasterise`, on "cpu" (one core) or "cuda"."""

    def __init__(self, device: str = "cpu") -> None:
        self._warp = open_warp(device)
        self._device = device
        self._known: _Known | None = None
        self._drawing: _Drawing | None = None

    def render(self, mesh: Mesh, camera: Camera, grazing: float) -> ViewGeometry:
        """What `camera` sees of a mesh; see `mvgen.render.base.Renderer`."""
        source = camera.at(0.0, 0.0)
        # All views of a clip look at one mesh: what belongs to the mesh is made once.
        if self._known is None or self._known.mesh is not mesh or self._known.source != source:
            self._known, self._drawing = self._prepare(mesh, source), None
        asked = float(np.cos(np.radians(grazing))), source.focal is None and camera.pitch == 0
        if self._drawing is None or self._drawing.asked != asked:
            self._drawing = self._plan(self._known, *asked)
        return self._draw(self._drawing, camera, _matrices(camera, self._known.lens, self._known.unlens))

    def _array(self, array: NDArray[Any], kind: Any) -> Any:
        return uploaded(array, kind, self._device)

    def _prepare(self, mesh: Mesh, source: Camera) -> _Known:
        from mvgen.render.kernels import mesh as mesh_kernels

        warp = self._warp
        # On the CPU whatever the device: sums of normals depend on their order.
        vertices = uploaded(mesh.vertices, warp.vec3, "cpu")
        triangles = uploaded(mesh.triangles, warp.vec3i, "cpu")
        normals, turns = np.zeros((len(mesh.vertices), 3)), np.zeros(len(mesh.vertices), np.int32)
        sums = [uploaded(normals, warp.vec3d, "cpu"), uploaded(turns, warp.int32, "cpu")]
        warp.launch(mesh_kernels.sum_triangles, len(mesh.triangles), [vertices, triangles, *sums], device="cpu")
        normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
        points, starts = self._lines(mesh, source.size, vertices, triangles)
        return _Known(
            mesh=mesh,
            source=source,
            lens=_lens(source),
            unlens=_unlens(_lens(source)),
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
        """The mesh cut along its pixel rows: lines, from left to right where the source saw their front.

        Returns points (3, P): x and z in the world, and 1 where a line leads here from the point before, else 0; and
        (S + 1,), where the points of each row begin.
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

    def _plan(self, known: _Known, least: float, along_rows: bool) -> _Drawing:
        from mvgen.render.kernels import rasterise, silhouette

        warp, device, size = self._warp, self._device, known.source.size
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
        eye = 0.0 if known.source.focal is None else float(known.source.position[2])
        perspective = int(known.source.focal is not None)
        lens, surface = [matrices, eye, perspective], [known.cosine, least, size]
        vertices, triangles, edges = known.vertices, known.triangles, known.outline
        if along_rows:
            landed = empty(warp.float32, 2 * len(known.points) // 3)
            inputs = [known.points, known.starts, matrices, *surface, ends, marked, landed]
            draw = [
                launch(rasterise.sweep_rows, size, inputs, images),
                launch(silhouette.mark_outline, len(edges), [vertices, edges, matrices, size], [ends, marked]),
            ]
        else:
            landed, turns = empty(warp.vec3, len(vertices)), empty(warp.int32, len(vertices))
            nearness = empty(warp.float32)
            draw = [
                launch(rasterise.project_vertices, len(vertices), [vertices, matrices, perspective], [landed, turns]),
                launch(rasterise.empty_pixels, pixels, [], [nearness]),
                launch(rasterise.draw_triangles, len(triangles), [landed, triangles, size], [nearness, turns]),
                launch(rasterise.read_depth, pixels, [nearness, eye, perspective], [depth]),
                launch(silhouette.mark_contours, len(triangles), [landed, triangles, turns, size], [ends, marked]),
                launch(rasterise.look_back_rows, size, [depth, *lens, *surface], images[1:]),
            ]
        inputs = [marked, depth, ends, *lens, _JUMP / known.source.scale, size]
        finish = [
            launch(silhouette.soften, (silhouette.STRIDE, 2), inputs, [source, coverage, blend]),
            launch(silhouette.forget, silhouette.STRIDE, [marked], [ends]),
        ]
        on_host = device == "cpu"  # where NumPy sees the same memory
        return _Drawing(
            asked=(least, along_rows),
            turn=partial(np.copyto, matrices.numpy()) if on_host else matrices.assign,
            launches=(launch(silhouette.begin, 1, [], [marked]), *draw, *finish),
            images=tuple(image.numpy().copy if on_host else image.numpy for image in images),
        )

    @staticmethod
    def _draw(drawing: _Drawing, camera: Camera, matrices: NDArray[np.float32]) -> ViewGeometry:
        drawing.turn(matrices)
        for launch in drawing.launches:
            launch.launch()
        images = [image() for image in drawing.images]
        return ViewGeometry(camera, *(image.reshape(camera.size, camera.size, *image.shape[1:]) for image in images))


def _outline(triangles: NDArray[np.int32], open_vertices: NDArray[np.bool_]) -> NDArray[np.int32]:
    """(E, 3) the edges that belong to one triangle only, and that triangle's third corner.

    open_vertices : (N,) bool, vertices that triangles do not close around; both ends of such an edge are
    """
    edges = np.concatenate([triangles[:, [0, 1, 2]], triangles[:, [1, 2, 0]], triangles[:, [2, 0, 1]]])
    edges = edges[open_vertices[edges[:, 0]] & open_vertices[edges[:, 1]]]
    low, high = np.sort(edges[:, :2].astype(np.int64), axis=1).T
    _, which, uses = np.unique(low * len(open_vertices) + high, return_inverse=True, return_counts=True)
    return edges[uses[which] == 1]
