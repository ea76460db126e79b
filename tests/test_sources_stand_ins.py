"""A stand-in is called one wherever anybody looks, in every layout."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from factories import write_frames, write_stand_in
from reading_build import ReadingStages

from mvgen.building.build import build
from mvgen.cli import run
from mvgen.core.config import BuildConfig
from mvgen.publish.recipe import CARD
from mvgen.publish.writing import recipe_files
from mvgen.report.page import write_report
from mvgen.sources import get_source
from mvgen.sources.marks import MARK, write_mark
from mvgen.store import layout
from mvgen.store.about import read_about
from mvgen.synth.releases import LAYOUTS
from mvgen.verification import verify

pytestmark = pytest.mark.slow


def build_release(folder: Path, release: str, marked: bool) -> Path:
    """The store of a small release: a stand-in, or what might be the real one."""
    root, out = folder / "root", folder / "out"
    write_stand_in(root, release, subjects=1, clips=3, frames=4)
    if marked:
        write_mark(root, get_source(release).title)
    config = BuildConfig(
        source={"dataset": release, "root": root}, camera={"angles": (0.0,), "size": 64}, run={"out": out}
    )
    build(config, ReadingStages(root))
    return out


@pytest.mark.parametrize("marked", [True, False])
@pytest.mark.parametrize("release", ["casme2", "casme-ii", "smic", "samm"])
def test_all_outputs_of_a_stand_in_state_it(
    tmp_path: Path, release: str, marked: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    out = build_release(tmp_path, release, marked)
    assert read_about(out)["source"]["version"].endswith("; a stand-in") == marked
    assert (MARK in {path.name for path in (out / layout.ANNOTATIONS).glob("*")}) == marked
    card = recipe_files(out, read_about(out), None)[CARD].decode()
    said = [card, write_report(out).read_text(encoding="utf-8").partition("</h1>")[0]]
    assert run(["verify", str(out), "--sample", "0"]) == 0
    said.append(capsys.readouterr().out)
    assert run(["datasets", release, "--root", str(tmp_path / "root")]) == 0
    said.append(capsys.readouterr().out)
    assert [text.count(">stand-in<") + text.count(" a stand-in") > 0 for text in said] == [marked] * len(said)


@pytest.mark.parametrize("release", LAYOUTS.built_in)
def test_a_view_of_its_store_is_still_a_stand_in(tmp_path: Path, release: str) -> None:
    out = build_release(tmp_path, release, marked=True)
    listing = get_source(release).read(out / "views" / "source")
    assert listing.version.endswith("; a stand-in")
    assert listing.annotation_files[-1] == out.resolve() / layout.ANNOTATIONS / MARK
    assert len(listing.clips) == 3


@pytest.mark.parametrize("given", ["folder", "workbook"])
def test_a_mark_beside_the_annotations_counts(tmp_path: Path, given: str) -> None:
    write_stand_in(tmp_path / "root", "samm", subjects=1, clips=3)
    book = (tmp_path / "root/SAMM_Micro_FACS_Codes_v2.xlsx").rename(tmp_path / "SAMM_Micro_FACS_Codes_v2.xlsx")
    write_mark(tmp_path, "SAMM")
    annotations = tmp_path if given == "folder" else book
    listing = get_source("samm").read(tmp_path / "root", annotations=annotations)
    assert listing.annotation_files == (book, tmp_path / MARK)


def test_a_demonstration_of_a_stand_in_is_one(tmp_path: Path) -> None:
    write_stand_in(tmp_path / "casme2", "casme2", subjects=1, clips=3)
    write_mark(tmp_path / "casme2", "CAS(ME)²")
    write_frames(tmp_path / "astronaut", [f"img{number}.jpg" for number in range(1, 3)])
    listing = get_source("demo").read(tmp_path)
    assert listing.version == "CAS(ME)^2code_final.xlsx, raw frames; a stand-in; a photograph"
    assert [path.name for path in listing.annotation_files] == ["CAS(ME)^2code_final.xlsx", MARK]


def test_a_missing_mark_of_a_stand_in_is_found(tmp_path: Path) -> None:
    out = build_release(tmp_path, "smic", marked=True)
    (out / layout.ANNOTATIONS / MARK).unlink()
    (finding,) = verify(out, sample=0).findings
    assert (finding.file, finding.problem) == (f"{layout.ANNOTATIONS}/{MARK}", "it is missing")
    assert f"{layout.ANNOTATIONS}/{MARK}" in json.loads((out / layout.DATASET).read_text())["files"]
