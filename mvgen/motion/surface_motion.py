"""How a clip's surface moves, and what of that a view sees: flow carried from the frontal clip into any view.

Convention: flow (S, S, 2) float32 in pixels, (dx, dy), see `mvgen.motion.flow`. Motion of a surface (S, S, 3) float32
in world units is given at the source's pixels: what is at pixel q moves by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import pixel_grid
from mvgen.core.records import ClipGeometry, DepthMap, ViewGeometry
from mvgen.motion.flow import ClipFlow, Flow
from mvgen.motion.scene_flow import slopes

Floats = NDArray[np.floating]

# Skin does not slide over a face that stands still, it takes the face along: of the depth that it would gain by sliding
# it gains about a third. On 32 acted faces seen from 45 degrees, with true depth and true frontal flow, the error of
# the flow is 0.18 (Anny) and 0.28 (ICT) of the motion by that; 0.30 and 0.34 if skin slides, 0.17 and 0.31 if it keeps
# its depth.
_SLIDING = 1 / 3
_ON_PIXEL = 1e-3  # pixels; a place this near to a pixel's centre is the centre, whatever rounding says


class SurfaceMotion(NamedTuple):
    """How a clip's surface moves, in world units at the source's pixels.

    frames : (T-1, S, S, 3) float32, frame t to t+1; apex : (S, S, 3) float32, onset to apex
    """

    frames: NDArray[np.float32]
    apex: NDArray[np.float32]


def clip_surface_motion(
    frontal: ClipFlow, surfaces: ClipGeometry[DepthMap], apex: int, lift: NDArray[np.floating] | None = None
) -> SurfaceMotion:
    """The motion that the frontal clip's flow means on its surface.

    surfaces : NaN outside the face; apex : position in the clip, from 0
    lift : (T, s, s) world units, how much nearer each frame has the skin than the one surface has it where it is, see
        `mvgen.views.view.Scene`; where it is not given, skin gains a part of the depth that it would gain by sliding
    """
    onset = surfaces.onset
    if lift is not None and not surfaces.moves:
        ground = _Ground(surfaces.at_onset)
        size = frontal.apex.shape[0]
        heights, (right, down) = lift.astype(np.float32), slopes(surfaces.at_onset)

        def gained(motion: Flow, nearer: NDArray[np.float32]) -> NDArray[np.float32]:
            """Depth of a motion along the surface at rest, and what it is nearer in the end."""
            return right * motion[..., 0] + down * motion[..., 1] + _resized(nearer, size)

        frames = np.empty((len(frontal.frames), size, size, 3), np.float32)
        for index, (before, after) in enumerate(pairwise(heights)):
            motion = frontal.frames[index]
            frames[index] = ground.moved(motion, ground, 0.0, gained(motion, after - before))
        raised = gained(frontal.apex, heights[apex] - heights[onset])
        return SurfaceMotion(_side_by_side(frames), ground.moved(frontal.apex, ground, 0.0, raised))
    sliding = 1.0 if surfaces.moves else _SLIDING
    grounds = surfaces.map(_Ground)
    frames = np.empty((len(frontal.frames), *frontal.apex.shape[:2], 3), np.float32)
    for index, motion in enumerate(frontal.frames):
        frames[index] = grounds.at(index).moved(motion, grounds.at(index + 1), sliding)
    return SurfaceMotion(_side_by_side(frames), grounds.at_onset.moved(frontal.apex, grounds.at(apex), sliding))


def _resized(lift: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """(s, s) -> (size, size)."""
    import cv2

    return np.asarray(cv2.resize(lift, (size, size), interpolation=cv2.INTER_LINEAR), np.float32)


def _side_by_side(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """The same (N, S, S, 3), with all frames' values of a pixel next to one another: views take them together."""
    pixels = np.empty((*frames.shape[1:], len(frames)), np.float32)
    turned = pixels.transpose(3, 0, 1, 2)
    for row in range(frames.shape[1]):  # each of which fits a cache
        turned[:, row] = frames[:, row]
    return turned


