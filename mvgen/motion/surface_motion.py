"""Motion of a clip's surface in 3D, from the flow of the frontal clip, and its projection into any view.

Convention: flow (S, S, 2) float32 in pixels, (dx, dy), see `mvgen.motion.flow.methods`. Motion of a surface
(S, S, 3) float32 in world units: the displacement of the point that the source shows at each pixel.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice, pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import pixel_grid
from mvgen.core.records import ClipGeometry, DepthMap, ViewGeometry
from mvgen.motion.flow.methods import ClipFlow, Flow
from mvgen.motion.scene_flow import slopes

Floats = NDArray[np.floating]

# Skin that moves deforms the face: its depth changes by about a third of what it would if it slid over a rigid face. On
# 32 synthetic performances seen from 45 degrees, with true depth and true frontal flow, the error of the flow is then
# 0.18 (Anny) and 0.28 (ICT) of the motion; 0.30 and 0.34 if skin slides, 0.17 and 0.31 if its depth does not change.
_SLIDING = 1 / 3
_ON_PIXEL = 1e-3  # pixels; a position this near to a pixel's centre differs from it by rounding only


class SurfaceMotion(NamedTuple):
    """Displacement of a clip's surface, in world units at the source's pixels.

    frames : (T-1, S, S, 3) float32, frame t to t+1; apex : (S, S, 3) float32, onset to apex
    """

    frames: NDArray[np.float32]
    apex: NDArray[np.float32]


def clip_surface_motion(
    frontal: ClipFlow, surfaces: ClipGeometry[DepthMap], apex: int, lift: NDArray[np.floating] | None = None
) -> SurfaceMotion:
    """The motion of a clip's surface, from the flow of the frontal clip.

    surfaces : NaN outside the face; apex : position in the clip, from 0
    lift : (T, s, s) world units, displacement in depth per frame, see `mvgen.views.view.Scene`; None takes a fixed
        share of the change of depth that sliding would give
    """
    onset = surfaces.onset
    if lift is not None and not surfaces.moves:
        surface = _Surface(surfaces.at_onset)
        size = frontal.apex.shape[0]
        heights, (right, down) = lift.astype(np.float32), slopes(surfaces.at_onset)

        def depth_gain(motion: Flow, nearer: NDArray[np.float32]) -> NDArray[np.float32]:
            """Change of depth along the surface at rest, plus the change of the displacement in depth."""
            return right * motion[..., 0] + down * motion[..., 1] + _resized(nearer, size)

        frames = (
            surface.displacement(motion, surface, 0.0, depth_gain(motion, after - before))
            for motion, (before, after) in zip(frontal.frames, pairwise(heights), strict=True)
        )
        gained = depth_gain(frontal.apex, heights[apex] - heights[onset])
        return SurfaceMotion(_contiguous(frames, frontal), surface.displacement(frontal.apex, surface, 0.0, gained))
    sliding = 1.0 if surfaces.moves else _SLIDING
    extended = surfaces.map(_Surface)
    frames = (
        extended.at(index).displacement(motion, extended.at(index + 1), sliding)
        for index, motion in enumerate(frontal.frames)
    )
    return SurfaceMotion(
        _contiguous(frames, frontal), extended.at_onset.displacement(frontal.apex, extended.at(apex), sliding)
    )


def _resized(lift: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """(s, s) -> (size, size)."""
    import cv2

    return np.asarray(cv2.resize(lift, (size, size), interpolation=cv2.INTER_LINEAR), np.float32)


_TURNED = 32  # frames that are turned together


def _contiguous(frames: Iterator[NDArray[np.float32]], of: ClipFlow) -> NDArray[np.float32]:
    """Frames (S, S, 3) as (N, S, S, 3), the frames of a pixel contiguous in memory, as views read them.

    of : the flow that they come of, one for each
    """
    size = len(of.apex)
    pixels = np.empty((size, size, 3, len(of.frames)), np.float32)
    turned = pixels.transpose(3, 0, 1, 2)
    for first in range(0, len(turned), _TURNED):
        part = np.stack(list(islice(frames, _TURNED)))
        for row in range(size):  # each of which fits a cache
            turned[first : first + _TURNED, row] = part[:, row]
    return turned


class _Surface:
    """A depth map, extended beyond the face by the depth of the nearest pixel of the outline."""

    def __init__(self, surface: DepthMap) -> None:
        from scipy.ndimage import distance_transform_edt

        self._camera = surface.camera
        face = np.isfinite(surface.depth)
        nearest = tuple(distance_transform_edt(~face, return_distances=False, return_indices=True))
        self._depth = surface.depth[nearest].astype(np.float64)
        self._pixels = pixel_grid(*face.shape)[face]
        self._face_depth = self._depth[face]
        self._points = self._camera.unproject(np.column_stack([self._pixels, self._face_depth]))
        number = np.zeros(face.shape, np.intp)
        number[face] = np.arange(len(self._pixels))
        self._face, self._number = np.flatnonzero(face), number[nearest]

    def _depth_at(self, pixels: Floats) -> Floats:
        """Depth (N,) at pixels (N, 2), bilinear between pixel centres."""
        index, weight = _bilinear(pixels - 0.5, self._depth.shape)
        return np.asarray((self._depth.ravel()[index] * weight).sum(axis=0))

    def displacement(
        self, motion: Flow, then: _Surface, sliding: float, gained: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """Displacement of the point at each pixel to pixel + motion on the surface `then`: (S, S, 3) world units.

        sliding : share of the difference in depth between both positions that is added
        gained : (S, S) world units, added to the depth
        Pixels outside the face take the value of the nearest one on it, so that outlines do not mix with zeros.
        """
        pixels = self._pixels + motion.reshape(-1, 2).take(self._face, axis=0)
        depth = self._face_depth + sliding * (then._depth_at(pixels) - self._face_depth)
        if gained is not None:
            depth += gained.ravel().take(self._face)
        vectors = self._camera.unproject(np.column_stack([pixels, depth])) - self._points
        return vectors.astype(np.float32).take(self._number, axis=0)


def _bilinear(at: Floats, shape: tuple[int, ...]) -> tuple[NDArray[np.intp], Floats]:
    """Bilinear interpolation of an image at positions (N, 2), in pixels from the centre of the first one.

    Returns the flat indices of four pixels (4, N) and their weights (4, N). The border is replicated.
    """
    height, width = shape
    column, row = np.clip(at[:, 0], 0, width - 1), np.clip(at[:, 1], 0, height - 1)
    left, top = column.astype(np.intp), row.astype(np.intp)
    right, down = column - left, row - top
    first = top * width + left
    next_column, next_row = left < width - 1, width * (top < height - 1)
    index = np.stack([first, first + next_column, first + next_row, first + next_row + next_column])
    return index, np.stack([(1 - right) * (1 - down), right * (1 - down), (1 - right) * down, right * down])


def project_motion(motion: NDArray[np.float32], view: ViewGeometry) -> Flow:
    """Project the motion of a surface into a view.

    motion : (N, S, S, 3) world units, at the source's pixels
    Returns (N, S, S, 2) float32, pixels, zero where the view shows no surface.
    """
    return _Projection(view).flow(motion)


def project_clip_motion(motion: SurfaceMotion, view: ViewGeometry) -> ClipFlow:
    """Project the motion of a clip's surface into a view, see `project_motion`."""
    projection = _Projection(view)
    return ClipFlow(projection.flow(motion.frames), projection.flow(motion.apex[None])[0])


