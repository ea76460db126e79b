"""Motion of a face from its onset frame to every other frame of a clip, found in all frames at once.

Convention: flow (T, S, S, 2) float32 in pixels, (dx, dy): what the onset frame shows at pixel p is at p + flow[t][p] in
frame t.
A registered head stands still, so skin moves by few pixels, smoothly over the face, and the parts of an expression
come and go along few courses in time. All frames are matched with their common mean picture, laid on the onset frame:
one least-squares problem, linear in the motion, whose matrix all frames share. What is left of each course is compared
with what noise alone would give.
Sources: Lucas and Kanade, An Iterative Image Registration Technique, IJCAI 1981; Baker and Matthews, Lucas-Kanade 20
Years On, IJCV 2004 (one matrix for all frames); Horn and Schunck, Determining Optical Flow, 1981 (smoothness).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mvgen.core.records import Image, Mask

Flow = NDArray[np.float32]
Pictures = NDArray[np.float32]

# Lengths are pixels of a picture of 256.
_WHOLE = 256
_SHADING = 3.0  # sigma; what is wider than this is light and shade, which changes with the expression
_CELL = 4  # the motion is found in the corners of squares of this side
# From coarse to fine: sigma that the pictures are smoothed by, and how many cells one step of the grid spans.
_STEPS = ((2.5, 2), (1.0, 2), (0.5, 1))
_STRETCH, _BEND = 1.0, 10.0  # weights of the first and second differences of the motion
_ANCHOR = 1e-3  # keeps the matrix invertible where nothing is seen
_RIM = 2.0  # pictures mix with the background this near to the outline
_COURSES = 4  # in time, at most
# A course counts when its power is above so many times that of noise on the whole face, and where it is around a place.
_DOUBT, _LOCAL_DOUBT = 4.0, 2.0
_NEIGHBOURS = 2.0  # sigma of "around", cells
_NOISES = 3  # pictures of pure noise that tell what noise gives
# Pixels whose variance over the frames stays so many times that of noise count half: the inside of a mouth, highlights.
_STRANGE = 3.0
_LEAST_NOISE = 0.02  # variance, grey levels squared: rounding

_HEAD_SIZE = 128  # side that the motion of whole heads is found at
_HEAD_SHADING, _HEAD_CONTRAST = 12.0, 3.0  # DIS reads whole grey levels, and skin has few of them


@contextmanager
def one_thread() -> Iterator[None]:
    """OpenCV cuts images into as many strips as there are threads; a strip's border may change a result."""
    import cv2

    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


