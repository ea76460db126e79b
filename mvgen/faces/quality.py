"""How well the frames of a clip show one face: likeness to the onset frame, jumps, light and focus.

All is measured on grey pictures of 128 pixels a side, so that it costs little; lengths are given in pixels of the crop.
Sources: Kuglin and Hines, The phase correlation image alignment method, 1975 (jumps).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mvgen.core.records import FacePoints, FaceTrack, Floats, Image, Mask

_SIDE = 128
_SOFT = 1.0  # sigma against noise
_SHADING = 6.0  # sigma; what is wider is light and shade
_BLOCKS = 16  # along a side: where something hides the face is told by blocks
_TEXTURE = 1.0  # grey levels: blocks of less than this deviation look alike whatever they show
_OTHER = 0.3  # correlation of a block with the onset frame's, below which it shows something else
_BESIDE = 0.8  # below this correlation a frame is tried beside its place
_DARK, _BRIGHT = 8, 247  # grey levels beyond which nothing is told from black or white
_FOCUS = (1.0, 2.0)  # sigmas that a picture's edges are compared at
_FOCUS_FRAMES = 5


class Likeness(NamedTuple):
    """What each of T registered frames has to do with the onset frame.

    alike : (T,) in [-1, 1], correlation of the texture of the face, where it lies or a shift beside
    hidden : (T,) in [0, 1], share of the face where the frame shows something else
    residual : (T,) grey levels of 255, median difference in the face once the light is the same
    jump : (T,) crop pixels, how far the face as a whole moves from the frame before; 0 for the first
    """

    alike: Floats
    hidden: Floats
    residual: Floats
    jump: Floats


def outline(face: FaceTrack) -> Mask:
    """(S, S) bool, the hull of a face's landmarks; the whole crop where nobody has looked for them."""
    import cv2

    if face.landmarks is None:
        return np.ones((face.size, face.size), bool)
    hull = cv2.convexHull(np.round(face.landmarks).astype(np.int32))
    return np.asarray(cv2.fillConvexPoly(np.zeros((face.size, face.size), np.uint8), hull, 1), bool)


def compare(crops: Image, onset: int, face: Mask) -> Likeness:
    """Compare the registered frames (T, S, S, 3) uint8 of a clip with its onset frame. face : (S, S) bool"""
    import cv2

    small = _small(crops)
    where = cv2.resize(face.astype(np.float32), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    inside = where > 0.5
    if not inside.any():
        nothing = np.zeros(len(crops))
        return Likeness(nothing + 1, nothing, nothing, nothing)
    soft = [cv2.GaussianBlur(one, (0, 0), _SOFT) for one in small]
    texture = [(one - cv2.GaussianBlur(one, (0, 0), _SHADING)) * where for one in soft]

    def summed(values: NDArray[Any]) -> NDArray[np.float64]:
        return np.asarray(cv2.resize(values, (_BLOCKS, _BLOCKS), interpolation=cv2.INTER_AREA), np.float64)

    first, light = texture[onset], float(soft[onset][inside].mean())
    energy, area = summed(first * first), summed(where)
    told = (energy > _TEXTURE**2 * area) & (area > 0.5)
    alike, hidden, residual, jump = (np.zeros(len(crops)) for _ in range(4))
    before = None

    def matched(one: NDArray[Any]) -> tuple[float, float]:
        common, own = summed(one * first), summed(one * one)
        local = common / np.maximum(np.sqrt(own * energy), 1e-9)
        whole = common.sum() / max(np.sqrt(own.sum() * energy.sum()), 1e-9)
        return float(whole), float((local < _OTHER)[told].mean()) if told.any() else 0.0

    for index, (one, seen) in enumerate(zip(texture, soft, strict=True)):
        alike[index], hidden[index] = matched(one)
        if alike[index] < _BESIDE:  # it may only lie beside its place
            shift, _ = cv2.phaseCorrelate(first, one)
            back = np.array([[1, 0, shift[0]], [0, 1, shift[1]]])
            near = cv2.warpAffine(one, back, (_SIDE, _SIDE), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
            alike[index], hidden[index] = max((alike[index], hidden[index]), matched(near))
        gain = np.float32(light / max(float(seen[inside].mean()), 1.0))
        residual[index] = float(np.median(np.abs(seen * gain - soft[onset])[inside]))
        if before is not None:
            (right, down), _ = cv2.phaseCorrelate(before, one)
            jump[index] = np.hypot(right, down) * crops.shape[1] / _SIDE
        before = one
    return Likeness(alike, hidden, residual, jump)


def exposure(crops: Image, face: Mask) -> float:
    """Share of the face's pixels that are black or white, over all frames (T, S, S, 3) uint8. face : (S, S) bool"""
    import cv2

    where = cv2.resize(face.astype(np.uint8), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA) > 0
    if not where.any():
        return 0.0
    return float(np.mean([((one < _DARK) | (one > _BRIGHT))[where].mean() for one in _small(crops)]))


def blur(crops: Image, face: Mask) -> float:
    """How much the face is blurred: sigma in crop pixels of the Gaussian that a sharp picture would be seen through.

    crops : (T, S, S, 3) uint8, some of which are looked at; face : (S, S) bool
    The edges of a sharp picture lose energy by the square of the sigma that it is smoothed by.
    """
    import cv2

    chosen = np.unique(np.linspace(0, len(crops) - 1, _FOCUS_FRAMES).round().astype(int))
    where = cv2.resize(face.astype(np.uint8), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA) > 0
    if not where.any():
        return 0.0

    def edges(picture: Floats, sigma: float) -> float:
        soft = cv2.GaussianBlur(picture, (0, 0), sigma)
        right, down = (cv2.Sobel(soft, cv2.CV_32F, *order) for order in ((1, 0), (0, 1)))
        return float((right * right + down * down)[where].sum())

    fine, coarse = _FOCUS
    found = []
    for picture in _small(crops[chosen]):
        ratio = edges(picture, fine) / max(edges(picture, coarse), 1e-9)
        power = (coarse**2 - ratio * fine**2) / max(ratio - 1, 1e-3)
        found.append(np.sqrt(max(power, 0.0)))
    return float(np.median(found)) * crops.shape[1] / _SIDE


def unlike_shape(points: FacePoints, onset: FacePoints) -> Floats:
    """How far the shape of each of T faces is from that of the onset frame, (T,) inter-ocular distances.

    onset : of one face
    Median distance of the points once one shape is laid on the other by a similarity in space.
    """
    goal = _centred(onset.points[0])
    apart = float(np.linalg.norm(onset.points[0, 263] - onset.points[0, 33]))
    found = []
    for one in points.points:
        shape = _centred(one)
        left, sizes, right = np.linalg.svd(shape.T @ goal)
        flip = np.array([1.0, 1.0, np.sign(np.linalg.det(left @ right))])
        turned = (sizes * flip).sum() / (shape**2).sum() * shape @ (left * flip) @ right
        found.append(float(np.median(np.linalg.norm(turned - goal, axis=1))) / apart)
    return np.array(found)


def _centred(points: Floats) -> Floats:
    return np.asarray(points - points.mean(axis=0), np.float64)


def _small(crops: Image) -> list[NDArray[np.float32]]:
    import cv2

    def shrink(crop: Image) -> NDArray[np.float32]:
        grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
        how = cv2.INTER_AREA if len(grey) > _SIDE else cv2.INTER_LINEAR
        return np.asarray(cv2.resize(grey, (_SIDE, _SIDE), interpolation=how), np.float32)

    return [shrink(crop) for crop in crops]
