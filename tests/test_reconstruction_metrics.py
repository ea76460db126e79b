"""Metrics of reconstruction, on depth with known errors."""

from __future__ import annotations

import numpy as np
import pytest
from factories import head_depth
from hypothesis import given, settings
from hypothesis import strategies as st

from mvgen.core.camera import crop_camera, pixel_grid
from mvgen.core.landmarks68 import CANONICAL
from mvgen.evaluation.depth_metrics import (
    FIT,
    beside_fit,
    correlation,
    depth_errors,
    face_parts,
    jitter,
    landmark_errors,
    mean_errors,
    plane_values,
    regression,
)
from mvgen.evaluation.expressions import EXPRESSIONS, Pair, action_weights, agreement
from mvgen.evaluation.mean_face import fit_pose, mean_alone, posed_mean
from mvgen.evaluation.real_heads import depth_score, simpler_methods, view_score
from mvgen.evaluation.tables import Table
from mvgen.morphable.fitting import fit_face
from mvgen.morphable.model import face_model
from mvgen.scans.imaging.rotation import rotation

pytestmark = pytest.mark.slow

SIZE, METRE = 96, 0.063
CAMERA = crop_camera(SIZE)
HEAD = head_depth(CAMERA)
DEPTH, FACE = HEAD.depth.astype(np.float64), HEAD.confidence > 0.5
ROWS, COLUMNS = np.indices((SIZE, SIZE)) - (SIZE - 1) / 2


def test_the_truth_is_without_error() -> None:
    found = depth_errors(DEPTH, DEPTH, FACE, CAMERA.scale, METRE)
    assert (found.mae, found.rmse, found.normal) == (0, 0, 0)
    assert found.scale == pytest.approx(0, abs=1e-12)
    assert found.tilt == pytest.approx(0, abs=1e-9)
    assert found.correlation == pytest.approx(1)


@given(shift=st.floats(-0.5, 0.5))
def test_a_shift_is_an_error_of_depth_alone(shift: float) -> None:
    found = depth_errors(DEPTH + shift, DEPTH, FACE, CAMERA.scale, METRE)
    assert found.mae == pytest.approx(100 * abs(shift), abs=1e-9)
    assert found.rmse == pytest.approx(100 * abs(shift), abs=1e-9)
    assert found.mae_mm == pytest.approx(63 * abs(shift), abs=1e-9)
    assert found.rmse_mm == pytest.approx(63 * abs(shift), abs=1e-9)
    assert found.tilt == pytest.approx(0, abs=1e-6)
    assert found.normal == pytest.approx(0, abs=1e-6)


@given(angle=st.floats(0, 30), direction=st.floats(0, 360))
def test_a_tilted_plane_gives_that_tilt(angle: float, direction: float) -> None:
    along = np.cos(np.radians(direction)) * COLUMNS + np.sin(np.radians(direction)) * ROWS
    tilted = DEPTH + np.tan(np.radians(angle)) * along / CAMERA.scale
    found = depth_errors(tilted, DEPTH, FACE, CAMERA.scale, METRE)
    assert found.tilt == pytest.approx(angle, abs=1e-6)
    assert found.correlation > 0


@given(angle=st.floats(0, 60))
def test_a_tilted_plane_beside_a_plane_facing_the_camera_has_that_normal_error(angle: float) -> None:
    flat = np.zeros((SIZE, SIZE))
    tilted = np.tan(np.radians(angle)) * COLUMNS / CAMERA.scale
    assert depth_errors(tilted, flat, FACE, CAMERA.scale, METRE).normal == pytest.approx(angle, abs=1e-6)


@given(factor=st.floats(0.3, 2))
def test_scaled_depth_gives_that_scale_error(factor: float) -> None:
    found = depth_errors(factor * DEPTH, DEPTH, FACE, CAMERA.scale, METRE)
    assert found.scale == pytest.approx(factor - 1)
    assert found.correlation == pytest.approx(1)


def test_a_flat_plane_has_no_correlation_and_loses_all_scale() -> None:
    found = depth_errors(np.zeros_like(DEPTH), DEPTH, FACE, CAMERA.scale, METRE)
    assert np.isnan(found.correlation)
    assert found.scale == pytest.approx(-1)