class _Box(NamedTuple):
    """The part of the pictures that shows the surface: rows and columns, whole cells, which may reach beyond the image.

    cell : side of a cell, pixels
    """

    top: int
    left: int
    height: int
    width: int
    cell: int

    @classmethod
    def around(cls, surface: Mask) -> _Box:
        size = surface.shape[0]
        cell = max(1, round(_CELL * size / _WHOLE))
        step = cell * max(span for _, span in _STEPS)
        rows, columns = (np.flatnonzero(surface.any(axis=axis)) for axis in (1, 0))
        top, left = (int(part[0]) // step * step for part in (rows, columns))
        height, width = (
            -(-(int(part[-1]) + 1 - first) // step) * step for part, first in ((rows, top), (columns, left))
        )
        return cls(top, left, max(height, 3 * step), max(width, 3 * step), cell)

    def cut(self, picture: NDArray[Any]) -> NDArray[Any]:
        """The box of an image (S, S); beyond the image its rim goes on."""
        import cv2

        inside = picture[self.top : self.top + self.height, self.left : self.left + self.width]
        below, right = self.height - inside.shape[0], self.width - inside.shape[1]
        return np.asarray(cv2.copyMakeBorder(inside, 0, below, 0, right, cv2.BORDER_REPLICATE))


@dataclass(frozen=True, slots=True)
class OnsetMotion:
    """Motion from the onset frame to every frame of a registered clip, as it is found: in the cells of a box.

    nodes : (T, h, w, 2) float32, pixels, at the middles of the cells; zero for the onset frame
    box : what part of the pictures the cells cover; surface : (S, S) bool, where the face is seen
    """

    nodes: Flow
    box: _Box
    surface: Mask

    def flows(self) -> Flow:
        """To every frame, (T, S, S, 2) float32, pixels; zero off the surface."""
        return _spread(self.nodes, self.box, self.surface)

    def flow(self, frame: int) -> Flow:
        """To one frame, (S, S, 2) float32, pixels; zero off the surface."""
        return _spread(self.nodes[frame : frame + 1], self.box, self.surface)[0]

    def steps(self) -> Flow:
        """From every frame to the next, (T-1, S, S, 2) float32, pixels; zero off the surface."""
        cell = self.box.cell
        steps = np.array([_seen_at(after - before, before / cell) for before, after in pairwise(self.nodes)])
        return _spread(steps.reshape(len(self.nodes) - 1, *self.nodes.shape[1:]), self.box, self.surface)

    def at(self, places: NDArray[np.floating]) -> NDArray[np.float64]:
        """To every frame, of places (P, 2) on the surface, pixels, centres at +0.5: (T, P, 2) pixels."""
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
        share = _summed(shown, self.box.cell).astype(np.float64)
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


def motion_from_onset(colour: Image, onset: int, surface: Mask) -> OnsetMotion:
    """Find the motion from the onset frame to every frame of a registered clip.

    colour : (T, S, S, 3) uint8; surface : (S, S) bool, where the face is seen
    """
    return OnsetMotion(*_nodes(colour, onset, surface), surface)


def flows_from_onset(colour: Image, onset: int, surface: Mask) -> Flow:
    """The same as (T, S, S, 2) float32, pixels; zero for the onset frame and off the surface."""
    return motion_from_onset(colour, onset, surface).flows()


def _nodes(colour: Image, onset: int, surface: Mask) -> tuple[Flow, _Box]:
    """Motion (T, h, w, 2), pixels, from the onset frame to every frame, at the middles of the cells of a box."""
    if not surface.any() or len(colour) < 2:
        box = _Box(0, 0, 1, 1, 1)
        return np.zeros((len(colour), 1, 1, 2), np.float32), box
    with one_thread():
        box = _Box.around(surface)
        scale = surface.shape[0] / _WHOLE
        fine = _fine(colour, onset, surface, box, scale)
        weight = box.cut(_inner(surface, scale))
        weight[surface.shape[0] - box.top :] = 0
        weight[:, surface.shape[1] - box.left :] = 0
        motion = np.zeros((len(fine), 1, 1, 2), np.float32)
        for sigma, span in _STEPS:
            step = _Step(sigma * scale, box.cell * span, scale)
            motion = _resized(motion, box.height // step.side, box.width // step.side)
            motion = _improved(motion, fine, weight, onset, step)
    return motion, box


def _fine(colour: Image, onset: int, surface: Mask, box: _Box, scale: float) -> Pictures:
    """(T, H, W) grey pictures of the box, without a change of light and without shading."""
    import cv2

    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in colour]
    light = np.array([float(one[surface].mean()) for one in grey])
    pictures = np.empty((len(grey), box.height, box.width), np.float32)
    for index, one in enumerate(grey):
        cut = box.cut(one).astype(np.float32) * np.float32(light[onset] / max(light[index], 1.0))
        pictures[index] = _without_shading(cut, scale)
    return pictures


def _without_shading(picture: Pictures, scale: float) -> Pictures:
    import cv2

    return np.asarray(picture - cv2.GaussianBlur(picture, (0, 0), max(_SHADING * scale, 1.0)), np.float32)


def _inner(surface: Mask, scale: float) -> Pictures:
    """(S, S) float32, 1 on the surface but for its rim, 0 elsewhere."""
    import cv2

    inner = cv2.erode(
        surface.astype(np.uint8), np.ones((3, 3), np.uint8), iterations=max(1, round(_RIM * scale)), borderValue=1
    )
    return np.asarray(inner, np.float32)


class _Step(NamedTuple):
    """How fine one step looks. sigma : of the pictures' smoothing, pixels; side : of a cell, pixels; scale : S / 256"""

    sigma: float
    side: int
    scale: float


def _improved(motion: Flow, fine: Pictures, weight: Pictures, onset: int, step: _Step) -> Flow:
    """One Gauss-Newton step for all frames.

    motion : (T, h, w, 2), pixels, at the middles of cells; fine : (T, H, W); weight : (H, W) of the pixels
    """
    import cv2
    from scipy.linalg import cho_solve_banded, cholesky_banded

    (frames, height, width), (sigma, side, scale) = fine.shape, step
    noises = _noise_pictures(_NOISES, height, width, scale)
    soft = [_soft(one, sigma) for one in fine]
    moved = np.stack([_moved(one, there) for one, there in zip(soft, motion, strict=True)])
    mean = moved.mean(axis=0)
    away = mean - moved
    seen = weight > 0
    if not seen.any():
        return motion
    spread = np.square(away).sum(axis=0) / np.float32(frames - 1)
    variance = max(float(np.median(spread[seen])) / _chi_median(frames - 1), _LEAST_NOISE)
    noise = np.stack([_soft(one, sigma) for one in noises])
    noise *= np.float32(np.sqrt(variance)) / noise.std()

    right, down = (cv2.Scharr(mean, -1, *order, scale=1 / 32) for order in ((1, 0), (0, 1)))
    # Smoothed noise is alike in neighbours: so many pixels tell as much as one.
    alike = max(4 * np.pi * sigma**2, 1.0)
    told = weight / (np.float32(variance * alike) * (1 + spread / np.float32(_STRANGE * variance)))
    across, down_told = told * right, told * down
    tensor = np.stack([_summed(one, side) for one in (across * right, across * down, down_told * down)])
    data = np.stack(
        [np.stack([_summed(across * one, side), _summed(down_told * one, side)], -1) for one in (*away, *noise)]
    )
    data[:frames, ..., 0] += tensor[0] * motion[..., 0] + tensor[1] * motion[..., 1]
    data[:frames, ..., 1] += tensor[1] * motion[..., 0] + tensor[2] * motion[..., 1]
    matrix = _prior(*tensor.shape[1:], side / scale) / np.float32(scale**2)
    matrix[0] += tensor[[0, 2]].reshape(2, -1).T.reshape(-1)
    matrix[1, ::2] += tensor[1].reshape(-1)
    factor = cholesky_banded(matrix, overwrite_ab=True, lower=True, check_finite=False)
    found = cho_solve_banded((factor, True), data.reshape(len(data), -1).T, overwrite_b=True, check_finite=False).T
    grids = np.ascontiguousarray(found).reshape(len(data), *motion.shape[1:])
    courses = _along_courses(grids[:frames], grids[frames:])
    return np.asarray(courses - courses[onset], np.float32)


def _along_courses(motions: Flow, noises: Flow) -> Flow:
    """Motions (T, h, w, 2) as a sum of few spatial patterns, each with its course in time, as far as noise leaves them.

    noises : (N, h, w, 2), motions that noise alone gives
    """
    noise = _around(np.square(noises).sum(axis=-1).mean(axis=0))
    trust = 1 / np.sqrt(np.maximum(noise, 1e-12))[..., None]
    away = motions - motions.mean(axis=0)
    sure = (away * trust).reshape(len(motions), -1)
    powers, courses = np.linalg.eigh((sure @ sure.T).astype(np.float64))
    expected = float(np.square(noises * trust).sum()) / len(noises)
    total = np.zeros_like(away)
    for power, course in zip(powers[::-1][:_COURSES], courses.T[::-1].astype(np.float32), strict=False):
        if power <= _DOUBT * expected:
            break
        pattern = np.tensordot(course, away, axes=1)
        strength = _around(np.square(pattern).sum(axis=-1))
        share = np.clip(1 - _LOCAL_DOUBT * noise / np.maximum(strength, 1e-12), 0, None)
        total += course[:, None, None, None] * (pattern * share[..., None])
    return total


def _around(values: Pictures) -> Pictures:
    """Means over a neighbourhood of cells (h, w)."""
    import cv2

    return np.asarray(cv2.GaussianBlur(values, (0, 0), _NEIGHBOURS), np.float32)


@lru_cache(8)
def _chi_median(freedom: int) -> float:
    """Median of a chi-squared variable over its mean."""
    from scipy.stats import chi2

    return float(chi2.median(freedom) / freedom)


@lru_cache(4)
def _noise_pictures(count: int, height: int, width: int, scale: float) -> Pictures:
    """(count, H, W) pictures of noise, without what pictures of a face are without."""
    noise = np.random.default_rng(0).standard_normal((count, height, width)).astype(np.float32)
    return np.stack([_without_shading(one, scale) for one in noise])


def _soft(picture: Pictures, sigma: float) -> Pictures:
    import cv2

    return np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma) if sigma > 0.3 else picture)


