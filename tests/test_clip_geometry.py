"""The geometry of a clip: one for all frames, one that moves with its facial actions, or one for each frame."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from factories import acted_points
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mvgen.core.camera import crop_camera
from mvgen.core.config import Geometry
from mvgen.core.records import DepthMap, FacePoints, FacePrediction, Image
from mvgen.depth.clip_geometry import clip_geometry, frames_needed, moved_by_actions
from mvgen.morphable.fitting import fit_face
from mvgen.morphable.model import face_model
from mvgen.morphable.rasterise import face_region, fit_image

pytestmark = pytest.mark.slow

SIZE, FPS = 96, 30.0
CAMERA = crop_camera(SIZE)
MODEL = face_model()
MODES = get_args(Geometry)
SMILE = MODEL.action_names.index("mouthSmileLeft"), MODEL.action_names.index("mouthSmileRight")


class Adding:
    """A depth network that adds the same to every fit, and noise of its own to each frame."""

    def __init__(self, added: float = 0.0, noise: float = 0.0) -> None:
        self.added, self.noise = added, noise
        self.fits: list[NDArray[np.float32]] = []

    def predict(self, crops: Image, fit: NDArray[np.float32]) -> FacePrediction:
        self.fits.append(fit)
        noise = np.random.default_rng(0).normal(0, self.noise, (len(crops), 1, 1))
        depth = fit[..., 0] + self.added + noise
        return FacePrediction(depth.astype(np.float32), np.full(depth.shape, 0.75, np.float32))


def smiling(frames: int, most: float) -> NDArray[np.float64]:
    """Action weights (T, A) of a smile that comes and goes once."""
    weights = np.zeros((frames, len(MODEL.actions)))
    weights[:, SMILE] = most * np.sin(np.linspace(0, np.pi, frames))[:, None] ** 2
    return weights


def trembling(points: NDArray[np.float32], sigma: float, seed: int = 0) -> NDArray[np.float32]:
    """Points (T, 468, 3) with fresh noise of `sigma` pixels in every frame."""
    noise = np.random.default_rng(seed).normal(0, sigma, points.shape)
    return (points + noise).astype(np.float32)


def geometry(
    points: NDArray[np.float32], how: Geometry, network: Adding | None = None
) -> tuple[list[DepthMap], list[NDArray[np.floating]]]:
    """`clip_geometry` of points (T, 468, 3), and the vertices that it is based on."""
    seen = FacePoints(points, np.ones(len(points), np.float32))
    crops = np.zeros((len(points), SIZE, SIZE, 3), np.uint8)
    surfaces, fits = clip_geometry(crops, seen, CAMERA, how, FPS, MODEL, network or Adding())
    return list(surfaces.each), [fit.vertices[0] for fit in fits.each]


def tremble(surfaces: list[DepthMap]) -> float:
    """Mean change of depth from frame to frame, world units."""
    change = np.diff(np.stack([surface.depth for surface in surfaces]), axis=0)
    return float(np.abs(change[np.isfinite(change)]).mean())


@given(sigma=st.floats(0, 1), seed=st.integers(0, 1000), frames=st.integers(1, 12))
@settings(max_examples=10)
def test_one_geometry_for_a_clip_cannot_tremble(sigma: float, seed: int, frames: int) -> None:
    points = trembling(acted_points(np.zeros((frames, len(MODEL.actions))), CAMERA), sigma, seed)
    surfaces, vertices = geometry(points, "clip", Adding(0.1, 0.02))
    assert len(surfaces) == len(vertices) == 1


def test_the_geometry_of_a_clip_is_what_the_network_adds_to_the_fit_of_the_mean() -> None:
    points = trembling(acted_points(smiling(6, 0.5), CAMERA), 0.3)
    network = Adding(0.1, 0.02)
    (surface,), (vertices,) = geometry(points, "clip", network)
    fit = fit_face(points.mean(axis=0, keepdims=True), CAMERA, MODEL)
    np.testing.assert_array_equal(vertices, fit.vertices[0])
    shown = fit_image(CAMERA, fit.vertices[0])
    np.testing.assert_array_equal(network.fits[0], shown[None])
    noise = np.random.default_rng(0).normal(0, 0.02, 6).mean()
    inside = np.isfinite(surface.depth)
    np.testing.assert_array_equal(inside, face_region(CAMERA, fit.vertices[0]))
    np.testing.assert_allclose(surface.depth[inside], shown[..., 0][inside] + 0.1 + noise, atol=1e-5)
    assert (surface.confidence == np.float32(0.75)).all()
    assert surface.depth.dtype == surface.confidence.dtype == np.float32


def test_each_frame_by_itself_has_its_own_fit_and_trembles() -> None:
    points = trembling(acted_points(smiling(4, 0.5), CAMERA), 0.3)
    surfaces, vertices = geometry(points, "per-frame")
    assert len(surfaces) == len(vertices) == 4
    for surface, own, one in zip(surfaces, vertices, points, strict=True):
        np.testing.assert_array_equal(own, fit_face(one[None], CAMERA, MODEL).vertices[0])
        inside = np.isfinite(surface.depth)
        np.testing.assert_array_equal(inside, face_region(CAMERA, own))
        np.testing.assert_allclose(surface.depth[inside], fit_image(CAMERA, own)[..., 0][inside], atol=1e-6)
    still = trembling(acted_points(np.zeros((8, len(MODEL.actions))), CAMERA), 0.3)
    calm, shaky = (tremble(geometry(still, how)[0]) for how in ("model", "per-frame"))
    assert calm < 0.3 * shaky


def test_a_still_clip_is_still_when_the_model_moves_it() -> None:
    surfaces, vertices = geometry(acted_points(np.zeros((5, len(MODEL.actions))), CAMERA), "model")
    assert len(surfaces) == 5
    assert len(vertices) == 1
    for surface in surfaces:
        np.testing.assert_allclose(surface.depth, surfaces[0].depth, atol=1e-5)


@pytest.mark.parametrize("most", [0.3, 0.9])
def test_the_model_moves_the_face_as_the_expression_does(most: float) -> None:
    weights = smiling(15, most)
    points = trembling(acted_points(weights, CAMERA), 0.1)
    surfaces, _ = geometry(points, "model")
    depth = np.stack([surface.depth for surface in surfaces])
    change = depth - depth.mean(axis=0)
    true = np.stack([fit_image(CAMERA, MODEL.vertices(np.zeros(len(MODEL.identity)), one))[..., 0] for one in weights])
    wanted = true - true.mean(axis=0)
    known = (np.isfinite(change) & np.isfinite(wanted)).all(axis=0)
    assert known.sum() > 2000
    change, wanted = change[:, known].ravel(), wanted[:, known].ravel()
    assert np.corrcoef(change, wanted)[0, 1] > 0.9
    # The priors of the fit and the low-pass over time cost some of it.
    assert 0.4 < change @ wanted / (wanted @ wanted) < 1


def test_the_head_is_held_alike_in_all_frames_that_the_model_moves() -> None:
    weights = smiling(9, 0.8)
    points = acted_points(weights, CAMERA)
    turned = points.copy()
    turned[:, :, 0] += np.linspace(0, 3, 9)[:, None]  # what registration left
    mean = fit_face(turned.mean(axis=0, keepdims=True), CAMERA, MODEL)
    vertices = moved_by_actions(mean, fit_face(turned, CAMERA, MODEL), FPS, MODEL)
    far = np.linalg.norm(MODEL.actions[list(SMILE)], axis=-1).max(axis=0) < 1e-3
    assert far.sum() > 200
    assert np.abs(vertices[:, far] - mean.vertices[0, far]).max() < 0.01
    assert np.abs(vertices - mean.vertices[0]).max() > 0.03


@pytest.mark.parametrize("how", MODES)
@pytest.mark.parametrize("frames", [1, 2, 3, 5])
def test_short_clips_have_a_geometry_too(how: Geometry, frames: int) -> None:
    surfaces, vertices = geometry(acted_points(smiling(frames, 0.5), CAMERA), how)
    assert len(surfaces) == (1 if how in ("clip", "source") else frames)
    assert len(vertices) == (frames if how == "per-frame" else 1)
    for surface in surfaces:
        assert surface.depth.shape == surface.confidence.shape == (SIZE, SIZE)
        assert 0.2 < np.isfinite(surface.depth).mean() < 0.6


def test_one_geometry_looks_at_few_frames_and_at_the_onset() -> None:
    assert frames_needed("clip", 100, 37)[-1] == 99
    assert 37 in frames_needed("clip", 100, 37)
    assert len(frames_needed("clip", 100, 37)) == 9
    assert frames_needed("clip", 3, 1) == [0, 1, 2]
    for how in ("model", "per-frame"):
        assert frames_needed(how, 5, 2) == [0, 1, 2, 3, 4]
