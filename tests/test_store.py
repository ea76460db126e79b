from __future__ import annotations

import errno
import io
import json
import os
import subprocess
import sys
import zipfile
from dataclasses import fields, is_dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import numpy as np
import pytest
from fake_build import FakeStages, list_clips, make_built, make_config, make_source
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, JpegImagePlugin
from skimage.data import astronaut

from mvgen import open_dataset
from mvgen.building.build import build
from mvgen.core.errors import ClipError, StoreError
from mvgen.core.records import LABELS, Clip
from mvgen.store import layout
from mvgen.store.arrays import npz_bytes, read_arrays, read_maps
from mvgen.store.coding.pictures import encode_frame
from mvgen.store.coding.steps import DEPTH_STEP, FLOW_STEP, quantise_flow
from mvgen.store.geometry import read_geometry
from mvgen.store.manifest import Marker, clip_digest, read_table, write_table
from mvgen.store.sheet import contact_sheet
from mvgen.store.split import assign_splits
from mvgen.store.state import begin, check_folder, locked
from mvgen.store.writer import remove_clip, write_clip


@pytest.fixture
def clip(tmp_path: Path) -> Clip:
    return list_clips(make_source(tmp_path / "root", subjects=1, clips=1))[0]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store")
    root = make_source(folder / "root", subjects=4)
    build(make_config(root, folder / "out", test_share=0.5), FakeStages(root))
    return folder / "out"


# Layout


@pytest.mark.parametrize(
    ("name", "image_format", "stored"),
    [
        ("img557.jpg", "source", "img557.jpg"),
        ("IMG1.JPG", "source", "IMG1.JPG"),
        ("img2977.jpg.jpg", "source", "img2977.jpg.jpg"),
        ("1.bmp", "source", "1.bmp"),
        ("1.png", "source", "1.png"),
        ("1.tif", "source", "1.png"),
        ("006_05562.jpg", "png", "006_05562.png"),
        ("1.PNG", "png", "1.PNG"),
    ],
)
def test_a_frame_keeps_its_name_unless_its_format_changes(name: str, image_format: str, stored: str) -> None:
    assert layout.stored_name(name, image_format) == stored


def test_paths_of_a_view_mirror_the_source() -> None:
    directory = PurePosixPath("selectedpic/s15/anger1.1")
    assert str(layout.frames_directory(15, directory)) == "views/yaw+15/selectedpic/s15/anger1.1"
    assert str(layout.maps_path(None, directory)) == "maps/source/selectedpic/s15/anger1.1.npz"


# Split


@given(st.sets(st.text(min_size=1, max_size=4), min_size=2, max_size=40), st.floats(0.01, 0.99), st.integers(0, 99))
def test_a_split_has_both_sides_and_does_not_depend_on_order(keys: set[str], share: float, seed: int) -> None:
    splits = assign_splits(sorted(keys), share, seed)
    assert set(splits) == keys
    assert set(splits.values()) == {"train", "test"}
    assert splits == assign_splits(sorted(keys, reverse=True) * 2, share, seed)
    wanted = share * len(keys)
    tests = sum(side == "test" for side in splits.values())
    assert abs(tests - wanted) <= 0.5 or tests in (1, len(keys) - 1)


def test_a_split_depends_on_the_seed_and_may_have_no_test_side() -> None:
    keys = [str(number) for number in range(30)]
    assert assign_splits(keys, 0.5, 0) != assign_splits(keys, 0.5, 1)
    assert set(assign_splits(keys, 0.0, 0).values()) == {"train"}
    assert assign_splits(["only"], 0.5, 0) == {"only": "train"}


# What is written


def test_jpeg_frames_are_written_without_chroma_subsampling() -> None:
    photograph = astronaut()[:256, :256]
    picture = Image.open(io.BytesIO(encode_frame(photograph, "JPEG", grey=False, quality=98)))
    assert JpegImagePlugin.get_sampling(picture) == 0
    error = np.asarray(picture).astype(float) - photograph
    assert 10 * np.log10(255**2 / (error**2).mean()) > 44  # dB; 4:2:0 at the same quality stays below 43


@pytest.mark.parametrize("image_format", ["PNG", "BMP"])
def test_lossless_frames_come_back_as_they_were(image_format: str) -> None:
    photograph = astronaut()[:64, :64]
    stored = Image.open(io.BytesIO(encode_frame(photograph, image_format, grey=False, quality=98)))
    np.testing.assert_array_equal(np.asarray(stored), photograph)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (33, 50), (256, 256)])
