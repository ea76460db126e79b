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

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvgen.camera import Camera
from mvgen.records import Floats, Mesh, ViewGeometry
from mvgen.render.base import cosine_on_pixels
from mvgen.render.warp import open_warp, uploaded

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


def _matrices(
    cameras: Sequence[Camera], lens: Floats, unlens: Floats
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """P of views of one source, and B; both (V, 4, 4)."""
    forth, back = (np.empty((len(cameras), 4, 4), np.float32) for _ in range(2))
    turn, unturn = np.eye(4), np.eye(4)
    for index, camera in enumerate(cameras):
        rotation, pivot = camera.rotation, np.array(camera.pivot)
        turn[:3, :3], turn[:3, 3] = rotation, pivot - rotation @ pivot
        unturn[:3, :3], unturn[:3, 3] = rotation.T, pivot - pivot @ rotation
        forth[index], back[index] = lens @ turn, lens @ unturn @ unlens
    return forth, back


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


class GridRenderer:
    """Draws views with the kernels of `mvgen.render.kernels`, on "cpu" (one core) or "cuda"."""

    def __init__(self, device: str = "cpu") -> None:
        self._warp = open_warp(device)
        self._device = device
        self._known: _Known | None = None
        self._scratch: tuple[Any, Any, Any] | None = None

    def render(self, mesh: Mesh, camera: Camera, grazing: float) -> ViewGeometry:
        """What `camera` sees of a mesh; see `mvgen.render.base.Renderer`."""
        return self.render_all(mesh, [camera], grazing)[0]

    def render_all(self, mesh: Mesh, cameras: Sequence[Camera], grazing: float) -> list[ViewGeometry]:
        """What several cameras see of a mesh, at less cost than one by one; they must be views of one source."""
        source = cameras[0].at(0.0, 0.0)
        if any(camera.at(0.0, 0.0) != source for camera in cameras):
            raise ValueError("cameras of one call must be views of the same source")
        # All views of a clip look at one mesh: what belongs to the mesh is made once.
        if self._known is None or self._known.mesh is not mesh or self._known.source != source:
            self._known = self._prepare(mesh, source)
        along_rows = source.focal is None and all(camera.pitch == 0 for camera in cameras)
        return self._draw(self._known, cameras, grazing, along_rows)

    def _array(self, array: NDArray[Any], kind: Any) -> Any:
        return uploaded(array, kind, self._device)

    def _prepare(self, mesh: Mesh, source: Camera) -> _Known:
        from mvgen.render import cutting

        warp = self._warp
        # On the CPU whatever the device: sums of normals depend on their order.
        vertices = uploaded(mesh.vertices, warp.vec3, "cpu")
        triangles = uploaded(mesh.triangles, warp.vec3i, "cpu")
        normals, turns = np.zeros((len(mesh.vertices), 3)), np.zeros(len(mesh.vertices), np.int32)
        sums = [uploaded(normals, warp.vec3d, "cpu"), uploaded(turns, warp.int32, "cpu")]
        warp.launch(cutting.sum_triangles, len(mesh.triangles), [vertices, triangles, *sums], device="cpu")
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
            points=self._array(points, warp.vec3),
            starts=self._array(starts, warp.int32),
            outline=self._array(_outline(mesh.triangles, turns != 0), warp.vec3i),
        )

    def _lines(
        self, mesh: Mesh, size: int, vertices: Any, triangles: Any
    ) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """The mesh cut along its pixel rows: lines, from left to right where the source saw their front.

        Returns points (P, 3): x and z in the world, and 1 where a line leads here from the point before, else 0; and
        (S + 1,), where the points of each row begin.
        """
        from mvgen.render import cutting

        warp = self._warp
        level = mesh.uv[:, 1] - np.float32(0.5)
        nearest = np.round(level)
        level = np.where(np.abs(level - nearest) < _ON_ROW, nearest, level)
        rows = np.empty((len(mesh.triangles), _MOST_CUTS), np.int32)
        lines = np.empty((len(mesh.triangles), _MOST_CUTS, 4), np.float32)
        inputs = [vertices, uploaded(level, warp.float32, "cpu"), triangles]
        outputs = [uploaded(rows, warp.int32, "cpu"), uploaded(lines, warp.vec4, "cpu")]
        warp.launch(cutting.cut_triangles, len(mesh.triangles), inputs, outputs, device="cpu")
        cut = (rows >= 0) & (rows < size)
        row, line = rows[cut], lines[cut]
        # Row and start in one number: sorting by one is much faster than by two.
        order = np.argsort(row + 0.5 * (1 + line[:, 0] / _FARTHEST), kind="stable")
        row, line = row[order], line[order]
        fresh = np.ones(len(row), bool)
        fresh[1:] = (row[1:] != row[:-1]) | (line[1:, 0] != line[:-1, 2]) | (line[1:, 1] != line[:-1, 3])
        at = np.arange(len(row)) + np.cumsum(fresh)
        points = np.zeros((len(row) + np.count_nonzero(fresh), 3), np.float32)
        points[at, :2], points[at, 2] = line[:, 2:], 1
        points[at[fresh] - 1, :2] = line[fresh, :2]
        count = np.bincount(row, minlength=size) + np.bincount(row[fresh], minlength=size)
        return points, np.concatenate([[0], np.cumsum(count)]).astype(np.int32)

    def _draw(self, known: _Known, cameras: Sequence[Camera], grazing: float, along_rows: bool) -> list[ViewGeometry]:
        from mvgen.render import kernels, outlines

        warp, device, size = self._warp, self._device, known.source.size
        rows = (len(cameras), size)
        pixels = len(cameras) * size * size
        forth, back = (self._array(each, warp.mat44) for each in _matrices(cameras, known.lens, known.unlens))
        results: list[tuple[NDArray[Any], Any]] = [
            (np.full(pixels, np.nan, np.float32), warp.float32),
            (np.full((pixels, 2), np.nan, np.float32), warp.vec2),
            (np.zeros(pixels, bool), warp.bool),
            (np.zeros(pixels, np.float32), warp.float32),
            (np.zeros(pixels, np.float32), warp.float32),
        ]
        held = [self._array(result, kind) for result, kind in results]
        depth, source, valid, coverage, blend = held
        ends, marked, spans = self._scratch_for(len(cameras), size)
        eye = 0.0 if known.source.focal is None else float(known.source.position[2])
        lens = [back, eye, int(known.source.focal is not None)]
        if along_rows:
            inputs = [known.points, known.starts, forth, size]
            warp.launch(kernels.sweep_rows, rows, inputs, [depth, ends, marked, spans], device=device)
            edges = (len(cameras), len(known.outline))
            inputs = [known.vertices, known.outline, forth, size]
            warp.launch(outlines.mark_outline, edges, inputs, [ends, marked], device=device)
        else:
            spans.fill_(warp.vec2i(0, size))
            self._draw_triangles(known, forth, eye, depth, (ends, marked))
        inputs = [depth, spans, *lens, known.cosine, float(np.cos(np.radians(grazing))), size]
        warp.launch(kernels.look_back, rows, inputs, [source, valid, coverage], device=device)
        count = int(marked[:1].numpy()[0])
        inputs = [marked, depth, ends, *lens, _JUMP / known.source.scale, size]
        warp.launch(outlines.soften, (count, 2), inputs, [source, coverage, blend], device=device)
        warp.launch(outlines.forget, count, [marked], [ends], device=device)
        marked[:1].zero_()
        shapes = ((), (2,), (), (), ())
        images = [one.numpy().reshape(*rows, size, *shape) for one, shape in zip(held, shapes, strict=True)]
        return [ViewGeometry(*each) for each in zip(cameras, *images, strict=True)]

    def _scratch_for(self, views: int, size: int) -> tuple[Any, Any, Any]:
        """`ends`, `marked` and the spans of rows; see `mvgen.render.outlines`."""
        from mvgen.render import outlines

        warp, pixels = self._warp, views * size * size
        if self._scratch is None or len(self._scratch[0]) != 2 * pixels or len(self._scratch[2]) != views * size:
            self._scratch = (
                warp.full(2 * pixels, float(outlines.NOWHERE), dtype=warp.float32, device=self._device),
                warp.zeros(1 + 2 * pixels, dtype=warp.int32, device=self._device),
                warp.empty(views * size, dtype=warp.vec2i, device=self._device),
            )
        return self._scratch

    def _draw_triangles(self, known: _Known, project: Any, eye: float, depth: Any, ends: Sequence[Any]) -> None:
        """What `sweep_rows` and `mark_outline` do, for any camera."""
        from mvgen.render import kernels, outlines

        warp, device, size = self._warp, self._device, known.source.size
        perspective = int(known.source.focal is not None)
        landed = warp.empty((len(project), len(known.vertices)), dtype=warp.vec3, device=device)
        turns = warp.zeros(landed.shape, dtype=warp.int32, device=device)
        nearness = warp.full(len(depth), float(kernels.EMPTY), dtype=warp.float32, device=device)
        inputs = [known.vertices, project, perspective]
        warp.launch(kernels.project_vertices, landed.shape, inputs, [landed], device=device)
        every = (len(project), len(known.triangles))
        warp.launch(kernels.draw_triangles, every, [landed, known.triangles, size], [nearness, turns], device=device)
        warp.launch(kernels.read_depth, len(depth), [nearness, eye, perspective], [depth], device=device)
        warp.launch(outlines.mark_contours, every, [landed, known.triangles, turns, size], [*ends], device=device)


def _outline(triangles: NDArray[np.int32], open_vertices: NDArray[np.bool_]) -> NDArray[np.int32]:
    """(E, 3) the edges that belong to one triangle only, and that triangle's third corner.

    open_vertices : (N,) bool, vertices that triangles do not close around; both ends of such an edge are
    """
    edges = np.concatenate([triangles[:, [0, 1, 2]], triangles[:, [1, 2, 0]], triangles[:, [2, 0, 1]]])
    edges = edges[open_vertices[edges[:, 0]] & open_vertices[edges[:, 1]]]
    low, high = np.sort(edges[:, :2].astype(np.int64), axis=1).T
    _, which, uses = np.unique(low * len(open_vertices) + high, return_inverse=True, return_counts=True)
    return edges[uses[which] == 1]
