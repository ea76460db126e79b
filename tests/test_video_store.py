"""A store whose views are videos does all that one of pictures does."""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from factories import write_stand_in
from fake_build import FakeStages, make_config, make_source, tree_bytes
from photograph_build import PhotographStages, photograph_config

from mvgen.building.build import build
from mvgen.cli import run
from mvgen.core.config import BuildConfig, canonical_json, file_digest
from mvgen.core.errors import MvgenError, SourceError, StoreError
from mvgen.core.records import Image
from mvgen.core.settings import by_part
from mvgen.dataset.reader import open_dataset
from mvgen.export.base import open_store
from mvgen.export.frames import write_frames
from mvgen.forget.store import forget
from mvgen.publish.formats.samples import read_samples
from mvgen.publish.rebuild import rebuild, rebuild_config
from mvgen.publish.recipe import read_recipe
from mvgen.publish.writing import plan_publishing
from mvgen.sources import get_source
from mvgen.store import layout
from mvgen.store.coding import video
from mvgen.store.coding.video import decode_frame, decode_video, encode_video, from_ycbcr, read_header, to_ycbcr
from mvgen.store.frames import iterate_frames, read_frame, read_frames
from mvgen.store.manifest import ViewRow, read_table, write_table
from mvgen.store.refine import refine
from mvgen.verification import verify
from mvgen.verification.labels import check_labels

FORMATS = ("mkv", "mkv-lossless")