def test_pixels_outside_the_face_or_unknown_do_not_count() -> None:
    spoiled, truth = DEPTH.copy(), DEPTH.copy()
    spoiled[~FACE] += 9
    truth[40:50, 40:50] = np.nan
    spoiled[40:50, 40:50] += 9
    assert depth_errors(spoiled, truth, FACE, CAMERA.scale, METRE).mae == 0
    with pytest.raises(ValueError, match="3 are needed"):
        depth_errors(spoiled, np.full_like(truth, np.nan), FACE, CAMERA.scale, METRE)


def test_scale_errors_of_opposite_signs_do_not_cancel() -> None:
    pair = [depth_errors(factor * DEPTH, DEPTH, FACE, CAMERA.scale, METRE) for factor in (0.8, 1.2)]
    assert mean_errors(pair).scale == pytest.approx(0.2)
    assert mean_errors(pair).mae == pytest.approx((pair[0].mae + pair[1].mae) / 2)


@given(sigma=st.floats(0.001, 0.1), seed=st.integers(0, 100))
@settings(max_examples=20)
def test_jitter_is_the_rms_of_what_trembles(sigma: float, seed: int) -> None:
    noise = np.random.default_rng(seed).normal(0, sigma, (6, SIZE, SIZE))
    assert jitter(DEPTH + noise, FACE) == pytest.approx(100 * np.sqrt(2) * sigma, rel=0.05)


def test_a_moving_head_is_no_jitter() -> None:
    steps = np.arange(5)[:, None, None]
    assert jitter(DEPTH + steps * (0.02 + 0.001 * COLUMNS - 0.002 * ROWS), FACE) == pytest.approx(0, abs=1e-9)


@given(level=st.floats(-1, 1), right=st.floats(-1, 1), down=st.floats(-1, 1))
def test_the_best_plane_through_a_plane_is_that_plane(level: float, right: float, down: float) -> None:
    values = level + right * COLUMNS + down * ROWS
    np.testing.assert_allclose(plane_values(values, FACE), values, atol=1e-9)


def test_slope_and_correlation_of_what_follows_by_half() -> None:
    truth = np.linspace(-1, 1, 50)
    assert regression(truth, 0.5 * truth + 3) == pytest.approx(0.5)
    assert correlation(truth, -0.5 * truth) == pytest.approx(-1)
    assert np.isnan(regression(np.ones(5), truth[:5]))
    assert np.isnan(correlation(np.ones(5), truth[:5]))


def test_landmarks_are_measured_in_distances_between_the_eyes() -> None:
    generator = np.random.default_rng(0)
    truth = generator.uniform(0, SIZE, (2, 68, 2))
    truth[:, 36:42] += [0, 20] - truth[:, 36:42].mean(axis=1, keepdims=True)
    truth[:, 42:48] += [40, 20] - truth[:, 42:48].mean(axis=1, keepdims=True)
    truth[1, 3] = np.nan
    found = landmark_errors(truth + np.array([3.0, 4.0]), truth)
    assert found.shape == (2, 68)
    assert found[0] == pytest.approx(100 * 5 / 40)
    assert np.isnan(found[1, 3])


@given(
    yaw=st.floats(-18, 18),
    pitch=st.floats(-18, 18),
    roll=st.floats(-10, 10),
    scale=st.floats(0.85, 1.15),
    shift=st.tuples(st.floats(-0.2, 0.2), st.floats(-0.2, 0.2)),
)
@settings(max_examples=20)
def test_a_posed_template_is_found_again(
    yaw: float, pitch: float, roll: float, scale: float, shift: tuple[float, float]
) -> None:
    template = np.random.default_rng(1).normal(0, (0.5, 0.7, 0.4), (68, 3))
    seen = (scale * template @ rotation(yaw, pitch, roll).T)[:, :2] + shift
    pose = fit_pose(template, seen)
    # The prior of small angles pulls a little.
    np.testing.assert_allclose(pose.angles, (yaw, pitch, roll), atol=0.5)
    assert pose.scale == pytest.approx(scale, rel=0.01)
    np.testing.assert_allclose(pose.shift, shift, atol=0.01)


