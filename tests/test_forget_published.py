"""A subject leaves a dataset that is verified, published, rebuilt: by the real way of a clip."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from factories import write_stand_in
from fake_build import tree_bytes
from photograph_build import PhotographStages, photograph_config
from test_publish_targets import Repository

from mvgen.building.build import build
from mvgen.cli import run
from mvgen.core.config import BuildConfig
from mvgen.core.errors import MvgenError, PublishError
from mvgen.core.settings import by_part
from mvgen.forget.store import forget
from mvgen.forget.tombstones import read_forgotten, write_forgotten
from mvgen.publish.forget import forget_published
from mvgen.publish.rebuild import rebuild, rebuild_config
from mvgen.publish.recipe import CARD, CROISSANT, MANIFEST, parse_manifest, read_recipe
from mvgen.publish.targets import hub
from mvgen.publish.targets.folder import Folder
from mvgen.publish.writing import plan_publishing
from mvgen.sources.marks import write_mark
from mvgen.store import layout
from mvgen.store.manifest import digest_of, read_table
from mvgen.verification import verify

pytestmark = pytest.mark.slow

REASON, WORDS = "consent was withdrawn", "Prof. X, letter of 3 May 2026, for project Y"


class Headless(PhotographStages):
    """The attention head names no clip, as the real one."""

    def fit_attention(self, observed: Sequence[str], config: BuildConfig) -> bytes:
        return digest_of(list(observed)).encode()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stand-in of CAS(ME)², its store, what is published of it, and the store that a test subject left."""
    folder = tmp_path_factory.mktemp("forget")
    write_stand_in(folder / "root", "casme2", subjects=3, clips=1, frames=3)
    write_mark(folder / "root", "CAS(ME)²")
    build(config(folder, folder / "out"), Headless(folder / "root"))
    for kind in ("parquet", "webdataset"):
        plan_publishing(folder / "out", str(folder / kind), pixels=True, kind=kind, permission=WORDS).write()
    shutil.copytree(folder / "out", folder / "left")
    forget(folder / "left", leaver(folder), REASON)
    return folder


def config(folder: Path, out: Path) -> BuildConfig:
    return photograph_config(folder / "root", out, angles="-20", test_share=0.34)


def leaver(built: Path) -> str:
    """A subject of the test split: the attention head never saw them."""
    return next(row.subject for row in read_table(built / "out" / layout.TABLE) if row.split == "test")


def clips_of(built: Path, subject: str) -> list[str]:
    return sorted({row.clip for row in read_table(built / "out" / layout.TABLE) if row.subject == subject})


def test_a_store_that_somebody_left_is_sound(built: Path) -> None:
    assert verify(built / "out").findings == ()
    assert verify(built / "left").findings == ()
    (clip,) = clips_of(built, leaver(built))
    assert not [
        path for path, content in tree_bytes(built / "left").items() if clip in path or clip.encode() in content
    ]


def test_the_page_is_written_anew_without_them(built: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(built / "out", tmp_path / "out"))
    (clip,) = clips_of(built, leaver(built))
    assert run(["report", str(out)]) == 0
    assert clip in (out / layout.REPORT).read_text()
    assert run(["forget", str(out), "--subject", leaver(built), "--reason", REASON]) == 0
    assert clip not in (out / layout.REPORT).read_text()
    shutil.rmtree(out / "report")
    assert tree_bytes(out) == tree_bytes(built / "left")


def test_verify_finds_what_was_brought_back(built: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(built / "left", tmp_path / "out"))
    (clip,) = clips_of(built, leaver(built))
    for path in (layout.geometry_path(clip), f"{layout.ANNOTATIONS}/notes.csv"):
        (out / path).write_bytes(b"theirs")
    (out / layout.FORGOTTEN).write_bytes((out / layout.FORGOTTEN).read_bytes().replace(b"consent", b"Consent"))
    found = {finding.file: finding.problem for finding in verify(out).findings}
    assert found[layout.FORGOTTEN] == "it was changed after the build"
    assert found[f"{layout.ANNOTATIONS}/notes.csv"] in (
        "it is of somebody who has left",
        "it is not part of the dataset",
    )
    (out / layout.FORGOTTEN).unlink()
    assert (layout.FORGOTTEN, "it is missing") in {(one.file, one.problem) for one in verify(out).findings}


