"""Publishing a recipe of a dataset that may not be passed on, and building the dataset again from it."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from factories import write_stand_in
from fake_build import tree_bytes
from hypothesis import given
from hypothesis import strategies as st
from photograph_build import PhotographStages, photograph_config

import mvgen.building.build
from mvgen.building.build import Summary, build
from mvgen.cli import run
from mvgen.core.config import canonical_json
from mvgen.core.errors import ConfigError, LicenceError, PublishError, RecipeError, StoreError
from mvgen.core.settings import by_part
from mvgen.publish.licence import terms_of
from mvgen.publish.rebuild import Comparison, rebuild, rebuild_config
from mvgen.publish.recipe import CARD, MANIFEST, RECIPE, manifest_bytes, parse_manifest, read_recipe
from mvgen.publish.writing import plan_publishing, recipe_files
from mvgen.store import layout
from mvgen.store.about import read_about
from mvgen.store.manifest import read_table

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a stand-in of CAS(ME)², its store and its recipe."""
    folder = tmp_path_factory.mktemp("recipe")
    write_stand_in(folder / "root", "casme2", subjects=2, clips=1, frames=4)
    # One of the clips cannot be built, neither originally nor in a rebuild.
    frames = sorted((folder / "root").rglob("*.jpg"))
    frames[-1].write_bytes(b"")
    config = photograph_config(folder / "root", folder / "out", angles="-20,20", test_share=0.5)
    build(config, Frames(folder / "root"))
    plan_publishing(folder / "out", str(folder / "recipe")).write()
    return folder


class Frames(PhotographStages):
    """Reads the frames, so that a broken one is a failure, as the real stages do."""

    def builder(self, config: Any, attention: Path) -> Any:
        from mvgen.sources.frames import read_frames

        build_one = super().builder(config, attention)
        return lambda clip, clock: (read_frames(clip), build_one(clip, clock))[1]


@pytest.fixture
def recipe(built: Path, tmp_path: Path) -> Path:
    """A copy of the recipe to change."""
    return Path(shutil.copytree(built / "recipe", tmp_path / "recipe"))


def again(recipe: Path, root: Path, out: Path, stages: Frames | None = None, **given: Any) -> Comparison:
    read, manifest = read_recipe(recipe)
    config = rebuild_config(read, by_part({"root": root, "out": out, **given}))
    result: tuple[Summary, Comparison] = rebuild(read, manifest, config, stages or Frames(root))
    return result[1]


def test_the_recipe_of_a_forbidden_source_holds_no_pixel(built: Path) -> None:
    assert sorted(path.name for path in (built / "recipe").rglob("*")) == sorted([CARD, MANIFEST, RECIPE])
    read, manifest = read_recipe(built / "recipe")
    about = read_about(built / "out")
    assert (read.config, read.counts, read.weights) == (about["config"], about["counts"], about["weights"])
    assert read.source.redistribution == "forbidden"
    assert len(read.source.clips) == 2
    assert read.metrics["failures"] == {"source": 1}
    assert set(read.metrics["views"]) == {"source", "yaw-20", "yaw+20"}
    files = {path for path in tree_bytes(built / "out") if not path.startswith(".")}
    assert set(manifest) == files
    assert read.result.files == len(files)


def test_the_manifest_is_what_sha256sum_checks(built: Path) -> None:
    line = ["sha256sum", "--check", "--strict", "--quiet", str(built / "recipe" / MANIFEST)]
    assert subprocess.run(line, cwd=built / "out", check=False).returncode == 0


def test_the_card_states_the_terms_and_how_to_rebuild(built: Path) -> None:
    card = (built / "recipe" / CARD).read_text()
    front = yaml.safe_load(card.split("---")[1])
    assert front["license_name"] == "cas-me-release-agreement-research-only-no-redistribution"
    assert front["license_link"] == "http://casme.psych.ac.cn"
    assert front["source_datasets"] == ["casme2"]
    assert "mvgen rebuild THIS_FOLDER --root" in card
    assert "| yaw-20 | 1 |" in card
    assert "source 1" in card
    assert str(built) not in card + (built / "recipe" / RECIPE).read_text()


