"""One stable geometry per frame of a clip, out of the depth that the network sees in its registered frames.

Taken frame by frame, as in section III-A of the main paper, depth trembles with the sensor's noise and with fractions
of a pixel of head motion by more than a micro-expression moves, and every view would move where the face is still.
`benchmarks/clip_geometry.py` compares the ways offered here.
Source of the shrinkage: Wiener, Extrapolation, interpolation and smoothing of stationary time series, 1949.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mvgen.config import Geometry

Floats = NDArray[np.floating]
Mask = NDArray[np.bool_]

_LOW_PASS = 0.035  # seconds, sigma of a Gaussian: half its width is half the shortest micro-expression
_DETAIL = 1 / 64  # of the image's side, sigma: the network sees no finer change of shape than this
_NEIGHBOURHOOD = 3 / 32  # of the image's side, sigma: what an expression moves together
# World units: while a head drifts by a fraction of a pixel the network's depth changes by about this much, as slowly as
# an expression changes it. What is to be believed has to be larger.
_REPEATABLE = 0.004
# What the network adds for an expression is in part the change of its looks: half of it comes nearest to the truth, in
# the sense of least squares, on acted clips with weights whose changes correlate by 0.45 with the true ones.
_BELIEVED = 0.5
_NOTICEABLE = 0.001  # world units, a sixteenth of a pixel at 45 degrees on a 256-pixel crop
_MEAN_FRAMES = 8  # sensor noise averages out over as many


def frames_needed(how: Geometry, count: int, onset: int) -> list[int]:
    """Which of `count` frames `clip_geometry` has to know the depth of: all, or a few spread over the clip."""
    if how != "clip":
        return list(range(count))
    spread = np.linspace(0, count - 1, min(_MEAN_FRAMES, count)).round().astype(int)
    return sorted({onset, *spread.tolist()})


def clip_geometry(
    depth: NDArray[np.float32], confidence: NDArray[np.float32], how: Geometry, fps: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Depth and confidence of a clip's geometries: one for the whole clip, or one per frame.

    depth : (T, S, S) world units, and confidence : (T, S, S) in [0, 1], of the registered frames of `frames_needed`
    fps : frames per second
    Returns (K, S, S) float32 each, K = 1 or T. "frame": as they come. "filtered": depth low-passed over time. "clip":
    their mean. "residual": the mean and half of the smooth change about it; the mean alone where that is nothing.
    """
    if how == "frame" or len(depth) == 1:
        return depth, confidence
    mean = depth.mean(axis=0, dtype=np.float64)[None]
    sure = confidence.mean(axis=0, dtype=np.float64)[None].astype(np.float32)
    if how == "filtered":
        return low_pass(depth, _LOW_PASS * fps).astype(np.float32), np.repeat(sure, len(depth), axis=0)
    if how == "residual":
        change = _BELIEVED * expression_residual(depth, sure[0] > 0.5, _LOW_PASS * fps)
        if np.abs(change).max() > _NOTICEABLE:
            return (mean + change).astype(np.float32), np.repeat(sure, len(depth), axis=0)
    return mean.astype(np.float32), sure


def expression_residual(depth: Floats, face: Mask, sigma: float) -> Floats:
    """What an expression changes of a clip's mean depth, as far as it stands out from noise.

    depth : (T, S, S) world units; face : (S, S) bool; sigma : of the low-pass over time, frames
    Returns (T, S, S) float64, zero outside the face; all zeros for fewer than three frames, which do not tell noise.
    The change of each frame loses its tilt and what is finer than the network sees, is low-passed over time, and shrunk
    to the share that a Wiener filter believes: 1 - noise / power, both over the pixel's neighbourhood.
    """
    if len(depth) < 3 or not face.any():
        return np.zeros(depth.shape)
    size = face.shape[0]
    change = without_tilt(depth - depth.mean(axis=0, dtype=np.float64), face)
    change = _blurred(change, face, _DETAIL * size)
    smooth = low_pass(change, sigma)
    # The median: second differences of noise are everywhere, those of an expression only while it sets in or stops.
    second = np.abs(change[:-2] - 2 * change[1:-1] + change[2:])
    variance = (1.4826 * np.median(second, axis=0)) ** 2 / 6
    noise = variance * _noise_left(sigma) + _REPEATABLE**2
    noise, power = (
        _blurred(one[None], face, _NEIGHBOURHOOD * size)[0] for one in (noise, np.square(smooth).mean(axis=0))
    )
    return np.asarray(smooth * np.clip(1 - noise / np.maximum(power, 1e-12), 0, None))


def low_pass(depth: Floats, sigma: float) -> Floats:
    """Values (T, S, S), low-passed over time by a Gaussian of `sigma` frames."""
    from scipy.ndimage import gaussian_filter1d

    return np.asarray(gaussian_filter1d(np.asarray(depth, np.float64), sigma, axis=0, mode="nearest"))


def without_tilt(change: Floats, face: Mask) -> Floats:
    """Changes of depth (T, S, S) without the plane that fits each of them best in the face (S, S).

    To first order such a plane is a head's rigid motion: a shift along the optical axis and a turn. It is fitted where
    the face changes least over the clip, so that an expression does not count as a turn.
    """
    rows, columns = np.indices(face.shape) / face.shape[0] - 0.5
    plane = np.stack([np.ones(face.shape), columns, rows], axis=-1)
    still = face
    for _ in range(3):
        fit, *_ = np.linalg.lstsq(plane[still], change[:, still].T, rcond=None)
        rest = change - (plane @ fit).transpose(2, 0, 1)
        unrest = np.square(rest).mean(axis=0)
        still = face & (unrest <= np.median(unrest[face]))
    return np.asarray(rest)


def _blurred(values: Floats, face: Mask, sigma: float) -> Floats:
    """Values (T, S, S) blurred by a Gaussian of `sigma` pixels that sees nothing but the face; zero outside."""
    from scipy.ndimage import gaussian_filter

    weight = gaussian_filter(face.astype(np.float64), sigma)
    blurred = gaussian_filter(np.where(face, values, 0.0), (0, sigma, sigma))
    return np.asarray(np.where(face, blurred / np.maximum(weight, 1e-6), 0.0))


def _noise_left(sigma: float) -> float:
    """Share of white noise's variance that is left after `low_pass`."""
    reach = int(np.ceil(4 * sigma)) + 1
    impulse = np.zeros((2 * reach + 1, 1, 1))
    impulse[reach] = 1
    return float(np.square(low_pass(impulse, sigma)).sum())
