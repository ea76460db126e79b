"""The path of a head: it goes through what frames show, but where an expression disturbs them."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mvgen.head_path import path_weights
from mvgen.records import Floats

SIZE = 256
SECONDS = np.delete(np.arange(-6, 25), 6) / 30  # a frame that shows the onset shows no motion
EXPRESSION = np.exp(-0.5 * ((SECONDS - 0.3) / 0.12) ** 2)  # its course in time, at rest at both ends
DIRECTIONS = np.array([[1.0, 0.0, 0.3, 0.0], [0.0, -0.6, 0.0, 0.2]])  # of the head and of what is mistaken for it


def path(motions: Floats, change: Floats) -> Floats:
    """The settled motions (T, 4) of frames that show `motions` and faces that have changed by `change` (T, N)."""
    weights = path_weights(
        motions @ motions.T, change @ change.T, np.full(len(SECONDS), 0.01), SECONDS, size=SIZE, freedom=4
    )
    return np.asarray(weights @ motions)


def rms(vectors: Floats) -> float:
    return float(np.sqrt((vectors**2).sum(axis=-1).mean()))


def drift(slope: float, sway: float) -> Floats:
    """(T, 4), a head that goes on and sways, zero at the onset."""
    return (slope * SECONDS + sway * np.sin(2 * np.pi * 0.6 * SECONDS))[:, None] * DIRECTIONS[0]


@settings(max_examples=30, derandomize=True)
@given(slope=st.floats(-6, 6), sway=st.floats(-1, 1), strength=st.floats(0.1, 1.0))
def test_what_an_expression_adds_to_a_drifting_head_is_taken_away(slope: float, sway: float, strength: float) -> None:
    head = drift(slope, sway)
    mistaken = 0.5 * strength * EXPRESSION[:, None] * DIRECTIONS[1]
    found = path(head + mistaken, strength * EXPRESSION[:, None])
    assert rms(found - head) < 0.25 * rms(mistaken) + 0.02


@settings(max_examples=30, derandomize=True)
@given(slope=st.floats(-20, 20), sway=st.floats(-4, 4), shake=st.floats(0, 1), seed=st.integers(0, 100))
def test_where_no_face_changes_what_frames_show_is_believed(slope: float, sway: float, shake: float, seed: int) -> None:
    shown = drift(slope, sway) + np.random.default_rng(seed).normal(0, shake, (len(SECONDS), 4))
    assert rms(path(shown, np.zeros((len(SECONDS), 1))) - shown) < 0.05


def test_frames_that_changed_alike_are_disturbed_alike() -> None:
    """Two expressions, one after the other, that mislead in other ways: neither is taken for the other's."""
    early, late = (np.exp(-0.5 * ((SECONDS - middle) / 0.06) ** 2) for middle in (0.2, 0.55))
    change = np.stack([early, late], axis=-1)
    mistaken = 0.4 * (early[:, None] * DIRECTIONS[1] - late[:, None] * DIRECTIONS[1])
    head = drift(2.0, 0.3)
    assert rms(path(head + mistaken, change) - head) < 0.25 * rms(mistaken)
