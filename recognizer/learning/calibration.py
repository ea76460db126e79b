"""Calibrated probabilities: one temperature, fitted on subjects that a network was not trained on.

Source: Guo, Pleiss, Sun and Weinberger, On Calibration of Modern Neural Networks, ICML 2017 (temperature scaling, and
the expected calibration error over bins of confidence).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Labels = NDArray[np.integer]

_BINS = 10
_TEMPERATURES = (0.2, 10.0)
_LEAST = 1e-9


@dataclass(frozen=True, slots=True)
class Calibration:
    """temperature : that log probabilities are divided by
    error, error_before : expected calibration errors with and without it; each fold is judged by the temperature of
        the others
    accuracy : on the same views; views, subjects : how many they are
    """

    temperature: float
    error: float
    error_before: float
    accuracy: float
    views: int
    subjects: int

    def as_dict(self) -> dict[str, Any]:
        """Plain values, rounded, for a record."""
        return {name: round(value, 4) for name, value in asdict(self).items()}


def tempered(probabilities: Floats, temperature: float) -> Floats:
    """Probabilities (N, C) at a temperature; above 1 they are less sure."""
    logits = np.log(np.maximum(probabilities, _LEAST)) / temperature
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))


def fit_temperature(probabilities: Floats, labels: Labels) -> float:
    """The temperature at which true classes (N,) are likeliest."""
    from scipy.optimize import minimize_scalar

    def loss(log_temperature: float) -> float:
        found = tempered(probabilities, float(np.exp(log_temperature)))
        return -float(np.log(np.maximum(found[np.arange(len(labels)), labels], _LEAST)).mean())

    return float(np.exp(minimize_scalar(loss, bounds=np.log(_TEMPERATURES), method="bounded").x))


def expected_error(probabilities: Floats, labels: Labels) -> float:
    """Expected calibration error: difference of confidence and accuracy, over bins of confidence, by their size."""
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    which = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    gaps = [abs(confidence[which == each].mean() - right[which == each].mean()) * np.mean(which == each)
            for each in np.unique(which)]  # fmt: skip
    return float(np.sum(gaps))


def calibrate(folds: Sequence[tuple[Floats, Labels]], subjects: int) -> Calibration:
    """From probabilities (N, C) and true classes (N,) of two or more folds of subjects, each unseen in training."""

    def joined(chosen: Sequence[tuple[Floats, Labels]]) -> tuple[Floats, Labels]:
        return np.concatenate([one for one, _ in chosen]), np.concatenate([labels for _, labels in chosen])

    probabilities, labels = joined(folds)
    judged = [
        tempered(own, fit_temperature(*joined([*folds[:number], *folds[number + 1 :]])))
        for number, (own, _) in enumerate(folds)
    ]
    return Calibration(
        temperature=fit_temperature(probabilities, labels),
        error=expected_error(np.concatenate(judged), labels),
        error_before=expected_error(probabilities, labels),
        accuracy=float((probabilities.argmax(axis=1) == labels).mean()),
        views=len(labels),
        subjects=subjects,
    )
