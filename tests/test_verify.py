"""`mvgen verify` finds all changes to a dataset after the build."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from factories import known_tools, write_stand_in
from fake_build import tree_bytes
from photograph_build import PhotographStages, photograph_config, smiling

from mvgen.building.build import build
from mvgen.cli import run
from mvgen.core.config import BuildConfig, canonical_json, file_digest
from mvgen.core.errors import StoreError
from mvgen.core.records import BuiltClip, Clip
from mvgen.core.stopwatch import Stopwatch
from mvgen.motion.flow.methods import ClipFlow
from mvgen.pipeline.clip import build_clip
from mvgen.store import layout
from mvgen.store.arrays import map_bytes, npz_bytes, read_arrays, read_maps
from mvgen.store.manifest import ViewRow, counts, read_failures, read_table, write_table
from mvgen.store.state import begin
from mvgen.verification import Finding, verify
from mvgen.verification.geometry import StoredView, frames_error

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a stand-in of CAS(ME)² and its store."""
    folder = tmp_path_factory.mktemp("verify")
    write_stand_in(folder / "root", "casme2", subjects=2, clips=1, frames=5)
    config = photograph_config(folder / "root", folder / "out", test_share=0.5)
    summary = build(config, PhotographStages(folder / "root"))
    assert summary.clips == 2
    return folder


@pytest.fixture
def store(built: Path, tmp_path: Path) -> Path:
    """A copy of the store to damage."""
    return Path(shutil.copytree(built / "out", tmp_path / "out"))


def rows_of(store: Path) -> list[ViewRow]:
    return read_table(store / layout.TABLE)


def forge(store: Path, change: Callable[[ViewRow], ViewRow]) -> None:
    """Change rows of the table, and hide it: digests, counts and the build records are changed with them."""
    rows = [change(row) for row in rows_of(store)]
    write_table(rows, store / layout.TABLE)
    about = json.loads((store / layout.DATASET).read_text())
    about["files"][layout.TABLE] = file_digest(store / layout.TABLE)
    about["counts"] = counts(rows, read_failures(store / layout.FAILURES))
    (store / layout.DATASET).write_text(canonical_json(about))
    shutil.rmtree(store / layout.DONE, ignore_errors=True)
    (store / layout.BUILD).unlink(missing_ok=True)


def redigest(store: Path) -> Callable[[ViewRow], ViewRow]:
    """A row with the digests of the present files."""

    def change(row: ViewRow) -> ViewRow:
        frames = [file_digest(store / row.frames_directory / name) for name in row.frame_names]
        return replace(row, frames_sha256=frames, maps_sha256=file_digest(store / row.maps))

    return change


@dataclass(frozen=True)
class CutPictures(PhotographStages):
    """Stages whose frames end at the cheek and the chin, as those of cropped releases do."""

    def builder(self, config: BuildConfig, attention: Path) -> Callable[[Clip, Stopwatch], BuiltClip]:
        tools = known_tools()

        def build_one(clip: Clip, clock: Stopwatch) -> BuiltClip:
            return build_clip(clip, smiling(len(clip.frames), 2, 1)[:, :165, :250], config, tools, clock)

        return build_one


def test_a_store_of_faces_that_reach_the_edge_of_their_frames_is_in_order(built: Path, tmp_path: Path) -> None:
    build(photograph_config(built / "root", tmp_path / "out", limit=1), CutPictures(built / "root"))
    assert min(row.valid_fraction for row in rows_of(tmp_path / "out") if row.yaw is None) < 0.95
    assert [str(finding) for finding in verify(tmp_path / "out").findings] == []


def said(found: tuple[Finding, ...]) -> str:
    return "\n".join(map(str, found))


def test_an_unchanged_store_is_in_order(store: Path) -> None:
    before = tree_bytes(store)
    result = verify(store)
    assert not result.findings, said(result.findings)
    assert (result.files, result.views, result.exit_code) == (5 + 2 * (1 + 5 * 6), 10, 0)
    assert tree_bytes(store) == before


