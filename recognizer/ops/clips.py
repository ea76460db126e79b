"""Clips of any length and size, brought to the length and size that a system reads.

Motion is measured in pixels of a crop 256 wide, so that it does not depend on the image size of a dataset.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mvgen.core.records import Image
from recognizer.errors import RecogniserError
from recognizer.records import Sample

Values = NDArray[np.float32]

_CROP = 256


def expression(sample: Sample, least: int = 2) -> Sample:
    """The same sample from its onset to its offset frame.

    least : frames that the system needs
    Raises RecogniserError for a shorter clip, and for one with flow or landmarks that are not finite.
    """
    who = f"clip {sample.clip}, view {sample.view}"
    count = sample.offset - sample.onset + 1
    if count < least:
        raise RecogniserError(
            f"{who}: {count} frames from onset to offset, at least {least} are needed; leave the clip out"
        )
    landmarks = sample.landmarks if sample.landmarks is not None else np.zeros(0)
    for name, values in (("flow", sample.flow), ("apex_flow", sample.apex_flow), ("landmarks", landmarks)):
        if not np.isfinite(values).all():
            raise RecogniserError(f"{who}: {name} holds values that are not finite; build the clip again")
    return replace(
        sample,
        frames=sample.frames[sample.onset : sample.offset + 1],
        flow=sample.flow[sample.onset : sample.offset],
        signals=None if sample.signals is None else sample.signals[sample.onset : sample.offset + 1],
        onset=0,
        apex=sample.apex - sample.onset,
        offset=count - 1,
    )


def select(sample: Sample, kept: NDArray[np.intp]) -> Sample:
    """The same sample with some of its frames; the flow in between is summed.

    kept : ascending positions, including the first and last frame, onset, apex and offset
    """
    onset, apex, offset = (int(np.searchsorted(kept, at)) for at in (sample.onset, sample.apex, sample.offset))
    flow = np.add.reduceat(sample.flow, kept[:-1], axis=0)
    signals = None if sample.signals is None else sample.signals[kept]
    return replace(
        sample, frames=sample.frames[kept], flow=flow, signals=signals, onset=onset, apex=apex, offset=offset
    )


def resampled(values: NDArray[np.generic], count: int) -> Values:
    """(T, ...) at `count` evenly spaced times from first to last, linearly interpolated: (count, ...) float32."""
    at = np.linspace(0, len(values) - 1, count)
    before = np.floor(at).astype(int)
    after = np.minimum(before + 1, len(values) - 1)
    share = (at - before).astype(np.float32).reshape(-1, *[1] * (values.ndim - 1))
    return np.asarray((1 - share) * values[before] + share * values[after], np.float32)


def resampled_flow(flow: Values, count: int) -> Values:
    """Flow (T-1, ...) between neighbouring frames as flow between `count` evenly spaced times: (count-1, ...) float32.

    The total flow from the first frame to the last does not change.
    """
    total = np.concatenate([np.zeros_like(flow[:1]), np.cumsum(flow, axis=0)])
    return np.diff(resampled(total, count), axis=0)


def resized(images: NDArray[np.generic], height: int, width: int) -> NDArray[np.generic]:
    """Images (N, H, W) or (N, H, W, C) with at most four channels, averaged down or interpolated up; same type."""
    import cv2

    if images.shape[1:3] == (height, width):
        return images
    shrinks = height <= images.shape[1] and width <= images.shape[2]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.stack(
        [cv2.resize(np.ascontiguousarray(image), (width, height), interpolation=method) for image in images]
    )


def resized_flow(flow: Values, height: int, width: int) -> Values:
    """Flow (N, S, S, 2) in pixels as (N, height, width, 2) in pixels of a crop 256 wide."""
    scale = np.float32(_CROP / flow.shape[2])
    return scale * resized(flow, height, width).astype(np.float32)


def grey(frames: Image) -> NDArray[np.uint8]:
    """(T, H, W, 3) uint8 RGB -> (T, H, W) uint8."""
    import cv2

    return np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames])


def standardised(values: Values) -> Values:
    """Values scaled to mean 0 and standard deviation 1; zeros if all values are equal."""
    deviation = float(values.std())
    return np.asarray((values - values.mean()) / deviation if deviation > 1e-6 else np.zeros_like(values), np.float32)


def channels_first(values: NDArray[np.generic]) -> Values:
    """(T, H, W, C) -> (C, T, H, W) float32."""
    return np.ascontiguousarray(np.moveaxis(values, -1, 0), np.float32)
