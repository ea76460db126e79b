"""Metrics of side views on known errors, and ground truth of synthetic performances."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from factories import head_surface, known_tools, mean_landmarks
from hypothesis import given, settings
from hypothesis import strategies as st

from mvgen.core.camera import crop_camera, pixel_grid
from mvgen.core.config import BuildConfig
from mvgen.core.records import ClipGeometry
from mvgen.evaluation.processes import children, peak_memory
from mvgen.evaluation.stand_ins import Take, TrueClip
from mvgen.evaluation.throughput import Job, Run, gain, repeat, stage_table, steady
from mvgen.evaluation.view_baselines import (
    AS_PUBLISHED,
    BUILDS,
    DEFAULT_BUILD,
    PLANE,
    POSED_MEAN,
    TRUE_DEPTH,
    all_methods,
    flat,
    on_surface,
)
from mvgen.evaluation.view_fidelity import (
    NO_MOTION,
    TRUE_FRAMES,
    Figures,
    OneSided,
    compare,
    fidelity_tables,
    one_sided_table,
)
from mvgen.evaluation.view_metrics import FlowErrors, false_motion, flow_errors, psnr, relative_error, ssim, whole
from mvgen.faces.detection import Faces
from mvgen.render import get_renderer
from mvgen.scans.imaging.rendering import DressedHead
from mvgen.scans.looks.appearance import Look
from mvgen.sources import get_source
from mvgen.synth.plan import plan_release
from mvgen.views.view import Scene, make_scene

SIZE = 64
CAMERA = crop_camera(SIZE)
RANDOM = np.random.default_rng(0)
PICTURE = RANDOM.integers(60, 190, (SIZE, SIZE, 3), dtype=np.uint8)
MOTION = RANDOM.normal(0, 1, (SIZE, SIZE, 2)).astype(np.float32)
FACE = np.zeros((SIZE, SIZE), bool)
FACE[10:50, 12:52] = True


def test_the_true_flow_is_without_error_and_no_motion_has_error_one() -> None:
    assert flow_errors(MOTION, MOTION, FACE) == pytest.approx((0, np.linalg.norm(MOTION[FACE], axis=-1).mean(), 0))
    assert relative_error([flow_errors(MOTION, MOTION, FACE)]) == 0
    assert relative_error([flow_errors(np.zeros_like(MOTION), MOTION, FACE)]) == pytest.approx(1)


@given(share=st.floats(-1, 3))
def test_a_share_of_the_motion_misses_the_rest(share: float) -> None:
    assert relative_error([flow_errors(share * MOTION, MOTION, FACE)]) == pytest.approx(abs(1 - share), abs=1e-5)


@given(x=st.floats(-3, 3), y=st.floats(-3, 3))
def test_the_angular_error_is_that_of_directions_in_space_and_time(x: float, y: float) -> None:
    found = np.broadcast_to(np.array([x, y]), MOTION.shape)
    errors = flow_errors(found, np.zeros_like(MOTION), FACE)
    assert errors.angle == pytest.approx(np.degrees(np.arctan(np.hypot(x, y))), abs=1e-6)
    assert errors.error == pytest.approx(np.hypot(x, y))


def test_motion_outside_the_mask_or_unknown_does_not_count() -> None:
    motion = MOTION.copy()
    motion[20:30] = np.nan
    flow = np.where(FACE[..., None], MOTION, 99)
    assert flow_errors(flow, motion, FACE).error == 0
    assert np.isnan(flow_errors(flow, motion, np.zeros_like(FACE)).error)


def test_clips_that_hardly_move_weigh_as_little_as_they_move() -> None:
    nothing = FlowErrors(*[float("nan")] * 3)
    assert relative_error([FlowErrors(0.5, 1.9, 0), FlowErrors(0.1, 0.1, 0), nothing]) == pytest.approx(0.3)
    assert np.isnan(relative_error([nothing]))


@given(offset=st.integers(1, 60))
def test_psnr_of_a_known_error(offset: int) -> None:
    found = np.where(FACE[..., None], PICTURE + offset, 0).astype(np.uint8)
    assert psnr(found, PICTURE, FACE) == pytest.approx(20 * np.log10(255 / offset))


@given(sigma=st.floats(2, 15), seed=st.integers(0, 99))
@settings(max_examples=20)
def test_psnr_of_known_noise(sigma: float, seed: int) -> None:
    noise = np.random.default_rng(seed).normal(0, sigma, PICTURE.shape)
    noisy = (PICTURE + noise).round().astype(np.uint8)
    assert psnr(noisy, PICTURE, FACE) == pytest.approx(20 * np.log10(255 / sigma), abs=0.4)


def test_equal_pictures_have_no_noise_and_an_empty_mask_no_figure() -> None:
    assert psnr(PICTURE, PICTURE, FACE) == float("inf")
    nowhere = np.zeros_like(FACE)
    assert np.isnan(psnr(PICTURE, PICTURE, nowhere))
    assert np.isnan(ssim(PICTURE, PICTURE, nowhere))
    assert np.isnan(false_motion(MOTION[None], nowhere))


def test_ssim_sees_the_mask_alone_and_falls_with_noise() -> None:
    other = np.where(FACE[..., None], PICTURE, 0).astype(np.uint8)
    assert ssim(other, PICTURE, FACE) == pytest.approx(1)
    noise = RANDOM.normal(0, 1, PICTURE.shape)
    found = [ssim((PICTURE + sigma * noise).round().astype(np.uint8), PICTURE, FACE) for sigma in (2, 6, 18)]
    assert 1 > found[0] > found[1] > found[2] > 0


def test_false_motion_is_the_mean_length_in_the_mask() -> None:
    flow = np.zeros((3, SIZE, SIZE, 2))
    flow[:, FACE] = [3, 4]
    flow[0] = 0
    assert false_motion(flow, FACE) == pytest.approx(10 / 3)


@given(level=st.floats(-1, 1), right=st.floats(-0.02, 0.02), down=st.floats(-0.02, 0.02))
@settings(max_examples=20)
def test_the_plane_of_a_plane_is_itself(level: float, right: float, down: float) -> None:
    rows, columns = np.indices((SIZE, SIZE))
    depth = level + right * columns + down * rows
    found = flat(np.where(rows % 7 == 0, np.nan, depth), FACE)
    np.testing.assert_allclose(found[FACE], depth[FACE], atol=1e-5)
    assert np.isnan(found[~FACE]).all()


def scene(crops: np.ndarray) -> Scene:
    """A clip of the ellipsoid head."""
    surface = head_surface(CAMERA)
    face = np.isfinite(surface.depth)
    attention = (face / face.sum()).astype(np.float32)
    return make_scene(
        crops, len(crops) - 1, np.ones_like(face), mean_landmarks(SIZE), attention, ClipGeometry((surface,))
    )


def test_the_planar_baseline_is_the_picture_itself_at_yaw_0_and_squeezes_it_at_the_sides() -> None:
    config = BuildConfig(camera={"size": SIZE, "angles": (-45.0, 0.0, 45.0)})
    smooth = np.add.outer(np.arange(SIZE), 2 * np.arange(SIZE))[..., None].repeat(3, axis=2).astype(np.uint8)
    made = scene(np.stack([smooth, smooth]))
    face = np.isfinite(made.surface.depth)
    attention = np.full(face.shape, 1 / face.sum(), np.float32)
    views = on_surface(made, attention, flat(made.surface.depth, face), config, get_renderer())
    assert (views[0.0].valid & face).sum() > 0.9 * face.sum()
    inner = whole(views[0.0].valid & face)
    assert np.abs(views[0.0].colour[:, inner].astype(int) - smooth[inner]).max() <= 1
    for yaw in (-45.0, 45.0):
        narrow, wide = (views[angle].valid.any(axis=0).sum() for angle in (yaw, 0.0))
        assert narrow == pytest.approx(np.cos(np.radians(45)) * wide, abs=2.5)


@pytest.fixture(scope="module")
def take(heads) -> Take:
    """A head that looks at the camera of the crop itself and moves 0.02 to image right from onset to apex."""
    generator = np.random.default_rng(3)
    identity = heads.sample_identities(generator, 1, spread=0.1)[0]
    plan = replace(plan_release("casme2", 1, 1, 3)[0], onset=0, apex=1, offset=2)
    moved = [identity.vertices + np.array([shift, 0, 0], np.float32) for shift in (0.0, 0.02, 0.0)]
    return Take(
        frames=np.zeros((3, SIZE, SIZE, 3), np.uint8), plan=plan, camera=CAMERA, turn=np.eye(3), shift=np.zeros(3),
        dressed=DressedHead(heads.model, Look.draw(generator, plain=True), fine=False), vertices=np.stack(moved),
    )  # fmt: skip


IDENTITY = np.array([[1.0, 0, 0], [0, 1, 0]])


@pytest.mark.parametrize("yaw", [-45.0, 0.0, 30.0])
def test_true_motion_is_that_of_the_head_in_the_view(take: Take, yaw: float) -> None:
    seen = TrueClip(take, IDENTITY, SIZE).see(0, yaw=yaw, other=1)
    moved = 0.02 * CAMERA.scale * np.cos(np.radians(yaw))
    np.testing.assert_allclose(seen.motion[seen.face], [[moved, 0]] * seen.face.sum(), atol=2e-3)


def test_the_truth_turns_about_the_pivot_of_the_views_with_its_eyes_at_depth_0(take: Take) -> None:
    true = TrueClip(take, IDENTITY, SIZE)
    model = take.dressed.heads
    eyes = CAMERA.project(model.five_positions(true.head(0).vertices.astype(np.float64))[:2])
    np.testing.assert_allclose(eyes[:, 2].mean(), 0, atol=1e-5)
    column, row = np.floor(eyes[:, :2].mean(axis=0)).astype(int)
    between = np.array([0.5 + column, 0.5 + row, true.see(0).depth[row, column]])
    there = CAMERA.at(35.0).project(CAMERA.unproject(between))
    column, row = np.floor(there[:2]).astype(int)
    assert true.see(0, yaw=35.0).depth[row, column] == pytest.approx(there[2], abs=0.1)


def test_a_crop_that_turns_the_frame_turns_the_head_and_its_lamps(take: Take) -> None:
    angle = np.radians(90)
    turned = np.array([[np.cos(angle), -np.sin(angle), SIZE], [np.sin(angle), np.cos(angle), 0]])
    upright, sideways = (TrueClip(take, crop, SIZE).picture(0) for crop in (IDENTITY, turned))
    expected = np.rot90(upright, -1).astype(int)
    assert upright.max() > 60
    # The sky does not turn, so that brightness may differ a little more than rounding.
    assert np.median(np.abs(sideways.astype(int) - expected)[expected.max(axis=-1) > 0]) < 12
    both = (sideways.max(axis=-1) > 0) == (expected.max(axis=-1) > 0)
    assert both.mean() > 0.98


def test_a_cheek_is_visible_from_its_own_side(take: Take) -> None:
    true = TrueClip(take, IDENTITY, SIZE)
    face = true.see(0).face
    right = face & (pixel_grid(SIZE, SIZE)[..., 0] > CAMERA.centre[0] + 0.5 * CAMERA.scale)
    near, front, far = (true.visible(0, yaw, 70.0)[right].mean() for yaw in (45.0, 0.0, -45.0))
    assert near > 0.9
    assert near >= front > far
    assert far < 0.3
    assert true.visible(0, 0.0, 89.0)[face].mean() > 0.97


def test_true_landmarks_are_where_the_head_has_them(take: Take) -> None:
    points = TrueClip(take, IDENTITY, SIZE).landmarks(0)
    assert points.shape == (68, 2)
    assert np.nanmean(np.linalg.norm(points - mean_landmarks(SIZE), axis=-1)) < 0.12 * CAMERA.scale
    assert np.nanmax(points[:8, 0]) < np.nanmin(points[9:17, 0])


class KnownFace:
    """A detector that knows where the face of a take is."""

    def __init__(self, take: Take) -> None:
        model, vertices = take.dressed.heads, take.vertices[0].astype(np.float64)
        self._points = CAMERA.project(model.five_positions(vertices))[None, :, :2]

    def detect(self, image: np.ndarray) -> Faces:
        return Faces(np.array([[8.0, 8.0, 56.0, 60.0]]), np.array([0.99]), self._points)


@pytest.mark.slow
def test_every_method_is_measured_in_every_view(take: Take) -> None:
    """From the frames to the tables, with an ellipsoid for the depth network."""
    yaws = (-30.0, 30.0)
    config = BuildConfig(camera={"size": SIZE, "angles": yaws}, registration={"min_inliers": 4})
    true_frames = TrueClip(take, IDENTITY, SIZE)
    performed = replace(take, frames=np.stack([true_frames.picture(frame) for frame in range(3)]))
    tools = known_tools(KnownFace(take))
    flows = {"geometric flow": {"kind": "geometric"}}
    _, true, methods = all_methods(performed, take.dressed.heads, config, flows, tools)
    assert set(methods) == {DEFAULT_BUILD, *flows, *BUILDS, AS_PUBLISHED, TRUE_DEPTH, POSED_MEAN, PLANE}
    figures = Figures("anny")
    for yaw in yaws:
        compare(figures, yaw, true, {name: views[yaw] for name, views in methods.items()}, 1.0)
        figures.attention[yaw] = (0.6, 0.5)
        assert figures.compared[yaw] > 0.3
        assert relative_error([figures.motion[NO_MOTION, yaw]]) == pytest.approx(1)
        assert 0 < relative_error([figures.motion[TRUE_FRAMES, yaw]]) < 1
        assert (AS_PUBLISHED, yaw) not in figures.psnr
        # What the true depth shows is the truth but for resampling and highlights; a plane is far from it.
        assert figures.psnr[TRUE_DEPTH, yaw] > figures.psnr[PLANE, yaw]
        assert 0 < figures.ssim[PLANE, yaw] < 1
    lines = "".join(each.markdown() for each in fidelity_tables([figures])).splitlines()
    assert len([line for line in lines if line.startswith(f"| {DEFAULT_BUILD}")]) == 4
    assert any(line.startswith("| mean difference | 0.10 | 0.10 | 0.10 |") for line in lines)


def test_the_table_of_one_sided_clips_strikes_out_what_is_lost() -> None:
    shown = {-45.0: (0.41, 0.38, 0.2, False), 45.0: (0.92, 0.95, 0.99, True)}
    lines = one_sided_table([OneSided("anny s15, L12", shown)]).markdown().splitlines()
    assert "| anny s15, L12 | ~~0.41~~ | 0.92 |" in lines
    assert "| - of its motion | 0.20 | 0.99 |" in lines


def test_a_filmed_clip_is_repeated_without_a_jump(tmp_path: Path) -> None:
    frames = [tmp_path / f"{index}.jpg" for index in range(4)]
    for frame in frames:
        frame.write_bytes(frame.stem.encode())
    root = repeat([frames, frames[::-1]], tmp_path / "tree", Job(clips=3, frames=9))
    clips = get_source("folder").read(root).clips
    assert [len(clip.frames) for clip in clips] == [9, 9, 9]
    assert [clip.label for clip in clips] == ["positive", "positive", "negative"]
    first = clips[0].frames
    assert "".join(frame.path.read_text() for frame in first) == "012321012"


def test_start_up_is_left_out_of_the_rate_once_started() -> None:
    job = Job(clips=4, frames=10, workers=2)
    run = Run(12.0, (10.0, 10.5, 11.0, 11.5), {"depth": 1.0}, 900.0)
    plain = Run(30.0, (15.0, 15.0, 25.0, 25.0), {"depth": 10.0}, 800.0)
    lines = stage_table(job, {"mvgen build": run, "plain composition": plain}).markdown().splitlines()
    assert "| depth | 25.0 | 250.0 |" in lines
    assert "| frames/s, once started | 20.0 | 2.0 |" in lines
    assert gain(job, run, plain) == pytest.approx((2.5, 10.0))
    assert np.isnan(steady(job, replace(run, finished=(10.0, 10.5))))


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="peak memory is read from Linux's /proc")
def test_the_peak_memory_of_a_child_is_seen() -> None:
    import os

    code = "import time; held = bytearray(80 << 20); del held; print('ready', flush=True); time.sleep(30)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        assert child.pid in children(os.getpid())
        assert peak_memory(child.pid) > 80
        child.kill()
    assert peak_memory(child.pid) == 0
