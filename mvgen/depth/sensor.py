"""Depth of a face from a depth sensor: the median over a clip, in world units, without outliers and holes.

Sensors measure in millimetres from the camera; a clip's geometry is in inter-ocular distances from the eyes. Arrays in,
arrays out; `mvgen.pipeline.sensed` brings the frames of a clip onto its crop.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import EYE_DISTANCE

Floats = NDArray[np.floating]

_SEEN_SHARE = 0.5  # of the frames: in fewer, a pixel at an outline shows what is behind the face
_OUTLIER = 4.0  # robust standard deviations of the difference between sensor and fit
_LEAST_OUTLIER = 0.05  # world units, about 3 mm: an exact sensor has no outliers
# Widths of the Gaussians, world units, that average the difference between sensor and fit: the first one wherever the
# sensor sees enough around a pixel, wider ones in holes. The first is about 2.5 mm, more than a sensor's noise.
_WIDTHS = (0.04, 0.12, 0.36, 1.0)
_ENOUGH = 0.25  # share of a Gaussian's weight that must be seen
_ITERATIONS = 20


class Line(NamedTuple):
    """distance = offset - unit * depth. offset : mm, at the eyes; unit : mm in an inter-ocular distance"""

    offset: float
    unit: float

    def distance(self, depth: Floats) -> Floats:
        """Distance from the sensor, mm, of depth in world units."""
        return self.offset - self.unit * depth

    def depth(self, distance: Floats) -> Floats:
        """Depth in world units of distances, mm."""
        return (self.offset - distance) / self.unit


def median_distance(maps: NDArray[np.float32], onset: int) -> NDArray[np.float32]:
    """Median distance over frames (T, S, S), mm, NaN where unknown: (S, S), at the distance of frame `onset`.

    A head moves toward the sensor and away from it as a whole: what moves most pixels alike is taken out first.
    """
    with np.errstate(invalid="ignore"):
        steps = [float(np.nanmedian(one - maps[onset])) if _overlap(one, maps[onset]) else np.nan for one in maps]
    still = maps - np.array(steps, np.float32)[:, None, None]
    seen = np.isfinite(still).sum(axis=0)
    usable = max(1, int(np.isfinite(steps).sum()))
    known = seen >= max(1, _SEEN_SHARE * usable)
    median = np.full(maps.shape[1:], np.nan, np.float32)
    median[known] = np.nanmedian(still[:, known], axis=0)
    return median


def _overlap(one: Floats, other: Floats) -> bool:
    return bool((np.isfinite(one) & np.isfinite(other)).any())


def line_of_focal(distance: Floats, depth: Floats, pixels: float, focal: float) -> Line:
    """The line of a sensor with a known focal length; its offset is where the two depths (S, S) agree in the median.

    pixels : of the source in a world unit at the eyes; focal : focal length in the same pixels
    A unit seen in n pixels at a distance z is n z / focal long.
    """
    known = np.isfinite(distance) & np.isfinite(depth)
    share = pixels / focal
    unit = share * float(np.median(distance[known]))
    for _ in range(_ITERATIONS):  # each step shrinks the error by the depth of a face over its distance
        unit = share * float(np.median(distance[known] + unit * depth[known]))
    return Line(unit / share, unit)


def fitted_line(distance: Floats, depth: Floats) -> Line:
    """The line that fits two depths (S, S) best: least squares, reweighted with Tukey's biweight.

    Hair or glasses in front of a part of the face do not draw it. 4.685 is for 95 % efficiency on normal noise.
    Source: Beaton & Tukey, The fitting of power series, Technometrics 1974.
    """
    known = np.isfinite(distance) & np.isfinite(depth)
    design = np.column_stack([np.ones(known.sum()), -depth[known]])
    values = distance[known].astype(np.float64)
    weights = np.ones(len(values))
    solution = np.zeros(2)
    for _ in range(_ITERATIONS):
        root = np.sqrt(weights)
        solution = np.linalg.lstsq(design * root[:, None], values * root, rcond=None)[0]
        rest = np.abs(values - design @ solution)
        limit = 4.685 * max(1.4826 * float(np.median(rest)), 1e-6)
        weights = np.square(np.clip(1 - np.square(rest / limit), 0, 1))
    return Line(float(solution[0]), float(solution[1]))


def corrected_fit(fit: Floats, sensed: Floats, inside: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The depth of a fit moved to what a sensor saw: smooth, and known wherever the fit is.

    fit, sensed : (S, S) world units, NaN where unknown; inside : (S, S) bool, pixels whose measurements count
    The difference is averaged over a few millimetres, more in holes; far from all measurements the fit keeps its form.
    """
    from scipy.ndimage import gaussian_filter

    difference = np.where(inside, sensed - fit, np.nan)
    known = np.isfinite(difference)
    away = np.abs(difference[known] - np.median(difference[known]))
    far = max(_OUTLIER * 1.4826 * float(np.median(away)), _LEAST_OUTLIER)
    known[known] = away <= far
    values = np.where(known, difference, 0.0)
    added = np.full(fit.shape, float(values[known].mean()))
    for width in reversed(_WIDTHS):
        sigma = width * EYE_DISTANCE * len(fit)
        weight = gaussian_filter(known.astype(np.float64), sigma)
        mean = gaussian_filter(values, sigma) / np.maximum(weight, 1e-9)
        share = np.clip(weight / _ENOUGH, 0, 1)
        added = share * mean + (1 - share) * added
    return (fit + added).astype(np.float32)