@pytest.mark.parametrize(
    "settings",
    [
        {"flow": "image", "camera": "pinhole"},
        {"registration": "paper"},
        {"geometry": "per-frame", "fill": "none", "format": "png"},
    ],
)
def test_stores_of_all_settings_are_in_order(built: Path, tmp_path: Path, settings: dict[str, Any]) -> None:
    if "camera" in settings:
        settings = {**settings, "focal": 900.0, "principal": (256.0, 256.0)}
    config = photograph_config(built / "root", tmp_path / "out", limit=1, **settings)
    build(config, PhotographStages(built / "root"))
    result = verify(tmp_path / "out")
    assert not result.findings, said(result.findings)


def test_a_copied_store_without_build_records_is_in_order(store: Path) -> None:
    shutil.rmtree(store / layout.DONE)
    (store / layout.BUILD).unlink()
    assert not verify(store, sample=0).findings


@pytest.mark.parametrize("kind", ["frame", "maps", "geometry"])
def test_a_flipped_byte_of_a_clip_is_found(store: Path, kind: str) -> None:
    row = rows_of(store)[7]
    name = {"frame": f"{row.frames_directory}/{row.frame_names[2]}", "maps": row.maps, "geometry": row.geometry}[kind]
    content = bytearray((store / name).read_bytes())
    content[len(content) // 2] ^= 1
    (store / name).write_bytes(content)
    (finding,) = verify(store).findings
    assert (finding.file, finding.clip, finding.remedy) == (name, row.clip, f"build clip {row.clip} again")


def test_what_is_advised_mends_a_clip(built: Path, store: Path) -> None:
    row = rows_of(store)[7]
    (store / row.maps).write_bytes(b"changed")
    assert verify(store, sample=0).clips == (row.clip,)
    (store / layout.DATASET).unlink()
    (store / layout.marker_path(row.clip)).unlink()
    build(photograph_config(built / "root", store, test_share=0.5), PhotographStages(built / "root"))
    assert tree_bytes(store) == tree_bytes(built / "out")


def test_every_flipped_byte_of_what_describes_the_whole_is_found(store: Path) -> None:
    names = [layout.TABLE, layout.SHEET, layout.ATTENTION, layout.DATASET, layout.BUILD, "annotations"]
    names += [path.name for path in (store / layout.DONE).iterdir()][:1]
    rng = np.random.default_rng(0)
    for name in names:
        path = next(path for path in sorted(store.rglob("*")) if path.is_file() and name in str(path))
        whole = path.read_bytes()
        for at in rng.integers(0, len(whole), 6):
            changed = bytearray(whole)
            changed[at] ^= 1 << int(rng.integers(0, 7))
            path.write_bytes(changed)
            found = verify(store, sample=0).findings
            assert found, (name, at)
            # A digest in `dataset.json` that does not fit is no more its mistake than that of the file it speaks of.
            assert name == layout.DATASET or any(name in str(finding) for finding in found), said(found)
        path.write_bytes(whole)
    assert not verify(store, sample=0).findings


def test_missing_and_extra_files_are_found(store: Path) -> None:
    row = rows_of(store)[3]
    frame, extra = f"{row.frames_directory}/{row.frame_names[1]}", f"{row.frames_directory}/img999.jpg"
    (store / frame).unlink()
    (store / extra).write_bytes(b"x")
    (store / "report").mkdir()
    (store / "report/index.html").write_text("a page that was made from the dataset")
    (store / ".partial/clip").mkdir(parents=True)
    (store / ".partial/clip/half.npz").write_bytes(b"half")
    found = {finding.file: finding for finding in verify(store, sample=0).findings}
    assert set(found) == {frame, extra, ".partial/clip/half.npz"}
    assert (found[frame].problem, found[frame].clip) == ("it is missing", row.clip)
    assert "remove it" in found[extra].remedy
    assert "run that command again" in found[".partial/clip/half.npz"].remedy


@pytest.mark.parametrize("name", [layout.TABLE, layout.FAILURES, layout.SHEET, layout.ATTENTION, layout.BUILD])
def test_missing_files_of_the_whole_are_found(store: Path, name: str) -> None:
    (store / name).unlink()
    found = verify(store, sample=0).findings
    # Without the record of the build, only the markers are left over.
    assert any(name in str(finding) for finding in found) or name == layout.BUILD
    assert bool(found) == (name != layout.BUILD)


def swap(first: Path, second: Path) -> None:
    beside = first.with_name("beside")
    first.rename(beside)
    second.rename(first)
    beside.rename(second)


@pytest.mark.parametrize("pair", [("yaw-15", "yaw+15"), ("yaw+15", "yaw+40")])
@pytest.mark.parametrize("kinds", [("views", "maps"), ("views",), ("maps",)])
def test_swapped_yaws_are_found_even_with_correct_digests(
    store: Path, pair: tuple[str, str], kinds: tuple[str, ...]
) -> None:
    for kind in kinds:
        swap(store / kind / pair[0], store / kind / pair[1])
    shares = {row.view: (row.visible_attention, row.valid_fraction, row.kept) for row in rows_of(store)}
    other = {pair[0]: pair[1], pair[1]: pair[0]}

    def change(row: ViewRow) -> ViewRow:
        attention, valid, kept = shares[other.get(row.view, row.view)]
        return replace(redigest(store)(row), visible_attention=attention, valid_fraction=valid, kept=kept)

    forge(store, change)
    assert not verify(store, sample=0).findings
    found = verify(store).findings
    for row in rows_of(store):
        about_it = [finding for finding in found if finding.file == row.frames_directory]
        assert bool(about_it) == (row.view in pair), said(found)
        wanted = {"views": "its frames do not show the clip", "maps": "its depth is not the clip's geometry"}
        assert all(any(wanted[kind] in one.problem for one in about_it) for kind in kinds) or row.view not in pair


def change_maps(store: Path, row: ViewRow, **changes: Any) -> None:
    """Replace maps of a view, and adapt its digests and shares."""
    maps = read_maps(store, row)._replace(**changes)
    (store / row.maps).write_bytes(map_bytes(maps))
    share = float(maps.valid[np.isfinite(maps.depth)].mean())
    forge(store, lambda one: replace(redigest(store)(one), valid_fraction=share) if one == row else one)


@pytest.mark.parametrize("view", ["source", "yaw+15"])
def test_reversed_flow_is_found(store: Path, view: str) -> None:
    row = next(row for row in rows_of(store) if row.view == view)
    flow = read_maps(store, row).flow
    change_maps(store, row, flow=ClipFlow(-flow.frames, -flow.apex))
    found = verify(store).findings
    assert {finding.file for finding in found} == {row.frames_directory}
    assert "its apex_flow does not warp its frames" in said(found)
    assert "its flow does not warp its frames" in said(found)


def test_motion_across_the_edge_of_the_surface_is_no_error_of_the_flow() -> None:
    """A bright, nearly flat face over black, all of which moves by a pixel: at its edge black takes its place."""
    size = 64
    valid = np.zeros((size, size), bool)
    valid[16:48, 16:48] = True
    first = np.where(valid, 200 + np.arange(size) % 2, 0).astype(np.uint8)
    second = np.where(valid, np.roll(first, -1, axis=1), 0).astype(np.uint8)
    second[:, 47] = np.where(valid[:, 47], 200, 0)
    motion = np.where(valid[..., None], np.array([-1.0, 0.0]), 0).astype(np.float32)
    colour = np.stack([np.dstack([frame] * 3) for frame in (first, second)])
    view = StoredView(
        0.0, colour, valid, np.where(valid, 0.0, np.nan).astype(np.float32), ClipFlow(motion[None], motion)
    )
    assert frames_error(view) < 0.1
    turned = replace(view, flow=ClipFlow(np.roll(motion, 1, axis=-1)[None], motion))
    assert frames_error(turned) >= 1


@pytest.mark.parametrize("view", ["source", "yaw-40"])
def test_a_mask_that_hides_or_shows_too_much_is_found(store: Path, view: str) -> None:
    row = next(row for row in rows_of(store) if row.view == view)
    hit = np.isfinite(read_maps(store, row).depth)
    rng = np.random.default_rng(0)
    change_maps(store, row, valid=hit & (rng.random(hit.shape) > 0.3))
    (finding,) = verify(store).findings
    assert (finding.file, "its mask" in finding.problem) == (row.frames_directory, True)
    change_maps(store, redigested(store, row), valid=np.ones_like(hit))
    assert "its mask" in said(verify(store).findings)


def test_a_mask_that_is_off_by_a_pixel_along_an_edge_is_in_order_where_views_are_small(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = photograph_config(built / "root", tmp_path / "out", limit=1, size=64, angles="45")
    build(config, PhotographStages(built / "root"))
    row = next(row for row in rows_of(tmp_path / "out") if row.yaw is not None)
    valid = read_maps(tmp_path / "out", row).valid
    change_maps(tmp_path / "out", row, valid=valid & np.roll(valid, 1, axis=1))
    assert not verify(tmp_path / "out").findings
    monkeypatch.setattr("mvgen.verification.geometry._MASK_EDGE", 0.0)
    assert "its mask is right on" in said(verify(tmp_path / "out").findings)


def redigested(store: Path, row: ViewRow) -> ViewRow:
    return next(one for one in rows_of(store) if (one.clip, one.view) == (row.clip, row.view))


def test_depth_of_another_scale_and_arrays_of_another_shape_are_found(store: Path) -> None:
    row = next(row for row in rows_of(store) if row.view == "yaw+40")
    change_maps(store, row, depth=read_maps(store, row).depth * np.float32(1.2))
    assert "its depth is not the clip's geometry at 40 degrees" in said(verify(store).findings)
    arrays = read_arrays(store / row.maps)
    (store / row.maps).write_bytes(npz_bytes({**arrays, "depth": arrays["depth"].astype(np.float64)}))
    forge(store, redigest(store))
    assert "do not fit together: depth" in said(verify(store).findings)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": "surprise", "emotion": "surprise"}, "emotion is 'surprise', but the annotations say"),
        ({"label": None}, "label is None, but the annotations say"),
        ({"subject": "s99"}, "subject is 's99', but the annotations say"),
        ({"onset": 3, "onset_index": 1}, "onset is 3, but the annotations say"),
        ({"apex": None}, "apex is None, but the annotations say"),
        ({"apex_index": 0}, "are onset, apex and offset, not"),
    ],
)
def test_labels_other_than_the_workbooks_are_found(store: Path, change: dict[str, Any], message: str) -> None:
    clip = next(row.clip for row in rows_of(store) if row.label == "negative")
    forge(store, lambda row: replace(row, **change) if row.clip == clip else row)
    found = verify(store, sample=0).findings
    assert message in said(found)
    assert {finding.clip for finding in found} == {clip}


