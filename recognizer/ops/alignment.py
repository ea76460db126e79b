"""Alignment of faces with a mean face: local weighted mean, and a crop relative to the eyes.

Source: STRCN, eq. 1 and 2, after Goshtasby, Image registration by local approximation methods, Image and Vision
Computing 6(4), 1988, and Pfister et al., Recognising spontaneous facial micro-expressions, ICCV 2011.

Equation 1 as printed puts the top of the crop on the eyes. The constants show the intent: 0.4 beside each eye makes
the width of 1.8 inter-ocular distances symmetric, 0.6 above the eyes leaves 1.6 of the height of 2.2 below them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import EYE_DISTANCE
from mvgen.core.landmarks68 import five_points
from recognizer.ops.faces import mean_landmarks
from recognizer.records import Sample

Floats = NDArray[np.floating]

_BESIDE, _ABOVE, _HEIGHT, _WIDTH = 0.4, 0.6, 2.2, 1.8  # delta 1 to 4, inter-ocular distances
# A polynomial of degree two has six parameters; twelve points keep it stable where six are on a line, as at the jaw.
_NEIGHBOURS = 12
_SMALLEST = 0.02  # singular value of a local fit, relative to its largest; below, the points hardly span a direction
_AFFINE_WEIGHT = 1e-2  # of the affine map, which takes over far from all points
_LEAST_STEP, _STEP = 4, 1 / 32  # distance of the points where the map is computed, pixels, and as a share of the side


class LocalWeightedMean:
    """A smooth map of the plane that moves points near to their targets.

    points : (N, 2) in the one plane; targets : (N, 2) in the other
    Each point has a polynomial of degree two, fitted to its neighbourhood and weighted by 1 - 3 r^2 + 2 r^3, where r is
    the distance divided by that of the farthest neighbour. The polynomials are fitted to the residual of an affine map
    of all points, so that far from all points the map is affine.
    Raises ValueError with too few points.
    """

    def __init__(self, points: Floats, targets: Floats) -> None:
        if len(points) < _NEIGHBOURS:
            raise ValueError(f"{len(points)} points do not determine a map, {_NEIGHBOURS} are needed")
        self._points = np.asarray(points, np.float64)
        self._affine = np.linalg.lstsq(_linear(self._points), np.asarray(targets, np.float64), rcond=None)[0]
        residual = targets - _linear(self._points) @ self._affine
        distances = np.linalg.norm(self._points[:, None] - self._points[None], axis=-1)
        nearest = np.argsort(distances, axis=1, kind="stable")[:, :_NEIGHBOURS]
        self._reach = np.maximum(np.take_along_axis(distances, nearest, axis=1)[:, -1], 1e-6)
        self._local = np.stack(
            [
                np.linalg.lstsq(_quadratic((self._points[near] - here) / reach), residual[near], rcond=_SMALLEST)[0]
                for here, reach, near in zip(self._points, self._reach, nearest, strict=True)
            ]
        )

    def __call__(self, places: Floats) -> Floats:
        """Map places (M, 2) from the plane of the points into that of the targets: (M, 2) float64."""
        away = (places - self._points[:, None]) / self._reach[:, None, None]
        near = np.minimum(np.linalg.norm(away, axis=-1, keepdims=True), 1.0)
        weight = 1 - 3 * near**2 + 2 * near**3
        local = (weight * (_quadratic(away) @ self._local)).sum(axis=0)
        return np.asarray(_linear(places) @ self._affine + local / (weight.sum(axis=0) + _AFFINE_WEIGHT))


def _linear(points: Floats) -> Floats:
    return np.concatenate([np.ones((*points.shape[:-1], 1)), points], axis=-1)


def _quadratic(points: Floats) -> Floats:
    x, y = points[..., :1], points[..., 1:]
    return np.concatenate([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)


def aligned_face(sample: Sample, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A sample's frames, cropped relative to the eyes and aligned with a mean face seen from the same angle.

    frames : (T, S, S, 3) of the sample, or (T, S, S) grey
    Returns (T, H, W, 3) or (T, H, W) uint8 at the same resolution, H : W = 2.2 : 1.8. Frames are registered onto
    the onset frame already, so one map serves the whole clip; a sample without landmarks is only cropped.
    """
    import cv2

    size = sample.frames.shape[1]
    step = max(_LEAST_STEP, round(_STEP * size))
    model = mean_landmarks(size, sample.view)
    unit = EYE_DISTANCE * size
    middle = five_points(model)[:2].mean(axis=0)
    left, top = middle[0] - (0.5 + _BESIDE) * unit, middle[1] - _ABOVE * unit
    height, width = round(_HEIGHT * unit), round(_WIDTH * unit)
    rows, columns = np.arange(0, height + step, step), np.arange(0, width + step, step)
    places = np.stack(np.meshgrid(columns + 0.5 + left, rows + 0.5 + top), axis=-1)
    if sample.landmarks is not None:
        there = LocalWeightedMean(model, sample.landmarks)
        places = there(places.reshape(-1, 2)).reshape(places.shape)
    # Linear interpolation between the points of the grid; pixel centres of OpenCV are whole numbers.
    x, y = np.meshgrid(np.arange(width, dtype=np.float32) / step, np.arange(height, dtype=np.float32) / step)
    at = cv2.remap(places.astype(np.float32), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) - 0.5
    moved = [
        cv2.remap(
            np.ascontiguousarray(frame), at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        for frame in frames
    ]
    return np.stack(moved)
