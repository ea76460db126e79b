"""Coarse motion of a whole head from the onset frame to every other frame of a clip, before it is registered.

Convention: flow (T, S, S, 2) float32 in pixels, (dx, dy): the point at pixel p of the onset frame is at p + flow[t][p]
in frame t.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mvgen.core.records import Image
from mvgen.motion.flow.opencv import one_thread, pixel_centres

_SIZE = 128  # side of the pictures that the motion is estimated in
_SHADING, _CONTRAST = 12.0, 3.0  # DIS reads whole grey levels, and skin has few of them; sigma is in pixels of 256


def flows_from(colour: Image, onset: int) -> NDArray[np.float32]:
    """Coarse motion from the onset frame to every frame of a clip that is not registered, head motion included.

    colour : (T, S, S, 3) uint8. Returns (T, S, S, 2) float32, pixels.
    Each frame is first warped back by the affine motion of the frame before it, so that small motion is left.
    Source: Kroeger et al., Fast Optical Flow using Dense Inverse Search, ECCV 2016.
    """
    import cv2

    frames, size = len(colour), colour.shape[1]
    side = min(_SIZE, size)
    places, (rows, fit) = pixel_centres(side, side), _affine_fit(side)
    method = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    method.setFinestScale(1)
    flow = np.zeros((frames, size, size, 2), np.float32)
    with one_thread():
        small = [_coarse_texture(one, side) for one in colour]
        for order in (range(onset + 1, frames), range(onset - 1, -1, -1)):
            affine = np.eye(2, 3, dtype=np.float32)
            for index in order:
                back = cv2.warpAffine(
                    small[index], affine, (side, side), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                    borderMode=cv2.BORDER_REPLICATE,
                )  # fmt: skip
                remaining = method.calc(small[onset], back, None)  # type: ignore[call-overload]
                there = (places + remaining) @ affine[:, :2].T + affine[:, 2]
                affine = (fit @ there.reshape(-1, 2)[rows]).T
                flow[index] = cv2.resize(there - places, (size, size)) * np.float32(size / side)
    return flow


def _coarse_texture(frame: Image, side: int) -> Image:
    """(side, side) uint8, a frame made small, its texture amplified and its shading removed."""
    import cv2

    grey = cv2.resize(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), (side, side), interpolation=cv2.INTER_AREA)
    texture = grey - cv2.GaussianBlur(grey.astype(np.float32), (0, 0), _SHADING * side / 256)
    return np.asarray(np.clip(128 + _CONTRAST * texture, 0, 255), np.uint8)


@lru_cache(4)
def _affine_fit(side: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Flat indices (N,) of a crop's pixels, and the matrix (3, N) that fits an affine motion to their positions (N, 2).

    Least squares; the middle of the crop, where its face is, has the largest weight.
    """
    grid = np.arange(0, side, 4)
    down, right = (part.ravel() for part in np.meshgrid(grid, grid, indexing="ij"))
    away = ((right / side - 0.5) / 0.25) ** 2 + ((down / side - 0.5) / 0.3) ** 2
    line = np.stack([right, down, np.ones_like(right)], axis=-1).astype(np.float64)
    weighted = line * np.exp(-0.5 * away)[:, None]
    fit = np.linalg.solve(weighted.T @ line, weighted.T).astype(np.float32)
    return down * side + right, fit