def test_a_subject_in_two_splits_is_found(store: Path) -> None:
    forge(store, lambda row: replace(row, subject_key="1"))
    assert "subject 1 is in 2 splits" in said(verify(store, sample=0).findings)


@pytest.mark.parametrize(
    ("view", "change", "message"),
    [
        ("yaw+15", {"yaw": -15.0}, "yaw -15.0 has the view yaw-15"),
        ("yaw+15", {"visible_attention": 0.1, "kept": True, "split": "train"}, "kept is True, which the threshold"),
        ("yaw+15", {"frames": 3}, "it counts other frames than it names"),
        ("yaw+15", {"maps": "maps/elsewhere.npz"}, "its files are not where this view of this clip belongs"),
        ("yaw+15", {"maps": "../../secret.npz"}, "a path leads out of the dataset: ../../secret.npz"),
        ("yaw+15", {"frames_directory": "/etc"}, "a path leads out of the dataset: /etc"),
        ("yaw+15", {"valid_fraction": 7.0}, "a share is not between 0 and 1"),
        ("yaw+15", {"split": "exam"}, "split 'exam' is unknown"),
        ("yaw+15", {"fps": 31.0}, "its views disagree about fps"),
        ("yaw+15", {"clip": "another"}, "it has no view yaw+15"),
        ("yaw+15", {"view": "yaw-15", "yaw": -15.0}, "there are 2 rows for this view"),
        ("source", {"onset_index": 70}, "onset, apex or offset is outside the clip"),
    ],
)
def test_rows_that_contradict_themselves_or_their_clip_are_found(
    store: Path, view: str, change: dict[str, Any], message: str
) -> None:
    forge(store, lambda row: replace(row, **change) if row.view == view else row)
    assert message in said(verify(store).findings)