def test_text_of_a_source_is_escaped_in_the_card(built: Path) -> None:
    about = read_about(built / "out")
    about["source"] |= {"version": "<script>alert(1)</script>|[x](y)", "title": "*a*\n---"}
    card = recipe_files(built / "out", about, "by `me` <b>")[CARD].decode()
    body = card.split("\n---\n", 1)[1]
    assert "<script>" not in body
    assert "\\[x\\](y)" in body
    assert "by \\`me\\` &lt;b&gt;" in body
    assert yaml.safe_load(card.split("\n---\n")[0])["pretty_name"] == "Recipe of a multi-view *a*\n---"


def test_publishing_again_gives_the_same_bytes(built: Path, recipe: Path) -> None:
    before = tree_bytes(recipe)
    plan_publishing(built / "out", str(recipe)).write()
    assert tree_bytes(recipe) == before


def test_a_rebuild_gives_every_byte_again(built: Path, tmp_path: Path) -> None:
    shutil.copytree(built / "root", tmp_path / "elsewhere")
    result = again(built / "recipe", tmp_path / "elsewhere", tmp_path / "out")
    assert result.same
    assert len(result.equal) == len(read_recipe(built / "recipe")[1])
    assert tree_bytes(tmp_path / "out") == tree_bytes(built / "out")
    # Done already: compared again.
    (tmp_path / "out" / "failures.jsonl").write_text("")
    (tmp_path / "out" / layout.SHEET).unlink()
    (tmp_path / "out" / "more.txt").write_text("")
    result = again(built / "recipe", tmp_path / "elsewhere", tmp_path / "out")
    assert (result.different, result.missing, result.extra) == (*(("failures.jsonl",), (layout.SHEET,), ("more.txt",)),)


def test_other_software_is_reported(built: Path, tmp_path: Path) -> None:
    result = again(built / "recipe", built / "root", tmp_path / "out", Frames(built / "root", version="2"))
    assert result.software == ("fake 1 in recipe, 2 here",)
    assert result.different == (layout.DATASET,)
    assert not result.same


