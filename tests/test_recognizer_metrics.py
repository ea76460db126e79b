from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, recall_score

from recognizer.evaluation import metrics

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
        assert found.micro_f1 == pytest.approx(f1_score(labels, said, average="micro"))
        assert found.uar == pytest.approx(recall_score(labels, said, labels=np.unique(labels), average="macro"))


def test_nothing_tested_gives_no_number() -> None:
    assert math.isnan(metrics.figures(np.zeros((2, 3, 3), int)).accuracy)
    assert all(math.isnan(end) for end in metrics.interval(np.array([np.nan])))


def test_the_bootstrap_draws_subjects_and_is_the_same_every_time() -> None:
    drawn = metrics.draws("abcde")
    assert (drawn.sum(axis=1) == 5).all()
    assert np.array_equal(drawn, metrics.draws("abcde"))
    assert not np.array_equal(drawn, metrics.draws("abcde", seed=1))
    clips = np.stack([np.diag([1, 0, 0])] * 4 + [np.array([[0, 9, 0], [0, 0, 0], [0, 0, 0]])])
    values = metrics.accuracy(metrics.resampled(clips, drawn))
    # k of 5 draws are of the subject that is never recognised: accuracy (5 - k) / (5 - k + 9 k).
    expected = [(5 - k) / (5 - k + 9 * k) for k in drawn[:, 4]]
    np.testing.assert_allclose(values, expected)


def test_the_bootstrap_draws_the_clips_of_a_subject_together() -> None:
    drawn = metrics.draws(["one", "other", "one", "one"])
    ones = drawn[:, [0, 2, 3]].sum(axis=1)
    assert set(ones) == {0, 3, 6}  # a subject comes with as many clips as it has
    assert set(drawn[:, 1]) == {0, 1, 2}
    assert drawn[ones == 3][:, 0].max() == 3  # but with which of them is drawn too


def test_two_subjects_that_agree_leave_an_interval_that_chance_is_in() -> None:
    """Each has 3 of 8 right; a true rate of one in two is well within the uncertainty of eight clips."""
    clips = np.array([[[1, 0], [0, 0]]] * 3 + [[[0, 1], [0, 0]]] * 5)
    low, high = metrics.interval(
        metrics.accuracy(metrics.resampled(np.concatenate([clips, clips]), metrics.draws("a" * 8 + "b" * 8)))
    )
    assert low < 0.2
    assert high > 0.5


@pytest.mark.parametrize("people", [3, 40])
def test_an_interval_covers_the_truth_about_as_often_as_its_level(people: int) -> None:
    rng = np.random.default_rng(0)
    subjects = np.repeat(np.arange(people), 10).astype(str)
    drawn, covered = metrics.draws([*subjects], count=200), 0
    for _ in range(60):
        chance = np.repeat(rng.beta(12, 8, people), 10)  # subjects differ; 0.6 is right on average
        hit = rng.random(len(chance)) < chance
        clips = np.array([[[h, 1 - h], [0, 0]] for h in hit.astype(int)])
        low, high = metrics.interval(metrics.accuracy(metrics.resampled(clips, drawn)))
        covered += low <= 0.6 <= high
    assert 53 <= covered <= 60