def again(built: Path, recipe: Path, out: Path) -> Any:
    read, manifest = read_recipe(recipe)
    values = by_part({"root": built / "root", "out": out})
    return rebuild(read, manifest, rebuild_config(read, values), Headless(built / "root"))[1]


def test_a_recipe_of_it_is_rebuilt_without_them_from_a_source_that_has_them(built: Path, tmp_path: Path) -> None:
    plan_publishing(built / "left", str(tmp_path / "recipe"), pixels=False).write()
    recipe = tree_bytes(tmp_path / "recipe")
    (clip,) = clips_of(built, leaver(built))
    assert not [path for path, content in recipe.items() if clip.encode() in content]
    assert again(built, tmp_path / "recipe", tmp_path / "again").same
    assert tree_bytes(tmp_path / "again") == tree_bytes(built / "left")


def test_a_training_subject_who_left_is_not_looked_at_again_to_fit_the_head(built: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(built / "out", tmp_path / "out"))
    subject = next(row.subject for row in read_table(out / layout.TABLE) if row.split == "train")
    assert forget(out, subject, REASON).fitted
    plan_publishing(out, str(tmp_path / "recipe"), pixels=False).write()
    result = again(built, tmp_path / "recipe", tmp_path / "again")
    assert layout.ATTENTION in result.different
    assert not result.extra
    assert not result.missing
    # Built anew with the tombstone, the head never saw them, and that can be rebuilt byte for byte.
    write_forgotten(tmp_path / "new", read_forgotten(out))
    build(config(built, tmp_path / "new"), Headless(built / "root"))
    plan_publishing(tmp_path / "new", str(tmp_path / "recipe2"), pixels=False).write()
    assert again(built, tmp_path / "recipe2", tmp_path / "again2").same


@pytest.mark.parametrize("kind", ["parquet", "webdataset"])
def test_what_is_published_of_it_is_without_them_and_carries_the_tombstone(
    built: Path, tmp_path: Path, kind: Any
) -> None:
    plan_publishing(built / "left", str(tmp_path / kind), pixels=True, kind=kind, permission=WORDS).write()
    files = tree_bytes(tmp_path / kind)
    assert files[layout.FORGOTTEN] == (built / "left" / layout.FORGOTTEN).read_bytes()
    (clip,) = clips_of(built, leaver(built))
    assert not [path for path, content in files.items() if clip.encode() in content]
    assert run(["publish", str(built / "left"), "--to", str(tmp_path / kind), "--pixels", "--format", kind,
                "--i-have-permission", WORDS]) == 0  # fmt: skip
    assert tree_bytes(tmp_path / kind) == files


# A publication


def views_of(folder: Path) -> list[bytes]:
    """Files of views, in their order."""
    return [content for path, content in tree_bytes(folder).items() if path.startswith("data/")]


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("kind", ["parquet", "webdataset"])
def test_what_is_left_of_a_publication_is_what_the_store_would_publish(
    built: Path, tmp_path: Path, kind: Any, split: str
) -> None:
    place, out = Path(shutil.copytree(built / kind, tmp_path / "place")), tmp_path / "out"
    shutil.copytree(built / "out", out)
    subject = next(row.subject for row in read_table(out / layout.TABLE) if row.split == split)
    gone = forget_published(str(place), subject, REASON)
    forget(out, subject, REASON)
    plan_publishing(out, str(tmp_path / "wanted"), pixels=True, kind=kind, permission=WORDS).write()
    assert views_of(place) == views_of(tmp_path / "wanted")
    assert (place / layout.FORGOTTEN).read_bytes() == (tmp_path / "wanted" / layout.FORGOTTEN).read_bytes()
    assert (gone.clips, gone.split, gone.views) == (tuple(clips_of(built, subject)), split, 2)
    (clip,) = gone.clips
    assert not [path for path, what in tree_bytes(place).items() if clip.encode() in what]
    if kind == "parquet":
        assert not any(clip in pq.read_table(path)["clip"].to_pylist() for path in (place / "data").iterdir())
    # The card says the same of the people, and of who gave permission.
    card, wanted = ((folder / CARD).read_text() for folder in (place, tmp_path / "wanted"))
    assert card == wanted
    assert f"Subjects who have left this dataset since it was first made: 1. Reasons given: {REASON}" in card
    line = ["sha256sum", "--check", "--strict", "--quiet", MANIFEST]
    assert subprocess.run(line, cwd=place, check=False).returncode == 0
    before = tree_bytes(place)
    assert forget_published(str(place), subject, REASON).before
    assert tree_bytes(place) == before