@pytest.mark.parametrize("grey", [False, True])
def test_every_reader_sees_the_pixels_of_a_png(shape: tuple[int, int], grey: bool) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    shades = np.broadcast_to((np.indices(shape).sum(axis=0) % 256)[..., None], (*shape, 3)).astype(np.uint8)
    for picture in (noise, np.zeros_like(noise), np.full_like(noise, 255), shades):
        content = encode_frame(picture, "PNG", grey=grey, quality=98)
        assert content == encode_frame(picture.copy(), "PNG", grey=grey, quality=98)
        with Image.open(io.BytesIO(content)) as stored:
            assert stored.mode == ("L" if grey else "RGB")
            pillow = np.asarray(stored)
        known = picture[..., 0] if grey else picture
        np.testing.assert_array_equal(pillow, known)
        opencv = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(opencv, known if grey else known[..., ::-1])


def test_png_frames_are_little_larger_than_a_patient_encoder_makes_them() -> None:
    photograph, patient = astronaut()[:256, :256], io.BytesIO()
    Image.fromarray(photograph).save(patient, format="PNG")
    assert len(encode_frame(photograph, "PNG", grey=False, quality=98)) < 1.15 * len(patient.getvalue())


def test_grey_jpeg_frames_have_one_channel() -> None:
    grey = np.broadcast_to(astronaut()[:64, :64, :1], (64, 64, 3))
    with Image.open(io.BytesIO(encode_frame(grey, "JPEG", grey=True, quality=98))) as stored:
        assert stored.mode == "L"
        assert np.abs(np.asarray(stored).astype(int) - grey[..., 0]).max() <= 4


def test_motion_from_onset_to_apex_is_read_with_numpy_alone(tmp_path: Path) -> None:
    """Measures outside of this project read a store's maps so."""
    root = make_source(tmp_path / "root", subjects=1, clips=1)
    config, clip = make_config(root, tmp_path / "out"), list_clips(root)[0]
    row = write_clip(config.run.out, clip, make_built(clip, config), "train", config).rows[0]
    maps = np.load(config.run.out / row.maps)
    motion = maps["apex_flow"].astype(np.float32) * float(maps["flow_step"])
    assert np.array_equal(motion, read_maps(config.run.out, row).flow.apex)
    assert motion.shape == (64, 64, 2)
    assert motion.any()


def test_npz_bytes_hold_no_time() -> None:
    content = npz_bytes({"a": np.arange(5), "b": np.eye(2)})
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    assert content == npz_bytes({"a": np.arange(5), "b": np.eye(2)})


def test_quantised_flow_is_within_half_a_step_and_zero_off_the_surface() -> None:
    flow = np.random.default_rng(0).normal(0, 3, (3, 16, 16, 2)).astype(np.float32)
    surface = np.arange(256).reshape(16, 16) % 3 > 0
    back = quantise_flow(flow, surface).astype(np.float32) * FLOW_STEP
    assert np.abs(back - flow)[:, surface].max() <= FLOW_STEP / 2 + 1e-6
    assert not back[:, ~surface].any()


def test_quantised_flow_ends_where_its_steps_do_and_is_still_where_it_is_unknown() -> None:
    flow = np.array([[[np.nan, 1], [np.inf, -np.inf]], [[300, -1e30], [255.9921875, -0.0078125]]], np.float32)
    steps = quantise_flow(flow, np.ones((2, 2), bool))
    np.testing.assert_array_equal(steps, [[[0, 128], [32767, -32767]], [[32767, -32767], [32767, -1]]])


def test_rows_name_every_file_with_its_digest(clip: Clip, tmp_path: Path) -> None:
    out, config = tmp_path / "out", make_config(tmp_path / "root", tmp_path / "out")
    marker = write_clip(out, clip, make_built(clip, config), "train", config)
    import hashlib

    named = {path: digest for row in marker.rows for path, digest in row.files().items()}
    on_disk = {
        p.relative_to(out).as_posix() for part in ("views", "maps", "geometry") for p in (out / part).rglob("*.*")
    }
    assert set(named) == {path for path in on_disk if (out / path).is_file()}
    for path, digest in named.items():
        assert hashlib.sha256((out / path).read_bytes()).hexdigest() == digest
    assert marker.rows[0].frame_names == ["img8.jpg", "img9.jpg", "img10.jpg", "img11.jpg"]
    assert [row.view for row in marker.rows] == ["source", "yaw-45", "yaw+00", "yaw+45"]
    assert Marker.from_json((out / layout.marker_path(clip.id)).read_text()) == marker
    assert not any((out / layout.PARTIAL).iterdir())


