"""Spotting: the intervals of expressions in the motion of a face, by what leaves its place and comes back.

An expression moves parts of the face away and back again; a head that takes another posture, light that changes and a
reference that is renewed leave a step. For a half length h, the motion at a frame is compared with that h before and
after: its score is the product of both differences, in units of the recording's own noise at that length, which is
large where both are large and alike. Of overlapping finds of several lengths the best one stays.

Convention: frames from 0; onset and offset are the last frame before the motion and the first after it.
Sources: the two-sided difference is after Moilanen, Zhao and Pietikäinen, Spotting Rapid Facial Movements from Videos
Using Appearance-Based Feature Difference Analysis, ICPR 2014; the longest micro-expression: Yan et al. 2013,
doi:10.1007/s10919-013-0159-8.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, maximum_filter1d

Floats = NDArray[np.floating]
Kind = Literal["micro", "macro"]

MICRO_SECONDS = 0.5
"""Longer expressions are macro-expressions."""
LONGEST_SECONDS = 4.5
"""Of an expression that can be found."""

# All settings were chosen on stand-ins of one seed; see `benchmarks/quality/spotting.py` for others.
THRESHOLD = 2.3
"""Least score of an expression, in units of the noise."""
_HALVES = (0.12, 0.2, 0.33, 0.55, 0.9, 1.5, 2.25)  # seconds
_FLOOR = 0.15  # pixels of noise that are always assumed
_QUIET = 0.8  # share of the frames that is taken for noise: expressions are not
_QUIET_GAIN = 1.3  # the noise of all frames over that of the quiet ones
_SMOOTHING, _LEAST_SMOOTHING = 1 / 6, 0.6  # sigma, of the half length; frames
_END_SMOOTHING = 0.7  # sigma, frames, where onset and offset are read
_HIGH, _LOW = 0.75, 0.25  # levels between which a rise is measured
_BEYOND = 0.8  # of that rise's length, from the lower level to rest; a smooth rise has 0.94, noise shortens it
_SHORTEST = 3  # frames from onset to offset
_BLINK_STEP, _BLINK_CHANGE, _BLINK_FRAMES = 2, 0.15, 6


@dataclass(frozen=True, slots=True)
class Interval:
    """An expression: its frames, its kind by its duration, and its score: how far it stands out of the noise."""

    onset: int
    apex: int
    offset: int
    kind: Kind
    score: float


def spot_intervals(motion: Floats, lids: Floats, fps: float, threshold: float = THRESHOLD) -> list[Interval]:
    """The expressions in a recording, by onset; they do not overlap.

    motion : (T, K) of places of the face, without the head's, pixels of a crop of 256; NaN where there is no face
    lids : (T,) how far the eyes are closed, 0 to 1: what goes with blinks is no expression
    fps : frames per second
    """
    without = _without_blinks(np.asarray(motion, np.float32), lids)
    found = [one for half in _HALVES for one in _of_length(without, fps, max(2, round(half * fps)), threshold)]
    kept: list[Interval] = []
    for one in sorted(found, key=lambda interval: -interval.score):
        if all(one.onset >= other.offset or one.offset <= other.onset for other in kept):
            kept.append(one)
    return sorted(kept, key=lambda interval: interval.onset)


def _without_blinks(motion: Floats, lids: Floats) -> Floats:
    """Motion (T, K) without the part that follows the lids, by least squares over all blinks."""
    course = np.nan_to_num(np.column_stack([lids, np.square(lids)])).astype(np.float32)
    moved, closed = (values[_BLINK_STEP:] - values[:-_BLINK_STEP] for values in (motion, course))
    seen = np.isfinite(moved).all(axis=1) & (np.abs(closed[:, 0]) > _BLINK_CHANGE)
    if seen.sum() < _BLINK_FRAMES:
        return motion
    return np.asarray(motion - course @ np.linalg.lstsq(closed[seen], moved[seen], rcond=None)[0])


def _of_length(motion: Floats, fps: float, step: int, threshold: float) -> list[Interval]:
    """Expressions of about two steps, frames; they may overlap."""
    span = 2 * step
    if len(motion) <= span:
        return []
    known: NDArray[np.bool_] = np.asarray(np.isfinite(motion).all(axis=1))
    filled = np.where(known[:, None], motion, np.float32(0))
    smooth = gaussian_filter1d(filled, max(_LEAST_SMOOTHING, _SMOOTHING * step), axis=0)
    before, after = smooth[step:-step] - smooth[:-span], smooth[step:-step] - smooth[span:]
    lost = np.asarray(np.cumsum(np.r_[0, ~known]))
    usable = np.asarray(lost[span + 1 :] == lost[: -span - 1])
    if not usable.any():
        return []
    white = _whitening(np.concatenate([before[usable], after[usable]]))
    first, second = before @ white, after @ white
    product = (first * second).sum(axis=1) / np.sqrt(motion.shape[1])
    # Beside a step one difference is noise, the other large: their product is not to be trusted.
    sizes = np.linalg.norm(first, axis=1), np.linalg.norm(second, axis=1)
    product *= np.minimum(*sizes) / np.maximum(np.maximum(*sizes), 1e-6)
    score = np.sqrt(np.where(usable, np.maximum(product, 0), 0))
    peaks = np.flatnonzero((score >= threshold) & (score == maximum_filter1d(score, step | 1)))
    found = []
    for peak in peaks:
        course = gaussian_filter1d(filled @ (white @ (first[peak] + second[peak])), _END_SMOOTHING)
        found.append(_interval(course, int(peak) + step, step, fps, float(score[peak])))
    return [one for one in found if _SHORTEST <= one.offset - one.onset <= LONGEST_SECONDS * fps]


def _whitening(differences: Floats) -> Floats:
    """(K, K), symmetric, makes the noise of differences (N, K) white; noise is what their quieter frames have."""
    white = np.eye(differences.shape[1])
    for _ in range(3):
        size = np.square(differences @ white).sum(axis=1)
        quiet = differences[size <= np.quantile(size, _QUIET)].astype(np.float64)
        values, vectors = np.linalg.eigh(_QUIET_GAIN * quiet.T @ quiet / len(quiet))
        white = vectors / np.sqrt(np.maximum(values, 0) + _FLOOR**2) @ vectors.T
    return white.astype(np.float32)


def _interval(course: Floats, peak: int, step: int, fps: float, score: float) -> Interval:
    """The interval around a peak of a time course (T,)."""
    first = max(peak - step // 2, 0)
    peak = first + int(course[first : peak + step // 2 + 1].argmax())
    reach = 3 * step
    onset = max(peak - round(_length(course[max(peak - reach, 0) : peak + 1][::-1], step)), 0)
    offset = min(peak + round(_length(course[peak : peak + reach + 1], step)), len(course) - 1)
    return Interval(onset, peak, offset, "micro" if offset - onset <= MICRO_SECONDS * fps + 0.5 else "macro", score)


def _length(course: Floats, step: int) -> float:
    """Frames from a peak, the start of a course, to rest; it ends in noise, so that its end is extrapolated."""
    rest = course[min(step, len(course) - 1)]
    level = (course - rest) / max(float(course[0] - rest), 1e-9)
    high, low = (_crossing(level, at) for at in (_HIGH, _LOW))
    return low + _BEYOND * (low - high)


def _crossing(level: Floats, at: float) -> float:
    """Where a course from 1 first falls below a level, frames."""
    below = np.flatnonzero(level < at)
    if not len(below):
        return float(len(level) - 1)
    index = int(below[0])
    return index - float((at - level[index]) / (level[index - 1] - level[index])) if index else 0.0
