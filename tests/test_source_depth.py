"""Depth of a source's sensor: how it is read, made a clip's geometry, and compared with a store."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest
from factories import AstronautDetector, astronaut, head_depth, write_frames, write_stand_in
from numpy.typing import NDArray
from photograph_build import SIZE, PhotographStages, photograph_config
from PIL import Image

from mvgen.building.build import build
from mvgen.cli import run
from mvgen.core.camera import crop_camera, pixel_grid
from mvgen.core.errors import ClipError, SourceError
from mvgen.core.records import Frame
from mvgen.depth.sensor import Line, corrected_fit, fitted_line, line_of_focal, median_distance
from mvgen.faces.crop import track_face, transform_points
from mvgen.pipeline.stages import PipelineStages
from mvgen.scans.imaging.depth_sensor import DepthSensor
from mvgen.sources import get_source
from mvgen.sources.depth import FOCAL, read_depth
from mvgen.store import layout
from mvgen.store.geometry import read_geometry
from mvgen.store.manifest import read_failures, read_table
from mvgen.verification import verify
from mvgen.verification.source_depth import compare_source_depth

UNIT = 62.0  # mm in an inter-ocular distance


def framed(folder: Path, depth: NDArray[np.uint16], size: tuple[int, int] = (32, 24)) -> Frame:
    """A frame of (width, height) with a depth map beside it."""
    write_frames(folder, ["7.jpg"], size)
    Image.fromarray(depth).save(folder / "7.png")
    return Frame(folder / "7.jpg", 7, "7.jpg", depth=folder / "7.png")


def head(scale: float = 1.0) -> NDArray[np.float64]:
    """(S, S) depth of a head, world units, NaN off it; scale : of its relief"""
    found = head_depth(crop_camera(128))
    return np.where(found.confidence > 0.5, scale * found.depth.astype(np.float64), np.nan)


def test_depth_is_millimetres_and_unknown_where_nothing_was_seen(tmp_path: Path) -> None:
    depth = np.full((24, 32), 480, np.uint16)
    depth[0, :2] = 0, 65535
    seen = read_depth(framed(tmp_path, depth))
    assert seen.dtype == np.float32
    assert np.isnan(seen[0, :2]).all()
    assert (seen[1:] == 480).all()


def test_depth_of_another_size_is_read_at_the_pixels_of_the_colour(tmp_path: Path) -> None:
    rows, columns = np.mgrid[0:12, 0:16].astype(np.uint16)
    seen = read_depth(framed(tmp_path, 100 * rows + columns + 1))
    assert seen.shape == (24, 32)
    np.testing.assert_array_equal(seen[::2, ::2], 100 * rows + columns + 1)
    np.testing.assert_array_equal(seen[1::2, 1::2], seen[::2, ::2])


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("missing", "missing"),
        ("cut short", "unreadable depth"),
        ("text", "unreadable depth"),
        ("eight bits", "not a 16-bit PNG"),
        ("jpeg", "unreadable depth"),
        ("huge", "too large"),
        ("square", "another proportion"),
    ],
)
def test_depth_that_cannot_be_used_is_an_error_that_names_its_file(tmp_path: Path, damage: str, said: str) -> None:
    noise = np.random.default_rng(0).integers(400, 600, (24, 32)).astype(np.uint16)
    frame = framed(tmp_path, noise)
    path = tmp_path / "7.png"
    content = bytearray(path.read_bytes())
    if damage == "missing":
        path.unlink()
    elif damage == "cut short":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "text":
        path.write_text("480 480 480")
    elif damage == "eight bits":
        Image.fromarray((noise >> 2).astype(np.uint8)).save(path)
    elif damage == "jpeg":
        Image.fromarray((noise >> 2).astype(np.uint8)).save(path, "JPEG")
    elif damage == "huge":
        content[16:24] = (12000).to_bytes(4, "big") * 2
        content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
        path.write_bytes(content)
    else:
        Image.fromarray(noise[:, :24].copy()).save(path)
    with pytest.raises(ClipError, match=said) as caught:
        read_depth(frame)
    assert caught.value.path == path


def test_casme3_finds_depth_beside_its_clips_and_its_videos(tmp_path: Path) -> None:
    for root in ("clips", "videos"):
        write_stand_in(tmp_path / root, "casme3", subjects=1, clips=1, frames=5)
    (clip,) = get_source("casme3").read(tmp_path / "videos").clips
    assert [frame.depth for frame in clip.frames] == [None] * len(clip.frames)
    video = clip.frames[0].path.parent.parent
    numbers = [frame.number for frame in clip.frames]
    write_frames(video / "depth", [f"{number}.png" for number in numbers[1:]])
    (clip,) = get_source("casme3").read(tmp_path / "videos").clips
    assert [frame.depth and frame.depth.name for frame in clip.frames] == [None, *(f"{n}.png" for n in numbers[1:])]
    part, cut = tmp_path / "clips/part_A", f"{clip.subject}_{video.name}_{clip.onset}"
    for kind, suffix in (("frame", "jpg"), ("depth", "png")):
        write_frames(part.parent / "Part_A_ME_clip" / kind / cut, [f"{number}.{suffix}" for number in numbers])
    part.rename(tmp_path / "unused")
    (clip,) = get_source("casme3").read(tmp_path / "clips").clips
    assert [frame.depth and frame.depth.parent.parent.name for frame in clip.frames] == ["depth"] * len(clip.frames)


def test_the_focal_length_gives_the_scale_of_a_face() -> None:
    true = Line(480.0, UNIT)
    found = line_of_focal(true.distance(head()), head(), pixels=122.0, focal=122.0 * 480 / UNIT)
    np.testing.assert_allclose(found, true, rtol=1e-6)
    np.testing.assert_allclose(found.depth(true.distance(head())), head(), atol=1e-6)


def test_the_fitted_line_is_not_drawn_by_hair_in_front_of_a_face() -> None:
    distance = Line(480.0, UNIT).distance(head(1.1)) + np.random.default_rng(0).normal(0, 1, (128, 128))
    distance[:25] -= 60  # a seventh of the face
    found = fitted_line(distance, head())
    assert abs(found.unit / (1.1 * UNIT) - 1) < 0.05
    assert abs(np.nanmedian(distance - found.distance(head()))) < 1


def test_a_head_that_comes_nearer_leaves_no_trace_in_the_median() -> None:
    generator = np.random.default_rng(0)
    still = Line(480.0, UNIT).distance(head())
    maps = np.stack([still - 2 * step + generator.normal(0, 1.0, still.shape) for step in range(9)]).astype(np.float32)
    maps[3, 50:60, 50:60] = np.nan
    maps[1:, 70:75, 60:65] = np.nan
    median = median_distance(maps, 2)
    known = np.isfinite(median)
    assert not known[70:75, 60:65].any()
    assert known[50:60, 50:60].all()
    assert np.abs((median - (still - 4))[known]).mean() < 0.5


def test_holes_get_the_form_of_the_fit_at_the_depth_of_what_was_seen_around_them() -> None:
    fit, true = head(), head() + 0.1 + 0.2 * (pixel_grid(128, 128)[..., 0] / 128 - 0.5)
    seen = true + np.random.default_rng(0).normal(0, 0.02, true.shape)
    hole = np.zeros(true.shape, bool)
    hole[60:80, 50:70] = True
    seen[hole] = np.nan
    seen[30:33, 60:63] += 3.0  # an outlier that is no face
    depth = corrected_fit(fit, seen, np.isfinite(seen))
    assert np.isfinite(depth[np.isfinite(fit)]).all()
    away = np.abs(depth - true)
    assert np.nanmean(away) < 0.01
    assert away[hole].max() < 0.03
    assert away[30:33, 60:63].max() < 0.03


def test_a_stand_ins_sensor_has_steps_holes_and_noise_and_the_same_seed_gives_the_same_bytes() -> None:
    sensor = DepthSensor.before(1280, 122.0, UNIT / 1000, FOCAL)
    depth = np.full((240, 320), np.nan)
    depth[60:200, 100:220] = head()[:120, :60].repeat(2, axis=1)[:, :120][np.arange(140) % 120]
    seen = sensor.measure(depth, np.random.default_rng(5))
    assert seen.dtype == np.uint16
    np.testing.assert_array_equal(seen, sensor.measure(depth, np.random.default_rng(5)))
    assert (seen != sensor.measure(depth, np.random.default_rng(6))).any()
    assert 0.01 < (seen == 0).mean() < 0.3
    known = (seen > 0) & np.isfinite(depth)
    away = seen[known] - (sensor.distance - sensor.unit * depth[known])
    assert abs(np.median(away)) < 0.5
    assert 0.2 < away.std() < 3
    assert 400 < sensor.distance < 600


@pytest.fixture(scope="module")
def filmed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stand-in of CAS(ME)³: the photograph's colour, and the depth of an ellipsoid head with 1.1 times its relief."""
    root = tmp_path_factory.mktemp("depth") / "root"
    write_stand_in(root, "casme3", subjects=2, clips=1, frames=5)
    crop = track_face(astronaut()[None], SIZE, AstronautDetector()).crop
    zoom = float(np.hypot(crop[0, 0], crop[1, 0]))
    surface = head_depth(crop_camera(SIZE))
    at = transform_points(crop, pixel_grid(512, 512)).astype(int)
    inside = ((at >= 0) & (at < SIZE)).all(axis=-1)
    columns, rows = np.where(inside[..., None], at, 0).transpose(2, 0, 1)
    depth = np.where(inside & (surface.confidence[rows, columns] > 0.3), 1.1 * surface.depth[rows, columns], np.nan)
    sensor = DepthSensor.before(512, surface.camera.scale / zoom, UNIT / 1000, FOCAL)
    for index, clip in enumerate(get_source("casme3").read(root).clips):
        for frame in clip.frames:
            Image.fromarray(astronaut()).save(frame.path)
            seen = sensor.measure(depth, np.random.default_rng([index, frame.number]))
            path = frame.path.parent.parent / "depth" / f"{frame.number}.png"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(seen).save(path)
    return root


