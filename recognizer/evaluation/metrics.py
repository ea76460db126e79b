"""Recognition metrics from confusion matrices: rows are the true classes, columns the predicted ones.

They are computed on stacks of matrices, which the bootstrap needs and scikit-learn does not offer; a test compares them
with those of scikit-learn.
Source: See et al., MEGC 2019 (UF1 and UAR over the pooled counts of all folds).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.integer]
Floats = NDArray[np.floating]

DRAWS = 2000
TAIL = 2.5  # percent on each side of a 95 % interval
NAMES = ("accuracy", "uf1", "uar", "macro_f1", "micro_f1")


@dataclass(frozen=True, slots=True)
class Figures:
    """Results of a system.

    accuracy : share of the views that were classified correctly
    uf1 : mean over the classes of 2 TP / (2 TP + FP + FN), counts pooled over all folds
    uar : mean over the classes of TP / N, counts pooled over all folds
    macro_f1 : mean over the folds of the mean F1 over the classes that occur in the fold
    micro_f1 : F1 of the hits, false alarms and misses of all classes together, as STRCN's section IV-B defines its F1.
        Every view has one class, so that it is the same number as the accuracy
    """

    accuracy: float
    uf1: float
    uar: float
    macro_f1: float
    micro_f1: float


def accuracy(counts: Floats | Counts) -> Floats:
    """(..., C, C) -> (...,) share on the diagonal; NaN for an empty matrix."""
    total = counts.sum(axis=(-2, -1))
    return _ratio(np.trace(counts, axis1=-2, axis2=-1), total)


def uf1(counts: Floats | Counts) -> Floats:
    """(..., C, C) -> (...,) mean F1 over the classes that occur or are predicted."""
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    total = counts.sum(axis=-1) + counts.sum(axis=-2)  # 2 TP + FP + FN
    return _mean(_ratio(2 * hits, total))


def uar(counts: Floats | Counts) -> Floats:
    """(..., C, C) -> (...,) mean recall over the classes that occur."""
    return _mean(_ratio(np.diagonal(counts, axis1=-2, axis2=-1), counts.sum(axis=-1)))


def micro_f1(counts: Floats | Counts) -> Floats:
    """(..., C, C) -> (...,) F1 of the counts of all classes together; NaN for an empty matrix."""
    hits = np.trace(counts, axis1=-2, axis2=-1)
    misses = counts.sum(axis=(-2, -1)) - hits  # a miss of one class is a false alarm of another
    return _ratio(2 * hits, 2 * hits + misses + misses)


def figures(folds: Floats | Counts) -> Figures:
    """Figures of (F, C, C) counts, one matrix for each fold."""
    pooled = folds.sum(axis=0)
    filled = folds[folds.sum(axis=(1, 2)) > 0]
    return Figures(
        accuracy=float(accuracy(pooled)),
        uf1=float(uf1(pooled)),
        uar=float(uar(pooled)),
        macro_f1=float(uf1(filled).mean()) if len(filled) else float("nan"),
        micro_f1=float(micro_f1(pooled)),
    )


def draws(subjects: Sequence[str], seed: int = 0, count: int = DRAWS) -> Counts:
    """(count, K) how often each of K clips is in each bootstrap draw; subjects : (K,) subject of each clip.

    Subjects are drawn with replacement, then as many clips of each as it has. Drawing subjects alone is not enough for
    small data: two subjects with equal results would give an interval of zero width, however few their clips.
    Source: Davison and Hinkley, Bootstrap Methods and their Application, section 3.8, hierarchical data.
    """
    owner = np.array([*subjects])
    people, clips = np.unique(owner, return_counts=True)
    generator = np.random.default_rng([seed, len(people), len(owner)])
    times = generator.multinomial(len(people), np.full(len(people), 1 / len(people)), size=count)
    drawn = np.zeros((count, len(owner)), np.int64)
    for person, number, often in zip(people, clips, times.T, strict=True):
        drawn[:, owner == person] = generator.multinomial(often * number, np.full(number, 1 / number))
    return drawn


def interval(values: Floats) -> tuple[float, float]:
    """The central 95 % of bootstrapped values; draws without a value are left out."""
    known = values[np.isfinite(values)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.percentile(known, [TAIL, 100 - TAIL])
    return float(low), float(high)


def resampled(clips: Floats | Counts, drawn: Counts) -> Floats:
    """(B, C, C) counts of every draw; clips : (K, C, C) counts of each clip; drawn : see `draws`."""
    return np.einsum("bk,kij->bij", drawn, clips).astype(np.float64)


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> Floats:
    part, whole = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    return np.divide(part, whole, out=np.full(np.broadcast(part, whole).shape, np.nan), where=whole > 0)


def _mean(values: Floats) -> Floats:
    """Mean of the finite values over the last axis; NaN where there are none."""
    known = np.isfinite(values)
    return _ratio(np.where(known, values, 0).sum(axis=-1), known.sum(axis=-1))
