"""Whether two systems differ: paired by subject, for those who are hard for one system are often hard for the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from recognizer.evaluation import metrics
from recognizer.evaluation.metrics import Counts, Floats

SWAPS = 2000
Measure = Callable[[Floats | Counts], Floats]
MEASURES: dict[str, Measure] = {"uf1": metrics.uf1, "uar": metrics.uar}
Key = tuple[str, str]  # system, trained on
Tested = Mapping[Key, Mapping[str, Counts]]


def compare(tested: Tested, subjects: Sequence[str], drawn: Counts) -> list[dict[str, Any]]:
    """Every two systems that were trained on the same kind of views, in every group of tested views.

    tested : (system, trained on) -> group -> counts (R, K, C, C) of each seed and clip
    subjects : (K,) whose each clip is; drawn : (B, K) see `metrics.draws`
    Each gives, for UF1 and UAR, the difference of first less second, counts of all seeds pooled; its 95 % interval over
    subjects, their clips and seeds; the probability of one as large when the two systems' answers are swapped at
    random, subject by subject; and that probability by Holm's correction over all pairs of the group.
    """
    found: list[dict[str, Any]] = []
    for trained in dict.fromkeys(views for _, views in tested):
        keys = [key for key in tested if key[1] == trained]
        pairs = [
            ({"trained_on": trained, "first": one[0], "second": two[0]}, one, two) for one, two in combinations(keys, 2)
        ]
        found += _in_groups(tested, pairs, subjects, drawn)
    return found


def compare_trainings(tested: Tested, subjects: Sequence[str], drawn: Counts) -> list[dict[str, Any]]:
    """Every two kinds of training views of the same system, the later less the earlier; otherwise see `compare`."""
    pairs = []
    for system in dict.fromkeys(name for name, _ in tested):
        keys = [key for key in tested if key[0] == system]
        pairs += [
            ({"system": system, "first": one[1], "second": two[1]}, one, two) for two, one in combinations(keys, 2)
        ]
    return _in_groups(tested, pairs, subjects, drawn)


def _in_groups(
    tested: Tested, pairs: Sequence[tuple[dict[str, str], Key, Key]], subjects: Sequence[str], drawn: Counts
) -> list[dict[str, Any]]:
    """The pairs, (what they are, first, second), group by group."""
    names = np.unique([*subjects], return_inverse=True)[1]
    keys = dict.fromkeys(key for _, *both in pairs for key in both)
    found: list[dict[str, Any]] = []
    for group in dict.fromkeys(group for key in keys for group in tested[key]):
        sides = {key: _Side(tested[key][group], seeds_resampled(tested[key][group], drawn)) for key in keys}
        rows = [
            about | {"group": group, **_differences(sides[first], sides[second], names)}
            for about, first, second in pairs
        ]
        for measure in MEASURES:
            for row, corrected in zip(rows, holm([row[measure]["p"] for row in rows]), strict=True):
                row[measure]["p_holm"] = round(corrected, 6)
        found += rows
    return found


class _Side(NamedTuple):
    """counts : (R, K, C, C) of each seed and clip; again : (B, C, C) of each draw"""

    counts: Counts
    again: Floats


def _differences(one: _Side, other: _Side, subjects: Counts) -> dict[str, Any]:
    found = {}
    for name, measure in MEASURES.items():
        low, high = metrics.interval(measure(one.again) - measure(other.again))
        difference = _known(measure(one.counts.sum(axis=(0, 1)))) - _known(measure(other.counts.sum(axis=(0, 1))))
        found[name] = {
            "difference": round(difference, 6),
            "interval": [None if np.isnan(end) else round(end, 6) for end in (low, high)],
            "p": round(swap_test(one.counts.sum(axis=0), other.counts.sum(axis=0), subjects, measure), 6),
        }
    return found


def seeds_resampled(counts: Counts, drawn: Counts) -> Floats:
    """(B, C, C) counts of every draw of clips, with seeds drawn as well.

    counts : (R, K, C, C) of each seed and clip; drawn : (B, K) see `metrics.draws`. One seed is drawn every time.
    """
    seeds = len(counts)
    generator = np.random.default_rng([seeds, *drawn.shape])
    often = generator.multinomial(seeds, np.full(seeds, 1 / seeds), size=len(drawn))
    each = [often[:, seed, None, None] * metrics.resampled(counts[seed], drawn) for seed in range(seeds)]
    return np.sum(each, axis=0, dtype=np.float64)


def swap_test(
    one: Counts, other: Counts, subjects: Counts, measure: Measure = metrics.uf1, swaps: int = SWAPS
) -> float:
    """Two-sided probability of a difference in a measure as large, where systems do not differ.

    one, other : (K, C, C) counts of each clip; subjects : (K,) numbers. All answers of a subject are swapped together.
    Source: Edgington and Onghena, Randomization Tests, 4th edition, chapter 6; the test itself counts as one swap.
    """
    people = subjects.max() + 1
    shape = (people, *one.shape[1:])
    by_subject = [np.zeros(shape, np.int64), np.zeros(shape, np.int64)]
    for summed, counts in zip(by_subject, (one, other), strict=True):
        np.add.at(summed, subjects, counts)
    mine, theirs = by_subject
    swapped = np.random.default_rng([0, people]).integers(0, 2, (swaps, people))
    change = np.einsum("sp,pij->sij", swapped, theirs - mine)
    differences = measure(mine.sum(axis=0) + change) - measure(theirs.sum(axis=0) - change)
    observed = abs(_known(measure(mine.sum(axis=0))) - _known(measure(theirs.sum(axis=0))))
    return float((1 + (np.abs(np.nan_to_num(differences)) >= observed - 1e-12).sum()) / (1 + swaps))


def holm(probabilities: Sequence[float]) -> list[float]:
    """Holm's correction of probabilities of tests that are looked at together, in their order."""
    corrected, highest = np.zeros(len(probabilities)), 0.0
    for rank, index in enumerate(np.argsort(probabilities, kind="stable")):
        highest = max(highest, min(1.0, (len(probabilities) - rank) * probabilities[index]))
        corrected[index] = highest
    return [float(value) for value in corrected]


