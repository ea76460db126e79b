"""MDMO: the main direction of motion in 36 regions of the face.

Source: Liu et al., A Main Directional Mean Optical-flow Feature for Spontaneous Micro-expression Recognition, IEEE
Transactions on Affective Computing 7(4), 2016. The paper gives its 36 regions in a figure only; here each pixel
of the face belongs to the nearest of 36 points derived from the 68 landmarks: brows, lids, nose, cheeks, lips, chin.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mvgen.core.camera import pixel_grid
from recognizer.ops.clips import expression, resized_flow
from recognizer.ops.faces import landmarks_of
from recognizer.records import Sample
from recognizer.systems.base import FeatureSystem, Inputs, Share
from recognizer.systems.support_vectors import polynomial_machine

# Each point is the mean of these landmarks.
POINTS: tuple[tuple[int, ...], ...] = (
    *((brow,) for brow in range(17, 27)),
    (21, 22),  # between the brows
    (40, 41), (46, 47), (36,), (45,),  # lower lids, outer corners of the eyes
    (27,), (30,), (31,), (35,),  # nose
    (1, 36), (2, 41), (3, 31), (31, 40), (15, 45), (14, 46), (13, 35), (35, 47),  # cheeks
    (48,), (54,), (49, 50), (51,), (52, 53), (58, 59), (57,), (55, 56),  # mouth
    (8, 57),  # chin
)  # fmt: skip
_BINS = 8


@dataclass(frozen=True, slots=True)
class Choices:
    """size : side of the flow, pixels
    balance : alpha, the weight of the magnitudes; that of the angles is 1 - alpha
    """

    size: Annotated[int, Field(ge=48)] = 96
    balance: Share = 0.9


class Mdmo(FeatureSystem[Choices]):
    name = "mdmo"
    source = "Liu et al. 2016; STRCN, table II"
    Choices = Choices

    def prepare(self, sample: Sample) -> Inputs:
        size = self.options.size
        face = expression(sample)
        # Flow from the first frame as a sum over frames, which are registered and whose motion is small.
        flow = np.cumsum(resized_flow(face.flow, size, size), axis=0)
        owner = regions(landmarks_of(face) * (size / face.frames.shape[1]), size)
        return {"features": mdmo(flow, owner, self.options.balance)}

    def classifier(self, seed: int) -> Any:
        return polynomial_machine(seed, constant=1.0)


def regions(landmarks: NDArray[np.float32], size: int) -> NDArray[np.intp]:
    """(size, size) int: index of the region of a pixel, -1 outside the landmarks' convex hull."""
    import cv2

    points = np.stack([landmarks[list(members)].mean(axis=0) for members in POINTS])
    away = np.linalg.norm(pixel_grid(size, size)[:, :, None] - points, axis=-1)
    inside = np.zeros((size, size), np.uint8)
    cv2.fillConvexPoly(inside, np.floor(cv2.convexHull(landmarks.astype(np.float32))).astype(np.int32), 1)
    return np.where(inside > 0, away.argmin(axis=-1), -1)


def mdmo(flow: NDArray[np.float32], owner: NDArray[np.intp], balance: float) -> NDArray[np.float32]:
    """Main direction and magnitude of every region, averaged over frames.

    flow : (N, S, S, 2) pixels, from the first frame to each of the others; owner : (S, S), see `regions`
    Returns (72,) float32: 36 magnitudes relative to the largest, times balance; 36 angles in [-pi, pi], times
    1 - balance. In a frame, the motion of a region is the mean over the most frequent of eight sectors of direction.
    """
    seen = owner >= 0
    vectors = flow[:, seen].astype(np.float64)
    sector = np.floor((np.arctan2(vectors[..., 1], vectors[..., 0]) + np.pi) / (2 * np.pi) * _BINS).astype(int) % _BINS
    place = owner[seen] * _BINS + sector
    size = len(POINTS) * _BINS
    means = np.zeros((len(flow), len(POINTS), 2))
    for index, (at, motion) in enumerate(zip(place, vectors, strict=True)):
        counts = np.bincount(at, minlength=size)
        sums = np.stack([np.bincount(at, weights=part, minlength=size) for part in motion.T], axis=-1)
        fullest = np.arange(len(POINTS)) * _BINS + counts.reshape(-1, _BINS).argmax(axis=1)
        means[index] = sums[fullest] / np.maximum(counts[fullest], 1)[:, None]
    mean = means.mean(axis=0)
    magnitude, angle = np.hypot(mean[:, 0], mean[:, 1]), np.arctan2(mean[:, 1], mean[:, 0])
    relative = magnitude / max(float(magnitude.max()), 1e-12)
    return np.concatenate([balance * relative, (1 - balance) * angle]).astype(np.float32)