def test_dataset_json_is_checked(store: Path) -> None:
    path = store / layout.DATASET
    about = json.loads(path.read_text())
    for change, message in (
        ({"counts": {**about["counts"], "clips": 3}}, "its counts differ from those of"),
        ({"views": about["views"][1:]}, "its views differ from those of"),
        ({"software": {"fake": "2"}}, "it differs from .build.json in: software"),
        ({"source": {**about["source"], "digest": "0" * 64}}, "its digest of the source differs from that of"),
        ({"source": {**about["source"], "redistribution": "open"}}, "it differs from .build.json in: source"),
        ({"config": {**about["config"], "camera": {"size": -1}}}, "camera.size"),
        ({"files": {**about["files"], "../outside": "0"}}, "lists ../outside, which is not a file of a dataset"),
        ({"files": {}}, "it has no digest of clips.parquet"),
        ({"files": []}, "missing, unknown or of another type: files"),
        ({"note": "mine"}, "missing, unknown or of another type: note"),
    ):
        path.write_text(canonical_json({**about, **change}))
        assert message in said(verify(store, sample=0).findings), change
    path.write_text(json.dumps(about))
    assert "not formatted as mvgen writes it" in said(verify(store, sample=0).findings)
    path.write_text("{")
    assert "dataset.json is damaged" in said(verify(store, sample=0).findings)


