"""How well two frames of a clip agree in the face, as they are and with one of them moved.

Convention: points (N, 2) float64 in crop pixels, centres at +0.5; frames (S, S), grey.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvgen.records import Image, Mask

Floats = NDArray[np.floating]
Flat = NDArray[np.float32]

_SMOOTHING = 1.5 / 256  # of the side; interpolation lowers noise: frames are compared below frequencies where it does
_ENOUGH = 2048  # pixels of a face to compare two frames or two motions by; smoothing makes neighbours alike


@dataclass(frozen=True, slots=True)
class FacePixels:
    """Pixels of a frame's face, as many, evenly spread, as a mean needs.

    rows, columns : (N,); points : (N, 2) float64, their centres; depth : (N,) world units, None where it is not known
    size : side of the frame
    """

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    points: Floats
    depth: Floats | None
    size: int

    @classmethod
    def of(cls, mask: Mask, depth: Floats | None) -> FacePixels:
        """Pixels of a mask (S, S); depth (S, S) of the frame."""
        inside = np.flatnonzero(mask)
        rows, columns = np.unravel_index(inside[:: max(1, -(-len(inside) // _ENOUGH))], mask.shape)
        points = np.stack([columns, rows], axis=-1) + 0.5
        return cls(rows, columns, points, None if depth is None else depth[rows, columns], len(mask))


def smooth(grey: Image) -> Flat:
    """(S, S) float32, smoothed to be compared."""
    import cv2

    sigma = max(_SMOOTHING * len(grey), 1.0)
    return np.asarray(cv2.GaussianBlur(grey.astype(np.float32), (0, 0), sigma), np.float32)


def sampled(image: NDArray[Any], points: Floats) -> NDArray[Any]:
    """An image (S, S, ...) at points (N, M, 2), cubic."""
    import cv2

    at = (points - 0.5).astype(np.float32)
    return np.asarray(cv2.remap(image, at[..., 0], at[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE))


def change(here: Flat, there: Flat) -> Flat:
    """How much pixels (..., N) of a face differ, grey levels, without a change of light, which all of them share."""
    difference = there - here
    return np.asarray(difference - np.median(difference, axis=-1, keepdims=True), np.float32)


def disagreement(onset: Flat, frame: Flat, face: FacePixels, seen_at: Floats | None = None) -> float:
    """Mean absolute difference of two frames, `smooth`, in the face of the first, grey levels.

    seen_at : (N, 2), where the other frame shows the face's pixels; None is where they are in the first
    Without a change of light, and without the tenth that differs most: the expression.
    """
    here = onset[face.rows, face.columns]
    there = frame[face.rows, face.columns] if seen_at is None else sampled(frame, seen_at[:, None])[:, 0]
    away = np.sort(np.abs(change(here, there)))
    return float(away[: max(1, int(0.9 * len(away)))].mean())