def moving(frames: int = 40, size: int = 64) -> Image:
    """A smooth pattern that moves, with a little noise."""
    y, x = np.mgrid[:size, :size]
    rng = np.random.default_rng(0)
    waves = [[np.sin((x + t) / (5 + c)) * np.cos(y / 9) for c in range(3)] for t in range(frames)]
    clip = 128 + 90 * np.moveaxis(np.array(waves), 1, -1) + rng.normal(0, 2, (frames, size, size, 3))
    return np.clip(clip, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stores of the same source: `mkv`, `mkv-lossless` and `png`."""
    root = tmp_path_factory.mktemp("videos")
    make_source(root / "root", subjects=3, clips=1)
    for form in (*FORMATS, "png"):
        build(make_config(root / "root", root / form, format=form, angles="-45,30"), FakeStages(root / "root"))
    return root


@pytest.fixture
def store(built: Path, tmp_path: Path) -> Path:
    shutil.copytree(built / "mkv", tmp_path / "store")
    return tmp_path / "store"


def problems(store: Path) -> list[str]:
    """What `verify` finds, but for the workbook of a source that there is not."""
    return [str(finding) for finding in verify(store, sample=0).findings if finding.file != layout.ANNOTATIONS]


def rows_of(store: Path) -> list[ViewRow]:
    return read_table(store / layout.TABLE)


# The file of a video


def test_every_colour_survives_ten_bits() -> None:
    some = np.random.default_rng(0).integers(0, 256, (512, 512, 3), dtype=np.uint8)
    some[0] = np.repeat([0, 255], 256)[:, None]
    assert np.array_equal(from_ycbcr(to_ycbcr(some)), some)


@pytest.mark.parametrize("lossless", [False, True])
def test_a_frame_alone_is_the_frame_of_the_whole_video(lossless: bool) -> None:
    frames = moving(70)
    content = encode_video(frames, 29.97, lossless)
    whole = list(decode_video(io.BytesIO(content), len(frames)))
    assert len(whole) == len(frames)
    for index in (0, 1, 63, 64, 65, 69):
        assert np.array_equal(decode_frame(io.BytesIO(content), len(frames), index), whole[index])
    away = np.abs(np.stack(whole).astype(int) - frames)
    assert away.max() <= (0 if lossless else 6)
    assert away.mean() <= (0 if lossless else 0.6)


@pytest.mark.parametrize("lossless", [False, True])
def test_equal_frames_give_equal_bytes_at_any_rate(lossless: bool) -> None:
    frames = moving(5)
    for fps in (0.2, 7.5, 200.0, 5000.0):
        content = encode_video(frames, fps, lossless, rendered=True)
        assert content == encode_video(frames, fps, lossless, rendered=True)
        assert read_header(io.BytesIO(content)) == (64, 5, True)
        assert len(list(decode_video(io.BytesIO(content), 5))) == 5
    assert not read_header(io.BytesIO(encode_video(frames, 30, lossless))).synthetic


def other_codec(frames: Image) -> bytes:
    import av

    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as container:
        stream = container.add_stream("mpeg4", rate=30)
        stream.height, stream.width = frames.shape[1:3]
        for picture in (*(av.VideoFrame.from_ndarray(frame, format="rgb24") for frame in frames), None):
            container.mux(stream.encode(picture))
    return buffer.getvalue()


HOSTILE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "text": lambda _: b"text" * 100,
    "cut": lambda content: content[: len(content) // 2],
    "zeros": lambda content: content[:600] + bytes(len(content) - 600),
    "another codec": lambda _: other_codec(moving(5)),
    "wide": lambda _: encode_video(moving(5)[:, :32], 30),
    "large": lambda _: encode_video(np.zeros((5, 1040, 1040, 3), np.uint8), 30),
    "too few": lambda _: encode_video(moving(4), 30),
    "too many": lambda _: encode_video(moving(6), 30),
    "padded": lambda content: content + bytes(2 << 20),
    "a picture": lambda _: b"\x89PNG\r\n\x1a\n" + bytes(100),
    "a playlist": lambda _: b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
}


@pytest.mark.parametrize("case", HOSTILE)
def test_what_is_no_video_of_a_store_is_refused(case: str) -> None:
    content = HOSTILE[case](encode_video(moving(5), 30))
    for read in (lambda file: list(decode_video(file, 5)), lambda file: decode_frame(file, 5, 4)):
        with pytest.raises(ValueError, match=r"\w"):
            read(io.BytesIO(content))


def test_no_damage_of_a_video_does_anything_but_raise_a_value_error() -> None:
    rng, content = np.random.default_rng(0), encode_video(moving(5), 30)
    for _ in range(60):
        spoilt = bytearray(content)
        for at in rng.integers(0, len(content), 8):
            spoilt[at] = rng.integers(256)
        try:
            frames = list(decode_video(io.BytesIO(bytes(spoilt)), 5))
            assert all(frame.shape == (64, 64, 3) for frame in frames)
        except ValueError:
            pass


def test_a_player_shows_the_same_colours() -> None:
    import av

    content = encode_video(moving(2), 30)
    with av.open(io.BytesIO(content)) as container:
        shown = next(container.decode(video=0)).to_ndarray(format="rgb24")
    assert np.abs(shown.astype(int) - next(decode_video(io.BytesIO(content), 2))).max() <= 2


# The store


def test_a_lossless_store_has_the_frames_of_one_of_pictures(built: Path) -> None:
    for ours, pictures in zip(rows_of(built / "mkv-lossless"), rows_of(built / "png"), strict=True):
        assert ours.video == f"{ours.frames_directory}/frames.mkv"
        assert np.array_equal(read_frames(built / "mkv-lossless", ours), read_frames(built / "png", pictures))


@pytest.mark.parametrize("form", [*FORMATS, "png"])
def test_frames_are_the_same_however_they_are_read(built: Path, form: str) -> None:
    store, row = built / form, rows_of(built / form)[-1]
    whole = read_frames(store, row)
    assert whole.shape == (row.frames, 64, 64, 3)
    assert np.array_equal(read_frames(store, row, [1, 3]), whole[[1, 3]])
    assert np.array_equal(np.stack(list(iterate_frames(store, row))), whole)
    for index in range(row.frames):
        assert np.array_equal(read_frame(store, row, index), whole[index])


@pytest.mark.parametrize("form", FORMATS)
def test_a_store_of_videos_is_in_order_and_read_by_the_dataset(built: Path, form: str) -> None:
    assert not problems(built / form)
    items, pictures = open_dataset(built / form), open_dataset(built / "png")
    assert len(items) == len(pictures) == 9
    frames = read_frames(built / form, rows_of(built / form)[0])
    assert np.array_equal(items[0]["clip"].numpy().transpose(0, 2, 3, 1), frames)
    assert bool((items[4]["flow"] == pictures[4]["flow"]).all())


def test_clips_read_from_a_video_become_videos_unless_told_otherwise() -> None:
    assert layout.as_video("source", filmed=True)
    assert layout.as_video("mkv", filmed=False)
    assert not layout.as_video("source", filmed=False)
    assert not layout.as_video("png", filmed=True)


def test_a_build_that_goes_on_ends_with_the_same_bytes(built: Path, store: Path) -> None:
    (store / layout.DATASET).unlink()
    (store / layout.marker_path("pics__s2__clip1")).unlink()
    (store / rows_of(store)[3].frames_directory / layout.VIDEO).write_bytes(b"half")
    root = built / "root"
    build(make_config(root, store, format="mkv", angles="-45,30"), FakeStages(root))
    there, wanted = tree_bytes(store), tree_bytes(built / "mkv")
    assert {name for name in {*there, *wanted} if there.get(name) != wanted.get(name)} <= {layout.REPORT}


@pytest.mark.parametrize("name", ["folder", "casme2"])
def test_a_view_of_videos_says_how_to_get_frames_for_loaders_of_the_source(built: Path, name: str) -> None:
    with pytest.raises(SourceError, match=r"mvgen export STORE --to frames .* give DIR/views/yaw-45"):
        get_source(name).read(built / "mkv" / "views" / "yaw-45")


def test_refine_and_forget_work(store: Path) -> None:
    refine(store, 0.9)
    assert not problems(store)
    forget(store, "s1", "asked to")
    assert not problems(store)
    assert not [path for path in tree_bytes(store) if "/s1/" in path]
    assert [path for path in tree_bytes(store) if path.endswith("/s2/clip1/frames.mkv")]


def test_published_samples_have_marked_pictures(built: Path) -> None:
    from mvgen.store.coding.pictures import says_synthetic

    row = replace(rows_of(built / "mkv")[1])
    (sample,) = read_samples(built / "mkv", [row])
    assert len(sample.frames) == row.frames
    assert all(says_synthetic(frame) for frame in sample.frames)


def test_exported_frames_are_those_of_the_store_under_the_sources_names(built: Path, tmp_path: Path) -> None:
    count = write_frames(open_store(built / "mkv-lossless", ("all",)), tmp_path / "frames")
    there = {path: content for path, content in tree_bytes(tmp_path / "frames").items() if path.startswith("views")}
    pictures = {path: content for path, content in tree_bytes(built / "png").items() if path.startswith("views")}
    assert count == len(pictures)
    assert there == pictures
    assert (tmp_path / "frames/annotations/labels.xlsx").read_bytes() == b"a workbook's bytes"
    assert run(["export", str(built / "mkv"), "--to", "frames", "--out", str(tmp_path / "jpeg")]) == 0
    assert (tmp_path / "jpeg/views/source/pics/s1/clip1/img10.jpg").is_file()
    assert not (tmp_path / "jpeg/views/yaw-45").exists()


def put(store: Path, row: ViewRow, content: bytes) -> None:
    """Another video in place of a row's, with its digest."""
    path = store / str(row.video)
    path.unlink()
    path.write_bytes(content)
    rows = [replace(one, frames_sha256=[file_digest(path)]) if one == row else one for one in rows_of(store)]
    write_table(rows, store / layout.TABLE)
    about = json.loads((store / layout.DATASET).read_text())
    about["files"][layout.TABLE] = file_digest(store / layout.TABLE)
    (store / layout.DATASET).write_text(canonical_json(about))
    shutil.rmtree(store / layout.DONE)
    (store / layout.BUILD).unlink()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (lambda: b"text", "cannot be read"),
        (lambda: encode_video(moving(3), 30, rendered=True), "it has 3 frames, the table says 4"),
        (lambda: encode_video(moving(4), 30), "does not say that it is synthetic"),
    ],
)
def test_a_video_that_is_another_is_found(store: Path, content: Callable[[], bytes], problem: str) -> None:
    row = rows_of(store)[1]
    put(store, row, content())
    (found,) = problems(store)
    assert problem in found


