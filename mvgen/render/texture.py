"""Texture projection: the colour of a view from the frames of a clip."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mvgen.core.records import Image, Mask, ViewGeometry
from mvgen.render.kernels.runtime import open_warp, uploaded


def project_texture(view: ViewGeometry, crops: Image) -> Image:
    """Colour of a view for every frame: each view pixel takes the colour of its source pixel.

    crops : (T, S, S, 3) uint8, registered frames
    Returns (T, S, S, 3) uint8, zero where `view.source` is unknown; not yet mixed with any background. Catmull-Rom
    interpolation; where neighbours in the view are more than a source pixel apart the kernel is widened accordingly
    against aliasing. Where a near surface ends in front of a far one, their colours mix by `view.blend`.
    Source: Keys, Cubic convolution interpolation for digital image processing, IEEE TASSP 1981.
    """
    warp = open_warp("cpu")
    from mvgen.render.kernels import resampling

    shown = np.isfinite(view.source[..., 0])
    colour = np.zeros_like(crops)
    if not shown.any() or not len(crops):
        return colour
    pixels = np.flatnonzero(shown).astype(np.int32)
    size = crops.shape[1]
    outputs = [
        warp.empty(len(pixels), dtype=kind, device="cpu") for kind in (warp.vec2, warp.vec2, warp.vec2i, warp.vec2i)
    ]
    source, shown_at = uploaded(view.source.reshape(-1, 2), warp.vec2, "cpu"), uploaded(pixels, warp.int32, "cpu")
    warp.launch(resampling.measure, len(pixels), [source, size, shown_at], outputs, device="cpu")
    place, stretch, first, taps = outputs
    counts = taps.numpy().sum(axis=1, dtype=np.int32)
    ends = np.cumsum(counts, dtype=np.int32)
    begins = uploaded(ends - counts, warp.int32, "cpu")
    weights = warp.empty(int(ends[-1]), dtype=warp.float32, device="cpu")
    where = [first, taps, begins, weights]
    warp.launch(resampling.weigh, len(pixels), [place, stretch, *where], device="cpu")
    pictures = uploaded(_with_fourth(crops), warp.vec4ub, "cpu")
    result = uploaded(colour.reshape(-1, 3), warp.vec3ub, "cpu")
    inputs = [pictures, size, shown_at, *where]
    warp.launch(
        resampling.resample, (len(crops), -(-len(pixels) // resampling.TOGETHER)), inputs, [result], device="cpu"
    )
    _mix(colour, view.blend, shown)
    return colour


def _with_fourth(crops: Image) -> NDArray[np.uint8]:
    """(T, S, S, 3) -> (T S S, 4) uint8."""
    import cv2

    size = crops.shape[1]
    return np.asarray(cv2.cvtColor(crops.reshape(-1, size, 3), cv2.COLOR_RGB2RGBA), np.uint8).reshape(-1, 4)


def _mix(colour: Image, blend: NDArray[np.float32], shown: Mask) -> None:
    """Mix pixels at the end of a near surface with the neighbour beyond, in place."""
    row, column = np.nonzero(blend)
    neighbour = column + np.sign(blend[row, column]).astype(int)
    known = shown[row, column] & shown[row, neighbour]
    row, column, neighbour = row[known], column[known], neighbour[known]
    share = np.abs(blend[row, column])[:, None]
    mixed = (1 - share) * colour[:, row, column] + share * colour[:, row, neighbour]
    colour[:, row, column] = np.rint(mixed).astype(np.uint8)
