"""Stand-ins: their performances, frames and files, and that their ground truth is correct."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from mvgen.core.errors import ConfigError, ScanError, StoreError
from mvgen.morphable.action_units import FACIAL_ACTIONS, facial_action_weights
from mvgen.sources import get_source
from mvgen.sources.frames import read_frames
from mvgen.sources.marks import MARK
from mvgen.synth.commands import synth
from mvgen.synth.demo import write_astronaut
from mvgen.synth.emotions import ACTION_UNITS
from mvgen.synth.performance import MICRO_PIXELS, expression_curve, perform
from mvgen.synth.plan import plan_release
from mvgen.synth.releases import LAYOUTS

pytestmark = pytest.mark.slow


def test_every_performed_unit_has_facial_actions(heads):
    for combinations in ACTION_UNITS.values():
        for units in combinations:
            assert facial_action_weights(units, heads.model.action_names).max() > 0
    known = {name.removesuffix("Left").removesuffix("Right") for name in heads.model.action_names}
    assert {action for actions in FACIAL_ACTIONS.values() for action in actions} <= known


def test_one_sided_units_move_the_subjects_own_side(heads):
    names = heads.model.action_names
    weights = facial_action_weights(("L12",), names)
    assert weights[names.index("mouthSmileLeft")] == 1
    assert weights[names.index("mouthSmileRight")] == 0


def test_an_unknown_action_unit_is_named(heads):
    with pytest.raises(ConfigError, match="'99'"):
        facial_action_weights(("99",), heads.model.action_names)


def test_the_curve_is_still_before_onset_full_at_apex_and_gone_at_offset():
    curve = expression_curve(20, 4, 9, 16)
    assert (curve[:5] == 0).all()
    assert curve[9] == 1
    assert (curve[16:] == 0).all()
    assert (np.diff(curve[4:10]) > 0).all()
    assert (np.diff(curve[9:17]) < 0).all()


@pytest.mark.parametrize("layout", LAYOUTS.built_in)
def test_performances_are_subtle_and_the_head_hardly_moves(heads, layout):
    person = heads.sample_identities(np.random.default_rng(0), 1)[0]
    for plan in plan_release(layout, 1, 4, 16, seed=3):
        act = perform(plan, heads.model, person)
        assert 0.5 <= act.apex_pixels <= MICRO_PIXELS[1]
        assert act.weights.shape == (16, 52)
        assert (act.weights >= 0).all()
        assert (act.weights <= 1).all()
        relative = act.turns @ act.turns[0].T
        turned = np.degrees(np.arccos(np.clip((np.trace(relative, axis1=1, axis2=2) - 1) / 2, -1, 1)))
        assert turned.max() < 3
        assert np.abs(act.shifts).max() < 0.03


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory, heads) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("stand-in")
    synth(
        layout="casme2", out=root / "release", truth=root / "truth", subjects=1, clips=1, frames=4, size=(160, 120),
        seed=4, angles=(30.0,), cropped=True, report=lambda _: None, workers=1,
    )  # fmt: skip
    return root / "release", root / "truth"


def test_the_adapter_reads_a_stand_in_as_the_release(stand_in):
    listing = get_source("casme2").read(stand_in[0])
    assert listing.version.endswith("; a stand-in")
    assert (stand_in[0] / MARK).read_text().startswith("This is a stand-in, not CAS(ME)²")
    (clip,) = listing.clips
    assert not listing.failures
    frames = read_frames(clip)
    assert frames.shape == (4, 120, 160, 3)
    index = json.loads((stand_in[1] / "truth.json").read_text())
    (entry,) = index["clips"]
    assert entry["directory"] == str(clip.directory)
    assert clip.frames[entry["apex"]].number == clip.apex


def test_cropped_frames_are_the_faces_of_the_others(stand_in):
    raw, cropped = (get_source("casme2").read(stand_in[0], variant=kind).clips[0] for kind in ("raw", "cropped"))
    assert [frame.number for frame in cropped.frames] == [frame.number for frame in raw.frames]
    faces = read_frames(cropped)
    assert faces.shape == (4, 340, 280, 3)
    # Skin fills most of a crop, and little of a whole frame.
    red, blue = (faces[0, 120:220, 80:200, channel].astype(int) for channel in (0, 2))
    assert (red - blue).mean() > 15


def test_true_flow_carries_each_frame_onto_the_next(stand_in):
    for view in ("source", "yaw+30"):
        maps = np.load(next((stand_in[1] / "maps" / view).rglob("*.npz")))
        names = sorted((stand_in[1] / "views" / view).rglob("*.png"), key=lambda path: int(path.stem.strip("img")))
        frames = [cv2.imread(str(name)).astype(np.float32) for name in names]
        assert maps["depth"].shape == maps["face"].shape == (4, 120, 160)
        flow, face = maps["flow"].astype(np.float32), maps["face"]
        assert np.isfinite(flow[face[:-1]]).all()
        # Warp by the flow from the first frame to the last: it must explain most of the change inside the face.
        v, u = np.mgrid[0:120, 0:160].astype(np.float32)
        for step in range(3):
            moved = cv2.remap(frames[step + 1], u + flow[step, ..., 0], v + flow[step, ..., 1], cv2.INTER_LINEAR)
            inside = cv2.erode(face[step].astype(np.uint8), np.ones((5, 5))) > 0
            still = np.abs(frames[step + 1] - frames[step])[inside].mean()
            warped = np.abs(moved - frames[step])[inside].mean()
            assert warped <= still + 0.05


def test_true_depth_of_a_side_view_reprojects_into_the_source(stand_in):
    from mvgen.core.camera import Camera, pixel_grid

    entry = json.loads((stand_in[1] / "truth.json").read_text())["clips"][0]["camera"]
    camera = Camera(
        size=entry["size"], scale=entry["scale"], centre=tuple(entry["centre"]), pivot=tuple(entry["pivot"])
    )
    side = np.load(next((stand_in[1] / "maps" / "yaw+30").rglob("*.npz")))
    front = np.load(next((stand_in[1] / "maps" / "source").rglob("*.npz")))
    face = side["face"][0]
    pixels = np.concatenate([pixel_grid(120, 160), side["depth"][0][..., None]], axis=-1)[face]
    landed = camera.project(camera.at(30.0).unproject(pixels))
    column, row = np.clip(landed[:, :2].astype(int), 0, [159, 119]).T
    seen = front["depth"][0][row, column]
    # Where nothing occludes it, the surface has the same depth in both views.
    agree = np.abs(seen - landed[:, 2]) < 0.08
    assert agree.mean() > 0.85


def test_without_maps_the_true_side_views_are_the_same_pictures(stand_in, tmp_path):
    synth(
        layout="casme2", out=tmp_path / "release", truth=tmp_path / "truth", subjects=1, clips=1, frames=4,
        size=(160, 120), seed=4, angles=(30.0,), maps=False, report=lambda _: None, workers=1,
    )  # fmt: skip
    assert not (tmp_path / "truth" / "maps").exists()
    views = [sorted((root / "views" / "yaw+30").rglob("*.png")) for root in (stand_in[1], tmp_path / "truth")]
    assert [path.read_bytes() for path in views[0]] == [path.read_bytes() for path in views[1]]
    assert not (tmp_path / "truth" / "views" / "source").exists()


def test_a_head_drifts_as_far_as_asked_however_short_the_clip(heads):
    person, (plan,) = heads.sample_identities(np.random.default_rng(0), 1)[0], plan_release("smic", 1, 1, 12, seed=3)
    turned = []
    for drift in (0.0, 0.5, 1.0):
        act = perform(plan, heads.model, person, drift)
        relative = act.turns @ act.turns[0].T
        turned.append(np.degrees(np.arccos(np.clip((np.trace(relative, axis1=1, axis2=2) - 1) / 2, -1, 1))).max())
        assert (act.shifts[0] == 0).all()
    assert turned[0] < 1e-4
    assert turned[2] > 0.3
    assert turned[1] == pytest.approx(turned[2] / 2, rel=0.02)


def test_heads_of_a_folder_that_is_not_icts_model_are_refused(tmp_path):
    with pytest.raises(ScanError, match="not a clone of ICT-FaceKit"):
        synth(layout="casme2", out=tmp_path / "new", ict=tmp_path, report=lambda _: None)


def test_the_same_seed_writes_the_same_bytes(stand_in, tmp_path):
    again = tmp_path / "again"
    synth(
        layout="casme2",
        out=again,
        subjects=1,
        clips=1,
        frames=4,
        size=(160, 120),
        seed=4,
        cropped=True,
        report=lambda _: None,
        workers=1,
    )
    digests = [
        {
            str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in root.rglob("*.*")
            if path.is_file()
        }
        for root in (stand_in[0], again)
    ]
    assert len(digests[0]) == 10
    assert digests[0] == digests[1]


def test_a_folder_with_something_in_it_is_not_written_to(tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(StoreError, match="not an empty folder"):
        synth(layout="casme2", out=tmp_path, report=lambda _: None)
    with pytest.raises(ConfigError, match="out of range"):
        synth(layout="casme2", out=tmp_path / "new", size=(20, 20), report=lambda _: None)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_the_photograph_clip_is_still_but_noisy(tmp_path):
    write_astronaut(tmp_path)
    frames = [cv2.imread(str(path)).astype(int) for path in sorted(tmp_path.glob("*.jpg"))]
    assert len(frames) == 10
    change = frames[1] - frames[0]
    assert 1 < change.std() < 5
    assert abs(change.mean()) < 0.1
