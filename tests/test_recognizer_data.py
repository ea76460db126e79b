from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from factories import astronaut, known_tools
from PIL import Image
from recognizer_trees import (
    CLASSES,
    Copies,
    CopyingNetwork,
    Nearest,
    PatternReader,
    TinyNetwork,
    install_systems,
    make_store,
)

from mvgen.core.errors import AnglesError, StoreError
from mvgen.core.settings import load_config
from mvgen.dataset.reader import open_dataset
from mvgen.dataset.scenes import landmarks_at, read_scene
from mvgen.sources import get_source
from mvgen.store import layout
from mvgen.store.manifest import read_table
from recognizer.errors import RecogniserError
from recognizer.evaluation.protocols import Fold, entries_to_test
from recognizer.learning.data import prepare
from recognizer.readers.base import ClassRule, Entry, Joined, excluded
from recognizer.readers.config import DataConfig, data_at, open_data
from recognizer.readers.flow_images import FlowImageReader
from recognizer.readers.kept import KeptReader
from recognizer.readers.source import frontal_sample, read_video
from recognizer.readers.store import StoreReader
from recognizer.readers.truth import TruthReader, clip_directory, face_is_shown
from recognizer.records import Sample

install_systems()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_store(tmp_path_factory.mktemp("data"))


# A store


def test_every_view_of_a_store_is_an_entry(store: Path) -> None:
    reader = StoreReader(store, ClassRule())
    assert reader.classes == CLASSES
    assert len(reader.entries) == 4 * 3 * 4
    assert {entry.kind for entry in reader.entries if entry.view == "source"} == {"source"}
    assert {entry.yaw for entry in reader.entries} == {None, -45.0, 0.0, 45.0}
    assert len({entry.key for entry in reader.entries}) == len(reader.entries)


def test_what_is_kept_does_not_depend_on_the_stores_own_split(store: Path) -> None:
    entries = StoreReader(store, ClassRule()).entries
    # The clips see 1 - |yaw| / 60 of the attention, and the store asks for 0.6; its table keeps every test view.
    assert all(entry.kept == (entry.yaw in (None, 0.0)) for entry in entries)
    assert any(row.kept and row.yaw == 45 for row in read_table(store / layout.TABLE))


def test_a_sample_is_what_the_store_holds(store: Path) -> None:
    reader = StoreReader(store, ClassRule(), face_only=False)
    item, sample = open_dataset(store)[1], reader.read(1)
    np.testing.assert_array_equal(sample.frames, item["clip"].permute(0, 2, 3, 1).numpy())
    np.testing.assert_array_equal(sample.flow, item["flow"].permute(0, 2, 3, 1).numpy())
    np.testing.assert_array_equal(sample.apex_flow, item["apex_flow"].permute(1, 2, 0).numpy())
    assert (sample.onset, sample.apex, sample.offset) == (item["onset"], item["apex"], item["offset"])
    assert CLASSES[sample.label] == item["label_name"]
    assert sample.clip == item["clip_id"]
    assert sample.signals is not None
    np.testing.assert_array_equal(sample.signals[:, :6], item["signals"]["head"].numpy())
    np.testing.assert_array_equal(sample.signals[:, 6:], item["signals"]["actions"].numpy())


def test_beside_the_face_a_sample_is_black(store: Path) -> None:
    sample = StoreReader(store, ClassRule()).read(0)
    whole = StoreReader(store, ClassRule(), face_only=False).read(0)
    assert not sample.frames[:, :8].any()  # rows without a surface
    assert whole.frames[:, :8].any()
    np.testing.assert_array_equal(sample.frames[:, 8:], whole.frames[:, 8:])


def test_angles_that_were_never_built_are_rendered(store: Path) -> None:
    reader = StoreReader(store, ClassRule(), "-20,10", exclude=("s2__*", "s3__*", "s4__*"))
    assert [entry.view for entry in reader.entries][:3] == ["source", "yaw-20", "yaw+10"]
    assert len(reader.entries) == 3 * 3
    sample = reader.read(5)
    assert (sample.clip, sample.view) == (reader.entries[5].clip, "yaw+10")
    expected = open_dataset(store, angles=[10.0])[1]
    np.testing.assert_array_equal(sample.flow, expected["flow"].permute(0, 2, 3, 1).numpy())
    with pytest.raises(AnglesError):
        StoreReader(store, ClassRule(), "10:-10:5")


