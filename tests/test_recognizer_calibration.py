from __future__ import annotations

import numpy as np
import pytest

from recognizer.learning.calibration import calibrate, expected_error, fit_temperature, tempered
from recognizer.learning.fit import Device
from recognizer.learning.weights import SHIPPED, load_trained, provenance


def voted(count: int, sureness: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (N, 3) that are `sureness` times as sure as they should be, and true classes drawn from the right
    ones."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 1.5, (count, 3))
    right = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = np.array([generator.choice(3, p=row) for row in right])
    return tempered(right, 1 / sureness), labels


def test_the_temperature_undoes_a_sureness_that_is_not_justified() -> None:
    for sureness in (0.5, 1.0, 3.0):
        probabilities, labels = voted(3000, sureness)
        temperature = fit_temperature(probabilities, labels)
        assert temperature == pytest.approx(sureness, rel=0.1)
        assert expected_error(tempered(probabilities, temperature), labels) < 0.03
    assert expected_error(*voted(3000, 3.0)) > 0.1


def test_a_temperature_keeps_the_order_and_the_sum() -> None:
    probabilities, _ = voted(50, 1.0)
    warm = tempered(probabilities, 4.0)
    np.testing.assert_allclose(warm.sum(axis=1), 1)
    np.testing.assert_array_equal(warm.argsort(axis=1), probabilities.argsort(axis=1))
    assert (warm.max(axis=1) < probabilities.max(axis=1)).all()
    np.testing.assert_allclose(tempered(probabilities, 1.0), probabilities)
    assert np.isfinite(tempered(np.array([[1.0, 0.0, 0.0]]), 0.2)).all()


def test_folds_are_judged_by_the_temperature_of_the_others() -> None:
    # One fold is too sure, the other too unsure: neither's temperature helps the other.
    found = calibrate([voted(1000, 4.0, 1), voted(1000, 0.25, 2)], subjects=7)
    assert found.error > found.error_before
    same = calibrate([voted(1000, 4.0, 1), voted(1000, 4.0, 2)], subjects=7)
    assert same.temperature == pytest.approx(4, rel=0.15)
    assert same.error < 0.05 < same.error_before
    assert (same.views, same.subjects) == (2000, 7)


def test_the_shipped_weights_say_that_no_people_were_seen() -> None:
    trained = load_trained(SHIPPED, Device("cpu"))
    assert trained.system.name == "motion-views"
    assert trained.classes == ("negative", "positive", "surprise")
    assert SHIPPED.stat().st_size < 1_000_000
    assert trained.temperature != 1
    said = provenance(trained)
    assert said.startswith("Trained on synthetic stand-ins, not on people.")
    assert "expected calibration error" in said
    assert SHIPPED.with_suffix(".md").is_file()
