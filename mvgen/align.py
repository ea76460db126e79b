"""Rigid motion of a head between two frames of a clip, from all textured pixels of its face at once.

Convention: a motion maps a crop pixel of the onset frame to the crop pixel of another frame, centres at +0.5:
p -> matrix p + z(p) parallax. The similarity `matrix` is the head's shift, roll and zoom; what a turn of the head adds
is proportional to the depth z, as it is for an orthographic camera and a small turn.
Source: Lucas and Kanade, IJCAI 1981; Evangelidis and Psarakis, Parametric Image Alignment Using Enhanced Correlation
Coefficient Maximization, PAMI 2008, for invariance to gain and offset of the light; Black and Anandan, The Robust
Estimation of Multiple Motions, CVIU 1996, for weights by which an expression does not count as the head's motion.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvgen.camera import pixel_grid
from mvgen.records import Image, Mask

Floats = NDArray[np.floating]

_SMOOTHING = 1.5 / 256  # of the image's side: below it noise and interpolation outweigh texture
_STEPS = 15
_SETTLED = 0.01  # pixels; no further step where no pixel moves by more
_OUTLYING = 2.0  # residuals beyond this many standard deviations count for less and less
_LEAST_SPREAD = 0.3  # grey levels; images are rounded to whole ones
_TEXTURED = 0.5  # share of the pixels that is looked at: those with the steepest gradient
_LEAST_PIXELS, _MOST_PIXELS = 200, 4000  # smoothing makes neighbours alike: more of them tell little more
_FARTHEST = 0.1  # of the image's side; a face that moves further is another face


@dataclass(frozen=True, slots=True)
class HeadMotion:
    """Where the pixels of the onset frame's head are in another frame.

    matrix : (2, 3) float64, similarity, onset pixel -> frame pixel
    parallax : (2,) float64, pixels per world unit of depth
    uncertainty : pixels, RMS over the face of what the images' noise makes of the motion, one standard deviation
    """

    matrix: Floats
    parallax: Floats
    uncertainty: float


class Aligner:
    """The face of the onset frame, ready to be found in other frames.

    onset : (S, S) uint8, grey
    mask : (S, S) bool, the face without what an expression moves
    depth : (S, S) world units, known all over the mask; None for a head that does not turn
    """

    def __init__(self, onset: Image, mask: Mask, depth: Floats | None = None) -> None:
        size = len(onset)
        self._size, self._sigma = size, max(_SMOOTHING * size, 0.8)
        image = self._smooth(onset)
        slope = np.stack([np.gradient(image, axis=1), np.gradient(image, axis=0)], axis=-1)
        steep = np.linalg.norm(slope, axis=-1)
        looked_at = mask & (steep >= np.quantile(steep[mask], 1 - _TEXTURED)) if mask.any() else mask
        steepest = np.flatnonzero(looked_at)
        chosen = np.unravel_index(steepest[:: max(1, -(-len(steepest) // _MOST_PIXELS))], mask.shape)
        self._points = pixel_grid(size, size)[chosen]
        if len(self._points) < _LEAST_PIXELS:
            return
        self._centre = self._points.mean(axis=0)
        x, y = ((self._points - self._centre) / size).T
        one, none = np.ones_like(x), np.zeros_like(x)
        fields = [(one, none), (none, one), (x, y), (-y, x)]
        self._middle = 0.0
        if depth is not None:
            self._middle = float(depth[chosen].mean())
            away = depth[chosen] - self._middle
            fields += [(away, none), (none, away)]
        # (N, 2, K): how each parameter moves each pixel.
        self._fields = np.stack([np.stack(field, axis=-1) for field in fields], axis=-1)
        self._template = image[chosen].astype(np.float64)
        light = np.stack([self._template - self._template.mean(), one], axis=-1)
        self._jacobian = np.concatenate([np.einsum("nck,nc->nk", self._fields, slope[chosen]), -light], axis=1)

    def find(self, frame: Image, start: Floats | None = None) -> HeadMotion | None:
        """The head's motion to another grey frame (S, S); None where the face says too little or is not found.

        start : (2, 3) similarity to begin with, onset pixel -> frame pixel
        """
        from scipy.ndimage import map_coordinates, spline_filter

        if len(self._points) < _LEAST_PIXELS:
            return None
        spline = spline_filter(self._smooth(frame), order=3, mode="nearest")
        count = self._fields.shape[-1]
        parameters = self._parameters(np.eye(2, 3) if start is None else start)
        for _ in range(_STEPS):
            way = self._way(parameters)
            if not np.isfinite(way).all() or np.abs(way).max() > _FARTHEST * self._size:
                return None
            at = self._points + way - 0.5
            residual = map_coordinates(spline, at.T[::-1], order=3, mode="nearest", prefilter=False) - self._template
            centred = residual - np.median(residual)
            spread = max(1.4826 * float(np.median(np.abs(centred))), _LEAST_SPREAD)
            weight = 1 / np.square(1 + np.square(centred / (_OUTLYING * spread)))
            weighted = self._jacobian * weight[:, None]
            inverse = np.linalg.pinv(self._jacobian.T @ weighted)
            step = -(inverse @ (weighted.T @ residual))[:count]
            parameters = parameters + step
            if np.abs(self._way(step)).max() < _SETTLED:
                break
        return self._motion(parameters, self._uncertainty(inverse[:count, :count], spread))

    def _way(self, parameters: Floats) -> Floats:
        """(N, 2), by how much parameters move the pixels: one product of a matrix and a vector, as BLAS likes it."""
        return np.asarray((self._fields.reshape(-1, len(parameters)) @ parameters).reshape(-1, 2))

    def _smooth(self, image: Image) -> NDArray[np.float32]:
        import cv2

        return np.asarray(cv2.GaussianBlur(image.astype(np.float32), (0, 0), self._sigma), np.float32)

    def _uncertainty(self, inverse: Floats, spread: float) -> float:
        """RMS over the pixels looked at. Smoothing makes neighbours' noise alike: 4 pi sigma² of them count as one."""
        covariance = 4 * np.pi * (self._sigma * spread) ** 2 * inverse
        variance = np.einsum("nck,kl,ncl->n", self._fields, covariance, self._fields, optimize=True)
        return float(np.sqrt(variance.mean()))

    def _parameters(self, matrix: Floats) -> Floats:
        """Shift of the centre, zoom and turn of a similarity, and no parallax."""
        shift = matrix[:, :2] @ self._centre + matrix[:, 2] - self._centre
        similarity = [*shift, (matrix[0, 0] - 1) * self._size, matrix[1, 0] * self._size]
        return np.array(similarity + [0.0] * (self._fields.shape[-1] - len(similarity)))

    def _motion(self, parameters: Floats, uncertainty: float) -> HeadMotion:
        zoom, turn = parameters[2:4] / self._size
        linear = np.array([[1 + zoom, -turn], [turn, 1 + zoom]])
        parallax = parameters[4:6] if len(parameters) == 6 else np.zeros(2)
        shift = parameters[:2] + self._centre - linear @ self._centre - self._middle * parallax
        return HeadMotion(np.column_stack([linear, shift]), parallax, uncertainty)
