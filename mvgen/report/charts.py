"""Data of the charts: bins, quartiles and axes. The template turns them into SVG."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

_BINS_PER_TICK = 4
_LABEL_WIDTH = 0.2  # of a chart's width


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis from its first tick to its last. digits : decimals that tell the ticks apart"""

    ticks: tuple[float, ...]
    digits: int

    def place(self, value: float) -> float:
        """Position of a value on the axis, 0 at the first tick and 1 at the last; values beyond are clipped."""
        first, last = self.ticks[0], self.ticks[-1]
        return min(max((value - first) / (last - first), 0.0), 1.0)


@dataclass(frozen=True, slots=True)
class Histogram:
    """How often values occur.

    bins : counts, of equal width from the axis's first tick to its last
    count : number of values; lowest, median, highest : of the values
    """

    axis: Axis
    bins: tuple[int, ...]
    count: int
    lowest: float
    median: float
    highest: float


@dataclass(frozen=True, slots=True)
class Spread:
    """Summary of a group of values: lowest, quartiles, highest, and their number."""

    name: str
    count: int
    lowest: float
    lower: float
    median: float
    upper: float
    highest: float


@dataclass(frozen=True, slots=True)
class Curve:
    """A value in every frame, on a chart of size 1 x 1 with y pointing down.

    points : (x, y) of every frame; band : outline of one standard deviation around them, empty where unknown
    values : in every frame; highest : the one farthest from 0, with its sign
    """

    name: str
    values: tuple[float, ...]
    points: tuple[tuple[float, float], ...]
    band: tuple[tuple[float, float], ...]
    highest: float


@dataclass(frozen=True, slots=True)
class CurveChart:
    """Curves on one axis."""

    axis: Axis
    curves: tuple[Curve, ...]


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment of a clip. name : its label; place : 0 at the first frame, 1 at the last; row : of the label, from 0"""

    name: str
    place: float
    row: int


def curve_chart(
    values: Mapping[str, NDArray[np.floating]], deviations: Mapping[str, NDArray[np.floating]] | None = None
) -> CurveChart:
    """Curves of values (T,), by name, on one axis that includes 0.

    deviations : (T,) standard deviations; their values must not be negative
    """
    known = {name: np.asarray(each, np.float64) for name, each in values.items()}
    doubt = {name: np.nan_to_num(each).astype(np.float64) for name, each in (deviations or {}).items()}
    highest = max(0.0, *(float((each + doubt.get(name, 0)).max()) for name, each in known.items()))
    axis = make_axis(min(0.0, *(float(each.min()) for each in known.values())), highest)

    def drawn(each: NDArray[np.float64]) -> list[tuple[float, float]]:
        across = np.linspace(0, 1, len(each)).tolist() if len(each) > 1 else [0.5]
        return [(x, 1 - axis.place(value)) for x, value in zip(across, each.tolist(), strict=True)]

    def band(name: str, each: NDArray[np.float64]) -> list[tuple[float, float]]:
        if name not in doubt:
            return []
        return drawn(each + doubt[name]) + drawn(np.maximum(each - doubt[name], 0))[::-1]

    return CurveChart(
        axis,
        tuple(
            Curve(
                name,
                values=tuple(each.tolist()),
                points=tuple(drawn(each)),
                band=tuple(band(name, each)),
                highest=float(each[np.abs(each).argmax()]),
            )
            for name, each in known.items()
        ),
    )


def marks(moments: Mapping[str, int], frames: int) -> tuple[Mark, ...]:
    """Marks of moments, name -> frame index, in a clip of `frames` frames; labels too close get separate rows."""
    at: dict[int, list[str]] = {}
    for name, position in moments.items():
        at.setdefault(position, []).append(name)
    found: list[Mark] = []
    for position, names in sorted(at.items()):
        place = position / (frames - 1) if frames > 1 else 0.5
        row = 1 - found[-1].row if found and place - found[-1].place < _LABEL_WIDTH else 0
        found.append(Mark(", ".join(names), place, row))
    return tuple(found)


def make_axis(lowest: float, highest: float, intervals: int = 4) -> Axis:
    """An axis with round ticks that includes both ends, with about that many intervals."""
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
    """A histogram on a round axis, without NaN; None if there are no values."""
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
    """Summaries of all groups, in order; groups without values are left out."""
    return tuple(
        Spread(name, len(values), *(float(each) for each in np.quantile(values, (0, 0.25, 0.5, 0.75, 1))))
        for name, values in groups.items()
        if len(values)
    )


def bin_edges(chart: Histogram) -> list[tuple[float, float]]:
    """(from, to) of every bin."""
    edges = np.linspace(chart.axis.ticks[0], chart.axis.ticks[-1], len(chart.bins) + 1).tolist()
    return list(pairwise(edges))
