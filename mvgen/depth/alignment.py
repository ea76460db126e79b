"""What a map of depth or normals from elsewhere adds to a fitted face.

Monocular models leave scale, offset and often the sign of depth open, and some give its inverse; those of normals
differ in the direction of their axes. The fit decides all of these, and the coarse shape; the map gives the detail.

Source of the integration: Frankot and Chellappa, A method for enforcing integrability in shape from shading
algorithms, 1988, with cosines instead of exponentials, as the picture has borders, and a term that keeps the coarse
shape.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import EYE_DISTANCE

Floats = NDArray[np.floating]
Mask = NDArray[np.bool_]

_STEPS = 20  # of the robust fit; it settles in half of them
_BETTER = 0.99  # the inverse is taken when its residual is that much smaller
_LEAST_EXPLAINED = 0.5  # share of the fit's relief that a map of depth must explain
_LEAST_COSINE = 0.7  # mean between a map of normals and the fit's
_LEAST_FACING = 0.2  # z of a normal: beyond, a slope is noise
_COARSE = 1.5  # inter-ocular distances: longer waves of the relief are the fit's
_MOST = 0.25  # world units, of detail: twice as much is hair, a hand, or background
_MARGIN = 0.2  # inter-ocular distances from there within which detail fades out: outlines of two maps never agree


class MisfitError(ValueError):
    """A map that does not show the face that was fitted. Its text continues "the map"."""


def depth_detail(seen: Floats, fit: Floats) -> Floats:
    """What a depth map adds to a fit: (S, S) world units, 0 where either is unknown.

    seen : (S, S) depth, disparity or their negative, in any unit, NaN where unknown
    fit : (S, S, 4), see `mvgen.morphable.rasterise.fit_image`
    Scale and offset, and whether the map is depth or its inverse, are those that lie closest to the fit, by iteratively
    reweighted least squares with Cauchy's weights. Raises MisfitError.
    """
    depth = np.asarray(fit[..., 0], np.float64)
    known = _common(seen, depth)
    x, z = np.asarray(seen[known], np.float64), depth[known]
    aligned, error = _affine(x, z)
    if (x > 0).all() or (x < 0).all():
        inverse, other = _affine(1 / x, z)
        aligned = inverse if other < _BETTER * error else aligned
        error = min(error, other)
    if not error <= (1 - _LEAST_EXPLAINED) * _spread(z - np.median(z)):
        raise MisfitError("does not follow the face")
    detail = np.zeros(depth.shape)
    detail[known] = aligned - z
    return _faded(detail, known, np.isfinite(depth))


def normal_detail(seen: Floats, fit: Floats) -> Floats:
    """What a normal map adds to a fit: (S, S) world units, finer than 1.5 inter-ocular distances.

    seen : (S, S, 3) normals of any length, or as colours in [0, 1]; each axis may point either way; NaN where unknown
    fit : (S, S, 4), see `mvgen.morphable.rasterise.fit_image`
    Raises MisfitError.
    """
    normals = np.asarray(fit[..., 1:], np.float64)
    known = _common(seen.sum(axis=-1), normals.sum(axis=-1))
    mine, theirs = normals[known], np.asarray(seen[known], np.float64)
    if theirs.min() >= 0 and theirs.max() <= 1:
        theirs = 2 * theirs - 1
    theirs = theirs / np.maximum(np.linalg.norm(theirs, axis=1, keepdims=True), 1e-9)
    theirs = theirs * np.where((theirs * mine).sum(axis=0) < 0, -1.0, 1.0)
    if not (theirs * mine).sum(axis=1).mean() >= _LEAST_COSINE:
        raise MisfitError("does not follow the face")
    slopes = np.zeros((*known.shape, 2))
    scale = EYE_DISTANCE * len(known)  # pixels per world unit
    slopes[known] = (_slopes(theirs) - _slopes(mine)) / scale
    return _faded(_integrated(slopes, _COARSE * scale), known, np.isfinite(fit[..., 0]))


def _common(seen: Floats, fit: Floats) -> Mask:
    """Pixels that a map and the fit know."""
    face = np.isfinite(fit)
    known = face & np.isfinite(seen)
    if not face.any() or known.sum() < face.sum() / 2:
        raise MisfitError("is unknown (NaN) in most of the face")
    return np.asarray(known)


def _affine(x: Floats, z: Floats) -> tuple[Floats, float]:
    """a x + b that is closest to z, and the spread of what remains; outliers count little."""
    x = (x - np.median(x)) / max(_spread(x - np.median(x)), 1e-300)
    weight = np.ones(len(x))
    for _ in range(_STEPS):
        total = weight.sum()
        mean_x, mean_z = (weight * x).sum() / total, (weight * z).sum() / total
        spread = (weight * (x - mean_x) ** 2).sum()
        slope = (weight * (x - mean_x) * (z - mean_z)).sum() / spread if spread > 0 else 0.0
        rest = z - mean_z - slope * (x - mean_x)
        weight = 1 / (1 + (rest / max(_spread(rest), 1e-9)) ** 2)
    return z - rest, _spread(rest)


def _faded(detail: Floats, known: Mask, face: Mask) -> Floats:
    """Detail (S, S), limited; it fades out toward the pixels of the face where it is unknown or far too much."""
    from scipy.ndimage import distance_transform_edt

    wrong = face & ~(known & (np.abs(detail) < 2 * _MOST))
    kept = np.clip(detail, -_MOST, _MOST) * known
    if not wrong.any():
        return kept
    away = distance_transform_edt(~wrong) / (EYE_DISTANCE * len(detail))
    return kept * np.clip(away / _MARGIN, 0, 1)


def _spread(values: Floats) -> float:
    """Median size, a robust deviation."""
    return float(np.median(np.abs(values)))


def _slopes(normals: Floats) -> Floats:
    """(N, 2), change of depth to the right and downward, of unit normals (N, 3): x right, y up, z to the camera."""
    return normals[:, :2] * (-1, 1) / np.maximum(normals[:, 2:], _LEAST_FACING)


def _integrated(slopes: Floats, coarse: float) -> Floats:
    """The surface (S, S) whose slopes (S, S, 2) per pixel are closest, without waves much longer than `coarse` pixels.

    It minimises the squared error of its differences plus (2 pi / coarse)² times its square, by the cosine transform.
    """
    from scipy.fft import dctn, idctn

    across = (slopes[:, 1:, 0] + slopes[:, :-1, 0]) / 2
    down = (slopes[1:, :, 1] + slopes[:-1, :, 1]) / 2
    sources = np.zeros(slopes.shape[:2])
    sources[:, 1:] += across
    sources[:, :-1] -= across
    sources[1:] += down
    sources[:-1] -= down
    waves = 2 - 2 * np.cos(np.pi * np.arange(len(slopes)) / len(slopes))
    stiff = waves[:, None] + waves[None] + (2 * np.pi / coarse) ** 2
    return np.asarray(idctn(dctn(sources, norm="ortho") / stiff, norm="ortho"))