def test_views_from_random_angles_are_the_same_every_time_and_differ_between_clips(store: Path) -> None:
    reader = StoreReader(store, ClassRule(), drawn=2, exclude=("s3__*", "s4__*"))
    drawn = [index for index, entry in enumerate(reader.entries) if entry.kind == "drawn"]
    assert len(drawn) == 2 * len({entry.clip for entry in reader.entries})
    assert len({reader.entries[index].view for index in drawn}) == len(drawn)
    sample, again = (StoreReader(store, ClassRule(), drawn=2).read(drawn[1]) for _ in range(2))
    assert "pitch" in sample.view
    np.testing.assert_array_equal(sample.flow, again.flow)
    fold = Fold("all", frozenset({reader.entries[drawn[0]].clip}), frozenset({reader.entries[drawn[0]].clip}))
    assert not {reader.entries[index].kind for index in entries_to_test(reader.entries, fold)} & {"drawn"}


def test_clips_can_be_left_out_by_name_length_and_class(store: Path) -> None:
    assert excluded("pics__s1__clip2", ["s1__clip2"])
    assert not excluded("pics__s1__clip2", ["clip22"])
    assert not StoreReader(store, ClassRule(), least_frames=5).entries
    rule = ClassRule({"first": ("negative",), "third": ("surprise",)})
    reader = StoreReader(store, rule)
    assert reader.classes == ("first", "third")
    assert len(reader.entries) == 4 * 2 * 4
    by_name = ClassRule({"clip": ("clip",)}, by="name")
    assert {entry.label for entry in StoreReader(store, by_name).entries} == {0}


def test_class_sets_come_from_what_a_release_says_of_a_clip() -> None:
    rows = [SimpleNamespace(emotion=e, label=label, objective_class=o, name="x") for e, label, o in SAID]
    found = {}
    for chosen in ("three", "emotion", "objective", "strcn-four"):
        rule = ClassRule(chosen).over(rows)
        found[chosen] = [None if (at := rule.of(row)) is None else rule.names[at] for row in rows]
    assert found == {
        "three": ["negative", "positive", None, "negative", None, "negative"],
        "emotion": ["disgust", "happiness", "others", "repression", "others", "sad"],
        "objective": ["IV", "II", "VII", None, None, "VII"],
        "strcn-four": ["negative", "positive", "other", "other", "other", "negative"],
    }
    assert ClassRule("strcn-four").over(rows).names == ("negative", "positive", "other")


SAID = (
    ("Disgust", "negative", "IV"),
    ("happiness", "positive", "2"),
    ("Other", None, "7"),
    ("repression", "negative", "VIII"),
    ("others", None, None),
    ("sad", "negative", "7"),
)


def test_a_set_of_classes_is_the_same_in_all_stores(store: Path) -> None:
    reader = open_data(DataConfig(stores=(store,), classes="emotion", exclude=("clip3",)))
    assert reader.classes == ("negative", "positive")
    with pytest.raises(RecogniserError, match="flow images have no classes 'objective'"):
        open_data(DataConfig(flow_images=store, classes="objective"))


def test_a_store_of_another_schema_is_refused(store: Path, tmp_path: Path) -> None:
    (tmp_path / layout.DATASET).write_text('{"schema": 99}')
    with pytest.raises(StoreError, match="schema 99"):
        StoreReader(tmp_path, ClassRule())


def test_landmarks_move_with_the_surface_they_are_on(store: Path) -> None:
    row = read_table(store / layout.TABLE)[0]
    scene = read_scene(store, row, frames=False)
    points = np.array([[20.5, 30.5], [40.5, 40.5]])
    assert landmarks_at(scene, None) is None
    scene = replace(scene, landmarks=points)
    np.testing.assert_allclose(landmarks_at(scene, 0.0), points)
    depth = np.array([scene.surface.depth[30, 20], scene.surface.depth[40, 40]], float)
    camera = scene.surface.camera
    turned = camera.at(45.0).project(camera.unproject(np.column_stack([points, depth])))
    np.testing.assert_allclose(landmarks_at(scene, 45.0), turned[:, :2])


# True side views


