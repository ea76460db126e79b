from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, recall_score

from recognizer import metrics

# Rows are true: 5 of the first class, 3 of the second, 2 of the third.
COUNTS = np.array([[4, 1, 0], [1, 2, 0], [1, 0, 1]])


def test_figures_are_those_computed_by_hand() -> None:
    found = metrics.figures(COUNTS[None])
    assert found.accuracy == pytest.approx(7 / 10)
    # 2 TP / (2 TP + FP + FN): 8/11, 4/6, 2/3
    assert found.uf1 == pytest.approx((8 / 11 + 4 / 6 + 2 / 3) / 3)
    assert found.uar == pytest.approx((4 / 5 + 2 / 3 + 1 / 2) / 3)
    assert found.macro_f1 == pytest.approx(found.uf1)


def test_folds_are_pooled_for_uf1_and_averaged_for_macro_f1() -> None:
    one, other = np.diag([2, 0, 0]), np.array([[0, 0, 0], [1, 1, 0], [0, 0, 0]])
    found = metrics.figures(np.stack([one, other, np.zeros((3, 3), int)]))
    # Pooled: 2*2/(4+1), 2*1/(2+1); the third class neither occurs nor is said. The empty fold does not count.
    assert found.uf1 == pytest.approx((4 / 5 + 2 / 3) / 2)
    assert found.macro_f1 == pytest.approx((1.0 + (0 + 2 / 3) / 2) / 2)


def test_figures_agree_with_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    for size in (1, 2, 5, 9, 40):
        labels = rng.integers(0, 4, size)
        said = np.where(rng.random(size) < 0.5, labels, rng.integers(0, 4, size))
        found = metrics.figures(confusion_matrix(labels, said, labels=range(4))[None])
        assert found.accuracy == pytest.approx(accuracy_score(labels, said))
        assert found.uf1 == pytest.approx(f1_score(labels, said, average="macro"))
        assert found.uar == pytest.approx(recall_score(labels, said, labels=np.unique(labels), average="macro"))


def test_nothing_tested_gives_no_number() -> None:
    assert math.isnan(metrics.figures(np.zeros((2, 3, 3), int)).accuracy)
    assert all(math.isnan(end) for end in metrics.interval(np.array([np.nan])))


def test_the_bootstrap_draws_subjects_and_is_the_same_every_time() -> None:
    drawn = metrics.draws(5)
    assert (drawn.sum(axis=1) == 5).all()
    assert np.array_equal(drawn, metrics.draws(5))
    assert not np.array_equal(drawn, metrics.draws(5, seed=1))
    subjects = np.stack([np.diag([1, 0, 0])] * 4 + [np.array([[0, 9, 0], [0, 0, 0], [0, 0, 0]])])
    values = metrics.accuracy(metrics.resampled(subjects, drawn))
    # k of 5 draws are of the subject that is never recognised: accuracy (5 - k) / (5 - k + 9 k).
    expected = [(5 - k) / (5 - k + 9 * k) for k in drawn[:, 4]]
    np.testing.assert_allclose(values, expected)


def test_an_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    drawn, covered = metrics.draws(40, count=200), 0
    for _ in range(60):
        hits = rng.binomial(10, rng.beta(6, 4, 40))  # subjects differ; 0.6 is right on average
        subjects = np.array([[[h, 10 - h], [0, 0]] for h in hits])
        low, high = metrics.interval(metrics.accuracy(metrics.resampled(subjects, drawn)))
        covered += low <= 0.6 <= high
    assert 52 <= covered <= 60