class _Projection:
    """Projection of surface motion into a view: each pixel's motion is interpolated from four of the source's pixels.

    The weights are the same for all frames, so that all frames take one product with a sparse matrix.
    """

    def __init__(self, view: ViewGeometry) -> None:
        from scipy.sparse import csr_array

        camera = self._camera = view.camera
        self._rows, self._columns = np.nonzero(np.isfinite(view.depth))
        self._depth = view.depth[self._rows, self._columns]
        at = view.source[self._rows, self._columns].astype(np.float64) - 0.5
        nearest = np.round(at)
        index, weight = _bilinear(np.where(np.abs(at - nearest) < _ON_PIXEL, nearest, at), view.depth.shape)
        # An orthographic camera projects motion alike at every pixel: then the matrix includes the projection.
        seen = self._axes = np.eye(3) if camera.focal is not None else camera.scale * camera.rotation[:2] * [[1], [-1]]
        # With yaw alone two pixels of one row suffice, two components of the motion for dx and one for dy.
        corners = [(where, share) for where, share in zip(index, weight, strict=True) if share.any()]
        parts = [[(part, by) for part, by in enumerate(axis) if by != 0] for axis in seen]
        columns = [3 * where + part for axis in parts for part, _ in axis for where, _ in corners]
        entries = [by * share for axis in parts for _, by in axis for _, share in corners]
        counts = np.array([len(axis) * len(corners) for axis in parts])
        ends = np.concatenate([[0], np.cumsum(np.tile(counts, len(self._rows)))])
        self._matrix = csr_array(
            (_interleaved(entries, np.float32), _interleaved(columns, np.int32), ends.astype(np.int32)),
            shape=(len(ends) - 1, 3 * view.depth.size),
        )

    def flow(self, motion: NDArray[np.float32]) -> Flow:
        """(N, S, S, 3) world units, at the source's pixels -> (N, S, S, 2) pixels."""
        size, rows, columns = self._camera.size, self._rows, self._columns
        fields = np.ascontiguousarray(np.moveaxis(motion, 0, -1)).reshape(3 * size**2, len(motion))
        vectors = (self._matrix @ fields).reshape(len(rows), len(self._axes), len(motion)).transpose(2, 0, 1)
        flow = np.zeros((len(motion), size, size, 2), np.float32)
        begins = np.searchsorted(rows, np.arange(size + 1))
        for row, (begin, end) in enumerate(pairwise(begins)):
            part = vectors[:, begin:end]
            if self._camera.focal is not None:
                part = self._projected(part, slice(begin, end))
            flow[:, row, columns[begin:end]] = part
        return flow

    def _projected(self, vectors: Floats, chosen: slice) -> Floats:
        """Displacements (N, P, 3) of some of the pixels, world units -> (N, P, 2) pixels."""
        camera = self._camera
        places = np.stack([self._columns[chosen], self._rows[chosen]], axis=-1) + 0.5
        points = camera.unproject(np.column_stack([places, self._depth[chosen].astype(np.float64)]))
        return camera.project(points + vectors)[..., :2] - places


def _interleaved(columns: Sequence[NDArray[Any]], kind: type) -> NDArray[Any]:
    """Columns (N,) of a table as one flat array, row by row."""
    return np.stack(columns, axis=-1, dtype=kind, casting="same_kind").ravel() if columns else np.zeros(0, kind)