@pytest.fixture
def truth(store: Path, tmp_path: Path) -> Path:
    """True views at 20 degrees of the first clip of the store: a photograph that keeps still."""
    row = read_table(store / layout.TABLE)[0]
    folder = clip_directory(row)
    pictures = tmp_path / "views" / "yaw+20" / folder
    pictures.mkdir(parents=True)
    for name in row.frame_names:
        Image.fromarray(astronaut()).save(pictures / f"{name.partition('.')[0]}.png")
    index = {"schema": 1, "angles": [20.0], "clips": [{"directory": folder}]}
    (tmp_path / "truth.json").write_text(json.dumps(index))
    return tmp_path


def true_views(store: Path, truth: Path, **settings: float) -> TruthReader:
    """A reader without networks."""
    reader = TruthReader(store, truth, ClassRule(), **settings)  # type: ignore[arg-type]
    reader.__dict__["_tools"] = known_tools()
    return reader


@pytest.mark.slow
def test_true_views_are_cut_where_the_face_is_found(store: Path, truth: Path) -> None:
    reader = true_views(store, truth)
    assert [entry.view for entry in reader.entries] == ["true yaw+20"]
    sample, again = reader.read(0), true_views(store, truth).read(0)
    assert sample.frames.shape == (4, 64, 64, 3)
    assert sample.valid is not None
    assert face_is_shown(sample)
    assert not sample.frames[:, ~sample.valid].any()
    assert not sample.flow[:, ~sample.valid].any()
    np.testing.assert_array_equal(sample.frames, again.frames)
    clean = true_views(store, truth, noise=0.0)
    assert clean.entries[0].key != reader.entries[0].key
    assert 0 < np.abs(clean.read(0).frames.astype(int) - sample.frames)[:, sample.valid].mean() < 3


def test_a_true_view_without_a_face_is_black_and_still(store: Path, truth: Path) -> None:
    for path in (truth / "views").rglob("*.png"):
        Image.fromarray(np.zeros((512, 512, 3), np.uint8)).save(path)
    sample = true_views(store, truth, noise=0.0).read(0)
    assert not face_is_shown(sample)
    assert sample.frames.shape == (4, 64, 64, 3)
    assert not any(values.any() for values in (sample.frames, sample.flow, sample.apex_flow))


def test_truth_that_does_not_fit_is_refused(store: Path, truth: Path, tmp_path: Path) -> None:
    index = json.loads((truth / "truth.json").read_text())
    next((truth / "views/yaw+20").rglob("*.png")).unlink()
    with pytest.raises(RecogniserError, match="make the stand-in again"):
        true_views(store, truth).read(0)
    (truth / "truth.json").write_text(json.dumps(index | {"clips": []}))
    with pytest.raises(RecogniserError, match="no true view of the clips"):
        TruthReader(store, truth, ClassRule())
    with pytest.raises(RecogniserError, match=r"no truth\.json"):
        TruthReader(store, tmp_path / "nowhere", ClassRule())


def test_true_views_of_a_store_that_is_registered_as_in_the_paper_are_refused(tmp_path: Path) -> None:
    paper = make_store(tmp_path, subjects=2, clips=1, registration="paper")
    with pytest.raises(RecogniserError, match="--registration head"):
        TruthReader(paper, tmp_path, ClassRule())


# A release, without a build


@pytest.mark.slow
def test_a_clip_of_a_source_goes_through_the_stages_of_a_build(tmp_path: Path) -> None:
    folder = tmp_path / "s1" / "still"
    folder.mkdir(parents=True)
    for number in (1, 2):
        Image.fromarray(astronaut()).save(folder / f"img{number}.png")
    (clip,) = get_source("folder").read(tmp_path).clips
    tools = known_tools()
    config = load_config(None, {"camera": {"size": 64}}).changed(camera={"angles": ()})
    entry = Entry("folder", clip.id, clip.id, "s1", 0, "source", "source", None, True, None, "")
    sample = frontal_sample(clip, entry, config, tools, face_only=True)
    assert sample.frames.shape == (2, 64, 64, 3)
    assert sample.flow.shape == (1, 64, 64, 2)
    assert sample.landmarks is not None
    assert sample.frames.any()
    assert not sample.frames[:, :, 0].any()  # beside the head
    (folder / "img2.png").write_bytes(b"")
    with pytest.raises(RecogniserError, match="s1__still cannot be used"):
        frontal_sample(clip, entry, config, tools, face_only=True)


