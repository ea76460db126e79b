"""Which subjects are for training and which for testing. A subject, with all clips and views, is on one side only."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from mvgen.core.records import Split


def assign_splits(subject_keys: Iterable[str], test_share: float, seed: int) -> dict[str, Split]:
    """Draw the test subjects.

    subject_keys : one per clip or per subject, in any order; repeats do not matter
    test_share : share of the subjects in the test split; 0 leaves it empty
    seed : another seed, another draw
    Returns subject key -> split. With two subjects or more and a share above 0, both sides hold at least one.

    The draw sorts subjects by the sha256 of seed and key: no generator is needed whose stream may change some day.
    """
    subjects = sorted(set(subject_keys), key=lambda key: (hashlib.sha256(f"{seed}:{key}".encode()).digest(), key))
    count = 0
    if test_share > 0 and len(subjects) > 1:
        count = min(max(round(test_share * len(subjects)), 1), len(subjects) - 1)
    return {key: "test" if rank < count else "train" for rank, key in enumerate(subjects)}
