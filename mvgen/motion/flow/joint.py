"""Motion of a face from its onset frame to every other frame of a clip, estimated from all frames at once.

Convention: flow (T, S, S, 2) float32 in pixels, (dx, dy): the point at pixel p of the onset frame is at p + flow[t][p]
in frame t.
In a registered clip skin moves by few pixels, smoothly over the face, and the parts of an expression follow few time
courses. All frames are warped onto the onset frame and matched with their mean: a least-squares problem, linear in the
motion, whose matrix all frames share. Time courses that are not stronger than noise are left out.
Sources: Lucas and Kanade, An Iterative Image Registration Technique, IJCAI 1981; Baker and Matthews, Lucas-Kanade 20
Years On, IJCV 2004 (one matrix for all frames); Horn and Schunck, Determining Optical Flow, 1981 (smoothness).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mvgen.core.records import Image, Mask
from mvgen.motion.flow.onset_motion import CELL, WHOLE, CellBox, OnsetMotion
from mvgen.motion.flow.opencv import cell_sums, interpolated, one_thread, pixel_centres

Flow = NDArray[np.float32]
Pictures = NDArray[np.float32]

# Lengths are pixels of a picture of 256.
_SHADING = 3.0  # sigma; structure wider than this is shading, which changes with the expression
# From coarse to fine: sigma that the pictures are smoothed by, and how many cells a square of the grid spans.
_LEVELS = ((2.5, 2), (1.0, 2), (0.5, 1))
_STRETCH, _BEND = 1.0, 10.0  # weights of the first and second differences of the motion
_ANCHOR = 1e-3  # keeps the matrix invertible where nothing is seen
_RIM = 2.0  # pictures mix with the background this near to the outline
_MOST_TIME_COURSES = 4
# A time course is kept when its power exceeds that of noise by the first factor over the whole face; locally it fades
# out where its power falls to the second factor.
_TO_NOISE, _TO_LOCAL_NOISE = 4.0, 2.0
_NEIGHBOURHOOD = 2.0  # sigma of local means, cells
_NOISES = 3  # pictures of pure noise, from which the power of noise is estimated
# Pixels whose residual variance over the frames is so many times that of noise have half the weight: the inside of a
# mouth, highlights.
_OUTLIER = 3.0
_LEAST_NOISE = 0.02  # variance, grey levels squared: rounding


def motion_from_onset(colour: Image, onset: int, surface: Mask) -> OnsetMotion:
    """Find the motion from the onset frame to every frame of a registered clip.

    colour : (T, S, S, 3) uint8; surface : (S, S) bool, where the face is seen
    """
    return OnsetMotion(*_nodes(colour, onset, surface), surface)


def flows_from_onset(colour: Image, onset: int, surface: Mask) -> Flow:
    """`motion_from_onset` as (T, S, S, 2) float32, pixels; zero for the onset frame and off the surface."""
    return motion_from_onset(colour, onset, surface).flows()


def _nodes(colour: Image, onset: int, surface: Mask) -> tuple[Flow, CellBox]:
    """Motion (T, h, w, 2), pixels, from the onset frame to every frame, at the middles of the cells of a box."""
    if not surface.any() or len(colour) < 2:
        box = CellBox(0, 0, 1, 1, 1)
        return np.zeros((len(colour), 1, 1, 2), np.float32), box
    with one_thread():
        box = CellBox.around(surface, max(span for _, span in _LEVELS))
        scale = surface.shape[0] / WHOLE
        fine = _fine(colour, onset, surface, box, scale)
        weight = box.cut(_inner(surface, scale))
        weight[surface.shape[0] - box.top :] = 0
        weight[:, surface.shape[1] - box.left :] = 0
        motion = np.zeros((len(fine), 1, 1, 2), np.float32)
        for sigma, span in _LEVELS:
            level = _Level(sigma * scale, box.cell * span, scale)
            motion = _resized(motion, box.height // level.side, box.width // level.side)
            motion = _improved(motion, fine, weight, onset, level)
    return motion, box


def _fine(colour: Image, onset: int, surface: Mask, box: CellBox, scale: float) -> Pictures:
    """(T, H, W) grey pictures of the box, of equal mean brightness and without shading."""
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
    """(S, S) float32, 1 on the surface except its rim, 0 elsewhere."""
    import cv2

    inner = cv2.erode(
        surface.astype(np.uint8), np.ones((3, 3), np.uint8), iterations=max(1, round(_RIM * scale)), borderValue=1
    )
    return np.asarray(inner, np.float32)


class _Level(NamedTuple):
    """One scale of the search. sigma : of the pictures' smoothing, pixels; side : of a cell, pixels; scale : S / 256"""

    sigma: float
    side: int
    scale: float