class _Ground:
    """A depth map as a surface that goes on beyond the face as it is at its outline."""

    def __init__(self, surface: DepthMap) -> None:
        from scipy.ndimage import distance_transform_edt

        self._camera = surface.camera
        face = np.isfinite(surface.depth)
        nearest = tuple(distance_transform_edt(~face, return_distances=False, return_indices=True))
        self._depth = surface.depth[nearest].astype(np.float64)
        self._pixels = pixel_grid(*face.shape)[face]
        self._rest = self._depth[face]
        self._points = self._camera.unproject(np.column_stack([self._pixels, self._rest]))
        number = np.zeros(face.shape, np.intp)
        number[face] = np.arange(len(self._pixels))
        self._face, self._number = np.flatnonzero(face), number[nearest]

    def _depth_at(self, pixels: Floats) -> Floats:
        """Depth (N,) at pixels (N, 2), bilinear between pixel centres."""
        index, weight = _bilinear(pixels - 0.5, self._depth.shape)
        return np.asarray((self._depth.ravel()[index] * weight).sum(axis=0))

    def moved(
        self, motion: Flow, then: _Ground, sliding: float, raised: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """The way of what was at a pixel of this ground and is at pixel + motion of the other: (S, S, 3) world units.

        sliding : share of the depth between both places that it gains; raised : (S, S), what it gains besides
        Outside the face it is that of the nearest pixel of the face, so that outlines do not mix with rest.
        """
        pixels = self._pixels + motion.reshape(-1, 2).take(self._face, axis=0)
        depth = self._rest + sliding * (then._depth_at(pixels) - self._rest)
        if raised is not None:
            depth += raised.ravel().take(self._face)
        return self._way(pixels, depth)

    def _way(self, pixels: Floats, depth: Floats) -> NDArray[np.float32]:
        """From the face's points to pixels with depth."""
        way = self._camera.unproject(np.column_stack([pixels, depth])) - self._points
        return way.astype(np.float32).take(self._number, axis=0)


def _bilinear(at: Floats, shape: tuple[int, ...]) -> tuple[NDArray[np.intp], Floats]:
    """How values at places (N, 2), pixels from the first one's centre, follow from those of an image's four pixels.

    Returns (4, N), which of the image's pixels, counted row by row, and (4, N), their weights. The image goes on beyond
    its rim as it is there.
    """
    height, width = shape
    column, row = np.clip(at[:, 0], 0, width - 1), np.clip(at[:, 1], 0, height - 1)
    left, top = column.astype(np.intp), row.astype(np.intp)
    right, down = column - left, row - top
    first = top * width + left
    beside, below = left < width - 1, width * (top < height - 1)
    index = np.stack([first, first + beside, first + below, first + below + beside])
    return index, np.stack([(1 - right) * (1 - down), right * (1 - down), (1 - right) * down, right * down])


def see_motion(motion: NDArray[np.float32], view: ViewGeometry) -> Flow:
    """Motion of a surface, seen by a view.

    motion : (N, S, S, 3) world units, at the source's pixels
    Returns (N, S, S, 2) float32, pixels, zero where the view shows no surface.
    """
    return _Sight(view).of(motion)


def see_clip_motion(motion: SurfaceMotion, view: ViewGeometry) -> ClipFlow:
    """Motion of a clip's surface, seen by a view: see `see_motion`."""
    sight = _Sight(view)
    return ClipFlow(sight.of(motion.frames), sight.of(motion.apex[None])[0])


class _Sight:
    """How a view sees motion: its value at a pixel is a weighted sum of those at four of the source's pixels.

    The weights are the same for all frames, so that all of them are one product with a sparse matrix.
    """

    def __init__(self, view: ViewGeometry) -> None:
        from scipy.sparse import csr_array

        camera = self._camera = view.camera
        self._rows, self._columns = np.nonzero(np.isfinite(view.depth))
        self._depth = view.depth[self._rows, self._columns]
        at = view.source[self._rows, self._columns].astype(np.float64) - 0.5
        nearest = np.round(at)
        index, weight = _bilinear(np.where(np.abs(at - nearest) < _ON_PIXEL, nearest, at), view.depth.shape)
        # Motion is seen alike all over the picture of an orthographic camera: then the matrix projects it, too.
        seen = self._axes = np.eye(3) if camera.focal is not None else camera.scale * camera.rotation[:2] * [[1], [-1]]
        # Views that only yaw take two pixels of one row, and of three components two for one axis, one for the other.
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

    def of(self, motion: NDArray[np.float32]) -> Flow:
        """(N, S, S, 3) world units, at the source's pixels -> (N, S, S, 2) pixels."""
        size, rows, columns = self._camera.size, self._rows, self._columns
        fields = np.ascontiguousarray(np.moveaxis(motion, 0, -1)).reshape(3 * size**2, len(motion))
        ways = (self._matrix @ fields).reshape(len(rows), len(self._axes), len(motion)).transpose(2, 0, 1)
        flow = np.zeros((len(motion), size, size, 2), np.float32)
        begins = np.searchsorted(rows, np.arange(size + 1))
        for row, (begin, end) in enumerate(pairwise(begins)):
            way = ways[:, begin:end]
            if self._camera.focal is not None:
                way = self._projected(way, slice(begin, end))
            flow[:, row, columns[begin:end]] = way
        return flow

    def _projected(self, way: Floats, chosen: slice) -> Floats:
        """Ways (N, P, 3) in the world of some of the pixels -> (N, P, 2) pixels."""
        camera = self._camera
        places = np.stack([self._columns[chosen], self._rows[chosen]], axis=-1) + 0.5
        points = camera.unproject(np.column_stack([places, self._depth[chosen].astype(np.float64)]))
        return camera.project(points + way)[..., :2] - places


def _interleaved(columns: Sequence[NDArray[Any]], kind: type) -> NDArray[Any]:
    """Columns (N,) of a table, row by row."""
    return np.stack(columns, axis=-1, dtype=kind, casting="same_kind").ravel() if columns else np.zeros(0, kind)
