"""A clip as a video: its source and views side by side."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fake_build import FakeStages, make_config, make_source
from PIL import Image

from mvgen.building.build import build
from mvgen.cli import run
from mvgen.core.errors import ConfigError, StoreError
from mvgen.export.base import Exported, open_store
from mvgen.export.video import write_video
from mvgen.store.coding.pictures import SYNTHETIC, XMP_PACKET
from mvgen.store.frames import read_frames
from mvgen.store.manifest import ViewRow

SIZE, CAPTION = 64, 20


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("video")
    root = make_source(folder / "root", subjects=2, clips=1)
    build(make_config(root, folder / "out", angles="-45:45:15"), FakeStages(root))
    return folder / "out"


@pytest.fixture(scope="module")
def exported(store: Path) -> Exported:
    return open_store(store, ("all",))


@pytest.fixture(scope="module")
def clip(exported: Exported) -> str:
    return exported.rows[0].clip


def cells(picture: np.ndarray, columns: int, count: int) -> list[np.ndarray]:
    height = SIZE + CAPTION
    tops = [index // columns * height + CAPTION for index in range(count)]
    lefts = [index % columns * SIZE for index in range(count)]
    return [picture[top : top + SIZE, left : left + SIZE] for top, left in zip(tops, lefts, strict=True)]


def rows_of(exported: Exported, clip: str) -> list[ViewRow]:
    rows = [row for row in exported.rows if row.clip == clip]
    return sorted(rows, key=lambda row: -999 if row.yaw is None else row.yaw)


def decoded(path: Path) -> list[np.ndarray]:
    import av

    with av.open(str(path)) as file:
        return [frame.to_ndarray(format="rgb24").astype(float) for frame in file.decode(video=0)]


def test_mp4_has_every_frame_of_every_view_at_its_time(exported: Exported, clip: str, tmp_path: Path) -> None:
    import av

    path = tmp_path / "clip.mp4"
    assert write_video(exported, clip, path, speed=0.5) == 4
    rows, film = rows_of(exported, clip), decoded(path)
    assert len(rows) == 8
    assert len(film) == 4
    assert film[0].shape == (2 * (SIZE + CAPTION), 6 * SIZE, 3)
    for index, row in enumerate(rows):
        stored = read_frames(exported.root, row).astype(float)
        shown = [cells(picture, 6, 8)[index] for picture in film]
        off = [[np.abs(one.mean(-1) - other.mean(-1)).mean() for other in stored] for one in shown]
        assert np.argmin(off, axis=1).tolist() == [0, 1, 2, 3]
    with av.open(str(path)) as file:
        assert file.streams.video[0].average_rate == 15  # half of 30
        assert file.metadata["copyright"] == exported.terms


def test_both_say_that_they_are_synthetic(exported: Exported, clip: str, tmp_path: Path) -> None:
    write_video(exported, clip, tmp_path / "clip.mp4")
    content, boxes = (tmp_path / "clip.mp4").read_bytes(), {}
    at = 0
    while at < len(content):
        length, kind = struct.unpack(">I4s", content[at : at + 8])
        boxes[kind] = content[at + 8 : at + length]
        at += length
    assert at == len(content)
    assert boxes[b"uuid"] == bytes.fromhex("be7acfcb97a942e89c71999491e3afac") + XMP_PACKET
    write_video(exported, clip, tmp_path / "clip.gif")
    block = b"\x21\xff\x0bXMP DataXMP" + XMP_PACKET
    assert SYNTHETIC.encode() in XMP_PACKET
    content = (tmp_path / "clip.gif").read_bytes()
    assert content.count(block) == 1
    end = content.index(block) + len(block)
    # A reader that takes the packet for sub-blocks is led to their end, whichever byte it comes in at.
    tail = content[end : end + 258]
    assert all(tail[at + tail[at] + 1] == 0 for at in range(1, 256))
    with Image.open(tmp_path / "clip.gif") as gif:
        assert gif.info["comment"].decode() == exported.terms


def test_the_source_by_itself_is_not_called_synthetic(exported: Exported, clip: str, tmp_path: Path) -> None:
    source = replace(exported, rows=tuple(row for row in exported.rows if row.yaw is None))
    for suffix in ("mp4", "gif"):
        assert write_video(source, clip, tmp_path / f"clip.{suffix}") == 4
        assert b"DigitalSourceType" not in (tmp_path / f"clip.{suffix}").read_bytes()


def test_gif_plays_as_long_as_the_clip(exported: Exported, clip: str, tmp_path: Path) -> None:
    def stays(speed: float, frames: list[int]) -> list[int]:
        path = tmp_path / f"{speed}.gif"
        count = write_video(exported, clip, path, speed, most=2)
        with Image.open(path) as gif:
            assert gif.n_frames == count == len(frames)
            assert gif.info["loop"] == 0
            assert gif.size == (3 * SIZE, SIZE + CAPTION)
            found = []
            for index in range(count):
                gif.seek(index)
                found.append(int(gif.info["duration"]))
                shown = np.asarray(gif.convert("RGB"), float)
                stored = read_frames(exported.root, rows_of(exported, clip)[0]).astype(float)
                off = [np.abs(cells(shown, 3, 1)[0] - each).mean() for each in stored]
                assert int(np.argmin(off)) == frames[index]
            return found

    assert stays(1.0, [0, 1, 2, 3]) == [30, 40, 30, 30]  # 4 frames at 30 a second
    assert stays(2.0, [0, 1, 3]) == [20, 30, 20]  # 67 ms, none of them shorter than 20
    assert stays(4.0, [0, 2]) == [20, 20]


def test_the_same_clip_gives_the_same_bytes(exported: Exported, clip: str, tmp_path: Path) -> None:
    for suffix in ("mp4", "gif"):
        paths = [tmp_path / f"{name}.{suffix}" for name in ("one", "two")]
        for path in paths:
            write_video(exported, clip, path)
        assert paths[0].read_bytes() == paths[1].read_bytes()


def test_the_command_shows_the_source_and_four_views(
    store: Path, clip: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "clip.gif"
    line = ["export", str(store), "--to", "gif", "--clip", clip, "--out", str(path)]
    assert run(line) == 0
    said = capsys.readouterr().out
    assert "terms of Fake: none" in said
    assert f"4 frames in {path}" in said
    assert Image.open(path).size == (5 * SIZE, SIZE + CAPTION)
    assert run(line) == 2
    assert "is there already" in capsys.readouterr().err
    assert run([*line[:-1], str(tmp_path / "two.gif"), "--views", "yaw-15,source"]) == 0
    assert Image.open(tmp_path / "two.gif").size == (2 * SIZE, SIZE + CAPTION)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"--clip": None}, "needs --clip"),
        ({"--clip": "nobody"}, "has no clip 'nobody'; it has 2, such as"),
        ({"--out": "clip.gif"}, "ends in .mp4"),
        ({"--views": "yaw+7"}, "has no view 'yaw+7'"),
        ({"--speed": "1000000"}, "give another --speed"),
    ],
)
def test_what_cannot_be_written_is_said(  # noqa: PLR0917
    store: Path, clip: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, str], message: str
) -> None:
    options = {"--to": "mp4", "--clip": clip, "--out": "clip.mp4", **changes}
    options["--out"] = str(tmp_path / options["--out"])
    line = [word for option, value in options.items() if value is not None for word in (option, value)]
    assert run(["export", str(store), *line]) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_views_that_do_not_fit_together_are_a_damaged_store(exported: Exported, clip: str, tmp_path: Path) -> None:
    shown = [3 if row.yaw == 0 else 4 for row in exported.rows]
    rows = [
        replace(row, frames=frames, frame_names=row.frame_names[:frames])
        for row, frames in zip(exported.rows, shown, strict=True)
    ]
    with pytest.raises(StoreError, match="differ in frames or size"):
        write_video(replace(exported, rows=tuple(rows)), clip, tmp_path / "clip.mp4")
    with pytest.raises(ConfigError, match=r"use \.mp4 or \.gif"):
        write_video(exported, clip, tmp_path / "clip.avi")
