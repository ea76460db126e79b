"""Attention: the head learns, Grad-CAM points at what changed, and a view's share is what it can see."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from factories import EllipsoidEstimator, astronaut, head_surface
from numpy.typing import NDArray

from mvgen.core.camera import crop_camera
from mvgen.core.errors import WeightsError
from mvgen.core.records import Image
from mvgen.render import get_renderer
from mvgen.render.mesh import mesh_from_depth
from mvgen.views.attention import (
    AttendedSurface,
    AttentionModel,
    attention_map,
    fit_head,
    motion_beyond_noise,
    pooled_change,
    uniform_attention,
    visible_attention,
)

SIZE = 128
CAMERA = crop_camera(SIZE)
ESTIMATOR = EllipsoidEstimator()
FACE = np.isfinite(head_surface(CAMERA).depth)


def fit_attention(onset: Image, apex: Image, labels: Sequence[str], estimator: EllipsoidEstimator) -> AttentionModel:
    """The head that a build fits, from crops at once."""
    return fit_head(pooled_change(onset, apex, estimator), labels)


def changed(where: str, seed: int) -> tuple[Image, Image]:
    """Onset and apex crops of a face that changes in one place only."""
    rng = np.random.default_rng(seed)
    onset = np.clip(astronaut()[40:168, 160:288] + rng.normal(0, 2, (SIZE, SIZE, 3)), 0, 255).astype(np.uint8)
    apex = onset.copy()
    rows = slice(32, 60) if where == "brow" else slice(80, 108)
    apex[rows, 50:78] = 255 - apex[rows, 50:78]
    return onset, apex


def training() -> tuple[NDArray[np.uint8], NDArray[np.uint8], list[str]]:
    names = ["negative", "positive"] * 4
    pairs = [changed("brow" if name == "negative" else "mouth", seed) for seed, name in enumerate(names)]
    return np.stack([onset for onset, _ in pairs]), np.stack([apex for _, apex in pairs]), names


def test_attention_points_at_what_changed() -> None:
    model = fit_attention(*training(), ESTIMATOR)
    for where, rows in (("brow", slice(20, 72)), ("mouth", slice(68, 120))):
        onset, apex = changed(where, 100)
        attention = attention_map(onset, apex, None, model=model, estimator=ESTIMATOR, face=FACE)
        assert attention.dtype == np.float32
        assert attention.sum() == pytest.approx(1, abs=1e-4)
        assert (attention >= 0).all()
        assert not attention[~FACE].any()
        assert attention[rows].sum() > 0.7


def test_head_tells_the_classes_apart_and_is_the_same_every_time() -> None:
    first, second = (fit_attention(*training(), ESTIMATOR) for _ in range(2))
    assert first.classes == ("negative", "positive")
    np.testing.assert_array_equal(first.weight, second.weight)
    onset, apex = (np.stack(side) for side in zip(changed("brow", 50), changed("mouth", 51), strict=True))
    features = (pooled_change(onset, apex, ESTIMATOR) - first.mean) / first.scale
    assert (features @ first.weight.T + first.bias).argmax(axis=1).tolist() == [0, 1]


def test_head_is_the_minimum_of_its_loss() -> None:
    # At the minimum of a ridge-penalised logistic loss the weights are a fixed function of the probabilities.
    rng = np.random.default_rng(0)
    changes, labels = rng.normal(size=(30, 4)), ["a"] * 20 + ["b"] * 7 + ["c"] * 3
    model = fit_head(changes, labels)
    features = (changes - model.mean) / model.scale
    logits = features @ model.weight.T + model.bias
    chance = np.exp(logits - logits.max(axis=1, keepdims=True))
    chance /= chance.sum(axis=1, keepdims=True)
    target = np.array([[label == name for name in model.classes] for label in labels], float)
    count = target.sum(axis=0)
    share = (target / count).sum(axis=1) / len(count)  # every class counts alike
    gradient = ((chance - target) * share[:, None]).T @ features + model.weight / len(labels)
    assert np.abs(gradient).max() < 1e-5
    assert np.abs(((chance - target) * share[:, None]).sum(axis=0)).max() < 1e-5


@pytest.mark.parametrize("labels", [[], ["positive"], ["positive", "positive"]])
def test_fewer_than_two_classes_leave_attention_uniform(labels: list[str]) -> None:
    model = fit_head(np.ones((len(labels), 16)), labels)
    assert not model.fitted
    onset, apex = changed("brow", 0)
    attention = attention_map(onset, apex, "positive", model=model, estimator=ESTIMATOR, face=FACE)
    np.testing.assert_array_equal(attention, uniform_attention(FACE))
    assert attention.sum() == pytest.approx(1, abs=1e-4)


def test_no_change_leaves_attention_uniform() -> None:
    onset, _ = changed("brow", 0)
    model = fit_attention(*training(), ESTIMATOR)
    attention = attention_map(onset, onset, "positive", model=model, estimator=ESTIMATOR, face=FACE)
    np.testing.assert_array_equal(attention, uniform_attention(FACE))


def test_model_survives_its_tensors() -> None:
    for model in (fit_attention(*training(), ESTIMATOR), AttentionModel.empty()):
        back = AttentionModel.from_tensors(model.to_tensors())
        assert back.classes == model.classes
        np.testing.assert_array_equal(back.weight, model.weight)
        np.testing.assert_array_equal(back.scale, model.scale)


def test_tensors_that_do_not_fit_are_refused() -> None:
    tensors = fit_attention(*training(), ESTIMATOR).to_tensors()
    with pytest.raises(WeightsError, match="lack bias"):
        AttentionModel.from_tensors({name: value for name, value in tensors.items() if name != "bias"})
    with pytest.raises(WeightsError, match="do not fit"):
        AttentionModel.from_tensors(tensors | {"weight": tensors["weight"][:1]})


def moving(rows: slice, columns: slice, noise: float = 0.05) -> NDArray[np.float64]:
    """A head that moves as a whole, and one place in it that moves more."""
    motion = np.random.default_rng(0).normal((0.4, -0.2), noise, (SIZE, SIZE, 2))
    motion[rows, columns] += [1.0, 0.5]
    return motion


def test_motion_of_the_head_and_noise_are_no_expression() -> None:
    moved = motion_beyond_noise(moving(slice(40, 56), slice(40, 56)), FACE)
    assert moved[42:54, 42:54].min() > 0.5
    assert not moved[~FACE].any()
    away = FACE.copy()
    away[34:62, 34:62] = False
    assert moved[away].mean() < 0.02
    assert not motion_beyond_noise(np.zeros((SIZE, SIZE, 2)), FACE).any()
    assert not motion_beyond_noise(moving(slice(0), slice(0)), FACE & False).any()


def test_attention_goes_where_the_face_moves_even_without_a_head() -> None:
    onset, apex = changed("brow", 0)
    motion = moving(slice(80, 100), slice(44, 64))
    for model in (AttentionModel.empty(), fit_attention(*training(), ESTIMATOR)):
        attention = attention_map(onset, apex, None, model=model, estimator=ESTIMATOR, face=FACE, motion=motion)
        assert attention.sum() == pytest.approx(1, abs=1e-4)
        assert not attention[~FACE].any()
        assert attention[76:104, 40:68].sum() > 0.6


def test_of_two_places_that_move_the_one_that_speaks_for_the_class_weighs_more() -> None:
    onset, apex = changed("brow", 100)
    motion = moving(slice(34, 54), slice(52, 72), noise=0.0)
    motion[84:104, 52:72] += [1.0, 0.5]
    attention = attention_map(
        onset, apex, "negative", model=fit_attention(*training(), ESTIMATOR), estimator=ESTIMATOR, face=FACE,
        motion=motion,
    )  # fmt: skip
    assert attention[30:58].sum() > 1.5 * attention[80:108].sum()


def test_still_clips_keep_the_evidence() -> None:
    onset, apex = changed("brow", 0)
    model, still = fit_attention(*training(), ESTIMATOR), np.zeros((SIZE, SIZE, 2))
    plain, moved = (
        attention_map(onset, apex, None, model=model, estimator=ESTIMATOR, face=FACE, motion=motion)
        for motion in (None, still)
    )
    np.testing.assert_array_equal(plain, moved)


def share_seen(attention: NDArray[np.float32], yaw: float) -> float:
    surface = head_surface(CAMERA)
    view = get_renderer().render(mesh_from_depth(surface), CAMERA.at(yaw), 70.0)
    return visible_attention(AttendedSurface.of(attention, surface), view, grazing=70.0)


def test_turning_away_hides_attention_on_the_far_side() -> None:
    left = np.zeros((SIZE, SIZE), np.float32)
    left[40:80, 30:45] = 1.0
    left *= FACE / (left * FACE).sum()
    # Yaw positive looks from image right: the far cheek is at image left.
    shares = [share_seen(left, yaw) for yaw in (-45.0, 0.0, 45.0)]
    assert shares[0] > 0.95
    assert shares[2] < 0.2
    assert share_seen(left[:, ::-1].copy() * FACE, -45.0) < 0.2


def test_attention_on_the_bridge_of_the_nose_is_seen_from_both_sides() -> None:
    middle = np.zeros((SIZE, SIZE), np.float32)
    middle[40:48, 62:66] = 1 / 32
    assert min(share_seen(middle, yaw) for yaw in (-35.0, 0.0, 35.0)) > 0.95


def test_attention_behind_the_nose_is_hidden() -> None:
    # At image left of the nose's root: seen from the front and from that side, hidden behind the nose from the other.
    grid_row, grid_column = 68, 55
    left_of_nose = np.zeros((SIZE, SIZE), np.float32)
    left_of_nose[grid_row - 2 : grid_row + 3, grid_column - 2 : grid_column + 2] = 1 / 20
    assert share_seen(left_of_nose, -40.0) > 0.9
    assert share_seen(left_of_nose, 60.0) < 0.5


def test_no_attention_is_no_share() -> None:
    assert share_seen(np.zeros((SIZE, SIZE), np.float32), 0.0) == 0.0