def test_a_table_with_other_columns_is_found(store: Path) -> None:
    import pyarrow.parquet as pq

    table = pq.read_table(store / layout.TABLE)
    pq.write_table(
        table.set_column(table.column_names.index("onset_index"), "onset_index", table["fps"]), store / layout.TABLE
    )
    about = json.loads((store / layout.DATASET).read_text())
    about["files"][layout.TABLE] = file_digest(store / layout.TABLE)
    (store / layout.DATASET).write_text(canonical_json(about))
    found = said(verify(store).findings)
    assert "columns are missing, unknown or of another type: " in found
    assert "onset_index" in found


def test_the_sample_is_seeded_and_as_large_as_asked(store: Path) -> None:
    from mvgen.verification import draw

    rows = rows_of(store)
    assert draw(rows, 4, 0, ()) == draw(rows, 4, 0, ())
    assert draw(rows, 4, 0, ()) != draw(rows, 4, 1, ())
    assert draw(rows, 1000, 0, ()) == rows
    assert {row.clip for row in draw(rows, 1000, 0, {rows[0].clip})} == {rows[-1].clip}
    assert verify(store, sample=3).views == 3


def test_the_command_lists_findings_and_how_to_fix_them(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["verify", str(store), "--sample", "0"]) == 0
    assert "is intact: 67 files" in capsys.readouterr().out
    row = rows_of(store)[0]
    (store / row.maps).unlink()
    extra = os.fsdecode(os.fsencode(store) + b"/a\nb\xff\x1b[2J")
    Path(extra).write_bytes(b"x")
    assert run(["verify", str(store), "--sample", "0"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "a\\nb\\udcff\\x1b[2J: it is not part of the dataset; remove it, or move it elsewhere"
    assert lines[1] == f"{row.maps}: it is missing; build clip {row.clip} again"
    assert lines[3].startswith("2 findings.")
    assert lines[4:] == [f"  {store / layout.DATASET}", f"  {store / layout.marker_path(row.clip)}"]
    assert run(["verify", str(tmp_path / "nowhere")]) == 2
    assert "no mvgen dataset" in capsys.readouterr().err
    begin(tmp_path / "begun", {})
    with pytest.raises(StoreError, match="unfinished build"):
        verify(tmp_path / "begun")