@pytest.mark.slow
def test_a_build_on_the_sensors_depth_has_its_form_and_is_in_order(filmed: Path, tmp_path: Path) -> None:
    stores = {}
    for how in ("clip", "source"):
        config = photograph_config(filmed, tmp_path / how, dataset="casme3", geometry=how, limit=1, angles="30")
        assert build(config, PhotographStages(filmed)).clips == 1
        stores[how] = tmp_path / how
    result = verify(stores["source"])
    assert not result.findings, result.findings
    row = next(row for row in read_table(stores["source"] / layout.TABLE) if row.yaw is None)
    depth = read_geometry(stores["source"], row).depth.depth
    true = 1.1 * head_depth(crop_camera(SIZE)).depth
    inner = np.isfinite(depth) & (head_depth(crop_camera(SIZE)).confidence > 0.5)
    away = (depth - true)[inner]
    # The offset of a store's depth is that of its fit; its form and its scale are the sensor's.
    assert np.median(np.abs(away - np.median(away))) < 0.03
    compared = {how: compare_source_depth(store, filmed) for how, store in stores.items()}
    whole = {how: one.groups()[-1] for how, one in compared.items()}
    assert not any(one.skipped for one in compared.values())
    assert compared["source"].same_origin
    assert not compared["clip"].same_origin
    # The network's stand-in is the same head with less relief: scale and offset explain all of it.
    assert whole["clip"].unit / UNIT == pytest.approx(1.1, abs=0.08)
    assert whole["source"].unit / UNIT == pytest.approx(1.0, abs=0.08)
    for one in whole.values():
        assert one.clips == 1
        assert one.median < 3
        assert one.median_mm == pytest.approx(one.median / 100 * one.unit, rel=0.05)
        assert one.median <= one.largest
        assert 0.5 < one.covered <= 1


