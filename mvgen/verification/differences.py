"""Differences between a store's depth and a measured one, and their table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvgen.core.errors import ClipError
from mvgen.evaluation.view_metrics import known_mean

ALL = "all"
_HEADER = ("mean of", "number", "median, %", "p90, %", "median, mm", "p90, mm", "covered, %", "unit, mm")
_LEAST = 100  # pixels to compare


@dataclass(frozen=True, slots=True)
class DepthDifference:
    """How depth differs from a measured one.

    name : of the clip, or of a group of clips; group : what it is averaged with
    clips : how many; median, largest : of the absolute difference over the pixels that both know, % of the
        inter-ocular distance, `largest` the 90th percentile; median_mm, largest_mm : the same in millimetres
    covered : share of the store's pixels that were measured
    unit : millimetres in an inter-ocular distance, by the measurement; people have about 63
    psnr : of the colour, dB; NaN where colour is not compared
    Of several clips, all are means.
    """

    name: str
    group: str
    clips: int
    median: float
    largest: float
    median_mm: float
    largest_mm: float
    covered: float
    unit: float
    psnr: float = float("nan")


@dataclass(frozen=True, slots=True)
class Comparison:
    """parts : in the order of the table; skipped : (clip, why it was not compared)

    same_origin : whether the store's own depth came from the measurement, so that little is left to differ
    """

    parts: tuple[DepthDifference, ...]
    skipped: tuple[tuple[str, str], ...] = ()
    same_origin: bool = False

    def groups(self) -> tuple[DepthDifference, ...]:
        """Means over each group, sorted, then over all."""
        named = sorted({one.group for one in self.parts})
        groups = [(name, [one for one in self.parts if one.group == name]) for name in named]
        return tuple(_mean(name, some) for name, some in [*groups, (ALL, list(self.parts))])

    def header(self) -> tuple[str, ...]:
        """Names of the columns of `table`."""
        return (*_HEADER, "PSNR, dB") if self._has_colour else _HEADER

    def table(self, each: bool = True) -> Iterator[tuple[str, ...]]:
        """Rows of text: every part if `each`, then the mean of every group and of all."""
        for one in (*(self.parts if each else ()), *self.groups()):
            shares = f"{one.median:.1f}", f"{one.largest:.1f}"
            millimetres = f"{one.median_mm:.1f}", f"{one.largest_mm:.1f}"
            colour = (f"{one.psnr:.1f}" if np.isfinite(one.psnr) else "-",) if self._has_colour else ()
            yield (
                one.name,
                str(one.clips),
                *shares,
                *millimetres,
                f"{100 * one.covered:.0f}",
                f"{one.unit:.0f}",
                *colour,
            )

    @property
    def _has_colour(self) -> bool:
        return any(np.isfinite(one.psnr) for one in self.parts)


def difference(
    name: str, group: str, depth: NDArray[np.float32], measured: NDArray[np.floating], unit: float
) -> DepthDifference:
    """Compare depth (S, S) with a measured one (S, S), both world units and NaN where unknown.

    unit : millimetres in a world unit
    Raises ClipError("depth") for too few pixels that both know.
    """
    here = np.isfinite(depth)
    known = here & np.isfinite(measured)
    if known.sum() < _LEAST:
        raise ClipError("depth", f"{known.sum()} pixels of the face were measured, {_LEAST} are needed")
    median, largest = np.percentile(np.abs(depth[known] - measured[known]), [50, 90]).tolist()
    covered = float(known.sum() / here.sum())
    return DepthDifference(name, group, 1, 100 * median, 100 * largest, unit * median, unit * largest, covered, unit)


def _mean(name: str, some: Sequence[DepthDifference]) -> DepthDifference:
    def mean(of: Callable[[DepthDifference], float]) -> float:
        return float(np.mean([of(one) for one in some])) if some else float("nan")

    return DepthDifference(
        name,
        name,
        sum(one.clips for one in some),
        mean(lambda one: one.median),
        mean(lambda one: one.largest),
        mean(lambda one: one.median_mm),
        mean(lambda one: one.largest_mm),
        mean(lambda one: one.covered),
        mean(lambda one: one.unit),
        known_mean(one.psnr for one in some),
    )
