"""The pages for people say what the code does, and their examples run."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from factories import astronaut, head_surface, write_frames

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


@pytest.fixture(autouse=True)
def examples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(DOCS / "examples"))


def test_the_source_lists_clips_and_says_what_it_cannot_use(tmp_path: Path) -> None:
    from shelf_source import Shelf

    write_frames(tmp_path / "07/joy-1", ["001.png", "002.png", "010.png", "cover.png"])
    write_frames(tmp_path / "07/boredom-1", ["001.png", "002.png"])
    write_frames(tmp_path / "08/anger-2", ["001.png"])
    listing = Shelf().read(tmp_path)
    assert [(clip.id, clip.label, clip.onset, clip.apex, clip.offset) for clip in listing.clips] == [
        ("07__boredom-1", None, 1, None, 2),
        ("07__joy-1", "positive", 1, None, 10),
    ]
    assert [(problem.where, problem.action) for problem in listing.problems] == [("07/joy-1/cover.png", "dropped")]
    assert [(failure.clip, "only one frame" in failure.reason) for failure in listing.failures] == [
        ("08__anger-2", True)
    ]


def test_the_renderer_sees_the_depth_that_others_see() -> None:
    from point_renderer import PointRenderer

    from mvgen.core.camera import crop_camera
    from mvgen.render import get_renderer
    from mvgen.render.mesh import mesh_from_depth

    camera = crop_camera(96)
    mesh = mesh_from_depth(head_surface(camera))
    for yaw in (0.0, 30.0):
        seen = PointRenderer().render(mesh, camera.at(yaw), 65.0)
        reference = get_renderer("raycast").render(mesh, camera.at(yaw), 65.0)
        both = np.isfinite(seen.depth) & np.isfinite(reference.depth)
        assert both.sum() > 0.5 * np.isfinite(reference.depth).sum()
        assert np.median(np.abs(seen.depth - reference.depth)[both]) < 0.02
        assert (seen.valid & reference.valid).sum() > 0.5 * reference.valid.sum()


def test_the_flow_method_finds_a_shift() -> None:
    from shift_flow import shift_method

    picture = astronaut()
    first, second = picture[40:168, 160:288], picture[38:166, 157:285]
    for find in shift_method(None, "cpu")[:2]:
        flow = find(first, second)
        assert flow.shape == (128, 128, 2)
        assert flow.dtype == np.float32
        np.testing.assert_allclose(flow, np.broadcast_to((3.0, 2.0), flow.shape), atol=0.1)


@pytest.mark.slow
def test_the_recogniser_learns_from_motion() -> None:
    from mean_motion import MeanMotion
    from recognizer_trees import PatternReader

    reader, system = PatternReader(subjects=8, clips=6, strength=4.0), MeanMotion()
    rows = [system.prepare(reader.read(index))["features"] for index in range(len(reader.entries))]
    labels = np.array([entry.label for entry in reader.entries])
    tested = np.array([entry.split == "test" for entry in reader.entries])
    classifier = system.classifier(0).fit(np.stack(rows)[~tested], labels[~tested])
    assert classifier.score(np.stack(rows)[tested], labels[tested]) > 0.9


def test_entry_points_add_them_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mvgen.motion.flow.methods import get_flow_methods
    from mvgen.render import get_renderer
    from mvgen.sources import get_source
    from recognizer.systems import get_system

    blocks = re.findall(r"```toml\n(.*?)```", (DOCS / "how-to/extend.md").read_text(), re.DOTALL)
    groups = tomllib.loads("\n".join(blocks))["project"]["entry-points"]
    lines = [
        line
        for group, points in groups.items()
        for line in (f"[{group}]", *(f"{name} = {place}" for name, place in points.items()))
    ]
    package = tmp_path / "examples-0.1.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: examples\nVersion: 0.1\n")
    (package / "entry_points.txt").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(str(tmp_path))
    assert get_source("shelf").title == "Shelf"
    assert get_renderer("points").device == "cpu"
    assert get_flow_methods("shift").apex is get_flow_methods("shift").frames
    assert get_system("mean-motion", blocks="4").options.blocks == 4


@pytest.mark.slow
def test_the_column_is_written_and_read(tmp_path: Path) -> None:
    block = re.search(r"```diff\n(.*?)```", (DOCS / "how-to/extend.md").read_text(), re.DOTALL)
    assert block is not None
    shutil.copytree(ROOT / "mvgen", tmp_path / "mvgen", ignore=shutil.ignore_patterns("__pycache__"))
    for path, hunk in re.findall(r"^--- (\S+)\n((?:[ +-].*\n)+?)(?=--- |\Z)", block[1], re.MULTILINE):
        lines = hunk.splitlines()
        before, after = ("".join(f"{line[1:]}\n" for line in lines if line[0] in kept) for kept in (" -", " +"))
        text = (tmp_path / path).read_text()
        assert text.count(before) == 1, f"{path} has no such lines: {before}"
        (tmp_path / path).write_text(text.replace(before, after))
    script = """