def shares_interval(gain: Floats, oracle: Floats) -> tuple[float, float]:
    """95 % interval of gain / oracle from their bootstrap draws (B,), where the oracle's gain may be zero or negative.

    A share s belongs to it when zero lies in the middle 95 % of `gain - s * oracle`: no draw is left out. Where the
    oracle gains in every draw, it is the middle 95 % of the shares. Where that is not sure, an end is infinite.
    Source: Fieller, Some problems in interval estimation, JRSS B 16, 1954; Hwang, Fieller's problems and resampling
    techniques, Statistica Sinica 5, 1995.
    """
    sure = oracle != 0
    order = np.argsort(gain[sure] / oracle[sure], kind="stable")
    ends = (gain[sure] / oracle[sure])[order]
    # How many draws have gain < s * oracle: below the smallest share, then between one share and the next.
    below = (
        (oracle < 0).sum() + (gain[~sure] < 0).sum() + np.concatenate([[0], np.cumsum(np.sign(oracle[sure][order]))])
    )
    tail = metrics.TAIL / 100 * len(gain)
    low, high = np.minimum(below[:-1], below[1:]), np.maximum(below[:-1], below[1:])
    within = ends[(high >= tail) & (low <= len(gain) - tail)]
    open_below, open_above = (tail <= below[end] <= len(gain) - tail for end in (0, -1))
    return (
        -np.inf if open_below or not len(within) else float(within[0]),
        np.inf if open_above or not len(within) else float(within[-1]),
    )


def _known(value: Floats) -> float:
    return float(np.nan_to_num(value))
