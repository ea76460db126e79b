"""Whether two systems differ: paired by subject, for those who are hard for one system are often hard for the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from recognizer.evaluation import metrics
from recognizer.evaluation.metrics import Counts, Floats

SWAPS = 2000


def compare(
    tested: Mapping[tuple[str, str], Mapping[str, Counts]], subjects: Sequence[str], drawn: Counts
) -> list[dict[str, Any]]:
    """Every two systems that were trained on the same kind of views, in every group of tested views.

    tested : (system, trained on) -> group -> counts (R, K, C, C) of each seed and clip
    subjects : (K,) whose each clip is; drawn : (B, K) see `metrics.draws`
    Each gives the difference in UF1 of first less second, counts of all seeds pooled; its 95 % interval over subjects,
    their clips and seeds; the probability of one as large when the two systems' answers are swapped at random, subject
    by subject; and that probability by Holm's correction over all pairs of the group.
    """
    found: list[dict[str, Any]] = []
    names = np.unique([*subjects], return_inverse=True)[1]
    for trained in dict.fromkeys(views for _, views in tested):
        systems = {name: groups for (name, views), groups in tested.items() if views == trained}
        for group in dict.fromkeys(group for groups in systems.values() for group in groups):
            pairs = [
                _pair(first, second, systems[first][group], systems[second][group], names, drawn)
                for first, second in combinations(systems, 2)
            ]
            for pair, corrected in zip(pairs, holm([pair["p"] for pair in pairs]), strict=True):
                found.append({"trained_on": trained, "group": group, **pair, "p_holm": round(corrected, 6)})
    return found


def _pair(  # noqa: PLR0917
    first: str, second: str, one: Counts, other: Counts, subjects: Counts, drawn: Counts
) -> dict[str, Any]:
    difference = _uf1(one.sum(axis=(0, 1))) - _uf1(other.sum(axis=(0, 1)))
    again = metrics.uf1(seeds_resampled(one, drawn)) - metrics.uf1(seeds_resampled(other, drawn))
    low, high = metrics.interval(again)
    return {
        "first": first,
        "second": second,
        "uf1": round(difference, 6),
        "interval": [None if np.isnan(end) else round(end, 6) for end in (low, high)],
        "p": round(swap_test(one.sum(axis=0), other.sum(axis=0), subjects), 6),
    }


def seeds_resampled(counts: Counts, drawn: Counts) -> Floats:
    """(B, C, C) counts of every draw of clips, with seeds drawn as well.

    counts : (R, K, C, C) of each seed and clip; drawn : (B, K) see `metrics.draws`. One seed is drawn every time.
    """
    seeds = len(counts)
    generator = np.random.default_rng([seeds, *drawn.shape])
    often = generator.multinomial(seeds, np.full(seeds, 1 / seeds), size=len(drawn))
    each = [often[:, seed, None, None] * metrics.resampled(counts[seed], drawn) for seed in range(seeds)]
    return np.sum(each, axis=0, dtype=np.float64)


def swap_test(one: Counts, other: Counts, subjects: Counts, swaps: int = SWAPS) -> float:
    """Two-sided probability of a difference in UF1 as large, where systems do not differ.

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
    differences = metrics.uf1(mine.sum(axis=0) + change) - metrics.uf1(theirs.sum(axis=0) - change)
    observed = abs(_uf1(mine.sum(axis=0)) - _uf1(theirs.sum(axis=0)))
    return float((1 + (np.abs(np.nan_to_num(differences)) >= observed - 1e-12).sum()) / (1 + swaps))


def holm(probabilities: Sequence[float]) -> list[float]:
    """Holm's correction of probabilities of tests that are looked at together, in their order."""
    corrected, highest = np.zeros(len(probabilities)), 0.0
    for rank, index in enumerate(np.argsort(probabilities, kind="stable")):
        highest = max(highest, min(1.0, (len(probabilities) - rank) * probabilities[index]))
        corrected[index] = highest
    return [float(value) for value in corrected]


def _uf1(counts: Counts | Floats) -> float:
    return float(np.nan_to_num(metrics.uf1(counts)))
