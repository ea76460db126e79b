"""Metrics of spotting: F1 by overlap of intervals.

An interval that was found is right where it overlaps a true one by an intersection over union of one half or more, of
each true one at most one. Frames count inclusively.
Source: Li, Yap, Cheng, See, Hong, Li and Wang, MEGC2021: The Facial Micro-Expression Grand Challenge (spotting task).
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

LEAST_OVERLAP = 0.5

Span = tuple[int, int]
"""Onset and offset, frames."""


@dataclass(frozen=True, slots=True)
class Counts:
    """right : intervals found that are true; found, true : all of them"""

    right: int
    found: int
    true: int

    @property
    def f1(self) -> float:
        """F1; 1 where there is nothing to be found, and nothing was."""
        return 2 * self.right / (self.found + self.true) if self.found + self.true else 1.0

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.right + other.right, self.found + other.found, self.true + other.true)


def compare(found: Sequence[Span], true: Sequence[Span], least: float = LEAST_OVERLAP) -> Counts:
    """Count the intervals of one recording that are right; the pairs of largest overlap are matched first."""
    pairs = sorted(
        ((overlap(one, other), i, j) for i, one in enumerate(found) for j, other in enumerate(true)), reverse=True
    )
    used: tuple[set[int], set[int]] = (set(), set())
    for share, i, j in pairs:
        if share >= least and i not in used[0] and j not in used[1]:
            used[0].add(i)
            used[1].add(j)
    return Counts(len(used[0]), len(found), len(true))


def overlap(one: Span, other: Span) -> float:
    """Intersection over union of two intervals."""
    common = min(one[1], other[1]) - max(one[0], other[0]) + 1
    return max(common, 0) / (max(one[1], other[1]) - min(one[0], other[0]) + 1)


def read_spans(path: Path) -> list[tuple[str, str, Span]]:
    """File, kind and span of every row of a table of clips."""
    with path.open(newline="", encoding="utf-8") as file:
        return [(row["file"], row["kind"], (int(row["onset"]), int(row["offset"]))) for row in csv.DictReader(file)]


def compare_tables(
    found: Sequence[tuple[str, str, Span]], true: Sequence[tuple[str, str, Span]], kind: str | None = None
) -> Counts:
    """Counts over recordings; kind : compare expressions of that kind only, None of both, whatever kind they are."""
    total = Counts(0, 0, 0)
    for file in sorted({row[0] for row in (*found, *true)}):
        ours, theirs = (
            [span for name, own, span in rows if name == file and kind in (None, own)] for rows in (found, true)
        )
        total += compare(ours, theirs)
    return total
