"""Training pictures framed anew and soiled: what is true of them moves along, and frames of a clip stay a pair."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage.data import astronaut
from torch.nn import functional as F

from mvgen.depth.augment import Reframing, jitter_colour, soil


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def astronauts(count: int, size: int = 64) -> torch.Tensor:
    picture = torch.from_numpy(astronaut()[:256, 96:352].copy()).permute(2, 0, 1)[None].float() / 255
    return F.interpolate(picture, (size, size), mode="area").repeat(count, 1, 1, 1)


@given(st.integers(0, 10_000), st.floats(0.3, 0.7), st.floats(0.3, 0.7))
def test_a_spot_is_found_in_the_new_frame_where_its_point_went(seed: int, x: float, y: float) -> None:
    reframing = Reframing.draw(1, generator(seed))
    centres = (torch.arange(96) + 0.5) / 96
    spot = torch.exp(-((centres[None] - x) ** 2 + (centres[:, None] - y) ** 2) / 0.001).expand(2, 1, 96, 96)
    image = reframing.sample(spot, 64, "zeros")[:, 0]
    small = (torch.arange(64) + 0.5) / 64
    total = image.sum((1, 2))
    found = torch.stack([(image.sum(1) @ small) / total, (image.sum(2) @ small) / total], dim=-1)
    expected = reframing.points(torch.tensor([[[x, y]]]).repeat(2, 1, 1))[:, 0]
    assert (found - expected).abs().max() < 0.002


@given(st.integers(0, 10_000))
def test_zoom_is_how_much_farther_apart_points_are(seed: int) -> None:
    reframing = Reframing.draw(3, generator(seed))
    points = torch.tensor([[[0.2, 0.3], [0.6, 0.7]]]).repeat(6, 1, 1)
    apart = torch.linalg.vector_norm(torch.diff(reframing.points(points), dim=1), dim=-1)[:, 0]
    before = torch.linalg.vector_norm(torch.diff(points, dim=1), dim=-1)[:, 0]
    assert torch.allclose(apart / before, reframing.zoom, rtol=1e-4)


def test_unknown_landmarks_stay_unknown() -> None:
    points = torch.full((2, 68, 2), torch.nan)
    assert Reframing.draw(1, generator()).points(points).isnan().all()


def test_both_frames_of_a_pair_are_framed_alike_and_pairs_are_not() -> None:
    reframing = Reframing.draw(4, generator())
    assert torch.equal(reframing.matrix[0::2], reframing.matrix[1::2])
    assert len(torch.unique(reframing.zoom)) == 4


def test_jitter_recolours_both_frames_of_a_pair_alike() -> None:
    pictures = jitter_colour(astronauts(16), generator())
    assert torch.equal(pictures[0::2], pictures[1::2])
    changed = (pictures - astronauts(16)).abs().amax((1, 2, 3)) > 0.01
    assert changed.any()
    assert not changed.all()


def test_soiling_differs_between_frames_of_a_pair_by_noise_alone() -> None:
    pictures = soil(astronauts(400), generator())
    difference = (pictures[0::2] - pictures[1::2]).flatten(1)
    noisy = difference.abs().amax(1) > 0
    assert 0.3 < noisy.float().mean() < 0.5
    # Noise has no structure: it averages out over a picture.
    assert difference[noisy].mean(1).abs().max() < 0.01
    assert pictures.min() >= 0
    assert pictures.max() <= 1


@pytest.mark.parametrize("vary", [jitter_colour, soil])
def test_the_same_seed_gives_the_same_pictures(vary) -> None:
    first, second, other = (vary(astronauts(8), generator(seed)) for seed in (3, 3, 4))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_astronaut_stays_a_face_that_the_detector_would_frame_alike() -> None:
    reframing = Reframing.draw(8, generator())
    pictures = reframing.sample(astronauts(16), 64, "border")
    plain = astronauts(16)
    alike = [np.corrcoef(one.ravel(), two.ravel())[0, 1] for one, two in zip(pictures, plain, strict=True)]
    assert 0.5 < min(alike) < 0.99
