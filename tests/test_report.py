from __future__ import annotations

import base64
import hashlib
import io
import json
import math
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from factories import head_surface
from fake_build import FakeStages, list_clips, make_config, make_source, tree_bytes
from PIL import Image

from mvgen.building.build import build
from mvgen.cli import run
from mvgen.core.camera import crop_camera
from mvgen.core.config import BuildConfig
from mvgen.core.errors import StoreError
from mvgen.render import get_renderer
from mvgen.render.mesh import mesh_from_depth
from mvgen.report import facts, layers, page, viewer
from mvgen.report.charts import histogram, make_axis, spreads
from mvgen.report.page import is_current, write_report
from mvgen.sources.base import ClipFailure, Listing
from mvgen.sources.marks import write_mark
from mvgen.store import layout
from mvgen.store.about import read_about
from mvgen.store.arrays import map_bytes, read_maps
from mvgen.store.manifest import read_table
from mvgen.store.refine import refine

pytestmark = pytest.mark.slow

NASTY = "<script>alert(1)</script>\"'&</td>"


class NastyStages(FakeStages):
    """A source with markup in its texts."""

    def read(self, config: BuildConfig) -> Listing:
        listing = super().read(config)
        clips = tuple(
            replace(clip, subject=NASTY, name=f"--><img src=x onerror={NASTY}>", emotion=NASTY)
            for clip in listing.clips
        )
        return replace(listing, title=NASTY, version=NASTY, licence=NASTY, clips=clips)


class Elements(HTMLParser):
    """Elements of a page with their attributes, and the text of its scripts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self.text += " "
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.lasttag == "script" and self.cdata_elem == "script":
            self.scripts[-1] += data
        elif self.cdata_elem is None:
            self.text += data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source, with a clip that fails, and its store."""
    folder = tmp_path_factory.mktemp("report")
    root = make_source(folder / "root")
    lost = ClipFailure("pics__s9__none", f"no frames in {NASTY}", root / "pics/s9/none")
    build(
        make_config(root, folder / "out"), FakeStages(root, face=frozenset({list_clips(root)[1].id}), failures=(lost,))
    )
    return folder


@pytest.fixture
def store(built: Path, tmp_path: Path) -> Path:
    shutil.copytree(built / "out", tmp_path / "out")
    return tmp_path / "out"


def page_of(out: Path) -> str:
    return write_report(out).read_text(encoding="utf-8")


def shown_clips(html: str) -> list[dict[str, Any]]:
    return [json.loads(text) for text in Elements(html).scripts[: -len(page._SCRIPTS)]]


def decoded(uri: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))


def test_the_page_agrees_with_the_store(store: Path) -> None:
    text = " ".join(Elements(page_of(store)).text.split())
    assert "Fake, seen from the side" in text
    assert "clips 5 subjects 3 angles 3 views 20" in text
    assert "2 clips could not be built: 1 at face, 1 at source." in text
    assert "no face was found" in text
    train = len({row.clip for row in read_table(store / layout.TABLE) if row.split == "train"})
    assert f"positive happy 5 {train} {5 - train} 3" in text  # class, emotion; train, test, subjects
    assert f"−45° 0 {train} {5 - train}" in text  # view; kept, not kept, test
    assert "stand-in" not in text


def test_markup_in_names_stays_text(tmp_path: Path) -> None:
    root = make_source(tmp_path / "root", subjects=2, clips=1)
    lost = ClipFailure(NASTY, NASTY, root / "pics/s9/none")
    build(make_config(root, tmp_path / "out"), NastyStages(root, failures=(lost,)))
    html = page_of(tmp_path / "out")
    elements = Elements(html)
    blocks = [attributes.get("type") for attributes in elements.named("script")]
    assert blocks == ["application/json"] * 2 + [None] * len(page._SCRIPTS)
    assert not elements.named("img")
    assert not [name for _, attributes in elements.found for name in attributes if name.startswith("on")]
    assert elements.text.count(NASTY) >= 8
    assert {clip["subject"] for clip in shown_clips(html)} == {NASTY}
    assert {clip["emotion"] for clip in shown_clips(html)} == {NASTY}


def test_the_page_loads_nothing_and_runs_its_own_script_only(store: Path) -> None:
    elements = Elements(page_of(store))
    links = [value for _, attributes in elements.found for name, value in attributes.items() if name in ("src", "href")]
    assert links
    assert all(str(link).startswith(("data:", "#")) for link in links)
    policy = next(str(each["content"]) for each in elements.named("meta") if each.get("http-equiv"))
    scripts = elements.scripts[-len(page._SCRIPTS) :]
    digests = [base64.b64encode(hashlib.sha256(each.encode()).digest()).decode() for each in scripts]
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    assert policy == f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {allowed}"


