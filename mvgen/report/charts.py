"""Numbers made ready to be drawn: bins, quartiles and axes. The template turns them into SVG."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

_BINS_PER_TICK = 4


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis from its first tick to its last. digits : decimals that tell the ticks apart"""

    ticks: tuple[float, ...]
    digits: int

    def place(self, value: float) -> float:
        """Where a value lies on the axis, 0 at the first tick and 1 at the last; what is beyond them lies on them."""
        first, last = self.ticks[0], self.ticks[-1]
        return min(max((value - first) / (last - first), 0.0), 1.0)


@dataclass(frozen=True, slots=True)
class Histogram:
    """How often values occur.

    bins : counts, of equal width from the axis's first tick to its last
    count, lowest, median, highest : of the values
    """

    axis: Axis
    bins: tuple[int, ...]
    count: int
    lowest: float
    median: float
    highest: float


@dataclass(frozen=True, slots=True)
class Spread:
    """Five numbers of a group of values: lowest, quartiles, highest; and how many they are of."""

    name: str
    count: int
    lowest: float
    lower: float
    median: float
    upper: float
    highest: float


def make_axis(lowest: float, highest: float, intervals: int = 4) -> Axis:
    """An axis with round ticks that holds both ends, in about so many intervals."""
    if highest <= lowest:
        reach = abs(lowest) / 10 or 0.5
        lowest, highest = lowest - reach, highest + reach
    raw = (highest - lowest) / intervals
    magnitude = 10.0 ** math.floor(math.log10(raw))
    factor, digits = next(pair for pair in ((1, 0), (2, 0), (2.5, 1), (5, 0), (10, -1)) if raw <= pair[0] * magnitude)
    step = factor * magnitude
    first, last = math.floor(lowest / step + 1e-9), math.ceil(highest / step - 1e-9)
    decimals = max(0, digits - math.floor(math.log10(raw)))
    return Axis(tuple(round(index * step, 12) for index in range(first, last + 1)), decimals)


def histogram(values: Iterable[float]) -> Histogram | None:
    """Bin values on a round axis; NaN is left out. None where nothing is left."""
    known = np.array([value for value in values if not math.isnan(value)], dtype=np.float64)
    if not len(known):
        return None
    axis = make_axis(float(known.min()), float(known.max()))
    bins = _BINS_PER_TICK * (len(axis.ticks) - 1)
    counts, _ = np.histogram(known, bins=bins, range=(axis.ticks[0], axis.ticks[-1]))
    return Histogram(
        axis=axis,
        bins=tuple(counts.tolist()),
        count=len(known),
        lowest=float(known.min()),
        median=float(np.median(known)),
        highest=float(known.max()),
    )


def spreads(groups: Mapping[str, Sequence[float]]) -> tuple[Spread, ...]:
    """Five numbers of every group, in order; groups without values are left out."""
    return tuple(
        Spread(name, len(values), *(float(each) for each in np.quantile(values, (0, 0.25, 0.5, 0.75, 1))))
        for name, values in groups.items()
        if len(values)
    )


def bin_edges(chart: Histogram) -> list[tuple[float, float]]:
    """(from, to) of every bin."""
    edges = np.linspace(chart.axis.ticks[0], chart.axis.ticks[-1], len(chart.bins) + 1).tolist()
    return list(pairwise(edges))