def _resized(values: Flow, height: int, width: int) -> Flow:
    """(T, h, w, 2) -> (T, height, width, 2), linear."""
    import cv2

    return np.stack([cv2.resize(one, (width, height), interpolation=cv2.INTER_LINEAR) for one in values])


def _summed(picture: Pictures, side: int) -> Pictures:
    """Sums over squares of `side` pixels."""
    import cv2

    height, width = picture.shape
    means = cv2.resize(picture, (width // side, height // side), interpolation=cv2.INTER_AREA)
    return np.asarray(means * np.float32(side * side))


def _moved(picture: Pictures, motion: Flow) -> Pictures:
    """A picture (H, W) brought back along a motion (h, w, 2) that is known in cells."""
    import cv2

    if not motion.any():
        return picture
    height, width = picture.shape
    at = _places(height, width) + cv2.resize(motion, (width, height), interpolation=cv2.INTER_LINEAR)
    return _read(picture, at)


@lru_cache(8)
def _places(height: int, width: int) -> Pictures:
    """(H, W, 2) float32, pixel centres as OpenCV counts them."""
    places = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).astype(np.float32)
    places.flags.writeable = False
    return places


def _seen_at(step: Flow, motion: Flow) -> Flow:
    """Values (h, w, 2) of the onset frame's surface, in the cells where a frame shows it.

    motion : (h, w, 2), cells, from the onset frame to that frame
    """

    places = _places(*motion.shape[:2])
    back = motion
    for _ in range(2):
        back = _read(motion, places - back)
    return _read(step, places - back)


def _read(values: Pictures, at: Pictures) -> Pictures:
    """Values (H, W, ...) at places (H, W, 2), beyond the rim as on it.

    Cubic: linear interpolation blurs skin the more the nearer it reads to half a pixel, which itself looks like motion.
    """
    import cv2

    found = cv2.remap(values, at, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
    return np.asarray(found, np.float32)


def _spread(nodes: Flow, box: _Box, surface: Mask) -> Flow:
    """Motion of cells (N, h, w, 2) -> of pixels (N, S, S, 2), zero off the surface."""
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


@lru_cache(8)
def _prior(height: int, width: int, side: float) -> Pictures:
    """Smoothness of the motion on a grid as a banded matrix, lower form, for dx and dy in turn.

    side : of a cell, pixels of 256
    """
    from scipy import sparse

    def differences(length: int, order: int) -> Any:
        kernel = ((1.0,), (-1.0, 1.0), (1.0, -2.0, 1.0))[order]
        return sparse.diags(kernel, range(order + 1), shape=(length - order, length))

    def squares(down: int, right: int) -> Any:
        one = sparse.kron(differences(height, down), differences(width, right))
        return one.T @ one

    bend = _BEND * (_CELL / side) ** 2
    whole = _STRETCH * (squares(1, 0) + squares(0, 1)) + bend * (squares(2, 0) + 2 * squares(1, 1) + squares(0, 2))
    entries = sparse.coo_matrix(whole + _ANCHOR * sparse.eye(height * width))
    below = entries.row - entries.col
    kept = below >= 0
    matrix = np.zeros((2 * int(below.max()) + 1, 2 * height * width), np.float32)
    for axis in (0, 1):
        matrix[2 * below[kept], 2 * entries.col[kept] + axis] = entries.data[kept]
    return matrix


def flows_from(colour: Image, onset: int) -> Flow:
    """Motion from the onset frame to every frame of a clip as it was taken, head motion and all, coarsely.

    colour : (T, S, S, 3) uint8. Returns (T, S, S, 2) float32, pixels.
    Each frame is brought back by the affine motion of the face in the frame before it, so that little is left to find.
    Source: Kroeger et al., Fast Optical Flow using Dense Inverse Search, ECCV 2016.
    """
    import cv2

    frames, size = len(colour), colour.shape[1]
    side = min(_HEAD_SIZE, size)
    places, (rows, fit) = _places(side, side), _affine_fit(side)
    method = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    method.setFinestScale(1)
    flow = np.zeros((frames, size, size, 2), np.float32)
    with one_thread():
        small = [_coarse_texture(one, side) for one in colour]
        for way in (range(onset + 1, frames), range(onset - 1, -1, -1)):
            affine = np.eye(2, 3, dtype=np.float32)
            for index in way:
                back = cv2.warpAffine(
                    small[index], affine, (side, side), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                    borderMode=cv2.BORDER_REPLICATE,
                )  # fmt: skip
                rest = method.calc(small[onset], back, None)  # type: ignore[call-overload]
                there = (places + rest) @ affine[:, :2].T + affine[:, 2]
                affine = (fit @ there.reshape(-1, 2)[rows]).T
                flow[index] = cv2.resize(there - places, (size, size)) * np.float32(size / side)
    return flow


def _coarse_texture(frame: Image, side: int) -> Image:
    """(side, side) uint8, a frame made small, its texture amplified and its shading left out."""
    import cv2

    grey = cv2.resize(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), (side, side), interpolation=cv2.INTER_AREA)
    texture = grey - cv2.GaussianBlur(grey.astype(np.float32), (0, 0), _HEAD_SHADING * side / _WHOLE)
    return np.asarray(np.clip(128 + _HEAD_CONTRAST * texture, 0, 255), np.uint8)


@lru_cache(4)
def _affine_fit(side: int) -> tuple[NDArray[np.intp], Pictures]:
    """Pixels (N,) of a crop, row by row, and (3, N): what takes their places in a frame (N, 2) to an affine motion.

    Least squares; the middle of the crop, where its face is, counts most.
    """
    grid = np.arange(0, side, 4)
    down, right = (part.ravel() for part in np.meshgrid(grid, grid, indexing="ij"))
    away = ((right / side - 0.5) / 0.25) ** 2 + ((down / side - 0.5) / 0.3) ** 2
    line = np.stack([right, down, np.ones_like(right)], axis=-1).astype(np.float64)
    weighted = line * np.exp(-0.5 * away)[:, None]
    fit = np.linalg.solve(weighted.T @ line, weighted.T).astype(np.float32)
    return down * side + right, fit
