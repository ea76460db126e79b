from __future__ import annotations

import io
import os
import shutil
from pathlib import Path

import pytest
from fake_build import FakeStages, list_clips, make_config, make_source, tree_bytes

from mvgen import open_dataset
from mvgen.building.build import build
from mvgen.cli import run
from mvgen.core.errors import ConfigError, StoreError
from mvgen.sources.base import ClipFailure
from mvgen.store import layout
from mvgen.store.manifest import read_table
from mvgen.store.refine import refine
from mvgen.store.state import begin

pytestmark = pytest.mark.slow

# The fake views see 0.25 of the attention at 45 degrees, 0.75 at 15 degrees.
ANGLES = "-45,-15,15,45"


def stages(root: Path) -> FakeStages:
    """One clip without a face, and one that the source itself gives up."""
    lost = ClipFailure("pics__s9__none", "no frames in the folder", root / "pics/s9/none")
    return FakeStages(root, face=frozenset({list_clips(root)[1].id}), failures=(lost,))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a source and the stores that builds at 0.2, 0.6 and 0.9 make of it."""
    folder = tmp_path_factory.mktemp("refine")
    root = make_source(folder / "root", subjects=3)
    for threshold in (0.2, 0.6, 0.9):
        build(config(folder, folder / str(threshold), threshold), stages(root))
    return folder


def config(folder: Path, out: Path, threshold: float):  # type: ignore[no-untyped-def]
    return make_config(folder / "root", out, angles=ANGLES, attention_threshold=threshold)


@pytest.fixture
def store(built: Path, tmp_path: Path) -> Path:
    """A store at 0.6 to change."""
    shutil.copytree(built / "0.6", tmp_path / "out")
    return tmp_path / "out"


@pytest.mark.parametrize("threshold", [0.2, 0.9])
def test_a_refined_store_is_the_store_of_that_threshold(built: Path, store: Path, threshold: float) -> None:
    assert tree_bytes(store) != tree_bytes(built / str(threshold))
    refine(store, threshold)
    assert tree_bytes(store) == tree_bytes(built / str(threshold))


def test_refining_back_and_forth_changes_nothing(built: Path, store: Path) -> None:
    for threshold in (0.9, 0.2, 0.6, 0.6):
        refine(store, threshold)
    assert tree_bytes(store) == tree_bytes(built / "0.6")


def test_the_change_is_told_per_view(store: Path) -> None:
    change = refine(store, 0.9)
    training = len({row.clip for row in read_table(store / layout.TABLE) if row.split == "train"})
    assert (change.before, change.after) == (0.6, 0.9)
    assert [(each.view, each.clips, each.before, each.after) for each in change.views] == [
        ("source", training, training, training),
        ("yaw-45", training, 0, 0),
        ("yaw-15", training, training, 0),
        ("yaw+15", training, training, 0),
        ("yaw+45", training, 0, 0),
    ]
    assert not any(row.kept for row in open_dataset(store, split="train", views="sweep").rows)
    assert all(row.kept for row in open_dataset(store, split="test").rows)


class KilledError(BaseException):
    """Stands for the end of the process."""


def refine_until(step: int, out: Path, threshold: float, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Refine, and die at the given file operation; whether it came to that."""
    real, calls = os.replace, iter(range(1000))

    def replace(before: Path, after: Path) -> None:
        if next(calls) == step:
            raise KilledError
        real(before, after)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", replace)
        try:
            refine(out, threshold)
        except KilledError:
            return True
    return False


def test_killed_between_any_two_files_the_same_line_mends_it(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted, before = tree_bytes(built / "0.9"), tree_bytes(built / "0.6")
    step = 0
    while True:
        out = tmp_path / str(step)
        shutil.copytree(built / "0.6", out)
        if not refine_until(step, out, 0.9, monkeypatch):
            break
        if step:
            with pytest.raises(StoreError, match="run `mvgen refine` again"):
                open_dataset(out)
        else:
            assert tree_bytes(out) == before
        refine(out, 0.9)
        assert tree_bytes(out) == wanted, step
        step += 1
    assert step > 8  # the marker of every clip, and the files that describe the whole


def test_killed_between_any_two_files_a_build_mends_it_too(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = built / "root"
    for step in range(1, 10, 2):
        out = tmp_path / str(step)
        shutil.copytree(built / "0.6", out)
        assert refine_until(step, out, 0.9, monkeypatch)
        threshold = 0.6 if step == 1 else 0.9  # what .build.json says by then
        build(config(built, out, threshold), stages(root))
        assert tree_bytes(out) == tree_bytes(built / str(threshold)), step


def test_a_build_goes_on_with_the_new_threshold(built: Path, store: Path) -> None:
    refine(store, 0.9)
    assert build(config(built, store, 0.9), stages(built / "root")).nothing_to_do
    (store / layout.DATASET).unlink()
    (store / layout.marker_path(list_clips(built / "root")[3].id)).unlink()
    build(config(built, store, 0.9), stages(built / "root"))
    assert tree_bytes(store) == tree_bytes(built / "0.9")


def test_a_build_with_another_threshold_names_the_way_without_a_rebuild(built: Path, store: Path) -> None:
    with pytest.raises(StoreError, match=r"mvgen refine .*out --threshold 0\.9"):
        build(config(built, store, 0.9), stages(built / "root"))


def test_a_store_without_markers_is_refined_too(built: Path, store: Path) -> None:
    shutil.rmtree(store / layout.DONE)
    (store / layout.BUILD).unlink()
    refine(store, 0.2)
    wanted = {name: content for name, content in tree_bytes(built / "0.2").items() if not name.startswith(".")}
    assert tree_bytes(store) == wanted


def test_bad_input_is_refused_and_writes_nothing(store: Path, tmp_path: Path) -> None:
    before = tree_bytes(store)
    for threshold in (-0.1, 1.5, float("nan")):
        with pytest.raises(ConfigError, match="between 0 and 1"):
            refine(store, threshold)
    assert tree_bytes(store) == before
    with pytest.raises(StoreError, match="no mvgen dataset"):
        refine(tmp_path / "nowhere", 0.5)
    assert not (tmp_path / "nowhere").exists()
    begin(tmp_path / "begun", {})
    with pytest.raises(StoreError, match="unfinished build"):
        refine(tmp_path / "begun", 0.5)


def test_the_command_prints_what_changed(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["refine", str(store), "--threshold", "0.2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert " ".join(lines[0].split()) == "view training clips kept at 0.6 kept at 0.2"
    words = [line.split() for line in lines]
    assert ["yaw-45", "3", "0", "3"] in words
    assert ["all", "15", "9", "15"] in words
    assert run(["refine", str(store), "--threshold", "0.2"]) == 0
    assert "nothing changed" in capsys.readouterr().out
    assert run(["refine", str(store / "views"), "--threshold", "0.2"]) == 2
    assert "no mvgen dataset" in capsys.readouterr().err
    assert run(["refine", str(store)]) == 2
    assert "--threshold" in capsys.readouterr().err


def test_the_contact_sheet_follows(built: Path, store: Path) -> None:
    from PIL import Image

    refine(store, 0.2)
    sheets = [Image.open(io.BytesIO((folder / layout.SHEET).read_bytes())) for folder in (store, built / "0.6")]
    assert sheets[0].size == sheets[1].size
    assert sheets[0].tobytes() != sheets[1].tobytes()
