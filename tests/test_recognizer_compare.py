"""Paired tests between systems."""

from __future__ import annotations

import numpy as np
import pytest

from recognizer.bench.compare import compare, compare_trainings, holm, seeds_resampled, shares_interval, swap_test
from recognizer.bench.tables import latex, markdown
from recognizer.evaluation import metrics

pytestmark = pytest.mark.slow


def answers(right: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(K, 2, 2) counts of clips of two classes that are recognised or not."""
    counts = np.zeros((len(labels), 2, 2), np.int64)
    counts[np.arange(len(labels)), labels, np.where(right, labels, 1 - labels)] = 1
    return counts


SUBJECTS = np.repeat(np.arange(20), 5)
LABELS = np.arange(100) % 2


def test_systems_that_agree_do_not_differ() -> None:
    right = np.random.default_rng(0).random(100) < 0.7
    assert swap_test(answers(right, LABELS), answers(right, LABELS), SUBJECTS) == 1


def test_a_system_that_is_better_on_every_subject_is_found() -> None:
    better, worse = np.arange(100) % 5 != 0, np.arange(100) % 5 > 2
    assert swap_test(answers(better, LABELS), answers(worse, LABELS), SUBJECTS) < 0.001


def test_one_subject_is_one_observation_however_many_its_clips() -> None:
    better, worse = np.ones(100, bool), np.ones(100, bool)
    worse[:40] = False
    two = np.repeat([0, 1], [40, 60])
    assert swap_test(answers(better, LABELS), answers(worse, LABELS), two) > 0.4  # two of the four swaps are as far


def test_chance_is_called_a_difference_as_often_as_it_says() -> None:
    draw = np.random.default_rng(1)
    found = []
    for _ in range(200):
        one, other = (answers(draw.random(100) < 0.6, LABELS) for _ in range(2))
        found.append(swap_test(one, other, SUBJECTS, swaps=199))
    assert 0.01 < np.mean(np.array(found) <= 0.05) < 0.11


def test_holm_corrects_in_the_order_of_size() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_shares_are_the_percentiles_of_the_draws_where_the_oracle_always_gains() -> None:
    draw = np.random.default_rng(0)
    oracle = draw.uniform(1, 2, 2000)
    shares = draw.normal(0.8, 0.1, 2000)
    np.testing.assert_allclose(shares_interval(shares * oracle, oracle), np.percentile(shares, [2.5, 97.5]), atol=2e-3)
    assert shares_interval(oracle / 2, oracle) == (0.5, 0.5)


def test_a_share_of_a_gain_that_may_be_none_has_no_bound() -> None:
    draw = np.random.default_rng(0)
    oracle = draw.normal(1, 0.45, 4000)  # at or below zero in about one draw of eighty
    gain = 0.8 * oracle + draw.normal(0, 0.2, 4000)
    low, high = shares_interval(gain, oracle)
    kept = np.percentile((gain / oracle)[oracle > 0], [2.5, 97.5])
    assert low < kept[0] < 0.8 < kept[1] < high < np.inf  # what draws that were left out would have narrowed
    assert shares_interval(gain, oracle - 0.5) == (-np.inf, np.inf)


def test_seeds_widen_the_interval_they_disagree_in() -> None:
    right = np.arange(100) % 2 == 0
    agree = np.stack([answers(right, LABELS)] * 2)
    differ = np.stack([answers(np.ones(100, bool), LABELS), answers(np.zeros(100, bool), LABELS)])
    drawn = metrics.draws([f"s{number}" for number in SUBJECTS])
    widths = [np.ptp(metrics.interval(metrics.accuracy(seeds_resampled(counts, drawn)))) for counts in (agree, differ)]
    assert widths[1] > 2 * widths[0]
    np.testing.assert_array_equal(seeds_resampled(agree[:1], drawn), metrics.resampled(agree[0], drawn))


def test_pairs_are_of_one_training_or_of_one_system_and_stand_in_the_tables() -> None:
    better, worse = answers(np.ones(100, bool), LABELS)[None], answers(np.arange(100) % 2 == 0, LABELS)[None]
    subjects = [f"s{number}" for number in SUBJECTS]
    drawn = metrics.draws(subjects)
    tested = {
        ("good", "source"): {"source": better, "dataset one": better},
        ("bad", "source"): {"source": worse, "dataset one": worse},
        ("good", "all"): {"source": better, "dataset one": better},
    }
    pairs = compare(tested, subjects, drawn)
    assert [(pair["first"], pair["second"], pair["trained_on"], pair["group"]) for pair in pairs] == [
        ("good", "bad", "source", "source"),
        ("good", "bad", "source", "dataset one"),
    ]
    for measure in ("uf1", "uar"):
        assert pairs[0][measure]["interval"][0] > 0
        assert pairs[0][measure]["p"] == pairs[0][measure]["p_holm"] < 0.001
    trainings = compare_trainings({**tested, ("good", "all"): tested["bad", "source"]}, subjects, drawn)
    assert [(pair["system"], pair["first"], pair["second"], pair["group"]) for pair in trainings] == [
        ("good", "all", "source", "source"),
        ("good", "all", "source", "dataset one"),
    ]
    assert trainings[0]["uf1"]["interval"][1] < 0
    assert trainings[0]["uf1"]["p_holm"] < 0.001
    results = {
        "title": "", "about": "", "data": {"clips": 1, "subjects": 1, "views": {}},
        "protocol": {"name": "megc", "folds": 1, "by_subject": True}, "seeds": [0], "labels_shuffled": False,
        "groups": ["source"], "systems": [], "published": {}, "published_notes": {}, "beside": {}, "headline": "source",
        "classes": [], "compared": pairs, "compared_trainings": trainings,
    }  # fmt: skip
    for written in (markdown(results), latex(results)):
        assert "good less bad" in written
        assert "all views less frontal" in written
        assert "dataset one" in written
