"""A subject leaves a dataset that is verified, published, rebuilt: by the real way of a clip."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from factories import write_stand_in
from fake_build import tree_bytes
from photograph_build import PhotographStages, photograph_config

from mvgen.build.build import build
from mvgen.cli import run
from mvgen.core.config import BuildConfig
from mvgen.core.settings import by_part
from mvgen.forget.store import forget
from mvgen.publish.rebuild import rebuild, rebuild_config
from mvgen.publish.recipe import read_recipe
from mvgen.publish.writing import plan_publishing
from mvgen.sources.marks import write_mark
from mvgen.store import layout
from mvgen.store.forgotten import read_forgotten, write_forgotten
from mvgen.store.manifest import digest_of, read_table
from mvgen.verify import verify

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


def test_verify_finds_what_was_brought_back(built: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(built / "left", tmp_path / "out"))
    (clip,) = clips_of(built, leaver(built))
    for path in (layout.geometry_path(clip), f"{layout.ANNOTATIONS}/notes.csv"):
        (out / path).write_bytes(b"theirs")
    (out / layout.FORGOTTEN).write_bytes((out / layout.FORGOTTEN).read_bytes().replace(b"consent", b"Consent"))
    found = {finding.file: finding.problem for finding in verify(out).findings}
    assert found[layout.FORGOTTEN] == "its bytes are not those that were built"
    assert found[f"{layout.ANNOTATIONS}/notes.csv"] in ("it is of somebody who has left", "no part of the dataset")
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
