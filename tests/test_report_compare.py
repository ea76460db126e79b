"""The page of two stores side by side."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fake_build import FakeStages, list_clips, make_config, make_source, tree_bytes
from test_report import Elements, NastyStages, decoded

from mvgen.building.build import build
from mvgen.cli import run
from mvgen.core.errors import StoreError
from mvgen.report import compare, viewer
from mvgen.report.compare import write_comparison
from mvgen.sources.marks import write_mark
from mvgen.store import layout
from mvgen.store.frames import read_frame
from mvgen.store.manifest import read_table

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two builds of one source: other angles, threshold and seed, and a clip that only the first has."""
    folder = tmp_path_factory.mktemp("compare")
    root = make_source(folder / "root")
    build(make_config(root, folder / "before"), FakeStages(root))
    lost = frozenset({list_clips(root)[1].id})
    changed = make_config(root, folder / "after", angles="-45,0,30", attention_threshold=0.1, seed=3)
    build(changed, FakeStages(root, face=lost, version="2"))
    return folder / "before", folder / "after"


def page_of(stores: tuple[Path, Path], tmp_path: Path) -> str:
    write_comparison(*stores, tmp_path / "page.html")
    return (tmp_path / "page.html").read_text(encoding="utf-8")


def text_of(html: str) -> str:
    return " ".join(Elements(html).text.split())


def test_numbers_of_both_and_their_difference(stores: tuple[Path, Path], tmp_path: Path) -> None:
    text = text_of(page_of(stores, tmp_path))
    assert "5 clips are in both" in text
    assert "clips 6 5 −1" in text
    assert "failures 0 1 +1" in text
    assert "subjects 3 3 0" in text
    assert "is a stand-in" not in text
    common = [{(row.clip, row.yaw): row for row in read_table(store / layout.TABLE)} for store in stores]
    places = [place for place in common[0] if place in common[1] and place[1] is not None]
    assert {yaw for _, yaw in places} == {-45.0, 0.0}
    shares = [100 * float(np.median([rows[place].valid_fraction for place in places])) for rows in common]
    expected = f"Valid fraction, % {shares[0]:.1f} {shares[1]:.1f} {shares[1] - shares[0]:+.1f}".replace("-", "−")
    assert expected in text
    assert f"1 clip only in before {list_clips(stores[0].parent / 'root')[1].id}" in text


def test_settings_and_versions_that_differ_are_named_and_no_others(stores: tuple[Path, Path], tmp_path: Path) -> None:
    text = text_of(page_of(stores, tmp_path))
    assert "attention.threshold 0.6 0.1" in text
    assert "camera.angles -45.0, 0.0, 45.0 -45.0, 0.0, 30.0" in text
    assert "fake 1 2" in text
    assert "camera.size" not in text
    same = text_of(page_of((stores[0], stores[0]), tmp_path))
    assert "Nothing: source, settings, software and weights are the same." in same


def test_strips_show_both_stores_and_where_they_differ(stores: tuple[Path, Path], tmp_path: Path) -> None:
    images = [str(each["src"]) for each in Elements(page_of(stores, tmp_path)).named("img")]
    assert len(images) == 5 * 3
    tables = [{(row.clip, row.yaw): row for row in read_table(store / layout.TABLE)} for store in stores]
    clip = next(clip for clip, yaw in tables[0] if yaw is None)
    left, right, apart = (decoded(uri).astype(float) for uri in images[:3])
    assert left.shape == (128, 3 * 128, 3)  # the source and two angles that both have
    for column, yaw in enumerate((None, -45.0, 0.0)):
        cell = np.s_[:, 128 * column : 128 * column + 128]
        stored = []
        for strip, store, rows in zip((left, right), stores, tables, strict=True):
            row = rows[clip, yaw]
            stored.append(read_frame(store, row, row.apex_index).repeat(2, 0).repeat(2, 1).astype(float))
            assert np.abs(strip[cell] - stored[-1]).mean() < 20
        assert np.abs(apart[cell] - (np.abs(stored[0] - stored[1]) * 4).clip(0, 255)).mean() < 20


def test_the_page_loads_nothing_runs_nothing_and_leaves_the_stores(stores: tuple[Path, Path], tmp_path: Path) -> None:
    before = [tree_bytes(store) for store in stores]
    html = page_of(stores, tmp_path)
    elements = Elements(html)
    assert not elements.scripts
    policy = next(str(each["content"]) for each in elements.named("meta") if each.get("http-equiv"))
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    links = [value for _, attributes in elements.found for name, value in attributes.items() if name in ("src", "href")]
    assert all(str(link).startswith("data:") for link in links)
    assert [tree_bytes(store) for store in stores] == before
    assert page_of(stores, tmp_path) == html
    assert str(stores[0].parent) not in html


def test_markup_in_names_stays_text(tmp_path: Path) -> None:
    root = make_source(tmp_path / "root", subjects=2, clips=1)
    for name in ("<img src=x>", "other"):
        build(make_config(root, tmp_path / name), NastyStages(root))
    write_mark(tmp_path / "other" / layout.ANNOTATIONS, "a release")
    elements = Elements(page_of((tmp_path / "<img src=x>", tmp_path / "other"), tmp_path))
    assert "other is a stand-in." in elements.text
    assert not elements.scripts
    assert all(str(each["src"]).startswith("data:") for each in elements.named("img"))
    assert not [name for _, attributes in elements.found for name in attributes if name.startswith("on")]


def test_many_clips_are_sampled(stores: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viewer.choose_clips, "__defaults__", (2,))
    monkeypatch.setattr(compare, "MAX_LINES", 3)
    html = page_of(stores, tmp_path)
    assert len(Elements(html).named("img")) == 2 * 3
    assert "A sample: 2 of 5 clips" in text_of(html)
    assert "2 more are in the stores." in text_of(html)


def test_stores_of_one_name_are_told_apart_and_of_one_source(
    stores: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, store in zip(("old", "new"), stores, strict=True):
        shutil.copytree(store, tmp_path / name / "out")
    line = ["report", "--compare", str(tmp_path / "old/out"), str(tmp_path / "new/out"), "--out"]
    assert run([*line, str(tmp_path / "page.html")]) == 0
    assert re.search(r"<h1>old/out and new/out</h1>", (tmp_path / "page.html").read_text(encoding="utf-8"))
    assert run([*line, str(tmp_path / "page.txt")]) == 2
    assert "ends in .html" in capsys.readouterr().err
    assert run(["report", str(stores[0]), "--out", str(tmp_path / "page.html")]) == 2
    assert "--out goes with --compare" in capsys.readouterr().err
    root = make_source(tmp_path / "root", subjects=4, clips=1)
    few = [clip for clip in list_clips(root) if clip.subject == "s4"]
    stages = FakeStages(root, face=frozenset(clip.id for clip in list_clips(root)) - {few[0].id})
    build(make_config(root, tmp_path / "third"), stages)
    with pytest.raises(StoreError, match="no clip in common"):
        write_comparison(stores[0], tmp_path / "third", tmp_path / "page.html")


def test_an_unknown_number_is_a_dash(
    stores: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(path: Path) -> list[object]:
        return [replace(row, head_pixels=float("nan")) for row in read_table(path)]

    monkeypatch.setattr(compare, "read_table", unknown)
    assert "Head motion, px – – –" in text_of(page_of(stores, tmp_path))