from pathlib import Path
from fake_build import list_clips, make_built, make_config, make_source
from mvgen.store.manifest import read_table, write_table
from mvgen.store.writer import write_clip
root, out = Path("root"), Path("out")
clip = list_clips(make_source(root, subjects=1, clips=1))[0]
config = make_config(root, out)
marker = write_clip(out, clip, make_built(clip, config), "train", config)
write_table(marker.rows, Path("clips.parquet"))
print({row.side for row in read_table(Path("clips.parquet"))})
"""
    environment = {"PYTHONPATH": f"{tmp_path}:{ROOT / 'tests'}", "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "{64}\n", "")


def keys_of(heading: str) -> list[str]:
    """Names in the first column of the table below a heading of the page on the store."""
    page = (DOCS / "store-format.md").read_text()
    table = page.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return [name for row in re.findall(r"^\| (`.*?`) \|", table, re.MULTILINE) for name in re.findall(r"`(.*?)`", row)]


def test_the_page_on_the_store_names_every_column_and_array(tmp_path: Path) -> None:
    from fake_build import list_clips, make_built, make_config, make_source

    from mvgen.store import layout
    from mvgen.store.geometry import ARRAYS
    from mvgen.store.manifest import table_schema
    from mvgen.store.writer import write_clip

    clip = list_clips(make_source(tmp_path / "root", subjects=1, clips=1))[0]
    config = make_config(tmp_path / "root", tmp_path / "out")
    row = write_clip(tmp_path / "out", clip, make_built(clip, config), "train", config).rows[0]
    assert sorted(keys_of("Columns of `clips.parquet`")) == sorted(table_schema().names)
    with np.load(tmp_path / "out" / row.maps) as arrays:
        assert sorted(keys_of("Arrays of `maps`")) == sorted(arrays.files)
    assert sorted(keys_of("Arrays of `geometry`")) == sorted(ARRAYS)
    assert f"Schema {layout.SCHEMA}." in (DOCS / "store-format.md").read_text()


def test_the_page_on_architecture_names_the_rooms_in_their_order() -> None:
    from test_architecture import ROOMS

    page = (DOCS / "architecture.md").read_text().partition("## The rooms")[2]
    assert re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE) == ROOMS


@pytest.mark.parametrize("page", sorted([*DOCS.rglob("*.md"), ROOT / "CONTRIBUTING.md"]), ids=lambda page: page.name)
def test_files_that_a_page_names_exist(page: Path) -> None:
    text = page.read_text()
    named = re.findall(r"`((?:mvgen|recognizer|tests|docs|configs|scripts)/[\w./-]*)`", text)
    linked = [name for name in re.findall(r"\]\(([^)#:]+)", text) if not name.startswith("mvgen.")]
    missing = [name for name in named if not (ROOT / name).exists() and name != "mvgen/annotations"]
    missing += [name for name in linked if not (page.parent / name).exists()]
    assert missing == []


@pytest.mark.parametrize("page", sorted((DOCS / "api").glob("*.md")), ids=lambda page: page.name)
def test_modules_that_the_api_pages_show_exist(page: Path) -> None:
    for name in re.findall(r"^::: ([\w.]+)$", page.read_text(), re.MULTILINE):
        whole, above = (ROOT.joinpath(*parts) for parts in (name.split("."), name.split(".")[:-1]))
        # A module, a package, or something in a module.
        assert whole.is_dir() or whole.with_suffix(".py").is_file() or above.with_suffix(".py").is_file(), name
