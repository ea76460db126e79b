"""Agreement of frames: what counts as a difference of the face, and what does not."""

from __future__ import annotations

import numpy as np
import pytest
from factories import astronaut

from mvgen.agreement import FacePixels, disagreement, smooth
from mvgen.records import Image

SIDE = 128


def photograph(right: int = 0, brighter: int = 0) -> Image:
    """Part of a photograph, grey, further right and brighter by whole numbers."""
    grey = astronaut()[50 : 50 + SIDE, 150 + right : 150 + right + SIDE].mean(axis=-1)
    return np.clip(grey / 2 + brighter, 0, 255).astype(np.uint8)


def face() -> FacePixels:
    mask = np.zeros((SIDE, SIDE), bool)
    mask[20:100, 20:100] = True
    return FacePixels.of(mask, None)


def test_a_frame_agrees_with_itself_and_with_itself_in_other_light() -> None:
    onset = smooth(photograph())
    assert disagreement(onset, onset, face()) == 0
    assert disagreement(onset, smooth(photograph(brighter=20)), face()) == pytest.approx(0, abs=0.01)


def test_a_frame_that_moved_agrees_where_it_is_seen_now() -> None:
    onset, moved = smooth(photograph()), smooth(photograph(right=2))
    still = disagreement(onset, moved, face())
    followed = disagreement(onset, moved, face(), face().points - [2, 0])
    assert still > 0.5
    assert followed < 0.02 * still


def test_a_tenth_of_the_face_may_differ() -> None:
    onset = smooth(photograph())
    other = onset.copy()
    other[20:27, 20:100] += 50
    assert disagreement(onset, other, face()) < 0.01
    other[20:40, 20:100] += 50
    assert disagreement(onset, other, face()) > 1


def test_few_pixels_are_looked_at_and_lie_in_the_face_with_their_depth() -> None:
    mask = np.ones((SIDE, SIDE), bool)
    depth = np.arange(SIDE**2, dtype=float).reshape(SIDE, SIDE)
    pixels = FacePixels.of(mask, depth)
    assert 1000 < len(pixels.points) <= 2048
    np.testing.assert_array_equal(pixels.points, np.stack([pixels.columns, pixels.rows], axis=-1) + 0.5)
    np.testing.assert_array_equal(pixels.depth, pixels.rows * SIDE + pixels.columns)