def test_two_landmarks_do_not_determine_a_pose() -> None:
    with pytest.raises(ValueError, match="3 are needed"):
        fit_pose(np.zeros((2, 3)), np.zeros((2, 2)))


def test_the_mean_face_posed_onto_its_own_landmarks_is_the_mean_face(heads) -> None:
    from mvgen.render.rays import RayScene

    model = heads.model
    turned = (model.canonical.astype(np.float64) @ rotation(6, -5, 3).T).astype(np.float32)
    hits = RayScene(turned, model.triangles).cast(CAMERA, pixel_grid(SIZE, SIZE))
    depth = np.where(hits.hit, hits.interpolate(model.triangles, turned)[..., 2], np.nan)
    depth -= model.five_positions(turned)[:2, 2].mean()
    points = CAMERA.project(turned[model.landmarks].astype(np.float64))[:, :2]
    points[:8] = np.nan  # hidden ones are not needed
    found = posed_mean(model, points, SIZE)
    both = np.isfinite(depth) & np.isfinite(found)
    assert both.sum() > 0.98 * np.isfinite(depth).sum()
    assert np.median(np.abs(found - depth)[both]) < 0.005


def mean_points() -> np.ndarray:
    """(468, 3) crop pixels, the points of the face model's mean."""
    return CAMERA.project(face_model().mean[:468].astype(np.float64)) * [1, 1, CAMERA.scale]


def test_a_model_of_the_mean_alone_has_no_other_face() -> None:
    model = face_model()
    fit = fit_face(mean_points()[None] * [1.1, 1.1, 1.1], CAMERA, mean_alone(model))
    assert fit.identity.size == fit.actions.size == 0
    lengths = [np.linalg.norm(np.diff(vertices, axis=0), axis=1) for vertices in (fit.vertices[0], model.mean)]
    np.testing.assert_allclose(lengths[0] / fit.scale, lengths[1], rtol=1e-3)


def test_simpler_ways_see_the_mean_face_in_its_own_landmarks() -> None:
    points = mean_points()
    methods = simpler_methods(points, CAMERA, face_model())
    column, row = np.floor(points[:, :2]).astype(int).T
    for name in ("the landmarker's own depth", "posed average face", "fit alone"):
        found = CAMERA.scale * methods[name][row, column]
        known = np.isfinite(found)
        assert known.mean() > 0.9
        score = depth_score(found[known], points[known, 2], points[known, :2])
        assert score.depth < 0.05 * CAMERA.scale
        assert score.scale == pytest.approx(1, abs=0.15)


@given(scale=st.floats(0.5, 2), shift=st.floats(-50, 50), angle=st.floats(0, 4))
def test_depth_of_real_heads_is_compared_without_scale_shift_and_tilt(scale: float, shift: float, angle: float) -> None:
    generator = np.random.default_rng(2)
    points = generator.uniform(-90, 90, (400, 2))
    truth = 60 - np.square(points / 15).sum(axis=1)
    same = depth_score((truth - shift) / scale, truth, points)
    assert same == pytest.approx((0, 0, 0, scale), abs=1e-6)
    tilted = truth - np.tan(np.radians(angle)) * points[:, 0]
    found = depth_score(tilted, truth, points)
    assert found.tilt_free == pytest.approx(0, abs=1e-6)
    assert found.tilt == pytest.approx(angle, rel=0.2, abs=1e-6)


def test_outliers_do_not_count_in_real_heads() -> None:
    generator = np.random.default_rng(2)
    points = generator.uniform(-90, 90, (400, 2))
    truth = 60 - np.square(points / 15).sum(axis=1)
    depth = truth + generator.normal(0, 1, 400)
    depth[:4] += 40
    assert depth_score(depth, truth, points).depth == pytest.approx(np.sqrt(2 / np.pi), rel=0.1)


