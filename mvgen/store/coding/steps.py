"""Flow and depth as a store keeps them: rounded to whole steps, and coded so that they are small, without a loss.

Both change little from a pixel to the one below it. So the differences are stored, folded to whole numbers from 0
(0, -1, 1, -2 ... -> 0, 1, 2, 3 ...), their low bytes apart from the high ones, which are nearly all 0. Differences
over time would be larger: flow is the motion of one moment, not that of the last one changed a little.
Source: vertical prediction is the filter "Up" of PNG (W3C, section 9), the folding the zigzag code of Protocol Buffers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mvgen.core.records import Mask

Steps = NDArray[np.int16]
Coded = NDArray[np.uint8]

FLOW_STEP = 1 / 128
"""Pixels. The error is at most 1/256 pixel, well below what any flow method resolves."""
DEPTH_STEP = 1 / 8192
"""World units, about 8 micrometres of a real face; 16 bits hold 4 units either side of the eyes: more than a head."""

_MOST_STEPS = 32767
_UNKNOWN = -_MOST_STEPS - 1  # depth where there is no surface


def quantise_flow(flow: NDArray[np.float32], surface: Mask) -> Steps:
    """(..., S, S, 2) pixels -> steps of FLOW_STEP, zero outside the (S, S) surface and where it is NaN.

    Motion beyond 255 pixels a frame, which no face makes, is clipped.
    """
    import cv2

    farthest, shown = _MOST_STEPS * FLOW_STEP, surface.astype(np.uint8)
    steps = np.empty(flow.shape, np.int16)
    fields = zip(flow.reshape(-1, *flow.shape[-3:]), steps.reshape(-1, *flow.shape[-3:]), strict=True)
    for field, rounded in fields:
        known = cv2.copyTo(np.clip(field, -farthest, farthest, dtype=np.float32), shown)
        cv2.patchNaNs(known, 0.0)
        # Rounds to the nearest, which takes numpy three passes.
        rounded[:] = cv2.addWeighted(known, 1 / FLOW_STEP, known, 0.0, 0.0, dtype=cv2.CV_16S)
    return steps


def quantise_depth(depth: NDArray[np.float32]) -> Steps:
    """(S, S) world units, NaN where unknown -> steps of DEPTH_STEP; what is farther than 4 units is clipped."""
    known = np.isfinite(depth)
    steps = np.clip(np.rint(np.where(known, depth, 0.0) / DEPTH_STEP), -_MOST_STEPS, _MOST_STEPS)
    return np.where(known, steps, _UNKNOWN).astype(np.int16)


def depth_of(steps: Steps, step: float = DEPTH_STEP) -> NDArray[np.float32]:
    """The depth that steps stand for, world units, NaN where unknown."""
    return np.where(steps == _UNKNOWN, np.float32(np.nan), np.float32(step) * steps)


def encode(steps: Steps) -> Coded:
    """Code whole steps: (H, W) int16 -> (2, H, W) uint8, the low bytes and the high ones."""
    change = np.diff(steps, axis=0, prepend=np.int16(0))  # wraps around, and back when it is summed
    folded = (change << 1) ^ (change >> 15)
    return np.ascontiguousarray(np.moveaxis(folded.astype("<i2")[..., None].view(np.uint8), -1, 0))


def decode(coded: Coded) -> Steps:
    """The steps, (H, W) int16, that `encode` was given."""
    folded = coded[0] | (coded[1].astype(np.uint16) << 8)
    change = ((folded >> 1) ^ -(folded & 1)).view(np.int16)
    return np.cumsum(change, axis=0, dtype=np.int16)


def encode_flow(flow: NDArray[np.float32], surface: Mask) -> Coded:
    """Round and code flow: (N, S, S, 2) pixels -> (N, 2, 2, S, S) uint8; axes 1 and 2 are x and y, low and high bytes.

    surface : as of `quantise_flow`
    """
    coded = np.empty((len(flow), 2, 2, *surface.shape), np.uint8)
    for field, out in zip(flow, coded, strict=True):  # one by one: of a long clip the steps alone are large
        steps = quantise_flow(field, surface)
        out[:] = [encode(np.ascontiguousarray(steps[..., axis])) for axis in range(2)]
    return coded


def decode_flow(coded: Coded, step: float = FLOW_STEP) -> NDArray[np.float32]:
    """The flow, (N, H, W, 2) in pixels, that fields of flow stand for."""
    flow = np.empty((len(coded), *coded.shape[3:], 2), np.float32)
    for field, out in zip(coded, flow, strict=True):
        for axis in range(2):
            np.multiply(decode(field[axis]), np.float32(step), out=out[..., axis])
    return flow
