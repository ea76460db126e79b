"""Training pictures cropped anew and degraded: their ground truth follows, and frames of a clip stay a pair."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.data import astronaut
from torch.nn import functional as F

from mvgen.core.camera import crop_camera
from mvgen.morphable.model import face_model
from mvgen.morphable.rasterise import fit_image
from mvgen.scans.imaging.rotation import rotation
from mvgen.training.augment import Reframing, degrade, jitter_colour


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def astronauts(count: int, size: int = 64) -> torch.Tensor:
    picture = torch.from_numpy(astronaut()[:256, 96:352].copy()).permute(2, 0, 1)[None].float() / 255
    return F.interpolate(picture, (size, size), mode="area").repeat(count, 1, 1, 1)


def carried(reframing: Reframing, points: torch.Tensor) -> torch.Tensor:
    """Where points (B, N, 2) of the old pictures are in the new ones, both in [0, 1] across."""
    old = 2 * points - 1 - reframing.matrix[:, None, :, 2]
    return (torch.linalg.solve(reframing.matrix[:, :, :2], old.mT).mT + 1) / 2


@pytest.mark.slow
@given(st.integers(0, 10_000), st.floats(0.3, 0.7), st.floats(0.3, 0.7))
def test_a_spot_is_found_in_the_new_frame_where_its_point_went(seed: int, x: float, y: float) -> None:
    reframing = Reframing.draw(1, generator(seed))
    centres = (torch.arange(96) + 0.5) / 96
    spot = torch.exp(-((centres[None] - x) ** 2 + (centres[:, None] - y) ** 2) / 0.001).expand(2, 1, 96, 96)
    image = reframing.sample(spot, 64, "zeros")[:, 0]
    small = (torch.arange(64) + 0.5) / 64
    total = image.sum((1, 2))
    found = torch.stack([(image.sum(1) @ small) / total, (image.sum(2) @ small) / total], dim=-1)
    expected = carried(reframing, torch.tensor([[[x, y]]]).repeat(2, 1, 1))[:, 0]
    assert (found - expected).abs().max() < 0.002


@given(st.integers(0, 10_000))
def test_zoom_is_how_much_farther_apart_points_are(seed: int) -> None:
    reframing = Reframing.draw(3, generator(seed))
    points = torch.tensor([[[0.2, 0.3], [0.6, 0.7]]]).repeat(6, 1, 1)
    apart = torch.linalg.vector_norm(torch.diff(carried(reframing, points), dim=1), dim=-1)[:, 0]
    before = torch.linalg.vector_norm(torch.diff(points, dim=1), dim=-1)[:, 0]
    assert torch.allclose(apart / before, reframing.zoom, rtol=1e-4)


@settings(max_examples=20)
@given(roll=st.floats(-20, 20), zoom=st.floats(0.8, 1.2), yaw=st.floats(-20, 20))
def test_a_fit_that_is_framed_anew_is_the_fit_of_the_turned_and_enlarged_face(
    roll: float, zoom: float, yaw: float
) -> None:
    size, camera = 96, crop_camera(96)
    middle = camera.unproject(np.array([size / 2, size / 2, 0.0]))
    face = face_model().mean.astype(np.float64) @ rotation(yaw, 5, 0).T
    angle = np.radians(roll)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    moved = zoom * (face - middle) @ turn.T + middle
    # The matrix of a frame goes from new to old, with y down.
    linear = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / zoom
    matrix = torch.tensor(np.column_stack([linear, [0, 0]])[None], dtype=torch.float32)
    old, wanted = (torch.from_numpy(fit_image(camera, one)).permute(2, 0, 1)[None] for one in (face, moved))
    frame = Reframing(matrix, torch.tensor([zoom], dtype=torch.float32))
    known = frame.sample(old[:, :1].isfinite().float(), size, "zeros")[:, 0] > 0.999
    found = frame.turn(frame.sample(old.nan_to_num(), size, "zeros"))
    away = (found - wanted).abs().permute(0, 2, 3, 1)[known & wanted[:, 0].isfinite()]
    assert len(away) > 2000
    assert away.mean() < 0.02
    # What is sampled is of a picture: at the nose's edge it is blurred.
    assert away.quantile(0.95, dim=0).max() < 0.08
    assert away[:, 0].median() < 0.005


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


def test_degradation_differs_between_frames_of_a_pair_by_noise_alone() -> None:
    pictures = degrade(astronauts(400), generator())
    difference = (pictures[0::2] - pictures[1::2]).flatten(1)
    noisy = difference.abs().amax(1) > 0
    assert 0.3 < noisy.float().mean() < 0.5
    # Noise has no structure: it averages out over a picture.
    assert difference[noisy].mean(1).abs().max() < 0.01
    assert pictures.min() >= 0
    assert pictures.max() <= 1


@pytest.mark.parametrize("vary", [jitter_colour, degrade])
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