@pytest.mark.slow
def test_the_table_is_printed_and_needs_a_root_that_has_depth(
    filmed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = photograph_config(filmed, tmp_path / "out", dataset="casme3", limit=1, angles="30")
    build(config, PhotographStages(filmed))
    assert run(["verify", str(tmp_path / "out"), "--against", "source-depth", "--root", str(filmed)]) == 0
    printed = capsys.readouterr().out
    assert "median, mm" in printed
    assert printed.splitlines()[-1].startswith("all")
    assert run(["verify", str(tmp_path / "out"), "--against", "source-depth"]) == 2
    assert "--root" in capsys.readouterr().err
    write_stand_in(tmp_path / "flat", "casme3", subjects=2, clips=1, frames=5)
    assert run(["verify", str(tmp_path / "out"), "--against", "source-depth", "--root", str(tmp_path / "flat")]) == 2
    assert "has no depth" in capsys.readouterr().err


def test_a_source_says_how_many_of_its_frames_have_depth(filmed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["datasets", "casme3", "--root", str(filmed)]) == 0
    frames = sum(len(clip.frames) for clip in get_source("casme3").read(filmed).clips)
    assert f"{frames} frames have depth" in capsys.readouterr().out


@pytest.mark.slow
def test_a_clip_whose_depth_is_not_that_of_a_face_fails_with_the_reason(filmed: Path, tmp_path: Path) -> None:
    config = photograph_config(filmed, tmp_path / "out", dataset="casme3", geometry="source", focal=5000.0, limit=1)
    build(config, PhotographStages(filmed))
    (failure,) = read_failures(tmp_path / "out" / layout.FAILURES)
    assert failure.stage == "depth"
    assert "--focal" in failure.reason


def test_a_source_without_depth_is_refused_before_anything_is_built(tmp_path: Path) -> None:
    write_stand_in(tmp_path, "casme2", subjects=1, clips=1, frames=4)
    config = photograph_config(tmp_path, tmp_path / "out", geometry="source")
    with pytest.raises(SourceError, match="has no depth"):
        PipelineStages().read(config)