def test_the_same_store_gives_the_same_bytes_and_stays_as_it_is(built: Path, store: Path, tmp_path: Path) -> None:
    before = tree_bytes(store)
    written = write_report(store).read_bytes()
    after = tree_bytes(store)
    assert after.pop(layout.REPORT) == written
    assert after == before
    build(make_config(make_source(tmp_path / "elsewhere"), tmp_path / "other"), FakeStages(tmp_path / "elsewhere"))
    other = write_report(tmp_path / "other").read_bytes()
    shutil.move(tmp_path / "other", tmp_path / "moved")
    assert write_report(tmp_path / "moved").read_bytes() == other != written
    assert str(tmp_path).encode() not in written


def test_a_page_is_current_until_the_store_changes(store: Path) -> None:
    assert not is_current(store)
    write_report(store)
    assert is_current(store)
    refine(store, 0.1)
    assert not is_current(store)


def test_refine_updates_an_existing_page(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["refine", str(store), "--threshold", "0.1"]) == 0
    assert "report:" not in capsys.readouterr().out
    assert run(["report", str(store)]) == 0
    assert run(["refine", str(store), "--threshold", "0.2"]) == 0
    assert f"report:        {store / layout.REPORT}\n" in capsys.readouterr().out
    assert is_current(store)


@pytest.mark.slow
def test_a_build_ends_with_a_page_by_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root, out = make_source(tmp_path / "root"), tmp_path / "out"
    face = [frozenset({list_clips(root)[0].id})]
    monkeypatch.setattr("mvgen.building.build._real_stages", lambda: FakeStages(root, face=face[-1]))
    line = [
        "build",
        "--dataset",
        "fake",
        "--angles",
        "-45:45:45",
        "--size",
        "64",
        "--root",
        str(root),
        "--out",
        str(out),
    ]
    assert run([*line, "--no-report"]) == 0
    assert not (out / layout.REPORT).exists()
    assert run(line) == 0  # finished already, but for the page
    assert is_current(out)
    whole = tree_bytes(out)
    assert run(line) == 0
    assert tree_bytes(out) == whole
    face.append(frozenset())
    capsys.readouterr()
    assert run([*line, "--retry-failed", "--no-report"]) == 0
    assert f"out of date: `mvgen report {out}` updates it" in capsys.readouterr().out
    assert run(line) == 0
    assert is_current(out)


def test_a_folder_without_a_finished_store_is_refused(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["report", str(tmp_path / "nowhere")]) == 2
    assert "no mvgen dataset" in capsys.readouterr().err
    assert not (tmp_path / "nowhere").exists()
    rows = read_table(store / layout.TABLE)
    (store / rows[0].maps).write_bytes(b"PK")
    with pytest.raises(StoreError, match="damaged"):
        write_report(store)
    (store / layout.DATASET).unlink()
    assert run(["report", str(store)]) == 2
    assert "unfinished build" in capsys.readouterr().err


def test_a_store_without_clips_has_a_page_of_its_failures(tmp_path: Path) -> None:
    root = make_source(tmp_path / "root", subjects=1, clips=1)
    stages = FakeStages(root, face=frozenset(clip.id for clip in list_clips(root)))
    build(make_config(root, tmp_path / "out"), stages)
    elements = Elements(page_of(tmp_path / "out"))
    assert "1 clip could not be built: 1 at face." in " ".join(elements.text.split())
    assert not elements.scripts


@pytest.mark.parametrize("marked", [True, False])
def test_a_stand_in_is_called_one(store: Path, marked: bool) -> None:
    if marked:
        write_mark(store / layout.ANNOTATIONS, "a release")
    assert ("This is a stand-in." in Elements(page_of(store)).text) == marked


