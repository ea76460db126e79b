"""Copies of a sample for training: mirrored and rotated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from mvgen.core.landmarks68 import MIRROR
from recognizer.records import Sample


def copies(sample: Sample, turns: Sequence[float]) -> Iterator[Sample]:
    """The sample and its mirror image, first upright, then rotated by each of some angles in degrees."""
    image = mirrored(sample)
    yield from (sample, image)
    for degrees in turns:
        yield from (turned(sample, degrees), turned(image, degrees))


def mirrored(sample: Sample) -> Sample:
    """The mirror image: pictures, motion, mask and landmarks."""
    turn = np.array([-1, 1], np.float32)
    width = np.array([sample.frames.shape[2], 0], np.float32)
    return replace(
        sample,
        frames=sample.frames[:, :, ::-1],
        flow=sample.flow[:, :, ::-1] * turn,
        apex_flow=sample.apex_flow[:, ::-1] * turn,
        strain=None if sample.strain is None else sample.strain[:, ::-1],
        valid=None if sample.valid is None else sample.valid[:, ::-1],
        landmarks=None if sample.landmarks is None else sample.landmarks[MIRROR] * turn + width,
    )


def turned(sample: Sample, degrees: float) -> Sample:
    """The sample rotated counter-clockwise about the image centre; the border is replicated."""
    import cv2

    size = sample.frames.shape[1]
    # Pixel centres are at whole numbers in OpenCV, at +0.5 here.
    matrix = cv2.getRotationMatrix2D((size / 2 - 0.5, size / 2 - 0.5), degrees, 1.0)
    turn = matrix[:, :2].astype(np.float32)

    def moved(image: np.ndarray, method: int = cv2.INTER_LINEAR) -> np.ndarray:
        return cv2.warpAffine(image, matrix, (size, size), flags=method, borderMode=cv2.BORDER_REPLICATE)

    middle = np.float32(size / 2)
    return replace(
        sample,
        frames=np.stack([moved(frame) for frame in sample.frames]),
        flow=np.stack([moved(field) @ turn.T for field in sample.flow]) if len(sample.flow) else sample.flow,
        apex_flow=moved(sample.apex_flow) @ turn.T,
        strain=None if sample.strain is None else moved(sample.strain),
        valid=None if sample.valid is None else moved(sample.valid.astype(np.uint8), cv2.INTER_NEAREST) > 0,
        landmarks=None
        if sample.landmarks is None
        else np.asarray((sample.landmarks - middle) @ turn.T + middle, np.float32),
    )
