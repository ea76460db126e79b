"""Pictures and videos from anybody: broken, endless or of any depth, they are read or are failure rows."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from factories import astronaut, write_frames, write_video
from hostile_trees import jpeg
from PIL import Image
from reading_build import build_all

from mvgen.sources import get_source
from mvgen.sources.frames import read_frames


def png(width: int, height: int) -> bytes:
    """A whole PNG whose header claims so many pixels, and which holds none of them."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("img3.jpg", jpeg()[:400], "unreadable frame"),
        ("img3.jpg", jpeg()[:20], "unreadable frame"),
        ("img3.jpg", b"", "unreadable frame"),
        ("img3.jpg", b"<?php system('id'); ?>", "unreadable frame"),
        ("img3.png", png(60000, 60000), "unreadable frame"),
        ("img3.png", png(12000, 12000), "the frame is too large: 12000x12000 pixels"),
        ("img3.png", png(0, 5), "unreadable frame"),
        ("img3.png", png(32, 32), "unreadable frame"),
    ],
)
@pytest.mark.filterwarnings("ignore:Image size:PIL.Image.DecompressionBombWarning")
def test_a_broken_picture_fails_its_clip_alone(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    root = tmp_path / "root"
    for clip in ("a/good", "b/bad"):
        write_frames(root / clip, ["img1.png", "img2.png"])
    (root / "b/bad" / name).write_bytes(content)
    built, failures = build_all("folder", root)
    assert built == {"a__good"}
    assert failures["b__bad"].reason.startswith(reason)
    assert failures["b__bad"].file == f"b/bad/{name}"


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16", "YCbCr"])
def test_pictures_of_any_depth_are_read_as_8_bit_rgb(tmp_path: Path, mode: str) -> None:
    grey = astronaut()[40:104, 150:214, 0]
    kind = "jpg" if mode in ("CMYK", "YCbCr") else "png"
    folder = tmp_path / "root" / "clip"
    folder.mkdir(parents=True)
    wide = Image.fromarray(grey.astype(np.uint16) * 257)
    picture = wide if mode == "I;16" else Image.fromarray(grey).convert(mode)
    for index in (1, 2):
        picture.save(folder / f"img{index}.{kind}", **({"quality": 98} if kind == "jpg" else {}))
    (clip,) = get_source("folder").read(tmp_path / "root").clips
    frames = read_frames(clip)
    assert (frames.shape, frames.dtype) == ((2, 64, 64, 3), np.uint8)
    if mode != "1":
        assert np.abs(frames[0].mean(axis=-1) - grey).mean() < 3


def test_pictures_of_different_depths_make_one_clip(tmp_path: Path) -> None:
    write_frames(tmp_path / "root/clip", ["img1.png"])
    write_frames(tmp_path / "root/clip", ["img2.png"], grey=True)
    built, failures = build_all("folder", tmp_path / "root")
    assert (built, failures) == ({"clip"}, {})


def test_videos_without_frames_or_without_a_picture_fail_alone(tmp_path: Path) -> None:
    import av

    root = tmp_path / "root"
    write_frames(root / "good", ["1.png", "2.png"])
    write_video(root / "whole.mkv", astronaut()[None, :64, :64].repeat(4, axis=0))
    whole = (root / "whole.mkv").read_bytes()
    with av.open(str(root / "sound.mkv"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
    (root / "header.mkv").write_bytes(whole[:700])
    (root / "empty.mp4").write_bytes(b"")
    (root / "half.mkv").write_bytes(whole[: len(whole) // 2])
    (root / "text.avi").write_text("#!/bin/sh\ntouch pwned\n")
    (root / "whole.mkv").unlink()
    built, failures = build_all("folder", root)
    assert built == {"good"}
    assert set(failures) == {"sound", "header", "empty", "half", "text"}
    assert failures["sound"].reason == "the file holds no video"
    assert failures["header"].reason.startswith(("the clip has no frames", "unreadable video"))


def test_a_video_of_too_many_pixels_fails_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_video(tmp_path / "small.mkv", astronaut()[None, :32, :64].repeat(2, axis=0))
    write_video(tmp_path / "large.mkv", astronaut()[None, :64, :64].repeat(2, axis=0))
    monkeypatch.setattr("mvgen.sources.frames.LARGEST_PICTURE", 64 * 64 - 1)
    listing = get_source("folder").read(tmp_path)
    assert [clip.id for clip in listing.clips] == ["small"]
    assert [failure.reason for failure in listing.failures] == ["the video is too large: 64x64 pixels"]


def test_what_is_no_regular_file_is_never_waited_for(tmp_path: Path) -> None:
    root = tmp_path / "root"
    write_frames(root / "good", ["1.png", "2.png"])
    write_frames(root / "odd", ["1.png", "2.png"])
    os.mkfifo(root / "odd/3.png")
    (root / "odd/4.png").symlink_to("4.png")
    (root / "odd/5.png").symlink_to("/dev/zero")
    (root / "odd/6.png").symlink_to(tmp_path / "nowhere.png")
    (root / "odd/7.png").mkdir()
    os.mkfifo(root / "pipe.mp4")
    (root / "endless.mkv").symlink_to("/dev/zero")
    (root / "round").symlink_to(root)
    os.mkfifo(root / "labels.csv")
    listing = get_source("folder").read(root)
    assert {clip.id: len(clip.frames) for clip in listing.clips} == {"good": 2, "odd": 2}
    reasons = {failure.clip: failure.reason for failure in listing.failures}
    assert reasons == dict.fromkeys(["endless", "pipe"], "the video is missing, or no regular file")
