"""A store in the forms that other people's code reads, and what our own recogniser reads of them."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from recognizer_trees import install_systems, make_store

from mvgen.cli import run
from mvgen.core.config import canonical_json, file_digest
from mvgen.core.console import run_app
from mvgen.core.errors import ConfigError, StoreError
from mvgen.dataset.units import unit_numbers, unit_words
from mvgen.export.base import open_store
from mvgen.export.flow_images import write_flow_images
from mvgen.export.vqa import questions
from mvgen.store import layout
from mvgen.store.manifest import ViewRow, read_table, write_table
from recognizer.cli import app
from recognizer.errors import RecogniserError
from recognizer.ops.motion import motion_of, stretched
from recognizer.readers.config import DataConfig, open_data
from recognizer.readers.flow_images import FlowImageReader

install_systems()


def labelled(row: ViewRow) -> ViewRow:
    """The rows of a store as a release with action units has them; two clips of subject 1 are of one expression."""
    number = int(row.name[4:])
    units = [["AU4", "L12"], ["10or11"], []][number % 3]
    shared = f"{row.subject}__one" if row.subject == "s1" and number < 3 else row.clip
    return replace(row, action_units=units, kind="micro", objective_class=str(number), expression=shared)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = make_store(tmp_path_factory.mktemp("export"))
    table = out / layout.TABLE
    write_table([labelled(row) for row in read_table(table)], table)
    about = json.loads((out / layout.DATASET).read_text())
    about["files"][layout.TABLE] = file_digest(table)
    (out / layout.DATASET).write_text(canonical_json(about))
    return out


@pytest.fixture(scope="module")
def tree(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trees") / "norm_u_v_os"
    assert run(["export", str(store), "--to", "flow-images", "--out", str(out), "--views", "source,yaw-45"]) == 0
    return out


def test_flow_images_are_read_back_as_the_motion_of_the_store(store: Path, tree: Path) -> None:
    stored, exported = open_data(DataConfig(stores=(store,))), FlowImageReader(tree)
    places = {(entry.clip, entry.view): index for index, entry in enumerate(stored.entries)}
    assert len(exported.entries) == 2 * 12
    for index, entry in list(enumerate(exported.entries))[::5]:
        place = places[entry.clip.partition("/")[2], entry.view]
        other = stored.entries[place]
        assert (entry.label, entry.kind, entry.yaw) == (other.label, other.kind, other.yaw)
        expected = stretched(motion_of(stored.read(place), 28))
        np.testing.assert_allclose(stretched(motion_of(exported.read(index), 28)), expected, atol=0.01)
    (pair,) = ({e.clip for e in exported.entries if e.expression == one} for one in ("s1/s1__one",))
    assert len(pair) == 2


def test_a_fold_of_the_tree_trains_on_everybody_else(tree: Path) -> None:
    subjects = {"s1", "s2", "s3", "s4"}
    assert {path.name for path in tree.iterdir() if path.is_dir()} == subjects
    own = {subject: {path.name for path in (tree / subject / "u_test").rglob("*.png")} for subject in subjects}
    for subject in subjects:
        trained = {path.name for path in (tree / subject / "u_train").rglob("*.png")}
        assert trained == set().union(*(own[other] for other in subjects - {subject}))
    image = next((tree / "s1/u_test/0").glob("*.png"))
    assert Image.open(image).size == (28, 28)
    about = json.loads((tree / "export.json").read_text())
    assert about["classes"] == ["negative", "positive", "surprise"]
    assert "redistribution" in about["terms"]


@pytest.mark.slow
def test_the_bench_runs_a_system_on_an_exported_tree(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "bench.yaml").write_text(
        "data: {classes: {negative: ['0'], positive: ['1'], surprise: ['2']}}\n"
        "protocol: {name: loso}\ntrain: [source]\nseeds: 1\nsystems: [{name: pixel-svm}]\n"
    )
    line = ["bench", str(tmp_path / "bench.yaml"), "--flow-images", str(tree), "--out", str(tmp_path / "out")]
    assert run_app(app, "recognizer", line) == 0
    assert "4 folds" in (tmp_path / "out/results.md").read_text()


def test_a_damaged_export_is_refused(store: Path, tmp_path: Path) -> None:
    write_flow_images(open_store(store), tmp_path / "tree")
    (tmp_path / "tree/export.json").write_text('{"expressions": {"a": 1}}')
    with pytest.raises(RecogniserError, match=r"export\.json is damaged: .*; export the tree again"):
        FlowImageReader(tmp_path / "tree")


def test_meb_gets_arrays_and_a_data_frame_of_the_same_rows(store: Path, tmp_path: Path) -> None:
    assert run(["export", str(store), "--to", "meb", "--out", str(tmp_path / "meb"), "--size", "32"]) == 0
    array = np.load(tmp_path / "meb/fake_uv_frames.npy")
    with (tmp_path / "meb/fake.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    exported = open_store(store)
    assert array.shape == (12, 3, 32, 32)
    assert array.dtype == np.float32
    assert len(rows) == 12
    np.testing.assert_array_equal(array[5], exported.motion(exported.rows[5], 32))
    assert [rows[5][name] for name in ("subject", "material", "clip")] == [
        getattr(exported.rows[5], name) for name in ("subject", "name", "clip")
    ]
    units = {(row["AU"], row["AU4"], row["AU12"]) for row in rows}
    assert units == {("AU4+L12", "1", "1"), ("10or11", "0", "0"), ("", "0", "0")}
    assert 'fake_optical_flow = "fake_uv_frames.npy"' in (tmp_path / "meb/dataset_config.py").read_text()


def test_questions_are_asked_of_what_the_release_tells(store: Path, tmp_path: Path) -> None:
    assert run(["export", str(store), "--to", "vqa", "--out", str(tmp_path / "vqa")]) == 0
    lines = [json.loads(line) for line in (tmp_path / "vqa/me_vqa_fake.jsonl").read_text().splitlines()]
    row = next(row for row in open_store(store).rows if row.action_units == ["AU4", "L12"])
    asked = {line["question"]: line["answer"] for line in lines if line["image_id"] == row.clip}
    assert asked == {
        "What is the coarse expression class?": row.label,
        "What is the fine-grained expression class?": row.emotion,
        "Is it a micro-expression or a macro-expression?": "micro-expression",
        "What are the action units?": "brow lowerer, lip corner puller",
        "How many action units are shown on the face?": "2",
    }
    assert all((store / line["video"]).is_dir() for line in lines)
    bare = replace(row, label=None, emotion="", kind=None, action_units=[])
    assert list(questions(bare)) == []


def test_units_are_numbers_where_they_are_certain() -> None:
    assert unit_numbers(["L4", "AU12", "LAU7", "B14A", "10or11", "4", "x"]) == (4, 7, 12, 14)
    assert [unit_words(text) for text in ("L4", "10or11", "99")] == [
        "brow lowerer",
        "upper lip raiser or nasolabial deepener",
        "AU99",
    ]


def test_exports_that_cannot_be_written_are_refused(store: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine").touch()
    exported = open_store(store)
    with pytest.raises(StoreError, match="is not an empty folder"):
        write_flow_images(exported, tmp_path / "full")
    with pytest.raises(ConfigError, match="has no view 'yaw\\+15'; it has source, yaw-45"):
        open_store(store, ("yaw+15",))
    alone = replace(exported, rows=tuple(row for row in exported.rows if row.subject == "s1"))
    with pytest.raises(ConfigError, match="of 1 subjects; leaving one out needs two"):
        write_flow_images(alone, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["full"]
