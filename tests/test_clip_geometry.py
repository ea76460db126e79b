"""One geometry per frame of a clip: still where the face is still, moving where an expression moves it."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from factories import head_depth
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mvgen.camera import crop_camera
from mvgen.config import Geometry
from mvgen.depth.clip import clip_geometry, expression_residual, frames_needed, low_pass, without_tilt

SIZE, FPS = 64, 30.0
HEAD = head_depth(crop_camera(SIZE))
FACE = HEAD.confidence > 0.5
MODES = get_args(Geometry)


def bump(frames: int, height: float) -> NDArray[np.float64]:
    """Change of depth (T, S, S): a cheek that comes forward and goes back once."""
    rows, columns = np.indices((SIZE, SIZE))
    shape = np.exp(-((rows - 38) ** 2 + (columns - 42) ** 2) / (2 * 5.0**2))
    curve = np.sin(np.linspace(0, np.pi, frames)) ** 2
    return height * curve[:, None, None] * shape


def trembling(frames: int, sigma: float, seed: int = 0) -> NDArray[np.float64]:
    """Noise (T, S, S) of depth as a network has it: fresh in every frame, smooth over the face."""
    from scipy.ndimage import gaussian_filter

    noise = np.random.default_rng(seed).normal(size=(frames, SIZE, SIZE))
    smooth = gaussian_filter(noise, (0, 3, 3))
    return sigma * smooth / smooth.std()


def confidence(frames: int) -> NDArray[np.float32]:
    return np.repeat(HEAD.confidence[None], frames, axis=0)


def geometry(change: NDArray[np.float64], how: Geometry) -> NDArray[np.float32]:
    depth = (HEAD.depth + change).astype(np.float32)
    return clip_geometry(depth, confidence(len(depth)), how, FPS)[0]


@given(sigma=st.floats(0, 0.006), seed=st.integers(0, 1000), frames=st.integers(1, 20))
@settings(max_examples=30)
def test_a_still_clip_has_one_geometry(sigma: float, seed: int, frames: int) -> None:
    assert len(geometry(trembling(frames, sigma, seed), "residual")) == 1


@given(
    level=st.floats(-0.1, 0.1), right=st.floats(-0.2, 0.2), down=st.floats(-0.2, 0.2), seed=st.integers(0, 1000)
)  # fmt: skip
@settings(max_examples=30)
def test_a_turning_head_is_not_an_expression(level: float, right: float, down: float, seed: int) -> None:
    rows, columns = np.indices((SIZE, SIZE)) / SIZE - 0.5
    time = np.linspace(0, 1, 12)[:, None, None]
    turning = time * (level + right * columns + down * rows)
    np.testing.assert_allclose(without_tilt(turning, FACE)[:, FACE], 0, atol=1e-9)
    assert len(geometry(turning + trembling(12, 0.002, seed), "residual")) == 1


# Of changes that are hardly larger than the noise more than this is shrunk away, as it should be.
@given(height=st.floats(0.12, 0.3), seed=st.integers(0, 1000))
@settings(max_examples=20)
def test_an_expression_is_told_from_noise(height: float, seed: int) -> None:
    true = bump(16, height)
    found = expression_residual(HEAD.depth + true + trembling(16, 0.003, seed), FACE, 1.0)
    wanted = true - true.mean(axis=0)
    assert np.sqrt(np.square(found - wanted)[:, FACE].mean()) < 0.4 * np.sqrt(np.square(wanted)[:, FACE].mean())


@given(height=st.floats(0.2, 0.3), seed=st.integers(0, 1000))
@settings(max_examples=20)
def test_the_geometry_follows_an_expression_part_of_the_way(height: float, seed: int) -> None:
    true = bump(16, height)
    found = geometry(true + trembling(16, 0.003, seed), "residual").astype(np.float64)
    assert len(found) == 16
    change, wanted = ((each - each.mean(axis=0))[:, FACE].ravel() for each in (found, true))
    assert np.corrcoef(change, wanted)[0, 1] > 0.95
    # Half of it is believed, and the low-passes over time and space cost a narrow bump some height.
    assert 0.3 < change @ wanted / (wanted @ wanted) < 0.5


def test_an_expression_does_not_move_the_rest_of_the_face() -> None:
    change = expression_residual(HEAD.depth + bump(16, 0.2) + trembling(16, 0.002), FACE, 1.0)
    far = FACE & (np.indices((SIZE, SIZE))[0] < 16)
    assert np.abs(change[:, far]).max() < 0.004
    assert np.abs(change[:, FACE]).max() > 0.05
    assert not change[:, ~FACE].any()


def test_more_noise_is_believed_less() -> None:
    quiet, loud = (
        expression_residual(HEAD.depth + bump(16, 0.05) + trembling(16, sigma), FACE, 1.0) for sigma in (0.001, 0.05)
    )
    assert np.abs(loud).max() < np.abs(quiet).max()


def test_filtering_over_time_keeps_what_is_slow_and_loses_what_is_fast() -> None:
    frames = np.arange(60)
    slow, fast = (np.sin(2 * np.pi * frames / period)[:, None, None] for period in (40, 2.5))
    middle = slice(10, 50)
    np.testing.assert_allclose(low_pass(slow, 1.0)[middle], slow[middle], atol=0.02)
    assert np.abs(low_pass(fast, 1.0)[middle]).max() < 0.1
    np.testing.assert_allclose(low_pass(np.ones((5, 2, 2)), 3.0), 1)


def test_each_way_gives_its_own_geometry() -> None:
    noise = trembling(12, 0.01)
    np.testing.assert_array_equal(geometry(noise, "frame"), (HEAD.depth + noise).astype(np.float32))
    np.testing.assert_allclose(geometry(noise, "clip")[0], HEAD.depth + noise.mean(axis=0), atol=1e-6)
    still = np.abs(np.diff(geometry(noise, "filtered"), axis=0)).mean()
    assert 0 < still < 0.5 * np.abs(np.diff(noise, axis=0)).mean()


@pytest.mark.parametrize("how", MODES)
@pytest.mark.parametrize("frames", [1, 2, 3, 5])
def test_short_clips_have_a_geometry_too(how: Geometry, frames: int) -> None:
    depth = (HEAD.depth + bump(frames, 0.2)).astype(np.float32)
    found, sure = clip_geometry(depth, confidence(frames), how, FPS)
    assert found.shape == sure.shape
    assert len(found) in (1, frames)
    assert found.dtype == sure.dtype == np.float32
    assert np.isfinite(found).all()


@pytest.mark.parametrize("how", MODES)
def test_a_crop_without_a_face_does_not_stop_the_geometry(how: Geometry) -> None:
    depth = np.zeros((6, SIZE, SIZE), np.float32)
    found, sure = clip_geometry(depth, depth, how, FPS)
    assert not found.any()
    assert not sure.any()


def test_one_geometry_looks_at_few_frames_and_at_the_onset() -> None:
    assert frames_needed("clip", 100, 37)[-1] == 99
    assert 37 in frames_needed("clip", 100, 37)
    assert len(frames_needed("clip", 100, 37)) == 9
    assert frames_needed("clip", 3, 1) == [0, 1, 2]
    for how in ("frame", "filtered", "residual"):
        assert frames_needed(how, 5, 2) == [0, 1, 2, 3, 4]
