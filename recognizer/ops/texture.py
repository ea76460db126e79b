"""Local binary patterns of clips.

Source: Zhao and Pietikäinen, Dynamic texture recognition using local binary patterns, TPAMI 29(6), 2007 (LBP-TOP); Wang
et al., LBP with six intersection points, ACCV 2014 (LBP-SIP).
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

UNIFORM = 59  # bins for eight neighbours: 58 patterns with at most two changes around the circle, and all others


def lbp_top(clip: NDArray[np.uint8], blocks: int, radius: int = 3) -> NDArray[np.float32]:
    """Histograms of uniform patterns of eight neighbours on the planes XY, XT and YT.

    clip : (T, H, W) grey, each side longer than 2 * radius; blocks : the face is cut into blocks x blocks
    Returns (blocks * blocks * 3 * 59,) float32; each histogram sums to 1. Pixels nearer to an end of any axis than the
    radius have no pattern.
    """
    codes = [_circle(clip, axes, radius) for axes in ((1, 2), (0, 2), (0, 1))]
    return np.concatenate(
        [_histogram(code[cell], UNIFORM) for cell in _cells(codes[0].shape, blocks) for code in codes]
    )


def lbp_sip(clip: NDArray[np.uint8], blocks: int, radius: int = 3) -> NDArray[np.float32]:
    """Histograms of patterns of the six neighbours of a pixel along the three axes.

    clip, blocks : as in `lbp_top`
    Returns (blocks * blocks * 20,) float32: 16 patterns of the four neighbours in space, 4 of the two in time; each
    histogram sums to 1.
    """
    space, time = (
        _code([_moved(clip, axes, radius, direction) >= _inner(clip, radius) for axes, direction in directions])
        for directions in (_ACROSS, _ALONG)
    )
    cells = _cells(space.shape, blocks)
    return np.concatenate([part for cell in cells for part in (_histogram(space[cell], 16), _histogram(time[cell], 4))])


# Directions to a neighbour: axes, and shares of the radius along each.
_ACROSS = tuple(((1, 2), direction) for direction in ((-1, 0), (0, 1), (1, 0), (0, -1)))
_ALONG = tuple(((0, 1), direction) for direction in ((-1, 0), (1, 0)))
# Neighbours are compared with slightly less than the pixel, so that rounding does not decide where all are equal.
_SLACK = 1e-3


def _circle(clip: NDArray[np.uint8], axes: tuple[int, int], radius: int) -> NDArray[np.uint8]:
    """Uniform patterns, in [0, 58], of eight neighbours on a circle in the plane of two axes."""
    values = clip.astype(np.float32)
    centre = _inner(values, radius) - np.float32(_SLACK)
    angles = np.arange(8) * np.pi / 4
    directions = np.round(np.stack([-np.sin(angles), np.cos(angles)], axis=-1), 9)
    return _LABELS[_code([_moved(values, axes, radius, (each[0], each[1])) >= centre for each in directions])]


def _inner(clip: NDArray[Any], radius: int) -> NDArray[Any]:
    return clip[radius:-radius, radius:-radius, radius:-radius]


def _moved(clip: NDArray[Any], axes: tuple[int, int], radius: int, direction: tuple[float, float]) -> NDArray[Any]:
    """Values at radius * direction from the inner pixels, along two axes; bilinear."""
    total: NDArray[Any] | None = None
    for first, second in product(*(_ends(radius * share) for share in direction)):
        inner = [slice(radius, side - radius) for side in clip.shape]
        for axis, (step, _) in zip(axes, (first, second), strict=True):
            inner[axis] = slice(radius + step, clip.shape[axis] - radius + step)
        weight = np.float32(first[1] * second[1])
        part = clip[tuple(inner)] if weight == 1 else clip[tuple(inner)] * weight
        total = part if total is None else total + part
    assert total is not None
    return total


def _ends(distance: float) -> list[tuple[int, float]]:
    """The whole pixels around a distance, and their weights."""
    below = int(np.floor(distance))
    share = distance - below
    return [(below, 1.0)] if share == 0 else [(below, 1 - share), (below + 1, share)]


def _uniform_labels() -> NDArray[np.uint8]:
    """Label of each of the 256 codes: those with at most two changes around the circle by size, then all others."""
    codes = np.arange(256)
    around = np.bitwise_count(codes ^ ((codes >> 1) | ((codes & 1) << 7)))
    uniform = around <= 2
    return np.where(uniform, np.cumsum(uniform) - 1, UNIFORM - 1).astype(np.uint8)


_LABELS = _uniform_labels()


def _code(bits: list[NDArray[np.bool_]]) -> NDArray[np.uint8]:
    """Bits as numbers, the first bit is the lowest."""
    return np.packbits(np.stack(bits), axis=0, bitorder="little")[0]


def _cells(shape: tuple[int, ...], blocks: int) -> list[tuple[slice, slice, slice]]:
    """Spatial blocks of a clip (T, H, W), row by row, over all of its time."""
    down, across = (np.linspace(0, side, blocks + 1).astype(int) for side in shape[1:])
    every = slice(None)
    return [
        (every, slice(*down[row : row + 2]), slice(*across[column : column + 2]))
        for row in range(blocks)
        for column in range(blocks)
    ]


def _histogram(codes: NDArray[np.uint8], bins: int) -> NDArray[np.float32]:
    return (np.bincount(codes.ravel(), minlength=bins) / codes.size).astype(np.float32)