def test_the_attention_threshold_drops_training_views_only(clip: Clip, tmp_path: Path) -> None:
    config = make_config(tmp_path / "root", tmp_path / "out")
    kept = {
        split: [row.kept for row in write_clip(config.run.out, clip, make_built(clip, config), split, config).rows]
        for split in ("train", "test")
    }
    assert kept == {"train": [True, False, True, False], "test": [True] * 4}


def test_frames_with_equal_channels_are_written_with_one(clip: Clip, tmp_path: Path) -> None:
    config = make_config(tmp_path / "root", tmp_path / "out", format="png")
    row = write_clip(config.run.out, clip, make_built(clip, config, grey=True), "train", config).rows[0]
    with Image.open(config.run.out / row.frames_directory / row.frame_names[0]) as picture:
        assert picture.mode == "L"
        np.testing.assert_array_equal(
            np.asarray(picture), make_built(clip, config, grey=True).frontal.colour[0, ..., 0]
        )


def test_two_frames_of_one_name_are_a_clip_error(clip: Clip, tmp_path: Path) -> None:
    frames = (clip.frames[0], replace(clip.frames[1], name="img8.png"), *clip.frames[2:])
    config = make_config(tmp_path / "root", tmp_path / "out", format="png")
    changed = replace(clip, frames=frames)
    with pytest.raises(ClipError, match=r"img8\.png"):
        write_clip(config.run.out, changed, make_built(changed, config), "train", config)


def test_frames_that_were_left_out_are_counted_and_not_named(clip: Clip, tmp_path: Path) -> None:
    config = make_config(tmp_path / "root", tmp_path / "out")
    kept = replace(clip, frames=clip.frames[:3], notes=(*clip.notes, "1 of 4 frames cannot be registered"))
    marker = write_clip(config.run.out, clip, make_built(kept, config), "train", config)
    assert marker.source == clip_digest(clip)
    for row in marker.rows:
        assert (row.frames, row.left_out) == (3, 1)
        assert row.frame_names == [frame.name for frame in clip.frames[:3]]
        assert sorted(path.name for path in (config.run.out / row.frames_directory).iterdir()) == sorted(
            row.frame_names
        )
        assert (row.offset, row.offset_index) == (clip.offset, 2)
        assert row.notes == list(kept.notes)


@pytest.mark.parametrize("pinhole", [False, True])
@pytest.mark.parametrize("known", [False, True], ids=["few are known", "all are known"])
def test_what_another_angle_needs_comes_back(clip: Clip, tmp_path: Path, pinhole: bool, known: bool) -> None:
    config = make_config(tmp_path / "root", tmp_path / "out")
    built = make_built(clip, config)
    found = built.reconstruction
    rng = np.random.default_rng(3)
    if pinhole:
        found = replace(
            found, depth=replace(found.depth, camera=replace(found.depth.camera, focal=900.0, principal=(30.0, 31.0)))
        )
    if known:
        face = replace(found.face, landmarks=rng.random((68, 2)), visible=rng.random(68))
        found = replace(found, face=face, lift=rng.normal(0, 1, (4, 16, 16)).astype(np.float16))
    row = write_clip(config.run.out, clip, replace(built, reconstruction=found), "train", config).rows[0]
    assert_same(read_geometry(config.run.out, row), found)
    assert (row.head_pixels, row.head_degrees, row.registered) == (3.0, 0.0, 0.75)


def assert_same(one: Any, other: Any) -> None:
    """Whether two records hold the same, as far as float32 can tell."""
    if is_dataclass(one):
        assert type(one) is type(other)
        for field in fields(one):
            assert_same(getattr(one, field.name), getattr(other, field.name))
    elif isinstance(one, np.ndarray) and one.dtype.kind == "f":
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)
    elif isinstance(one, np.ndarray):
        np.testing.assert_array_equal(one, other)
    else:
        assert one == other


def test_geometry_of_a_stranger_is_checked(clip: Clip, tmp_path: Path) -> None:
    config = make_config(tmp_path / "root", tmp_path / "out")
    row = write_clip(config.run.out, clip, make_built(clip, config), "train", config).rows[0]
    whole = read_arrays(config.run.out / row.geometry)
    wrong = {
        "crop": whole["crop"] * np.nan,
        "camera_scale": np.array(-1.0),
        "inside": whole["inside"][:-1],
        "head_pose": whole["head_pose"][:-1],
        "fit_vertices": whole["fit_vertices"].astype(np.float64),
        "signal_names": np.array(["AU1"] * 4),
        "lift": np.full((4, 8, 8), np.inf, np.float16),
    }
    for name, value in wrong.items():
        (config.run.out / row.geometry).write_bytes(npz_bytes({**whole, name: value}))
        with pytest.raises(StoreError, match=f"{name} cannot be used"):
            read_geometry(config.run.out, row)
    del whole["depth"]
    (config.run.out / row.geometry).write_bytes(npz_bytes(whole))
    with pytest.raises(StoreError, match="depth cannot be used"):
        read_geometry(config.run.out, row)