def test_the_viewer_shows_the_frames_of_the_store(store: Path) -> None:
    rows = {(row.clip, row.yaw): row for row in read_table(store / layout.TABLE)}
    for clip in shown_clips(page_of(store)):
        assert [view["yaw"] for view in clip["views"]] == [-45, 0, 45]
        for view in (clip["source"], *clip["views"]):
            row = rows[clip["clip"], view["yaw"]]
            sheet = decoded(view["sheet"]).astype(float)
            side, columns = clip["side"], clip["columns"]
            cells = [sheet[i // columns * side :, i % columns * side :][:side, :side] for i in range(row.frames)]
            stored = [np.asarray(Image.open(store / row.frames_directory / name), float) for name in row.frame_names]
            off = [[np.abs(cell - frame).mean() for frame in stored] for cell in cells]
            assert np.argmin(off, axis=1).tolist() == list(range(row.frames))
            assert max(np.diag(off)) < 20  # colours of noise are compressed badly; another frame differs by 85
            seen = read_maps(store, row, flow="none")
            unseen = np.isfinite(seen.depth) & ~seen.valid
            assert np.array_equal(decoded(view["layers"]["unseen"])[..., 3] > 0, unseen)
            assert (view["seen"], view["valid"], view["kept"]) == (row.visible_attention, row.valid_fraction, row.kept)


def test_images_stay_within_their_size_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The fake frames are a quarter as wide as those of a real store.
    monkeypatch.setattr(viewer, "_LADDER", tuple((side // 4, frames) for side, frames in viewer._LADDER))
    root = make_source(tmp_path / "root", subjects=1, clips=1, frames=60)
    build(make_config(root, tmp_path / "out", angles="0"), FakeStages(root))
    rows = read_table(tmp_path / "out" / layout.TABLE)
    smaller, room = (65, 48), 10**7
    for _ in range(4):
        clip = viewer.show_clip(tmp_path / "out", rows, room)
        views = [clip["source"], *clip["views"]]
        taken = sum(len(uri) for view in views for uri in (view["sheet"], *view["layers"].values()))
        assert taken <= room
        room = taken - 1
        assert (clip["side"], len(clip["frames"])) < smaller
        smaller = (clip["side"], len(clip["frames"]))
        assert clip["sampled"]
        moments = [rows[0].frame_names[index] for index in (0, 30, 59)]
        assert [clip["frames"][clip[name]] for name in ("onset", "apex", "offset")] == moments


def test_even_noise_fits_the_smallest_size() -> None:
    side, frames = viewer._LADDER[-1]
    cells = math.ceil(math.sqrt(frames))
    noise = np.random.default_rng(0).random((cells * side, cells * side, 3))
    sheet = viewer.data_uri(Image.fromarray((noise * 255).astype(np.uint8)), "WEBP", viewer._QUALITY)
    some = noise[:side, :side]
    drawn = {
        "unseen": layers.unseen_layer(some[..., 0] > 0.5, some[..., 1]),
        "depth": layers.depth_layer(some[..., 0], 0, 1),
        "motion": layers.motion_layer(some[..., :2] - 0.5, 1),
        "attention": layers.attention_layer(some[..., 0], 1),
    }
    view = len(sheet) + sum(len(viewer._layer(name, layer, side)) for name, layer in drawn.items())
    assert (viewer.MAX_VIEWS + 1) * view < page._PICTURES / viewer.MAX_CLIPS


def test_a_large_store_is_sampled_and_the_page_states_it(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viewer.choose_clips, "__defaults__", (2,))
    monkeypatch.setattr("mvgen.report.facts.MAX_LINES", 1)
    html = page_of(store)
    text = " ".join(Elements(html).text.split())
    assert len(shown_clips(html)) == 2
    assert "A sample: 2 of 5 clips" in text
    assert "1 more are in failures.jsonl" in text
    assert "2 more subjects are in clips.parquet" in text


def test_the_page_states_head_motion_and_left_out_frames(store: Path) -> None:
    rows = read_table(store / layout.TABLE)
    first, second = sorted({row.clip for row in rows})[:2]
    changed = [replace(row, left_out={first: 2, second: 1}.get(row.clip, 0)) for row in rows]
    found = facts.gather(store, read_about(store), changed, [])
    assert (found.shortened, found.left_out) == (2, 3)
    assert found.head_pixels is not None
    assert found.head_pixels.highest == max(row.head_pixels for row in rows)
    assert found.head_degrees is not None
    assert "3 frames of 2 clips could not be registered and are left out" in page.render(found, [], "0" * 64)


def test_clips_of_every_class_are_shown(store: Path) -> None:
    row = read_table(store / layout.TABLE)[0]
    labels = ["negative"] * 40 + ["positive"] * 3 + [None]  # type: ignore[list-item]
    rows = [replace(row, clip=f"{index:02}", yaw=None, label=label) for index, label in enumerate(labels)]
    chosen = viewer.choose_clips(rows, 8)
    assert chosen == ["00", "13", "26", "39", "40", "41", "42", "43"]
    assert viewer.choose_clips(rows, 100) == [row.clip for row in rows]
    assert viewer.choose_clips(rows, 2) == ["00", "40"]


def test_onset_apex_and_offset_are_always_among_the_frames(store: Path) -> None:
    row = replace(read_table(store / layout.TABLE)[0], frames=200, onset_index=3, apex_index=77, offset_index=198)
    for count in (8, 24, 48):
        frames = viewer.choose_frames(row, count)
        assert {0, 3, 77, 198, 199} <= set(frames)
        assert frames == sorted(set(frames))
        assert len(frames) <= count
    assert viewer.choose_frames(row, 200) == list(range(200))


@pytest.mark.parametrize("yaw", [-45.0, 0.0, 30.0])
def test_attention_is_projected_into_the_view(yaw: float) -> None:
    camera = crop_camera(96)
    seen = get_renderer("grid").render(mesh_from_depth(head_surface(camera)), camera.at(yaw), 65.0)
    column = np.tile(np.arange(96) + 0.5, (96, 1))
    for place, axis in ((column, 0), (column.T, 1)):
        projected = layers.project_attention(place, seen.depth, seen.camera, camera)
        both = np.isfinite(projected) & np.isfinite(seen.source).all(axis=-1) & seen.valid
        assert both.sum() > 1000
        assert np.abs(projected - seen.source[..., axis])[both].max() < 0.05
    assert np.isnan(projected[~np.isfinite(seen.depth)]).all()


def test_layers_show_their_values() -> None:
    depth = np.array([[0.0, 1.0], [0.5, np.nan]], np.float32)
    valid = np.array([[True, False], [True, False]])
    assert (layers.unseen_layer(valid, depth)[..., 3] > 0).tolist() == [[False, True], [False, False]]
    drawn = layers.depth_layer(depth, 0.0, 1.0)
    assert (drawn[..., 3] > 0).tolist() == [[True, True], [True, False]]
    assert drawn[0, 0, :3].sum() < drawn[1, 0, :3].sum() < drawn[0, 1, :3].sum()
    right_down_left_up = np.array([[[2, 0], [0, 2]], [[-2, 0], [0, -1]]], np.float32)
    moved = layers.motion_layer(right_down_left_up, 2.0)
    assert moved[0, 0, :3].argmax() == 0  # red
    assert moved[0, 1, 1] > 200 and moved[0, 1, 2] < 50  # noqa: PT018 - down is 90 degrees: between yellow and green
    assert moved[1, 0, 0] < 50 and moved[1, 0, 1] > 200  # noqa: PT018 - cyan
    assert moved[..., 3].ravel().tolist() == [225, 225, 225, 112]
    heat = layers.attention_layer(np.array([[0.0, 0.5, 1.0, np.nan]]), 1.0)
    assert heat[0, :, 3].tolist() == [0, 112, 225, 0]


def test_noise_of_a_still_clip_does_not_look_like_an_expression(store: Path) -> None:
    rows = [row for row in read_table(store / layout.TABLE) if row.clip == read_table(store / layout.TABLE)[0].clip]
    assert viewer.show_clip(store, rows, 10**7)["longest"] > 2
    for row in rows:
        maps = read_maps(store, row)
        still = maps.flow._replace(apex=np.full_like(maps.flow.apex, 0.05))
        (store / row.maps).write_bytes(map_bytes(maps._replace(flow=still)))
    assert viewer.show_clip(store, rows, 10**7)["longest"] == 0.5


@pytest.mark.parametrize(
    ("lowest", "highest", "ticks", "digits"),
    [
        (0, 1, (0, 0.25, 0.5, 0.75, 1), 2),
        (3, 97, (0, 25, 50, 75, 100), 0),
        (0.081, 0.268, (0.05, 0.1, 0.15, 0.2, 0.25, 0.3), 2),
        (5, 5, (4.5, 4.75, 5, 5.25, 5.5), 2),
        (-3, 3, (-4, -2, 0, 2, 4), 0),
        (0, 40000, (0, 10000, 20000, 30000, 40000), 0),
    ],
)
def test_axes_are_round_and_include_their_values(
    lowest: float, highest: float, ticks: tuple[float, ...], digits: int
) -> None:
    axis = make_axis(lowest, highest)
    assert axis.ticks == pytest.approx(ticks)
    assert axis.digits == digits
    assert 0 <= axis.place(lowest) <= axis.place(highest) <= 1
    assert len({f"{tick:.{digits}f}" for tick in ticks}) == len(ticks)


def test_histograms_count_every_value_once() -> None:
    chart = histogram([0.0, 1.0, 2.0, 2.0, 10.0, float("nan")])
    assert chart is not None
    assert (sum(chart.bins), chart.count, chart.lowest, chart.median, chart.highest) == (5, 5, 0, 2, 10)
    assert histogram([float("nan")]) is None
    assert histogram([]) is None


def test_groups_are_described_by_their_quartiles() -> None:
    one, two = spreads({"a": [1, 2, 3, 4, 5], "none": [], "b": [7]})
    assert (one.name, one.count, one.lowest, one.lower, one.median, one.upper, one.highest) == ("a", 5, 1, 2, 3, 4, 5)
    assert (two.name, two.median) == ("b", 7)


def test_nothing_in_the_template_bypasses_escaping() -> None:
    folder = Path(viewer.__file__).parent / "templates"
    for path in folder.glob("*.html"):
        assert not re.search(r"\|\s*safe|autoescape", path.read_text()), path
    for script in page._SCRIPTS:
        assert "</script" not in (folder / script).read_text(encoding="utf-8")
