"""Colour: the frames of a clip carried into a view of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mvgen.records import Image, Mask, ViewGeometry
from mvgen.render.warp import open_warp, uploaded

Floats = NDArray[np.floating]

_ON_PIXEL = 1e-3  # pixels; a place this near to a pixel's centre is the centre, whatever rounding says
_WIDEST = 8.0  # source pixels from one view pixel to the next; more is a silhouette, not a slope


def drape(view: ViewGeometry, crops: Image) -> Image:
    """Colour of a view for every frame: each view pixel takes the colour of the source pixel it was seen at.

    crops : (T, S, S, 3) uint8, registered frames
    Returns (T, S, S, 3) uint8, zero where `view.source` is unknown; not yet mixed with any background. Cubic
    interpolation, Catmull-Rom's. Where neighbours in the view are more than a source pixel apart the kernel is as much
    wider, so that nothing aliases. Where a near surface ends in front of a far one, their colours mix by `view.blend`.
    Source: Keys, Cubic convolution interpolation for digital image processing, IEEE TASSP 1981.
    """
    warp = open_warp("cpu")
    from mvgen.render import resampling

    shown = np.isfinite(view.source[..., 0])
    colour = np.zeros_like(crops)
    if not shown.any() or not len(crops):
        return colour
    pixels = np.flatnonzero(shown).astype(np.int32)
    size = crops.shape[1]
    place = np.clip(view.source[shown] - np.float32(0.5), 0, size - 1)
    stretch = np.column_stack([_stretch(view.source[..., 0], 1)[shown], _stretch(view.source[..., 1], 0)[shown]])
    # A place at the middle of a source row needs that row only. Views that only yaw have no other places.
    nearest = np.round(place)
    exact = (np.abs(place - nearest) < _ON_PIXEL) & (stretch <= 1)
    taps = np.where(exact, 1, 2 * np.ceil(2 * stretch)).astype(np.int32)
    # At the rim of the picture the kernel ends with the picture.
    first = np.where(exact, nearest, np.floor(place) + 1 - taps // 2).astype(np.int32).clip(0, size - taps)
    begins = np.cumsum(taps.sum(axis=1), dtype=np.int32) - taps.sum(axis=1, dtype=np.int32)
    weights = np.empty(int(taps.sum()), np.float32)
    place = np.where(exact, nearest, place)
    where = [
        uploaded(first, warp.vec2i, "cpu"),
        uploaded(taps, warp.vec2i, "cpu"),
        uploaded(begins, warp.int32, "cpu"),
        uploaded(weights, warp.float32, "cpu"),
    ]
    shape = [uploaded(place, warp.vec2, "cpu"), uploaded(stretch, warp.vec2, "cpu")]
    warp.launch(resampling.weigh, len(pixels), [*shape, *where], device="cpu")
    pictures = uploaded(crops.reshape(-1, 3), warp.vec3ub, "cpu")
    result = uploaded(colour.reshape(-1, 3), warp.vec3ub, "cpu")
    inputs = [pictures, size, uploaded(pixels, warp.int32, "cpu"), *where]
    warp.launch(resampling.resample, (len(crops), len(pixels)), inputs, [result], device="cpu")
    _mix(colour, view.blend, shown)
    return colour


def _stretch(source: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """(S, S), source pixels from a view pixel to the next along an axis; 1 where they are fewer or a surface ends.

    The smaller one of both sides: on the other a silhouette may lie.
    """
    step = np.abs(np.diff(source, axis=axis))
    ahead, behind = [(0, 0), (0, 0)], [(0, 0), (0, 0)]
    ahead[axis], behind[axis] = (0, 1), (1, 0)
    nothing = np.float32(np.nan)
    both = np.fmin(np.pad(step, ahead, constant_values=nothing), np.pad(step, behind, constant_values=nothing))
    return np.where((both > 1) & (both < _WIDEST), both, np.float32(1))


def _mix(colour: Image, blend: NDArray[np.float32], shown: Mask) -> None:
    """Let pixels at the end of a near surface take their share of the pixel beyond, in place."""
    row, column = np.nonzero(blend)
    beside = column + np.sign(blend[row, column]).astype(int)
    known = shown[row, column] & shown[row, beside]
    row, column, beside = row[known], column[known], beside[known]
    share = np.abs(blend[row, column])[:, None]
    mixed = (1 - share) * colour[:, row, column] + share * colour[:, row, beside]
    colour[:, row, column] = np.rint(mixed).astype(np.uint8)
