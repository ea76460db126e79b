"""The classifier of the hand-crafted features."""

from __future__ import annotations

from typing import Any


def polynomial_machine(seed: int, constant: float = 0.0) -> Any:
    """A support vector machine with the kernel (0.22 x y + constant)^2, on features scaled to standard deviation 1.

    Source: STRCN, section IV-C1. Features are not centred: without a constant the kernel cannot distinguish x from -x,
    which does not matter for histograms. Nothing in the fit is random; `seed` is part of the interface.
    """
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    machine = SVC(kernel="poly", gamma=0.22, coef0=constant, degree=2, random_state=seed)
    return make_pipeline(StandardScaler(with_mean=False), machine)
