"""Solid noise: smooth random values as a function of a point in space, so that a pattern is fixed to the skin."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_PERIOD = 32


class SolidNoise:
    """Periodic value noise on a random lattice.

    generator : source of the lattice
    channels : independent values per point
    """

    def __init__(self, generator: np.random.Generator, channels: int = 1) -> None:
        self._lattice = generator.uniform(-1, 1, (_PERIOD**3, channels)).astype(np.float32)

    def __call__(self, points: NDArray[np.floating]) -> NDArray[np.float32]:
        """Noise (P, channels) in [-1, 1] at points (P, 3), one lattice cell per unit; trilinear with a smooth fade."""
        points = np.asarray(points, dtype=np.float32)
        cell = np.floor(points)
        part = points - cell
        part = part * part * (3 - 2 * part)
        low = cell.astype(np.int32) % _PERIOD
        high = (low + 1) % _PERIOD
        total = np.zeros((len(points), self._lattice.shape[1]), dtype=np.float32)
        for x, wx in ((low[:, 0], 1 - part[:, 0]), (high[:, 0], part[:, 0])):
            for y, wy in ((low[:, 1], 1 - part[:, 1]), (high[:, 1], part[:, 1])):
                row, weight = (x * _PERIOD + y) * _PERIOD, wx * wy
                total += self._lattice[row + low[:, 2]] * (weight * (1 - part[:, 2]))[:, None]
                total += self._lattice[row + high[:, 2]] * (weight * part[:, 2])[:, None]
        return total
