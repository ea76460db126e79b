"""Metrics and ground truth of the motion benchmark, on known errors."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict, replace

import cv2
import numpy as np
import pytest

from benchmarks.common import Report, read_rows
from mvgen.core.camera import crop_camera, pixel_grid
from mvgen.core.records import Registration
from mvgen.evaluation.motion.clips import CONDITIONS, Condition, Take, developed
from mvgen.evaluation.motion.figures import Scores, against_off, figures, motion_table
from mvgen.evaluation.motion.heads import EYES, SIDE, FittedPortrait, PortraitHead, RenderedHead, balance
from mvgen.evaluation.motion.metrics import (
    TrueCrop,
    class_bias,
    largest_jump,
    mean_length,
    moving_error,
    pose_errors,
    true_crop,
)
from mvgen.evaluation.motion.performance import EXPRESSIONS, HEADS, STILL, Timing, curves, head_path, pixel_motion, pose
from mvgen.evaluation.view_metrics import FlowErrors
from mvgen.morphable.fitting import FaceFit
from mvgen.morphable.model import face_model
from mvgen.scans.looks.appearance import Look

pytestmark = pytest.mark.slow

TIMING = Timing(frames=12, onset=2, apex=6, offset=10, fps=30.0)
STILL_ROW = np.array([0, 0, 0, 0, 0, 1.0])
ONE_TO_ONE = np.array([[1.0, 0, -32], [0, 1.0, -31]])  # pixel of a take's frame -> crop pixel


def path_of(head: str, seed: int = 0) -> np.ndarray:
    return head_path(np.random.default_rng(seed), TIMING, *HEADS[head], EYES)


def bump(head: str = "drifting", act: tuple[float, float, float] = (1.0, -0.5, 0.02)) -> Take:
    """A round face whose expression moves all of it alike, without pictures."""
    eyes = np.array([160.0, 131.0])
    away = (pixel_grid(SIDE, SIDE) - eyes) / EYES
    radius = np.hypot(away[..., 0], away[..., 1] - 0.5)
    depth = np.where(radius < 1.5, 0.2 - 0.3 * radius**2, np.nan).astype(np.float32)
    motion = np.broadcast_to(np.float32(act), (1, SIDE, SIDE, 3))
    strength = curves(TIMING, 1)
    return Take(
        clean=np.zeros((TIMING.frames, 8, 8, 3), np.uint16), head=path_of(head), eyes=eyes, depth=depth,
        face=radius < 1.1, motion=motion, strength=strength, onset=TIMING.onset, apex=TIMING.apex, fps=TIMING.fps,
        reached=1.1,
    )  # fmt: skip


def nothing_moved(frames: int) -> Registration:
    """A registration that leaves every frame where it is."""
    eye, zeros = np.tile(np.eye(3), (frames, 1, 1)), np.zeros(frames)
    return Registration(np.zeros((frames, 6)), eye, np.zeros((frames, 2)), zeros, ("",) * frames)


def registration_of(true: TrueCrop) -> Registration:
    """What a perfect registration would write down."""
    homography, parallax = [], []
    for motion in true.head_motions():
        shift = motion[:, 3] + true.eyes - motion[:, :2] @ true.eyes
        homography.append(np.vstack([np.column_stack([motion[:, :2], shift]), [0, 0, 1]]))
        parallax.append(motion[:, 2])
    return replace(nothing_moved(len(homography)), homography=np.stack(homography), parallax=np.stack(parallax))


def test_a_still_head_does_not_move() -> None:
    assert np.allclose(path_of("still"), STILL_ROW)


@pytest.mark.parametrize("head", ["drifting", "turning"])
@pytest.mark.parametrize("seed", range(3))
def test_a_head_goes_as_far_as_it_should_and_smoothly(head: str, seed: int) -> None:
    path = path_of(head, seed)
    assert np.allclose(path[TIMING.onset], STILL_ROW)
    furthest = np.linalg.norm(path[:, :3], axis=1).max()
    assert furthest == pytest.approx(HEADS[head][0])
    assert np.abs(np.diff(path[:, :3], n=2, axis=0)).max() < 0.3 * furthest
    # It goes on before the act, through it and after it.
    moved = np.linalg.norm(np.diff(path[:, 3:5], axis=0), axis=1)
    assert (moved > 0.002 * HEADS[head][1]).all()


def test_rows_of_a_path_as_pixels_and_as_points_agree() -> None:
    points = np.random.default_rng(1).normal(0, 1, (20, 3))
    row = path_of("turning")[-1]
    turn, shift = pose(row, EYES)
    there = points @ turn.T + shift
    pixels = np.column_stack([EYES * points[:, 0], -EYES * points[:, 1], points[:, 2], np.ones(20)])
    assert np.allclose(pixels @ pixel_motion(row, EYES).T, EYES * there[:, :2] * [1, -1])


@pytest.mark.parametrize("groups", [1, 2, 3])
def test_expressions_rise_from_the_onset_to_the_apex_and_fall(groups: int) -> None:
    strength = curves(TIMING, groups)
    assert (strength[: TIMING.onset + 1] == 0).all()
    assert np.allclose(strength[TIMING.apex], 1)
    assert (strength[-1] == 0).all()
    assert (np.diff(strength[: TIMING.apex + 1], axis=0) >= 0).all()
    assert (np.diff(strength[TIMING.apex :], axis=0) <= 0).all()


def test_groups_of_an_act_move_alike() -> None:
    fields = [np.array([[2.0, 0], [0, 0]]), np.array([[0, 0], [0, 0.5]])]
    strengths, reached = balance(fields, np.ones(2, bool), 0.7)
    assert strengths == pytest.approx([0.35, 1.4])
    assert reached == pytest.approx(0.7)


def plain_portrait() -> FittedPortrait:
    """The mean face, painted with soft noise."""
    model = face_model()
    fit = FaceFit(
        model.mean[None].astype(np.float64), np.zeros(len(model.identity)), np.zeros((1, len(model.actions))),
        np.eye(3)[None], np.zeros((1, 3)), 1.0, np.zeros(1),
    )  # fmt: skip
    noise = np.random.default_rng(2).normal(0, 1, (700, 700, 3)).astype(np.float32)
    soft = cv2.GaussianBlur(noise, (0, 0), 5)
    return FittedPortrait(np.clip(128 + 50 * soft / soft.std(), 0, 255).astype(np.uint8), fit)


@pytest.mark.parametrize("family", ["portraits", "anny"])
def test_the_truth_carries_the_onset_frame_to_the_apex_frame(family: str, heads) -> None:  # type: ignore[no-untyped-def]
    groups = EXPRESSIONS["jaw and brows"]
    if family == "portraits":
        head: PortraitHead | RenderedHead = PortraitHead(plain_portrait(), groups, 2.5)
    else:
        generator = np.random.default_rng(3)
        who = heads.sample_identities(generator, 1, spread=0.25)[0]
        head = RenderedHead(heads.model, who, Look.draw(generator, plain=True), generator, groups, 2.5)
    seen, row = head.surface(), path_of("turning")[TIMING.apex]
    assert head.reached == pytest.approx(2.5, rel=0.01)
    onset, apex = head.frame(np.zeros(2), STILL_ROW), head.frame(np.ones(2), row)
    # Colour is read where act and head have carried each point of the onset frame.
    pixels, moved = pixel_grid(SIDE, SIDE), seen.motion.sum(axis=0)
    points = np.concatenate([pixels - head.eyes, seen.depth[..., None]], axis=-1) + moved
    matrix = pixel_motion(row, EYES)
    there = (points @ matrix[:, :3].T + matrix[:, 3] + head.eyes).astype(np.float32) - np.float32(0.5)
    back = cv2.remap(apex, there[..., 0], there[..., 1], cv2.INTER_CUBIC)
    # Not where the mouth opens: the inside was not to be seen.
    face = cv2.erode((seen.face & np.isfinite(there).all(axis=-1)).astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    assert face.sum() > 0.05 * SIDE**2
    before, after = np.abs(apex - onset)[face], np.abs(back - onset)[face]
    assert np.median(after) < 0.15 * np.median(before)
    assert np.median(after) < 2 / 255


def test_a_perfect_registration_has_no_error() -> None:
    turned = np.array([[0.62, 0.05, -10], [-0.05, 0.62, 3]])
    true = true_crop(bump("turning"), turned, 128)
    errors = pose_errors(true, registration_of(true))
    assert errors.pixels.max() < 1e-6
    assert errors.degrees.max() < 1e-6


def test_without_registration_the_error_is_the_head_s_own_motion() -> None:
    take = bump("turning")
    errors = pose_errors(TrueCrop(take, ONE_TO_ONE, 256), nothing_moved(TIMING.frames))
    assert errors.pixels[TIMING.onset] == 0
    assert errors.pixels.max() > 3
    assert np.allclose(errors.degrees, np.linalg.norm(take.head[:, :3], axis=1), rtol=0.03)
    still = pose_errors(TrueCrop(bump("still"), ONE_TO_ONE, 256), nothing_moved(TIMING.frames))
    assert still.pixels.max() == 0


def test_true_motion_in_the_front_and_in_a_view() -> None:
    take = bump()
    true = TrueCrop(take, ONE_TO_ONE, 256)
    front = true.view(0.0, TIMING.apex)
    assert np.allclose(front.motion[front.face], [1.0, -0.5], atol=1e-6)
    side = true.view(45.0, TIMING.apex)
    # At 45 degrees a motion to the right and one toward the camera count alike.
    depth = 0.02 * crop_camera(256).scale
    assert np.allclose(side.motion[side.face], [(1.0 - depth) * np.sqrt(0.5), -0.5], atol=1e-6)
    # For smaller crops the frames are made smaller before the crop is cut.
    smaller = true_crop(take, ONE_TO_ONE, 128).view(0.0, TIMING.apex)
    assert np.allclose(smaller.motion[smaller.face], [0.5, -0.25], atol=1e-6)
    onset = true.view(0.0, TIMING.onset)
    assert np.allclose(onset.motion[onset.face], 0)


def test_the_truth_has_no_error_and_no_motion_an_error_of_one() -> None:
    true = TrueCrop(bump(), ONE_TO_ONE, 256).view(25.0, TIMING.apex)
    shown = np.ones((256, 256), bool)
    perfect = moving_error(np.nan_to_num(true.motion), true, shown)
    assert perfect.error == pytest.approx(0, abs=1e-6)
    nothing = moving_error(np.zeros((256, 256, 2)), true, shown)
    assert nothing.error == pytest.approx(nothing.motion)
    assert np.isnan(moving_error(np.zeros((256, 256, 2)), true, ~shown).error)


def test_skin_that_hardly_moves_is_not_measured() -> None:
    take = bump(act=(0.1, 0.0, 0.0))
    true = TrueCrop(take, ONE_TO_ONE, 256).view(0.0, TIMING.apex)
    assert np.isnan(moving_error(np.zeros((256, 256, 2)), true, np.ones((256, 256), bool)).error)


def test_jumps_and_lengths() -> None:
    steady = np.full((5, 4, 4, 2), 0.3)
    where = np.ones((4, 4), bool)
    assert largest_jump(steady, where) == 0
    steady[3] += [0.3, 0.4]
    assert largest_jump(steady, where) == pytest.approx(0.5)
    assert mean_length(np.full((4, 4, 2), [3.0, 4.0]), where) == 5
    assert np.isnan(mean_length(np.zeros((4, 4, 2)), ~where))


def test_class_bias() -> None:
    errors = {"smile": [FlowErrors(0.2, 1.0, 0)], "jaw": [FlowErrors(0.5, 1.0, 0), FlowErrors(0.7, 1.0, 0)]}
    assert class_bias(errors) == pytest.approx(0.4)
    assert np.isnan(class_bias({"smile": errors["smile"], "blink": []}))


def test_conditions_vary_one_thing() -> None:
    for name, condition in CONDITIONS.items():
        differ = sum(getattr(condition, each) != getattr(Condition(), each) for each in Condition.__slots__)
        assert differ == (name != "drifting")


def test_frames_are_developed_as_told(tmp_path) -> None:  # type: ignore[no-untyped-def]
    take = replace(bump(), clean=np.full((TIMING.frames, SIDE, SIDE, 3), 30000, np.uint16))
    plain, noisy = developed(take, Condition(noise=0), 1), developed(take, Condition(noise=4.0), 1)
    assert (plain == plain[0, 0, 0]).all()
    assert noisy.std() == pytest.approx(4, rel=0.05)
    assert developed(take, Condition(size=128), 1).shape == (TIMING.frames, SIDE // 2, SIDE // 2, 3)
    light = developed(take, Condition(noise=0, flicker=0.02), 1).mean(axis=(1, 2, 3))
    assert 0.005 < np.ptp(light) / light.mean() < 0.03
    assert np.array_equal(noisy, developed(take, Condition(noise=4.0), 1))
    take.save(tmp_path / "a" / "clip.npz")
    again = Take.load(tmp_path / "a" / "clip.npz")
    assert again is not None
    assert np.array_equal(again.clean, take.clean)
    assert (again.onset, again.fps) == (take.onset, take.fps)
    assert Take.load(tmp_path / "none.npz") is None


def scores() -> list[Scores]:
    found = []
    for family in ("anny", "ict"):
        for act, error in (("smile", 0.2), ("jaw", 0.5)):
            yaws = {yaw: FlowErrors(error + abs(yaw) / 100, 1.0, 0.0) for yaw in (0.0, -15.0, 15.0)}
            one = Scores(family, "still", 0, act, yaws, FlowErrors(0.4, 1.0, 0.0), pose_pixels=0.1, jump=0.2)
            found.append(one)
        found.append(Scores(family, "still", 0, STILL, false_motion={0.0: 0.05, 15.0: 0.07}, pose_pixels=0.3))
    return found


def test_rows_of_the_table() -> None:
    rows = figures(scores())
    assert rows["front"] == pytest.approx(0.35)
    assert rows["class bias, front"] == pytest.approx(0.3)
    assert rows["±15"] == pytest.approx(0.5)
    assert np.isnan(rows["±45"])
    assert rows["false motion, front, px"] == pytest.approx(0.05)
    assert rows["false motion, views, px"] == pytest.approx(0.07)
    assert rows["head, px"] == pytest.approx((0.1 + 0.1 + 0.3) / 3)
    assert against_off({"smile": [scores()[0]], "jaw": [scores()[1]]}) == pytest.approx(0.1)
    assert np.isnan(against_off({"smile": []}))


def test_figures_are_kept_and_compared(tmp_path) -> None:  # type: ignore[no-untyped-def]
    report = Report(__file__, Namespace(out=tmp_path / "old.json"))
    report.keep([asdict(one) for one in scores()])
    old = [Scores.of(row) for row in read_rows(tmp_path / "old.json", __file__)]
    assert figures(old) == pytest.approx(figures(scores()), nan_ok=True)
    text = motion_table(scores(), old).markdown()
    assert "| all: front | 0.350 / 0.350 |" in text
    assert "| ict: smile | 0.200 / 0.200 |" in text
    assert "±45" not in text