def test_a_plane_has_no_scale() -> None:
    points = np.random.default_rng(2).uniform(-90, 90, (400, 2))
    found = depth_score(np.zeros(400), 0.2 * points[:, 0], points)
    assert np.isnan(found.scale)
    assert found.tilt == pytest.approx(np.degrees(np.arctan(0.2)))


@given(right=st.integers(-60, 60), down=st.integers(-16, 16))
@settings(max_examples=10)
def test_a_side_view_is_compared_where_it_lies(right: int, down: int) -> None:
    true = np.random.default_rng(4).integers(0, 255, (300, 300, 3), dtype=np.uint8)
    picture = true[100 + down : 100 + down + SIZE, 100 + right : 100 + right + SIZE]
    crop = np.array([[1.0, 0, -100], [0, 1, -100]])
    valid = FACE.copy()
    assert view_score(picture, valid, true, crop) == pytest.approx((np.inf, 1))
    spoiled = np.where(valid[..., None], picture, 0).astype(np.uint8)
    assert view_score(spoiled, valid, true, crop)[0] == np.inf


def test_every_pixel_of_a_face_belongs_to_one_part() -> None:
    parts = face_parts(CAMERA.project(CANONICAL)[:, :2], FACE)
    assert set(parts) == {"mouth", "nose", "eyes", "brows", "forehead", "chin", "cheeks"}
    np.testing.assert_array_equal(np.sum(list(parts.values()), axis=0), FACE)
    assert all(part.sum() > 20 for part in parts.values())
    heights = {name: np.flatnonzero(part.any(axis=1)).mean() for name, part in parts.items()}
    order = ("forehead", "brows", "eyes", "nose", "mouth", "chin")
    assert sorted(order, key=lambda name: heights[name]) == list(order)


def test_networks_that_are_worse_than_the_fit_are_named() -> None:
    errors = {"nose": {FIT: [2.0, 4.0], "ours": [1.0, np.nan]}, "mouth": {FIT: [2.0, 2.0], "ours": [2.0, 2.2]}}
    found, worse = beside_fit("MAE %", errors)
    assert found.header == ["MAE %", FIT, "ours", "ours / fit"]
    assert "| nose | 3.00 | 1.00 | 0.33 |" in found.markdown().splitlines()
    assert worse == ["ours, mouth"]
    assert beside_fit("MAE %", {"nose": errors["nose"]})[1] == []


def pair(change: np.ndarray) -> Pair:
    empty = np.zeros((2, SIZE, SIZE, 4))
    return Pair("mouth", empty[..., :3].astype(np.uint8), empty, np.stack([DEPTH, DEPTH + change]), FACE)


def test_changes_are_compared_where_the_face_moves() -> None:
    smile = np.where(ROWS > 20, 0.1 * np.sin(COLUMNS / 9), 0.0)
    guess = np.where(ROWS > 20, 0.5 * smile, 7.0)
    found = agreement([pair(smile), pair(2 * smile)], [guess, 2 * guess])
    assert found.pairs == 2
    assert found.correlation == pytest.approx(1)
    assert found.each == pytest.approx(1)
    assert found.slope == pytest.approx(0.5)
    with pytest.raises(ValueError, match="moves"):
        agreement([pair(np.zeros_like(smile))], [guess])


def test_every_expression_can_be_acted(heads) -> None:
    names = heads.model.action_names
    for expressions in EXPRESSIONS.values():
        for strengths in expressions:
            weights = action_weights(strengths, names)
            assert weights.max() == max(strengths.values())
    both = action_weights({"mouthSmile": 0.8}, names)
    assert {names[index] for index in np.flatnonzero(both)} == {"mouthSmileLeft", "mouthSmileRight"}
    with pytest.raises(ValueError, match="noSuchAction"):
        action_weights({"noSuchAction": 1.0}, names)


def test_tables_show_dashes_for_what_is_unknown() -> None:
    shown = Table(["way", "figure"], [["flat", float("nan")], ["network", 1.234], ["clips", 12]])
    assert shown.markdown().splitlines() == [
        "| way | figure |", "|---|---|", "| flat | - |", "| network | 1.23 |", "| clips | 12 |",
    ]  # fmt: skip