def test_a_video_is_one_expression_unless_its_frames_are_named(tmp_path: Path) -> None:
    for number in (7, 8, 10):
        Image.new("RGB", (32, 32)).save(tmp_path / f"img{number}.png")
    clip = read_video(tmp_path, onset=7, apex=8)
    assert (clip.onset, clip.apex, clip.offset, len(clip.frames)) == (7, 8, None, 3)
    assert clip.label is None
    with pytest.raises(RecogniserError, match="has no frame 9, which --apex names; it has 7 to 10"):
        read_video(tmp_path, apex=9)
    with pytest.raises(RecogniserError, match="must be in this order"):
        read_video(tmp_path, onset=10, apex=8)
    with pytest.raises(RecogniserError, match="does not exist"):
        read_video(tmp_path / "nowhere.mp4")
    (tmp_path / "empty").mkdir()
    with pytest.raises(RecogniserError, match="contains no frame"):
        read_video(tmp_path / "empty")
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(RecogniserError, match="cannot be read"):
        read_video(tmp_path / "text.mp4")


# Flow images


def _images(root: Path, names: dict[str, tuple[int, int]]) -> Path:
    for name, (red, green) in names.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((16, 16, 3), (red, green, 0), np.uint8)).save(root / name)
    return root


def test_flow_images_of_a_class_per_folder_are_read(tmp_path: Path) -> None:
    names = {"happy/sub01_EP1.png": (255, 0), "sad/sub01_EP2.png": (128, 128), "sad/006-1.png": (0, 255)}
    reader = FlowImageReader(_images(tmp_path, names))
    assert reader.classes == ("happy", "sad")
    assert [(entry.subject, entry.label) for entry in reader.entries] == [("sub01", 0), ("006", 1), ("sub01", 1)]
    sample = reader.read(0)
    assert sample.flow.shape == (0, 16, 16, 2)
    assert not sample.apex_flow.any()
    fixed = FlowImageReader(tmp_path, stretch="fixed").read(0)
    np.testing.assert_allclose(fixed.apex_flow[0, 0], [1, -1])
    assert fixed.strain is not None
    assert not fixed.strain.any()
    plain = FlowImageReader(tmp_path, stretch="none", channels="vus").read(0)
    np.testing.assert_allclose(plain.apex_flow[0, 0], [-128, 127])


def test_flow_images_of_a_tree_of_subjects_are_read_once(tmp_path: Path) -> None:
    names = {
        "s1/u_test/a/x.png": (0, 0), "s1/u_train/b/y.png": (9, 9),
        "s2/u_test/b/y.png": (9, 9), "s2/u_train/a/x.png": (0, 0),
    }  # fmt: skip
    reader = FlowImageReader(_images(tmp_path, names))
    assert [(entry.clip, entry.subject, entry.label) for entry in reader.entries] == [
        ("s1/x", "s1", 0),
        ("s2/y", "s2", 1),
    ]


def test_a_tree_that_trains_on_its_test_images_is_refused(tmp_path: Path) -> None:
    root = _images(tmp_path, {"s1/u_test/a/x.png": (0, 0), "s1/u_train/b/x.png": (0, 0), "s2/u_test/b/y.png": (0, 0)})
    with pytest.raises(RecogniserError, match=r"x\.png is in u_train and in u_test"):
        FlowImageReader(root)


def test_flow_images_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecogniserError, match="contains no flow image"):
        FlowImageReader(tmp_path)
    _images(tmp_path, {"a/s1_1.png": (0, 0), "b/s2_1.png": (0, 0)})
    with pytest.raises(RecogniserError, match="class 'b', asked for are a"):
        FlowImageReader(tmp_path, {"a": ()})
    Image.new("RGB", (8, 9)).save(tmp_path / "a/s1_1.png")
    with pytest.raises(RecogniserError, match="not square"):
        FlowImageReader(tmp_path).read(0)
    (tmp_path / "a/s1_1.png").write_bytes(b"no image")
    with pytest.raises(RecogniserError, match="cannot be read"):
        FlowImageReader(tmp_path).read(0)


# Which data


def test_the_kind_of_data_in_a_folder_is_recognised(store: Path, tmp_path: Path) -> None:
    assert data_at(store) == DataConfig(stores=(store,))
    assert data_at(tmp_path) == DataConfig(flow_images=tmp_path)
    with pytest.raises(RecogniserError, match="is not a folder"):
        data_at(tmp_path / "nowhere")
    with pytest.raises(RecogniserError, match="one kind of data"):
        open_data(DataConfig(stores=(store,), flow_images=tmp_path))


