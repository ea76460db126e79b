"""Landmarks of the face in a sample, and boxes around its parts."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import crop_camera
from mvgen.core.landmarks68 import CANONICAL
from recognizer.records import Sample

_VIEW = re.compile(r"yaw([+-][\d.]+)(?:pitch([+-][\d.]+))?")


def angles_of(view: str) -> tuple[float, float]:
    """Yaw and pitch, degrees, of a view's name; 0 and 0 of one that tells no angle."""
    angles = _VIEW.fullmatch(view)
    yaw, pitch = (float(angle or 0) for angle in angles.groups()) if angles else (0.0, 0.0)
    return yaw, pitch


def mean_landmarks(size: int, view: str) -> NDArray[np.float32]:
    """(68, 2) float32 pixels, landmarks of a mean face in a canonical crop.

    view : name by `angles.view_name`; a name without an angle is the frontal view
    """
    yaw, pitch = angles_of(view)
    return replace(crop_camera(size), yaw=yaw, pitch=pitch).project(CANONICAL)[:, :2].astype(np.float32)


def landmarks_of(sample: Sample) -> NDArray[np.float32]:
    """(68, 2) float32 pixels: landmarks of the sample, or of a mean face if unknown."""
    if sample.landmarks is not None:
        return sample.landmarks
    return mean_landmarks(sample.frames.shape[1], sample.view)


def box_around(points: NDArray[np.float32], margin: float, size: int) -> tuple[slice, slice]:
    """Rows and columns of a box around points (N, 2), in a picture of side `size`; never empty.

    margin : added on every side, as a share of the longer side of the box
    """
    low, high = points.min(axis=0), points.max(axis=0)
    reach = margin * float((high - low).max())
    first = np.clip(np.floor(low - reach), 0, size - 2).astype(int)
    last = np.clip(np.ceil(high + reach), first + 2, size).astype(int)
    return slice(first[1], last[1]), slice(first[0], last[0])
