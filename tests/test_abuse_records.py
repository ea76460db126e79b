"""A store of a stranger, and one whose records are damaged: said in words, and nothing outside of it is touched."""

from __future__ import annotations

import io
import json
import os
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_build import FakeStages, list_clips, make_config, make_source, tree_bytes
from PIL import Image

from mvgen import open_dataset
from mvgen.building.build import build
from mvgen.building.merge import merge
from mvgen.core.config import canonical_json, file_digest
from mvgen.core.errors import StoreError
from mvgen.forget.store import forget
from mvgen.report.page import write_report
from mvgen.sources.base import ClipFailure
from mvgen.store import layout
from mvgen.store.arrays import npz_bytes, read_arrays, read_maps
from mvgen.store.frames import read_frames
from mvgen.store.geometry import read_geometry
from mvgen.store.manifest import Marker, ViewRow, read_table, write_table
from mvgen.store.refine import refine
from mvgen.store.shards import Shard
from mvgen.verification import verify

pytestmark = pytest.mark.slow

DEEP = "[" * 5000 + "]" * 5000


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a source, its store and one of two shards of it."""
    folder = tmp_path_factory.mktemp("records")
    root = make_source(folder / "root", subjects=2)
    lost = ClipFailure("pics__s9__none", "no frames in the folder", root / "pics/s9/none")
    build(make_config(root, folder / "out", test_share=0.5), FakeStages(root, failures=(lost,)))
    for number in (1, 2):
        config = make_config(root, folder / f"part{number}", test_share=0.5)
        build(config, FakeStages(root), shard=Shard(2, number))
    return folder


@pytest.fixture
def place(built: Path, tmp_path: Path) -> Path:
    """A copy of all of it, to be damaged."""
    return Path(shutil.copytree(built, tmp_path / "place"))


@pytest.fixture
def out(place: Path) -> Path:
    return place / "out"


def tables(out: Path, change: Callable[[ViewRow], ViewRow]) -> None:
    """Change rows of the table, and the digest of it."""
    write_table([change(row) for row in read_table(out / layout.TABLE)], out / layout.TABLE)
    redigest(out, layout.TABLE)


def redigest(out: Path, name: str) -> None:
    about = json.loads((out / layout.DATASET).read_text())
    about["files"][name] = file_digest(out / name)
    (out / layout.DATASET).write_text(canonical_json(about))


def marker_of(out: Path) -> Path:
    return min((out / layout.DONE).iterdir())


def said(out: Path) -> str:
    return "\n".join(map(str, verify(out).findings))


def readers(out: Path) -> list[Callable[[], object]]:
    return [lambda: open_dataset(out), lambda: write_report(out), lambda: refine(out, 0.9)]


def refusals(*acts: Callable[[], object]) -> list[str]:
    """What those acts say that are refused with a StoreError."""
    errors = []
    for act in acts:
        try:
            act()
        except StoreError as error:
            errors.append(str(error))
    return errors


# Paths


def test_a_marker_that_names_a_clip_elsewhere_is_refused_before_anything_is_written(out: Path) -> None:
    values = json.loads(marker_of(out).read_text())
    marker_of(out).write_text(canonical_json({**values, "clip": "../../pwned"}))
    before = tree_bytes(out.parent)
    with pytest.raises(StoreError, match=r"\.done/.*json is damaged"):
        refine(out, 0.9)
    assert tree_bytes(out.parent) == before
    assert "of this clip" in said(out) or "do not belong together" in said(out)


@pytest.mark.parametrize("path", ["../bashrc", "{}/bashrc", "views/yaw+00/../../../bashrc"])
@pytest.mark.parametrize("name", ["maps", "geometry", "frames_directory"])
def test_a_part_whose_marker_names_a_file_elsewhere_is_refused(place: Path, name: str, path: str) -> None:
    path = path.format(place)
    (place / "bashrc").write_text("mine")
    (place / "part1" / "bashrc").write_text("pwned")
    values = json.loads(marker_of(place / "part1").read_text())
    values["rows"][0][name] = path
    marker_of(place / "part1").write_text(canonical_json(values))
    with pytest.raises(StoreError, match=r"\.done/.*json is damaged"):
        merge([place / "part1", place / "part2"], place / "merged" / "whole")
    assert (place / "bashrc").read_text() == "mine"


@pytest.mark.parametrize("clip", ["../../pwned", "..", "a/b", ""])
def test_a_shard_that_names_a_clip_elsewhere_is_refused(place: Path, clip: str) -> None:
    path = place / "part1" / layout.SHARDS / "1-of-2.json"
    values = json.loads(path.read_text())
    values["clips"][0][0] = clip
    path.write_text(canonical_json(values))
    with pytest.raises(StoreError, match=r"1-of-2\.json is damaged"):
        merge([place / "part1", place / "part2"], place / "whole")


CHANGES: list[dict[str, Any]] = [
    {"frame_names": ["../secret.png"] * 4},
    {"frame_names": ["img8.jpg", "img8.jpg", "img9.jpg", "img10.jpg"]},
    {"frame_names": ["img8.eps", "img9.eps", "img10.eps", "img11.eps"]},
    {"frames_directory": "/etc"},
    {"maps": "../secret.npz"},
    {"geometry": "/secret.npz"},
    {"clip": ".."},
    {"frames": 3},
    {"frames": 0, "frame_names": [], "frames_sha256": []},
    {"apex_index": 77},
    {"onset_index": -1},
    {"fps": float("nan")},
    {"fps": 0.0},
    {"yaw": 1e300},
    {"head_pixels": float("inf")},
    {"visible_attention": 7.0},
    {"label": "joy"},
    {"kind": "mini"},
    {"action_units": ["12", ""]},
    {"action_units": ["12", "12"]},
    {"objective_class": ""},
    {"expression": ".."},
    {"split": "exam"},
]


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_a_row_that_no_build_writes_is_refused_by_all_who_read_the_table(out: Path, change: dict[str, Any]) -> None:
    Image.new("RGB", (64, 64)).save(out / "views" / "secret.png")
    tables(out, lambda row: replace(row, **change))
    for read in readers(out):
        with pytest.raises(StoreError, match=r"clips\.parquet"):
            read()
    assert "clips.parquet" in said(out)


# Links and what is no file


def test_links_that_lead_out_are_not_followed(out: Path) -> None:
    elsewhere = out.parent / "elsewhere"
    shutil.move(out / "views", elsewhere)
    (out / "views").symlink_to(elsewhere)
    row = read_table(out / layout.TABLE)[0]
    with pytest.raises(StoreError, match="leads out of the dataset"):
        read_frames(out, row)
    for read in (lambda: write_report(out), lambda: refine(out, 0.9), lambda: open_dataset(out)[0]):
        with pytest.raises(StoreError, match="leads out of the dataset"):
            read()
    assert "views: it is a link" in said(out)


def test_a_link_among_the_files_of_a_store_is_found(out: Path) -> None:
    (out / "views/extra").symlink_to("/etc")
    row = read_table(out / layout.TABLE)[0]
    frame = out / row.frames_directory / row.frame_names[0]
    frame.rename(out.parent / "frame.jpg")
    frame.symlink_to(out.parent / "frame.jpg")
    found = said(out)
    assert "views/extra: it is a link" in found
    assert f"{row.frames_directory}/{row.frame_names[0]}: it is a link" in found
    with pytest.raises(StoreError, match="it is a link"):
        read_frames(out, row)


@pytest.mark.parametrize("name", [layout.DONE, layout.PARTIAL, layout.LOCK, "report", "..refining.json.tmp"])
def test_nothing_is_written_through_a_link(out: Path, name: str) -> None:
    elsewhere = out.parent / "elsewhere"
    if name.startswith(layout.DONE):
        shutil.move(out / name, elsewhere)
    elif name in {layout.PARTIAL, "report"}:
        elsewhere.mkdir()
    else:
        elsewhere.write_text("mine")
    (out / name).symlink_to(elsewhere)
    before = tree_bytes(elsewhere) if elsewhere.is_dir() else elsewhere.read_bytes()
    for error in refusals(lambda: refine(out, 0.9), lambda: write_report(out)):
        assert name in error
    assert before == (tree_bytes(elsewhere) if elsewhere.is_dir() else elsewhere.read_bytes())


@pytest.mark.parametrize("kind", ["geometry", "maps", "marker"])
def test_a_folder_in_place_of_a_file_of_an_unfinished_build_is_named(place: Path, kind: str) -> None:
    marker = marker_of(place / "part1")
    row = Marker.from_json(marker.read_text()).rows[0]
    path = marker if kind == "marker" else place / "part1" / getattr(row, kind)
    path.unlink()
    path.mkdir()
    with pytest.raises(StoreError, match=path.name):
        build(
            make_config(place / "root", place / "part1", test_share=0.5), FakeStages(place / "root"), shard=Shard(2, 1)
        )


@pytest.mark.parametrize("name", [layout.SHEET, f".{layout.TABLE}.tmp", layout.PARTIAL])
def test_what_is_in_the_way_is_named_before_a_store_is_changed(out: Path, name: str) -> None:
    (out / name).unlink(missing_ok=True)
    (out / name).write_text("") if name == layout.PARTIAL else (out / name).mkdir()
    before = tree_bytes(out)
    for change in (lambda: refine(out, 0.9), lambda: forget(out, "s1", "consent was withdrawn")):
        with pytest.raises(StoreError, match=f"{name} is in the way"):
            change()
        assert tree_bytes(out) == before


@pytest.mark.parametrize("value", [None, "x", [1]])
def test_a_page_of_other_settings_is_refused_or_has_all_of_them(out: Path, value: object) -> None:
    about = json.loads((out / layout.DATASET).read_text())
    about["config"]["split"] = {} if value is None else {"test_share": value}
    (out / layout.DATASET).write_text(canonical_json(about))
    if value is None:
        write_report(out)
    else:
        with pytest.raises(StoreError, match=r"dataset\.json has a config that this mvgen cannot use: .*test_share"):
            write_report(out)


def test_a_link_to_itself_is_an_error(out: Path) -> None:
    shutil.rmtree(out / "views")
    (out / "views").symlink_to(out / "views")
    row = read_table(out / layout.TABLE)[0]
    for read in (lambda: read_frames(out, row), lambda: write_report(out), lambda: refine(out, 0.9)):
        with pytest.raises(StoreError):
            read()
    assert "views: it is a link" in said(out)


@pytest.mark.parametrize("kind", ["table", "failures", "frame", "maps", "geometry", "marker", "build", "dataset"])
def test_a_pipe_in_place_of_a_file_holds_nobody_up(out: Path, kind: str) -> None:
    row = read_table(out / layout.TABLE)[0]
    path = {
        "table": layout.TABLE,
        "failures": layout.FAILURES,
        "frame": f"{row.frames_directory}/{row.frame_names[row.apex_index]}",
        "maps": row.maps,
        "geometry": row.geometry,
        "marker": marker_of(out).relative_to(out),
        "build": layout.BUILD,
        "dataset": layout.DATASET,
    }[kind]
    (out / path).unlink()
    os.mkfifo(out / path)
    if kind == "dataset":
        with pytest.raises(StoreError):
            verify(out)
    else:
        assert str(path) in said(out)
    if kind not in {"marker", "build"}:
        with pytest.raises(StoreError):
            write_report(out)
    if kind not in {"maps", "geometry"}:
        with pytest.raises(StoreError):
            refine(out, 0.9)


# Arrays and pictures


def npy(value: np.ndarray, **header: Any) -> bytes:
    """A `.npy` whose header may say something else than its data are."""
    buffer = io.BytesIO()
    said = {"descr": value.dtype.str, "fortran_order": False, "shape": value.shape, **header}
    np.lib.format.write_array_header_1_0(buffer, said)
    return buffer.getvalue() + value.tobytes()


def npz(members: dict[str, bytes], packing: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", packing) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def hostile_arrays(arrays: dict[str, np.ndarray], name: str) -> dict[str, bytes]:
    members = {f"{each}.npy": npy(value) for each, value in arrays.items()}
    huge = npy(np.zeros(4, np.float32), shape=(1 << 20, 1 << 20))
    big = npy(np.zeros((3000, 3000), np.float32))
    nested = b"\x93NUMPY\x01\x00" + (9000).to_bytes(2, "little") + b"(" * 9000
    return {
        "a header that lies": npz({**members, f"{name}.npy": huge}),
        "more than any view has": npz({**members, f"{name}.npy": big}),
        "a shape below nothing": npz({**members, f"{name}.npy": npy(np.zeros(4, np.float32), shape=(-2, -2))}),
        "half an array": npz({**members, f"{name}.npy": members[f"{name}.npy"][:-9]}),
        "brackets": npz({**members, f"{name}.npy": nested}),
        "no array": npz({**members, f"{name}.npy": b"text"}),
        "another packing": npz(members, zipfile.ZIP_LZMA),
        "a bare array": npy(arrays[name]),
        "nothing": b"",
        "no member": npz({}),
    }


CASES = sorted(hostile_arrays({"depth": np.zeros((4, 4), np.float32)}, "depth"))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("kind", ["maps", "geometry"])
def test_arrays_that_are_none_are_refused_before_they_are_unpacked(
    out: Path, kind: str, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = read_table(out / layout.TABLE)[0]
    path = out / getattr(row, kind)
    path.write_bytes(hostile_arrays(read_arrays(path), "depth")[case])
    real, unpacked = np.lib.format.read_array, []

    def read_array(*arguments: Any, **options: Any) -> np.ndarray:
        unpacked.append(real(*arguments, **options))
        return unpacked[-1]

    monkeypatch.setattr(np.lib.format, "read_array", read_array)
    with pytest.raises(StoreError, match="again"):
        read_maps(out, row) if kind == "maps" else read_geometry(out, row)
    assert sum(array.nbytes for array in unpacked) < 1 << 20
    tables(out, lambda each: replace(each, **{f"{kind}_sha256": file_digest(path)}) if each == row else each)
    assert row.maps in said(out) or row.geometry in said(out)


@pytest.mark.parametrize("size", [(30000, 30000), (2000, 2000), (64, 32), (32, 32)])
def test_pictures_of_another_size_are_refused_before_they_are_decoded(out: Path, size: tuple[int, int]) -> None:
    row = read_table(out / layout.TABLE)[0]
    path = out / row.frames_directory / row.frame_names[1]
    picture = Image.new("L", size if max(size) < 10000 else (1, 1))
    buffer = io.BytesIO()
    picture.save(buffer, format="JPEG")
    content = bytearray(buffer.getvalue())
    at = content.index(b"\xff\xc0") + 5
    content[at : at + 4] = size[1].to_bytes(2, "big") + size[0].to_bytes(2, "big")
    path.write_bytes(content)
    with pytest.raises(StoreError, match=rf"{row.frame_names[1]} cannot be read: .*pixels"):
        read_frames(out, row)


def test_numbers_that_no_face_has_are_found_and_nothing_falls(out: Path) -> None:
    row = read_table(out / layout.TABLE)[0]
    whole = read_arrays(out / row.geometry)
    for name, value in (("camera_scale", 1e308), ("camera_pivot", 1e300), ("crop", 0.0), ("depth", np.nan)):
        arrays = {**whole, name: np.full_like(whole[name], value)}
        (out / row.geometry).write_bytes(npz_bytes(arrays))
        digest = file_digest(out / row.geometry)
        tables(out, lambda each, d=digest: replace(each, geometry_sha256=d) if each.clip == row.clip else each)
        assert row.clip in said(out), name


# Records


RECORDS = {
    layout.DATASET: ["[1, 2]", "{", DEEP, "", "\xff", json.dumps({"schema": layout.SCHEMA})],
    layout.BUILD: ["[1, 2]", "{", DEEP, "null", json.dumps({"schema": layout.SCHEMA})],
    layout.FAILURES: ['{"clip": "a"}\n', '{"clip": "a", "dat', DEEP + "\n", "[]\n", "null\n"],
    "marker": ["[1, 2]", "{", DEEP, "{}", "9" * 5000],
    layout.TABLE: ["PAR1 no more", ""],
}


@pytest.mark.parametrize(("name", "content"), [(n, c) for n, some in RECORDS.items() for c in some], ids=range(23))
def test_damaged_records_are_named_with_the_next_step_and_nothing_is_changed(
    out: Path, name: str, content: str
) -> None:
    path = marker_of(out) if name == "marker" else out / name
    path.write_text(content, encoding="latin-1")
    if name in json.loads((out.parent / "part1" / layout.BUILD).read_text()) or name in (layout.TABLE, layout.FAILURES):
        redigest(out, name)
    before = tree_bytes(out)
    root = out.parent / "root"
    config = make_config(root, out, test_share=0.5)
    lost = ClipFailure("pics__s9__none", "no frames in the folder", root / "pics/s9/none")
    again = [lambda: refine(out, 0.9), lambda: build(config, FakeStages(root, failures=(lost,)))]
    if name not in ("marker", layout.BUILD):
        again += [lambda: open_dataset(out), lambda: write_report(out)]
    errors = refusals(*again)
    assert errors
    assert all(path.name in error or "was made with other settings" in error for error in errors), errors
    assert tree_bytes(out) == before
    assert path.name in said(out)


@pytest.mark.parametrize(
    ("part", "value"),
    [
        *[("source", None), ("source", []), ("source", {}), ("source", {"name": 7}), ("config", {"attention": 1})],
        *[("config", {}), ("files", ["a"]), ("views", {"a": 1}), ("views", [1]), ("counts", {}), ("software", 1)],
        *[("weights", {"depth": 1}), ("more", 1)],
        ("config", {"attention": {"threshold": 0.5}, "camera": {"sise": 64}}),
    ],
)
def test_parts_of_another_kind_in_dataset_json_are_refused_by_all_who_read_it(
    out: Path, part: str, value: object
) -> None:
    about = json.loads((out / layout.DATASET).read_text())
    (out / layout.DATASET).write_text(canonical_json({**about, part: value}))
    for read in readers(out):
        with pytest.raises(StoreError, match=rf"dataset\.json .*{part}"):
            read()
    assert part in said(out)


def test_flipped_bytes_of_a_table_are_an_error_or_give_sound_rows(out: Path) -> None:
    whole = (out / layout.TABLE).read_bytes()
    rng = np.random.default_rng(0)
    errors = []
    for at in rng.integers(0, len(whole), 150):
        changed = bytearray(whole)
        changed[at] ^= 1 << int(rng.integers(0, 8))
        (out / layout.TABLE).write_bytes(changed)
        errors += refusals(lambda: read_table(out / layout.TABLE))
    assert len(errors) > 50
    assert all(layout.TABLE in error for error in errors)


def test_parts_with_a_damaged_beginning_are_not_merged(place: Path) -> None:
    for content in ("[1, 2]", DEEP, json.dumps({"schema": layout.SCHEMA, "source": 1})):
        (place / "part1" / layout.BUILD).write_text(content)
        (place / "part2" / layout.BUILD).write_text(content)
        with pytest.raises(StoreError, match=r"part1/\.build\.json"):
            merge([place / "part1", place / "part2"], place / "whole")
    assert len(list_clips(place / "root")) == 4
    assert not (place / "whole").exists()


def test_a_table_of_another_source_than_dataset_json_names_is_found(out: Path) -> None:
    tables(out, lambda row: replace(row, dataset="casme2"))
    assert "its source is fake, clips.parquet has casme2" in said(out)