def test_joined_data_keep_datasets_apart_and_refuse_repeats(store: Path) -> None:
    first, second = PatternReader(2, 3), PatternReader(2, 3)
    with pytest.raises(RecogniserError, match="in the data twice"):
        Joined([first, second])
    second.entries = tuple(replace(entry, dataset="other") for entry in second.entries)
    joined = Joined([first, second])
    assert len(joined.entries) == 2 * len(first.entries)
    assert {entry.subject for entry in joined.entries} == {"set0/p00", "set0/p01", "other/p00", "other/p01"}
    np.testing.assert_array_equal(joined.read(len(first.entries) + 1).flow, second.read(1).flow)


# Prepared inputs


def test_prepared_inputs_are_the_systems_and_are_read_once(tmp_path: Path) -> None:
    reader, system = PatternReader(2, 3), TinyNetwork()
    entries = [5, 2, 9]
    inputs = prepare(reader, system, entries, folder=tmp_path)
    assert inputs.inputs["flow"].dtype == np.float16
    assert inputs.rows([9, 5]).tolist() == [2, 0]
    expected = system.prepare(reader.read(2))["flow"]
    np.testing.assert_allclose(inputs.inputs["flow"][1], expected, atol=4e-3)
    reader.reads = 0
    again = prepare(reader, system, entries, folder=tmp_path)
    assert reader.reads == 0
    np.testing.assert_array_equal(again.inputs["flow"], inputs.inputs["flow"])
    np.testing.assert_array_equal(prepare(reader, system, entries).inputs["flow"], inputs.inputs["flow"])
    assert prepare(reader, Nearest(), entries).inputs["features"].dtype == np.float32


def test_copies_of_a_training_sample_follow_one_another() -> None:
    reader, system = PatternReader(2, 3), CopyingNetwork(Copies(3))
    inputs = prepare(reader, system, [4, 1], expanded=True)
    assert inputs.copies == 3
    assert inputs.rows([1]).tolist() == [3, 4, 5]
    own = inputs.inputs["flow"][inputs.rows([1])].astype(float)
    np.testing.assert_allclose(own - own[:1], np.arange(3)[:, None, None, None] * np.ones_like(own[0]), atol=0.01)


class Damaged(PatternReader):
    """One clip has a flow that is not finite."""

    def read(self, index: int) -> Sample:
        sample = super().read(index)
        flow = np.where(index == 3, np.float32(np.nan), sample.flow)
        return replace(sample, flow=flow)


class Ragged(CopyingNetwork):
    """Makes more copies of some samples than of others."""

    def expand(self, sample: Sample) -> Iterator[Sample]:
        yield from [sample] * (1 + sample.clip.endswith("1"))


def test_inputs_that_cannot_be_learned_from_are_refused() -> None:
    with pytest.raises(RecogniserError, match="clip p00-1, view source: its flow is not finite"):
        prepare(Damaged(1, 3), TinyNetwork(), range(9))
    with pytest.raises(RecogniserError, match="clip p00-1 has 2 training copies, other clips have 1"):
        prepare(PatternReader(1, 3), Ragged(), range(9), expanded=True)


def test_costly_samples_are_read_once(tmp_path: Path) -> None:
    reader = PatternReader(1, 3)
    kept = KeptReader(reader, tmp_path)
    first, again = kept.read(4), KeptReader(reader, tmp_path).read(4)
    assert reader.reads == 1
    np.testing.assert_array_equal(first.flow, again.flow)
    np.testing.assert_allclose(first.flow, reader.read(4).flow, atol=1 / 256 + 1e-6)
    assert (again.clip, again.label, again.apex, again.landmarks) == (first.clip, first.label, 1, None)
    assert again.signals is None
    next(tmp_path.iterdir()).write_bytes(b"damaged")
    np.testing.assert_array_equal(KeptReader(reader, tmp_path).read(4).flow, first.flow)


def test_signals_are_kept_with_a_sample(store: Path, tmp_path: Path) -> None:
    reader = StoreReader(store, ClassRule())
    KeptReader(reader, tmp_path).read(0)
    kept = KeptReader(reader, tmp_path).read(0)
    np.testing.assert_array_equal(kept.signals, reader.read(0).signals)