def test_a_link_or_a_pipe_in_place_of_a_video_is_refused(store: Path) -> None:
    row = rows_of(store)[0]
    path = store / str(row.video)
    path.rename(store / "elsewhere.mkv")
    path.symlink_to(store / "elsewhere.mkv")
    with pytest.raises(StoreError, match="it is a link"):
        read_frames(store, row)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(StoreError, match="no regular file"):
        read_frame(store, row, 0)


@pytest.mark.parametrize("what", ["frame", "annotations"])
@pytest.mark.parametrize("how", ["link", "pipe"])
def test_an_export_of_frames_follows_no_link_and_waits_for_no_pipe(
    built: Path, tmp_path: Path, what: str, how: str
) -> None:
    store = Path(shutil.copytree(built / "png", tmp_path / "store"))
    row, folder = rows_of(store)[0], store / layout.ANNOTATIONS
    path = next(folder.iterdir()) if what == "annotations" else store / row.frames_directory / row.frame_names[0]
    path.unlink()
    if how == "pipe":
        os.mkfifo(path)
    else:
        (tmp_path / "secret").write_text("mine")
        path.symlink_to(tmp_path / "secret")
    with pytest.raises(StoreError, match=r"it is a link|no regular file|leads out"):
        write_frames(open_store(store, ("all",)), tmp_path / "frames")
    assert not (tmp_path / "frames").exists()