def test_a_publication_is_looked_at_without_being_changed(built: Path, tmp_path: Path) -> None:
    place = Path(shutil.copytree(built / "parquet", tmp_path / "place"))
    before = tree_bytes(place)
    would = forget_published(str(place), leaver(built), REASON, dry_run=True)
    assert len(would.files) == 2  # every file of views has a new name
    with pytest.raises(PublishError, match="no subject '99'; the nearest are"):
        forget_published(str(place), "99", REASON)
    assert tree_bytes(place) == before


def test_nothing_of_a_folder_is_copied_elsewhere(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    assert forget_published(str(built / "parquet"), leaver(built), REASON, dry_run=True).files


def test_a_recipe_and_a_damaged_publication_are_refused(built: Path, tmp_path: Path) -> None:
    plan_publishing(built / "out", str(tmp_path / "recipe"), pixels=False).write()
    with pytest.raises(PublishError, match="is a recipe; forget the subject in its store"):
        forget_published(str(tmp_path / "recipe"), leaver(built), REASON)
    place = Path(shutil.copytree(built / "parquet", tmp_path / "place"))
    for name, text in ((CROISSANT, "{}"), (CROISSANT, "[1]"), (CROISSANT, '{"creator": 1}'), (layout.DATASET, "[1]")):
        whole = (place / name).read_bytes()
        (place / name).write_text(text)
        with pytest.raises(MvgenError, match="is damaged"):
            forget_published(str(place), leaver(built), REASON)
        (place / name).write_bytes(whole)
    next((place / "data").iterdir()).write_bytes(b"half")
    with pytest.raises(PublishError, match=r"is damaged: it is not what manifest-sha256\.txt lists"):
        forget_published(str(place), leaver(built), REASON)
    with pytest.raises(PublishError, match="no store and no publication"):
        forget_published(str(built / "root"), leaver(built), REASON)


def test_killed_between_any_two_files_of_a_publication_the_same_line_ends_it(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = Path(shutil.copytree(built / "parquet", tmp_path / "wanted"))
    subject = next(row.subject for row in read_table(built / "out" / layout.TABLE) if row.split == "train")
    forget_published(str(wanted), subject, REASON)
    for step in range(20):
        place = Path(shutil.copytree(built / "parquet", tmp_path / str(step)))
        calls = iter(range(100))
        killed = False
        with monkeypatch.context() as patch:
            for name in ("put", "remove"):
                patch.setattr(Folder, name, dying(getattr(Folder, name), calls, step))
            try:
                forget_published(str(place), subject, REASON)
            except KeyboardInterrupt:
                killed = True
        if not killed:
            break
        forget_published(str(place), subject, REASON)
        assert tree_bytes(place) == tree_bytes(wanted), step
    assert step > 5


def dying(real: Any, calls: Any, step: int) -> Any:
    def call(*arguments: Any) -> None:
        if next(calls) == step:
            raise KeyboardInterrupt
        real(*arguments)

    return call


def test_a_repository_on_the_hub_gets_a_new_revision(
    built: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    there = Repository(private=True, gated="manual")
    there.files |= tree_bytes(built / "parquet")
    monkeypatch.setattr(hub, "_api", lambda: there.api)
    (clip,) = clips_of(built, leaver(built))
    line = ["forget", "hf://datasets/me/mine", "--subject", leaver(built)]
    assert run(line) == 0
    assert "revisions" in capsys.readouterr().out
    assert there.commits[-2:] == [MANIFEST, "delete"]
    assert (there.private, there.gated) == (True, "manual")
    listed = parse_manifest(there.files[MANIFEST])
    assert set(listed) == set(there.files) - {MANIFEST, ".gitattributes"}
    assert not [name for name, content in there.files.items() if clip.encode() in content]
    assert run(line) == 0
    assert "has left already" in capsys.readouterr().out
