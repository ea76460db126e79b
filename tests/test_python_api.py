"""What `import mvgen` offers: the commands as functions, a store as a table, clips in batches."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from factories import astronaut, known_tools
from fake_build import FakeStages, make_config, make_source
from torch.utils.data import DataLoader

import mvgen
from mvgen.api import calls
from mvgen.building import build as building
from mvgen.core.errors import ConfigError, MissingPartError, StoreError
from mvgen.dataset.batches import around_apex
from mvgen.dataset.items import ViewItem


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two subjects with a clip each, of 4 frames and of 6."""
    folder = tmp_path_factory.mktemp("api")
    root = make_source(folder / "root", subjects=2, clips=1)
    for number in (12, 13):
        first = root / "pics/s2/clip1/img8.jpg"
        (first.parent / f"img{number}.jpg").write_bytes(first.read_bytes())
    config = make_config(root, folder / "out")
    building.build(config, FakeStages(root))
    return folder / "out"


def test_every_name_that_is_offered_is_there_and_explained() -> None:
    assert set(mvgen.__all__) <= set(dir(mvgen))
    for name in mvgen.__all__:
        assert name == "__version__" or getattr(mvgen, name).__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'bulid'"):
        _ = mvgen.bulid


def test_the_functions_stay_functions_when_the_rooms_are_loaded() -> None:
    import mvgen.building.build
    import mvgen.verification

    assert callable(mvgen.build)
    assert callable(mvgen.verify)


def test_a_build_takes_the_flags_of_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_source(tmp_path / "root")
    monkeypatch.setattr(building, "_real_stages", lambda: FakeStages(root))
    summary = mvgen.build(dataset="fake", root=root, out=tmp_path / "out", angles=(0, 30), seed=3, quiet=True)
    assert (summary.clips, summary.views) == (6, 18)
    assert capsys.readouterr() == ("", "")
    assert mvgen.open_dataset(summary.out).about["config"]["split"]["seed"] == 3
    settings = mvgen.BuildConfig().changed(source={"dataset": "fake", "root": root})
    other = mvgen.build(settings, out=tmp_path / "other", angles="0,30", seed=3)
    assert (other.out / "clips.parquet").read_bytes() == (summary.out / "clips.parquet").read_bytes()
    assert "6 of 6 clips" in capsys.readouterr().err
    (only,) = mvgen.verify(summary.out, sample=0).findings
    assert "fake" in only.problem  # which is no dataset that verify knows


def test_an_unknown_setting_of_a_call_gets_a_hint() -> None:
    with pytest.raises(ConfigError, match="unknown setting 'angels'; did you mean 'angles'"):
        mvgen.build(angels="0")


def test_a_photograph_is_reconstructed_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "_tools", lambda config: known_tools())
    face = mvgen.reconstruct(astronaut(), angles="-15,15", size=96)
    assert [view.yaw for view in face.views] == [-15, 15]
    assert face.depth.shape == face.valid.shape == (96, 96)
    assert 20 < np.nanmax(face.depth) - np.nanmin(face.depth) < 96  # pixels: a head is as deep as its eyes are apart
    assert face._repr_png_().startswith(b"\x89PNG")
    assert repr(face) == "<PhotographedFace of 96 pixels, views at yaw -15, 15 degrees>"
    with pytest.raises(ConfigError, match="uint8 RGB"):
        mvgen.reconstruct(np.zeros((9, 9)), size=96)


def test_a_table_opens_without_torch(store: Path) -> None:
    code = (
        "import sys, mvgen\n"
        f"table = mvgen.open_table({str(store)!r}, views='source')\n"
        "row = table[0]\n"
        "print(len(table), table.frames(row).shape, table.maps(row).flow.frames.shape)\n"
        "print(table.signals(row).actions.shape)\n"
        "assert not {'torch', 'open3d', 'transformers'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("2 (4, 64, 64, 3) (3, 64, 64, 2)\n(4, ")


def test_a_table_is_a_sequence_of_rows(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = mvgen.open_table(store)
    assert table.to_arrow().num_rows == len(table) == 8
    assert [row.view for row in table[:2]] == ["source", "yaw-45"]
    assert list(table.to_pandas()["view"][:2]) == ["source", "yaw-45"]
    assert repr(table).startswith("<ViewTable of ")
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingPartError, match="pip install pandas"):
        table.to_pandas()


def test_a_dataset_shows_itself(store: Path) -> None:
    dataset = mvgen.open_dataset(store)
    assert "2 clips, 2 subjects, 8 views: source, yaw-45" in repr(dataset)
    assert dataset._repr_html_().count("<img ") == 4
    assert "2 clips" in repr(mvgen.open_dataset(store, yaw=0))


def test_clips_of_different_length_make_a_batch(store: Path) -> None:
    dataset = mvgen.open_dataset(store, views="source")
    (batch,) = DataLoader(dataset, batch_size=2, collate_fn=mvgen.collate)
    assert batch["clip"].shape == (2, 6, 3, 64, 64)
    assert batch["clip"].dtype == torch.uint8
    assert batch["flow"].shape == (2, 5, 2, 64, 64)
    assert batch["length"].tolist() == [4, 6]
    assert batch["subject"] == ["1", "2"]
    assert not batch["flow"][0, 3:].any()
    torch.testing.assert_close(batch["clip"][0, 5], batch["clip"][0, 3])
    torch.testing.assert_close(batch["signals"]["actions"][1], dataset[1]["signals"]["actions"])
    (still,) = DataLoader(mvgen.open_dataset(store, views="source", flow=False), 2, collate_fn=mvgen.collate)
    assert still["flow"].shape == (2, 0, 2, 64, 64)


def test_pictures_of_different_size_are_refused_in_a_batch(store: Path) -> None:
    item = mvgen.open_dataset(store)[0]
    small: ViewItem = {**item, "depth": item["depth"][:32, :32]}
    with pytest.raises(StoreError, match="batch_size=None"):
        mvgen.collate([item, small])


@pytest.mark.parametrize(("frames", "first", "own"), [(3, 2, 3), (6, 0, 6), (9, 0, 6)])
def test_a_window_of_frames_holds_the_apex(store: Path, frames: int, first: int, own: int) -> None:
    whole = mvgen.open_dataset(store, views="source")[1]
    assert (whole["apex"], whole["length"]) == (3, 6)
    part = mvgen.open_dataset(store, views="source", frames=frames)[1]
    assert len(part["clip"]) == len(part["flow"]) + 1 == len(part["signals"]["head"]) == frames
    assert part["length"] == own
    torch.testing.assert_close(part["clip"][part["apex"]], whole["clip"][3])
    torch.testing.assert_close(part["flow"][: own - 1], whole["flow"][first : first + own - 1])
    assert not part["flow"][own - 1 :].any()
    with pytest.raises(StoreError, match="2 frames or more"):
        around_apex(whole, 1)


def test_a_transform_is_applied_when_an_item_is_read(store: Path) -> None:
    dataset = mvgen.open_dataset(store, frames=3, transform=lambda item: item["clip"].float() / 255)
    assert dataset[0].shape == (3, 3, 64, 64)
