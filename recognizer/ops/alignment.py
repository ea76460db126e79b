"""Faces brought into the place and shape of a mean face: local weighted mean, and the crop about the eyes.

Source: STRCN, eq. 1 and 2, after Goshtasby, Image registration by local approximation methods, Image and Vision
Computing 6(4), 1988, and Pfister et al., Recognising spontaneous facial micro-expressions, ICCV 2011.

Equation 1 as printed puts the top of the crop on the eyes. The constants tell what is meant: 0.4 beside each eye makes
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
# A polynomial of degree two has six parameters; twelve points keep it calm where six lie on a line, as along the jaw.
_NEIGHBOURS = 12
_SMALLEST_DIRECTION = 0.02  # of a local fit, relative to its largest; what its points hardly span, they do not tell
_AFFINE_WEIGHT = 1e-2  # the affine map's; it is what is left far from all points
_LEAST_STEP, _STEP = 4, 1 / 32  # between the points where the map is computed, pixels, and as a share of the side


class LocalWeightedMean:
    """A smooth map of the plane that brings points near to other points.

    points : (N, 2) in the one plane; targets : (N, 2) in the other
    Each point carries a polynomial of degree two through its neighbourhood, weighted by 1 - 3 r^2 + 2 r^3, where r is
    the distance divided by that of the neighbourhood's last point. Polynomials are fitted to what the affine map of all
    points leaves, so that far from all points the map is that one.
    Raises ValueError with too few points.
    """

    def __init__(self, points: Floats, targets: Floats) -> None:
        if len(points) < _NEIGHBOURS:
            raise ValueError(f"{len(points)} points do not tell a map, {_NEIGHBOURS} are needed")
        self._points = np.asarray(points, np.float64)
        self._affine = np.linalg.lstsq(_linear(self._points), np.asarray(targets, np.float64), rcond=None)[0]
        rest = targets - _linear(self._points) @ self._affine
        distances = np.linalg.norm(self._points[:, None] - self._points[None], axis=-1)
        nearest = np.argsort(distances, axis=1, kind="stable")[:, :_NEIGHBOURS]
        self._reach = np.maximum(np.take_along_axis(distances, nearest, axis=1)[:, -1], 1e-6)
        self._local = np.stack(
            [
                np.linalg.lstsq(_quadratic((self._points[near] - here) / reach), rest[near], rcond=_SMALLEST_DIRECTION)[
                    0
                ]
                for here, reach, near in zip(self._points, self._reach, nearest, strict=True)
            ]
        )

    def __call__(self, places: Floats) -> Floats:
        """Where places (M, 2) of the points' plane lie in the targets' plane: (M, 2) float64."""
        away = (places - self._points[:, None]) / self._reach[:, None, None]
        near = np.minimum(np.linalg.norm(away, axis=-1, keepdims=True), 1.0)
        weight = 1 - 3 * near**2 + 2 * near**3
        rest = (weight * (_quadratic(away) @ self._local)).sum(axis=0)
        return np.asarray(_linear(places) @ self._affine + rest / (weight.sum(axis=0) + _AFFINE_WEIGHT))


def _linear(points: Floats) -> Floats:
    return np.concatenate([np.ones((*points.shape[:-1], 1)), points], axis=-1)


def _quadratic(points: Floats) -> Floats:
    x, y = points[..., :1], points[..., 1:]
    return np.concatenate([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)


def aligned_face(sample: Sample, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A sample's frames, cropped about the eyes and aligned to a mean face seen from the same angle.

    frames : (T, S, S, 3) the sample's own, or (T, S, S) grey
    Returns (T, H, W, 3) or (T, H, W) uint8 at the same resolution, H : W = 2.2 : 1.8. Frames are registered onto
    the onset frame already, so one map serves the clip; a sample without landmarks is cropped only.
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
    # Pixels between the grid's points lie linearly between them; OpenCV's pixel centres are whole numbers.
    x, y = np.meshgrid(np.arange(width, dtype=np.float32) / step, np.arange(height, dtype=np.float32) / step)
    at = cv2.remap(places.astype(np.float32), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) - 0.5
    moved = [
        cv2.remap(
            np.ascontiguousarray(frame), at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        for frame in frames
    ]
    return np.stack(moved)