def _improved(motion: Flow, fine: Pictures, weight: Pictures, onset: int, level: _Level) -> Flow:
    """One Gauss-Newton step for all frames.

    motion : (T, h, w, 2), pixels, at the middles of cells; fine : (T, H, W); weight : (H, W) of the pixels
    """
    import cv2
    from scipy.linalg import cho_solve_banded, cholesky_banded

    (frames, height, width), (sigma, side, scale) = fine.shape, level
    noises = _noise_pictures(_NOISES, height, width, scale)
    smooth = [_smoothed(one, sigma) for one in fine]
    warped = np.stack([_warped(one, there) for one, there in zip(smooth, motion, strict=True)])
    mean = warped.mean(axis=0)
    away = mean - warped
    seen = weight > 0
    if not seen.any():
        return motion
    spread = np.square(away).sum(axis=0) / np.float32(frames - 1)
    variance = max(float(np.median(spread[seen])) / _chi_median(frames - 1), _LEAST_NOISE)
    noise = np.stack([_smoothed(one, sigma) for one in noises])
    noise *= np.float32(np.sqrt(variance)) / noise.std()

    right, down = (cv2.Scharr(mean, -1, *order, scale=1 / 32) for order in ((1, 0), (0, 1)))
    # Smoothed noise is correlated between neighbours: so many pixels count as one measurement.
    correlated = max(4 * np.pi * sigma**2, 1.0)
    precision = weight / (np.float32(variance * correlated) * (1 + spread / np.float32(_OUTLIER * variance)))
    across, along = precision * right, precision * down
    tensor = np.stack([cell_sums(one, side) for one in (across * right, across * down, along * down)])
    data = np.stack(
        [np.stack([cell_sums(across * one, side), cell_sums(along * one, side)], -1) for one in (*away, *noise)]
    )
    data[:frames, ..., 0] += tensor[0] * motion[..., 0] + tensor[1] * motion[..., 1]
    data[:frames, ..., 1] += tensor[1] * motion[..., 0] + tensor[2] * motion[..., 1]
    matrix = _prior(*tensor.shape[1:], side / scale) / np.float32(scale**2)
    matrix[0] += tensor[[0, 2]].reshape(2, -1).T.reshape(-1)
    matrix[1, ::2] += tensor[1].reshape(-1)
    factor = cholesky_banded(matrix, overwrite_ab=True, lower=True, check_finite=False)
    found = cho_solve_banded((factor, True), data.reshape(len(data), -1).T, overwrite_b=True, check_finite=False).T
    grids = np.ascontiguousarray(found).reshape(len(data), *motion.shape[1:])
    denoised = _denoised(grids[:frames], grids[frames:])
    return np.asarray(denoised - denoised[onset], np.float32)


def _denoised(motions: Flow, noises: Flow) -> Flow:
    """Motions (T, h, w, 2) as a sum of few spatial patterns, each with its time course and stronger than noise.

    noises : (N, h, w, 2), motions estimated from noise alone
    """
    noise = _local_mean(np.square(noises).sum(axis=-1).mean(axis=0))
    whitening = 1 / np.sqrt(np.maximum(noise, 1e-12))[..., None]
    away = motions - motions.mean(axis=0)
    white = (away * whitening).reshape(len(motions), -1)
    powers, courses = np.linalg.eigh((white @ white.T).astype(np.float64))
    expected = float(np.square(noises * whitening).sum()) / len(noises)
    total = np.zeros_like(away)
    for power, course in zip(powers[::-1][:_MOST_TIME_COURSES], courses.T[::-1].astype(np.float32), strict=False):
        if power <= _TO_NOISE * expected:
            break
        pattern = np.tensordot(course, away, axes=1)
        strength = _local_mean(np.square(pattern).sum(axis=-1))
        share = np.clip(1 - _TO_LOCAL_NOISE * noise / np.maximum(strength, 1e-12), 0, None)
        total += course[:, None, None, None] * (pattern * share[..., None])
    return total


def _local_mean(values: Pictures) -> Pictures:
    """Local means of cells (h, w)."""
    import cv2

    return np.asarray(cv2.GaussianBlur(values, (0, 0), _NEIGHBOURHOOD), np.float32)


@lru_cache(8)
def _chi_median(freedom: int) -> float:
    """Median of a chi-squared variable, divided by its mean."""
    from scipy.stats import chi2

    return float(chi2.median(freedom) / freedom)


@lru_cache(4)
def _noise_pictures(count: int, height: int, width: int, scale: float) -> Pictures:
    """(count, H, W) pictures of noise, filtered like pictures of a face."""
    noise = np.random.default_rng(0).standard_normal((count, height, width)).astype(np.float32)
    return np.stack([_without_shading(one, scale) for one in noise])


def _smoothed(picture: Pictures, sigma: float) -> Pictures:
    import cv2

    return np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma) if sigma > 0.3 else picture)


def _resized(values: Flow, height: int, width: int) -> Flow:
    """(T, h, w, 2) -> (T, height, width, 2), linear."""
    import cv2

    return np.stack([cv2.resize(one, (width, height), interpolation=cv2.INTER_LINEAR) for one in values])


def _warped(picture: Pictures, motion: Flow) -> Pictures:
    """A picture (H, W) warped back by a motion (h, w, 2) given in cells."""
    import cv2

    if not motion.any():
        return picture
    height, width = picture.shape
    at = pixel_centres(height, width) + cv2.resize(motion, (width, height), interpolation=cv2.INTER_LINEAR)
    return interpolated(picture, at)


@lru_cache(8)
def _prior(height: int, width: int, side: float) -> Pictures:
    """Penalty on motion that is not smooth, as a banded matrix in lower form, dx and dy alternating.

    side : of a cell, pixels of 256
    """
    from scipy import sparse

    def differences(length: int, order: int) -> Any:
        kernel = ((1.0,), (-1.0, 1.0), (1.0, -2.0, 1.0))[order]
        return sparse.diags(kernel, range(order + 1), shape=(length - order, length))

    def squares(down: int, right: int) -> Any:
        one = sparse.kron(differences(height, down), differences(width, right))
        return one.T @ one

    bend = _BEND * (CELL / side) ** 2
    whole = _STRETCH * (squares(1, 0) + squares(0, 1)) + bend * (squares(2, 0) + 2 * squares(1, 1) + squares(0, 2))
    entries = sparse.coo_matrix(whole + _ANCHOR * sparse.eye(height * width))
    below = entries.row - entries.col
    kept = below >= 0
    matrix = np.zeros((2 * int(below.max()) + 1, 2 * height * width), np.float32)
    for axis in (0, 1):
        matrix[2 * below[kept], 2 * entries.col[kept] + axis] = entries.data[kept]
    return matrix