@pytest.mark.parametrize("place", ["views/source/other/frames.mkv", "../frames.mkv", "/etc/passwd", ""])
def test_a_row_whose_video_lies_elsewhere_is_refused(store: Path, place: str) -> None:
    rows = rows_of(store)
    write_table([replace(rows[0], video=place), *rows[1:]], store / layout.TABLE)
    with pytest.raises(StoreError, match=r"where this view|leads out"):
        rows_of(store)


def test_where_the_encoder_is_missing_it_is_said_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(video._ENCODERS, False, "nothing_of_this_name")
    with pytest.raises(MvgenError, match=r"nothing_of_this_name; .*--format png"):
        encode_video(moving(2), 30)


@pytest.fixture(scope="module")
def filmed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of videos by a real adapter and the real pipeline, and its source: `out`, `root`."""
    folder = tmp_path_factory.mktemp("filmed")
    write_stand_in(folder / "root", "casme2", subjects=1, clips=1)
    build(filmed_config(folder, "out"), PhotographStages(folder / "root"))
    return folder


def filmed_config(folder: Path, out: str) -> BuildConfig:
    return photograph_config(folder / "root", folder / out, size=64, angles="20", format="mkv")


def test_labels_are_compared_and_frames_show_the_geometry_where_frames_are_no_files(filmed: Path) -> None:
    assert all(row.video for row in rows_of(filmed / "out"))
    assert not verify(filmed / "out").findings
    row = rows_of(filmed / "out")[0]
    (other,) = verify_with(filmed, row, emotion="surprise", label="surprise")
    assert "but the annotations say" in other


def verify_with(filmed: Path, row: ViewRow, **changes: str) -> set[str]:
    """What is wrong with the labels of a row that was changed."""
    config = filmed_config(filmed, "out").source
    changed = replace(row, **changes)
    return {
        finding.problem for finding in check_labels(filmed / "out", config, [changed]) if "emotion" in finding.problem
    }


def test_any_angle_is_rendered_from_the_frontal_video(filmed: Path) -> None:
    stored, rendered = open_dataset(filmed / "out", yaw=20)[0], open_dataset(filmed / "out", angles="20")[0]
    away = (stored["clip"].int() - rendered["clip"].int()).abs().float()
    assert 0 < away.mean() < 1
    assert bool((stored["valid"] == rendered["valid"]).all())


def test_a_recipe_rebuilds_the_same_videos(filmed: Path, tmp_path: Path) -> None:
    plan_publishing(filmed / "out", str(tmp_path / "recipe")).write()
    recipe, manifest = read_recipe(tmp_path / "recipe")
    config = rebuild_config(recipe, by_part({"root": filmed / "root", "out": tmp_path / "again"}))
    _, comparison = rebuild(recipe, manifest, config, PhotographStages(filmed / "root"))
    assert comparison.same
    assert [path for path in comparison.equal if path.endswith("frames.mkv")]
