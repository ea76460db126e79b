"""Motion from the onset frame of a registered clip to every frame, kept in cells and read as flow or at points.

Convention: flow (T, S, S, 2) float32 in pixels, (dx, dy): the point at pixel p of the onset frame is at p + flow[t][p]
in frame t.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mvgen.core.records import Mask
from mvgen.motion.flow.opencv import cell_sums, interpolated, pixel_centres

Flow = NDArray[np.float32]

WHOLE = 256  # side of the picture whose pixels lengths are given in
CELL = 4  # side of the squares that the motion is estimated in


class CellBox(NamedTuple):
    """Bounding box of the surface in the pictures, in whole cells, which may extend beyond the image.

    cell : side of a cell, pixels
    """

    top: int
    left: int
    height: int
    width: int
    cell: int

    @classmethod
    def around(cls, surface: Mask, span: int) -> CellBox:
        """Around a surface (S, S) bool; height and width are whole multiples of `span` cells."""
        size = surface.shape[0]
        cell = max(1, round(CELL * size / WHOLE))
        step = cell * span
        rows, columns = (np.flatnonzero(surface.any(axis=axis)) for axis in (1, 0))
        top, left = (int(part[0]) // step * step for part in (rows, columns))
        height, width = (
            -(-(int(part[-1]) + 1 - first) // step) * step for part, first in ((rows, top), (columns, left))
        )
        return cls(top, left, max(height, 3 * step), max(width, 3 * step), cell)

    def cut(self, picture: NDArray[Any]) -> NDArray[Any]:
        """An image (S, S) cropped to the box; the border is replicated."""
        import cv2

        inside = picture[self.top : self.top + self.height, self.left : self.left + self.width]
        below, right = self.height - inside.shape[0], self.width - inside.shape[1]
        return np.asarray(cv2.copyMakeBorder(inside, 0, below, 0, right, cv2.BORDER_REPLICATE))


@dataclass(frozen=True, slots=True)
class OnsetMotion:
    """Motion from the onset frame to every frame of a registered clip, as estimated: in the cells of a box.

    nodes : (T, h, w, 2) float32, pixels, at the middles of the cells; zero for the onset frame
    box : the part of the pictures that the cells cover; surface : (S, S) bool, where the face is seen
    """

    nodes: Flow
    box: CellBox
    surface: Mask

    def flows(self) -> Flow:
        """To every frame, (T, S, S, 2) float32, pixels; zero off the surface."""
        return _dense(self.nodes, self.box, self.surface)

    def flow(self, frame: int) -> Flow:
        """To one frame, (S, S, 2) float32, pixels; zero off the surface."""
        return _dense(self.nodes[frame : frame + 1], self.box, self.surface)[0]

    def steps(self) -> Flow:
        """From every frame to the next, (T-1, S, S, 2) float32, pixels; zero off the surface."""
        cell = self.box.cell
        steps = np.array([_in_frame(after - before, before / cell) for before, after in pairwise(self.nodes)])
        return _dense(steps.reshape(len(self.nodes) - 1, *self.nodes.shape[1:]), self.box, self.surface)

    def at(self, places: NDArray[np.floating]) -> NDArray[np.float64]:
        """To every frame, at positions (P, 2) on the surface, pixels, centres at +0.5: (T, P, 2) pixels."""
        if not len(places):
            return np.zeros((len(self.nodes), 0, 2))
        cells = (places - [self.box.left, self.box.top]) / self.box.cell - 0.5
        last = np.array(self.nodes.shape[2:0:-1]) - 1
        cells = np.clip(cells, 0, last)
        first = np.minimum(cells.astype(np.intp), np.maximum(last - 1, 0))
        second = np.minimum(first + 1, last)
        right, down = (cells - first).T[:, None, :, None]
        (left_at, top), (right_at, below) = first.T, second.T
        above = self.nodes[:, top, left_at] * (1 - right) + self.nodes[:, top, right_at] * right
        under = self.nodes[:, below, left_at] * (1 - right) + self.nodes[:, below, right_at] * right
        return np.asarray(above * (1 - down) + under * down, np.float64)

    def lengths(self) -> NDArray[np.float64]:
        """(T,), mean length on the surface, pixels."""
        if not self.nodes.any():
            return np.zeros(len(self.nodes))
        shown = self.box.cut(self.surface.astype(np.float32))
        shown[self.surface.shape[0] - self.box.top :] = 0
        shown[:, self.surface.shape[1] - self.box.left :] = 0
        share = cell_sums(shown, self.box.cell).astype(np.float64)
        return np.asarray((np.linalg.norm(self.nodes, axis=-1) * share).sum(axis=(1, 2)) / share.sum())

    def farthest(self, among: Mask | None = None) -> int | None:
        """The frame of the longest motion, of means over three frames; None where nothing moves.

        among : (T,) bool, frames that it may be; None is all
        """
        padded = np.pad(self.lengths(), 1, mode="edge")
        smooth = padded[:-2] + 2 * padded[1:-1] + padded[2:]
        if not smooth.any():
            return None
        return int((smooth if among is None else np.where(among, smooth, -1.0)).argmax())


def _in_frame(step: Flow, motion: Flow) -> Flow:
    """Values (h, w, 2) in the cells of the onset frame, moved to the cells where a later frame shows them.

    motion : (h, w, 2), cells, from the onset frame to that frame
    """

    places = pixel_centres(*motion.shape[:2])
    back = motion
    for _ in range(2):
        back = interpolated(motion, places - back)
    return interpolated(step, places - back)


def _dense(nodes: Flow, box: CellBox, surface: Mask) -> Flow:
    """Motion in cells (N, h, w, 2) -> in pixels (N, S, S, 2), zero off the surface."""
    import cv2

    flow = np.zeros((len(nodes), *surface.shape, 2), np.float32)
    rows, columns = slice(box.top, box.top + box.height), slice(box.left, box.left + box.width)
    shown = surface[rows, columns]
    height, width = shown.shape
    for whole, one in zip(flow, nodes, strict=True):
        if one.any():
            dense = cv2.resize(one, (box.width, box.height), interpolation=cv2.INTER_LINEAR)[:height, :width]
            whole[rows, columns] = dense * shown[..., None]
    return flow