def test_other_sources_are_refused_by_name_before_anything_is_written(built: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(built / "root", root)
    clip = next(iter(read_recipe(built / "recipe")[0].source.clips))
    frame = next((root / clip.replace("__", "/")).glob("*.jpg"))
    frame.write_bytes(frame.read_bytes() + b"0")
    with pytest.raises(RecipeError, match=rf"the source is not that of the recipe(.|\n)*clip {clip}: changed"):
        again(built / "recipe", root, tmp_path / "out")
    shutil.rmtree(frame.parent)
    with pytest.raises(RecipeError, match=rf"clip {clip}: missing here"):
        again(built / "recipe", root, tmp_path / "out")
    shutil.rmtree(root)
    write_stand_in(root, "casme2", subjects=2, clips=2, frames=4)
    with pytest.raises(RecipeError, match=r"annotations CAS\(ME\)\^2code_final.xlsx: changed"):
        again(built / "recipe", root, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_other_weights_are_refused_by_name_before_anything_is_written(
    built: Path, recipe: Path, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match=rf"depth: {'0' * 64} in the recipe, {'1' * 64} here"):
        again(recipe, built / "root", tmp_path / "out", Frames(built / "root", depth="1" * 64))
    mine = tmp_path / "mine.safetensors"
    mine.write_bytes(b"weights")
    with pytest.raises(RecipeError, match="made without --weights; leave it out"):
        again(recipe, built / "root", tmp_path / "out", weights=mine)
    values = json.loads((recipe / RECIPE).read_text())
    values["config"]["geometry"]["weights"] = "2" * 64
    (recipe / RECIPE).write_text(canonical_json(values))
    with pytest.raises(RecipeError, match=rf"with --weights of sha256 {'2' * 64}; give that file"):
        again(recipe, built / "root", tmp_path / "out")
    with pytest.raises(RecipeError, match=rf"mine.safetensors has sha256 .*, the recipe's have {'2' * 64}"):
        again(recipe, built / "root", tmp_path / "out", weights=mine)
    with pytest.raises(ConfigError, match=r"nowhere.safetensors does not exist"):
        again(recipe, built / "root", tmp_path / "out", weights=tmp_path / "nowhere.safetensors")
    assert not (tmp_path / "out").exists()


def test_custom_weights_are_identified_by_their_digest(built: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.safetensors"
    mine.write_bytes(b"weights")
    config = photograph_config(built / "root", tmp_path / "out", angles="20", limit=1, weights=mine)
    build(config, Frames(built / "root"))
    plan_publishing(tmp_path / "out", str(tmp_path / "recipe")).write()
    moved = mine.rename(tmp_path / "the same.safetensors")
    assert again(tmp_path / "recipe", built / "root", tmp_path / "again", weights=moved).same


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"config": {"run": {"out": "/tmp/elsewhere"}}}, "does not know: run.out"),
        ({"config": {"camera": {"size": -5}}}, "camera.size"),
        ({"config": {"camera": {"sise": 5}}}, "does not know: camera.sise"),
        ({"software": {"device": "abacus"}}, "device"),
    ],
)
def test_unusable_settings_of_a_recipe_are_refused(
    built: Path, recipe: Path, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    values = json.loads((recipe / RECIPE).read_text())
    for part, entries in change.items():
        values[part] |= entries
    (recipe / RECIPE).write_text(canonical_json(values))
    with pytest.raises((RecipeError, ConfigError), match=message):
        again(recipe, built / "root", tmp_path / "out")


def test_damaged_recipes_are_refused(recipe: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"it has no recipe\.json"):
        read_recipe(tmp_path)
    whole = (recipe / RECIPE).read_text()
    for text, message in (
        ("{", "damaged"),
        (whole.replace('"schema_version": 2', '"schema_version": 1'), "schema_version"),
        (whole.replace('"files":', '"flies":'), "result"),
        ("[]", "damaged"),
        ("[" * 100_000, "damaged: its brackets nest too deep"),
    ):
        (recipe / RECIPE).write_text(text)
        with pytest.raises(RecipeError, match=message):
            read_recipe(recipe)
    (recipe / RECIPE).write_text(whole)
    assert read_recipe(recipe / RECIPE) == read_recipe(recipe)
    (recipe / MANIFEST).write_text("")
    with pytest.raises(RecipeError, match=r"is not the manifest that recipe\.json names"):
        read_recipe(recipe)
    (recipe / MANIFEST).unlink()
    with pytest.raises(RecipeError, match="cannot be read"):
        read_recipe(recipe)


@given(st.dictionaries(st.text(min_size=1).filter(lambda name: "\0" not in name), st.just("0123456789abcdef" * 4)))
def test_a_manifest_is_read_back_unchanged(digests: dict[str, str]) -> None:
    safe = {f"a{path}".replace("..", ""): digest for path, digest in digests.items()}
    safe = {path: digest for path, digest in safe.items() if path.isprintable() or "\n" in path or "\r" in path}
    safe = {path: digest for path, digest in safe.items() if path.encode(errors="ignore").decode() == path}
    assert parse_manifest(manifest_bytes(safe)) == safe


@pytest.mark.parametrize("line", ["../x", "/etc/passwd", "a/../../x"])
def test_a_manifest_with_paths_outside_is_refused(line: str) -> None:
    with pytest.raises(RecipeError, match="outside the dataset"):
        parse_manifest(manifest_bytes({line: "0" * 64}))
    with pytest.raises(RecipeError, match="not a digest and a path"):
        parse_manifest(b"0 x\n")


# Terms and targets


def test_pixels_of_a_forbidden_source_are_refused_without_a_permission(built: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    with pytest.raises(LicenceError, match=r"CAS\(ME\)² and data .* may not be passed on.*--i-have-permission"):
        plan_publishing(built / "out", str(target), pixels=True)
    with pytest.raises(LicenceError, match="is empty"):
        plan_publishing(built / "out", str(target), pixels=True, permission="  ")
    assert not target.exists()


def test_a_permission_is_recorded(built: Path, tmp_path: Path) -> None:
    words = "Prof. X, letter of 3 May 2026, for project Y"
    plan_publishing(built / "out", str(tmp_path / "target"), permission=f" {words} ").write()
    assert read_recipe(tmp_path / "target")[0].permission == words
    assert words in (tmp_path / "target" / CARD).read_text()


def test_the_stricter_terms_count() -> None:
    assert terms_of({"name": "casme2", "redistribution": "open"}) == "forbidden"
    assert terms_of({"name": "folder", "redistribution": "forbidden"}) == "forbidden"
    assert terms_of({"name": "demo", "redistribution": "open"}) == "open"
    assert terms_of({"name": "mine", "redistribution": "gated"}) == "forbidden"  # there is no reader for it
    assert terms_of({"name": "mine", "redistribution": "whatever"}) == "forbidden"


def test_targets_with_other_files_are_refused(built: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(PublishError, match=r"holds other files, for example notes\.txt"):
        plan_publishing(built / "out", str(tmp_path))
    with pytest.raises(PublishError, match="is a file"):
        plan_publishing(built / "out", str(tmp_path / "notes.txt"))
    with pytest.raises(PublishError, match="is inside the dataset"):
        plan_publishing(built / "out", str(built / "out" / "views" / ".." / "recipe"))
    with pytest.raises(PublishError, match="--to is empty"):
        plan_publishing(built / "out", "")
    with pytest.raises(StoreError, match="no mvgen dataset"):
        plan_publishing(built / "root", str(tmp_path / "target"))


def test_a_damaged_dataset_is_not_published(built: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(built / "out", tmp_path / "out"))
    row = read_table(out / layout.TABLE)[0]
    (out / row.maps).write_bytes(b"")
    with pytest.raises(PublishError, match=r"is damaged(.|\n)*it was changed after the build"):
        plan_publishing(out, str(tmp_path / "target"))
    assert not (tmp_path / "target").exists()


def test_the_commands_publish_and_rebuild(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe, out = tmp_path / "recipe", tmp_path / "out"
    assert run(["publish", str(built / "out"), "--to", str(recipe), "--dry-run"]) == 0
    assert "nothing was written" in capsys.readouterr().out
    assert not recipe.exists()
    assert run(["publish", str(built / "out"), "--to", str(recipe), "--pixels"]) == 2
    assert "may not be passed on" in capsys.readouterr().err
    assert run(["publish", str(built / "out"), "--to", str(recipe)]) == 0
    assert f"mvgen rebuild {recipe} --root SOURCE --out OUT" in capsys.readouterr().out
    monkeypatch.setattr("mvgen.publish.rebuild._real_stages", lambda: Frames(built / "root"))
    line = ["rebuild", str(recipe), "--root", str(built / "root"), "--out", str(out)]
    assert run(line) == 0
    printed = capsys.readouterr().out
    count = len(read_recipe(recipe)[1])
    assert f"equal      {count} of {count} (100.00%)" in printed
    assert "every byte is the same" in printed
    (out / layout.SHEET).write_bytes(b"")
    assert run(line) == 1
    assert f"different: {layout.SHEET}" in capsys.readouterr().out
    assert run(["rebuild", str(tmp_path), "--out", str(out)]) == 2
    assert mvgen.building.build.__name__ not in capsys.readouterr().err