def test_a_full_disk_is_a_message_and_leaves_no_marker(
    clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config(tmp_path / "root", tmp_path / "out")
    real, written = Path.write_bytes, []

    def full(self: Path, content: bytes) -> int:
        written.append(self)
        if len(written) == 8:
            raise OSError(errno.ENOSPC, "No space left on device", str(self))
        return real(self, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(StoreError, match=r"no space left .* run the same command again"):
        write_clip(config.run.out, clip, make_built(clip, config), "train", config)
    assert not (config.run.out / layout.marker_path(clip.id)).exists()
    assert not (config.run.out / "views").exists()


def test_removing_a_clip_leaves_a_clip_inside_its_folder(clip: Clip, tmp_path: Path) -> None:
    config = make_config(tmp_path / "root", tmp_path / "out")
    inner = replace(clip, directory=clip.directory / "inner")
    for each in (clip, inner):
        write_clip(config.run.out, each, make_built(each, config), "train", config)
    before = {path for path in config.run.out.rglob("*") if path.is_file() and "inner" in str(path)}
    remove_clip(config.run.out, clip, (None, *config.camera.angles))
    assert {path for path in config.run.out.rglob("*") if path.is_file()} == before
    remove_clip(config.run.out, inner, (None, *config.camera.angles))
    assert not (config.run.out / "views").exists()


def test_the_table_comes_back_as_it_was(clip: Clip, tmp_path: Path) -> None:
    config = make_config(tmp_path / "root", tmp_path / "out")
    bare = replace(clip, label=None, apex=None, notes=("no apex",))
    rows = list(write_clip(config.run.out, bare, make_built(bare, config), "train", config).rows)
    write_table(rows, tmp_path / "t.parquet")
    assert read_table(tmp_path / "t.parquet") == rows
    assert rows[0].apex_estimated
    assert rows[0].label is None
    (tmp_path / "t.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(StoreError, match=r"t\.parquet"):
        read_table(tmp_path / "t.parquet")


# The folder


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"")
    with pytest.raises(StoreError, match=r"no mvgen build \(holiday\.jpg\)"):
        check_folder(tmp_path, {})
    with pytest.raises(StoreError, match="is a file"):
        check_folder(tmp_path / "holiday.jpg", {})


def test_a_folder_of_other_settings_is_refused_with_every_difference(tmp_path: Path) -> None:
    begin(tmp_path, {"config": {"size": 256, "seed": 0, "angles": (1.0, 2.0)}, "software": {"torch": "2"}})
    assert check_folder(
        tmp_path, {"config": {"size": 256, "seed": 0, "angles": (1.0, 2.0)}, "software": {"torch": "2"}}
    )
    with pytest.raises(StoreError) as caught:
        check_folder(tmp_path, {"config": {"size": 128, "seed": 1, "angles": (1.0, 2.0)}, "software": {"torch": "3"}})
    for line in (
        "config.size: 256 there, 128 now",
        "config.seed: 0 there, 1 now",
        'software.torch: "2" there, "3" now',
    ):
        assert line in str(caught.value)
    assert "angles" not in str(caught.value)


def test_a_build_begun_by_another_version_is_refused_by_its_schema(tmp_path: Path) -> None:
    begin(tmp_path, {"schema": layout.SCHEMA - 1, "config": {"size": 256, "seed": 0}})
    with pytest.raises(StoreError, match=rf"has schema {layout.SCHEMA - 1}, this mvgen writes {layout.SCHEMA}; go on"):
        check_folder(tmp_path, {"schema": layout.SCHEMA, "config": {"camera": {"size": 256}}})


def test_only_one_build_may_hold_a_folder(tmp_path: Path) -> None:
    with locked(tmp_path):
        code = (
            "import sys, pathlib; from mvgen.store.state import locked; locked(pathlib.Path(sys.argv[1])).__enter__()"
        )
        other = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
        assert other.returncode != 0
        assert f"another build (process {os.getpid()})" in other.stderr
    assert not (tmp_path / layout.LOCK).exists()


def test_a_lock_left_by_a_killed_build_does_not_hold(tmp_path: Path) -> None:
    (tmp_path / layout.LOCK).write_text("999999\n")
    with locked(tmp_path):
        assert (tmp_path / layout.LOCK).read_text() == f"{os.getpid()}\n"


# The reader


def test_an_item_is_what_was_built(store: Path) -> None:
    dataset = open_dataset(store)
    root = store.parent / "root"
    clip = list_clips(root)[0]
    built = make_built(clip, make_config(root, store))
    for index, view in enumerate(built.views()):
        item = dataset[index]
        assert item["clip_id"] == clip.id
        assert item["clip"].shape == (4, 3, 64, 64)
        assert item["flow"].shape == (3, 2, 64, 64)
        assert item["yaw"] == (view.yaw or 0)
        np.testing.assert_array_equal(item["valid"].numpy(), view.valid)
        np.testing.assert_allclose(item["depth"].numpy(), view.depth, rtol=0, atol=DEPTH_STEP / 2 + 1e-6)
        surface = np.isfinite(view.depth)
        flow = item["flow"].permute(0, 2, 3, 1).numpy()
        assert np.abs(flow - view.flow)[:, surface].max() <= FLOW_STEP / 2 + 1e-6
        colour = item["clip"].permute(0, 2, 3, 1).numpy().astype(int)
        assert np.abs(colour - view.colour).mean() < 3
        assert LABELS[item["label"]] == item["label_name"] == "positive"
        assert (item["onset"], item["apex"], item["offset"]) == (0, 2, 3)


def test_views_are_filtered(store: Path) -> None:
    everything = open_dataset(store)
    assert len(everything) == 8 * 4
    assert {row.yaw for row in open_dataset(store, yaw=45).rows} == {45.0}
    assert {row.yaw for row in open_dataset(store, yaw=[0, -45]).rows} == {0.0, -45.0}
    assert {row.view for row in open_dataset(store, views="sweep").rows} == {"yaw-45", "yaw+00", "yaw+45"}
    assert {row.view for row in open_dataset(store, views="source").rows} == {"source"}
    train, test = open_dataset(store, split="train"), open_dataset(store, split="test")
    assert len(train) + len(test) == len(everything)
    assert {row.subject for row in train.rows}.isdisjoint(row.subject for row in test.rows)
    assert len(open_dataset(store, split="test", kept=True)) == len(test)
    assert len(open_dataset(store, split="train", kept=True)) == len(train) // 2


def test_clips_that_show_the_face_too_seldom_are_left_out(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = read_table(store / layout.TABLE)
    first = rows[0].clip
    partly = [replace(row, face_seen=0.8) if row.clip == first else row for row in rows]
    monkeypatch.setattr("mvgen.dataset.rows.read_table", lambda path: partly)
    assert len(open_dataset(store, min_face_seen=0.8)) == len(rows)
    assert {row.clip for row in open_dataset(store, min_face_seen=1.0).rows} == {row.clip for row in rows} - {first}
    assert first not in {row.clip for row in open_dataset(store, angles="0", min_face_seen=0.9).rows}


@pytest.mark.slow
def test_loader_processes_can_read(store: Path) -> None:
    from torch.utils.data import DataLoader

    dataset = open_dataset(store, yaw=0)
    loader = DataLoader(dataset, batch_size=None, num_workers=1, multiprocessing_context="spawn")
    assert [item["clip_id"] for item in loader] == [row.clip for row in dataset.rows]


def test_what_is_no_finished_store_is_refused(store: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no mvgen dataset"):
        open_dataset(tmp_path)
    begin(tmp_path, {})
    with pytest.raises(StoreError, match="unfinished"):
        open_dataset(tmp_path)
    (tmp_path / layout.DATASET).write_text(json.dumps({"schema": 99}))
    with pytest.raises(StoreError, match="schema 99"):
        open_dataset(tmp_path)
    with pytest.raises(StoreError, match=r"no view 'yaw\+07'"):
        open_dataset(store, yaw=7)
    with pytest.raises(StoreError, match="split 'dev'"):
        open_dataset(store, split="dev")  # type: ignore[arg-type]


def test_the_contact_sheet_shows_every_view_of_its_clips(store: Path) -> None:
    rows = read_table(store / layout.TABLE)
    content = contact_sheet(store, rows)
    assert content == (store / layout.SHEET).read_bytes()
    sheet = Image.open(io.BytesIO(content))
    colours = {pixel for _, pixel in sheet.getcolors(maxcolors=1 << 24) or []}
    for row in rows:
        with Image.open(store / row.frames_directory / row.frame_names[row.apex_index]) as frame:
            assert frame.convert("RGB").resize((144, 144)).getpixel((9, 9)) in colours
