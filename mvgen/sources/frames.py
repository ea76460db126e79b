"""Frames of a clip: their files and pixels."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mvgen.core.errors import ClipError
from mvgen.core.names import IMAGE_SUFFIXES, UNREAD_SUFFIXES
from mvgen.core.records import Clip, Frame, Frames, Image

if TYPE_CHECKING:
    from av import VideoFrame

LARGEST_PICTURE = 1 << 26
"""Pixels, twice those of 8K video. Small malicious files can claim images larger than any memory."""
_AT_ONCE = 256 << 20  # bytes of frames that are read into memory together
VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm")


def frame_number(name: str) -> int | None:
    """The last integer in a frame's file stem; None if there is none.

    `img557.jpg` is 557, `reg_img46.jpg` 46, `006_05562.jpg` 5562, `img2977.jpg.jpg` 2977.
    """
    stem = name
    while (parts := os.path.splitext(stem))[1].lower() in IMAGE_SUFFIXES:
        stem = parts[0]
    digits = re.findall(r"\d+", stem)
    return int(digits[-1]) if digits else None


def list_frames(folder: Path) -> tuple[tuple[Frame, ...], tuple[tuple[str, str], ...]]:
    """Frames of a folder in the order of their numbers, never of their names.

    Returns (frames, dropped); dropped contains (file name, reason). Files other than images are ignored, but for
    pictures that cannot be read where there are no others.
    Raises OSError when the folder cannot be read.
    """
    frames: dict[int, Frame] = {}
    dropped = []
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if _is_file(entry))
    for name in names:
        if name.startswith(".") or not name.lower().endswith(IMAGE_SUFFIXES):
            continue
        number = frame_number(name)
        if number is None:
            dropped.append((name, "an image without a frame number in its name"))
        elif number in frames:
            dropped.append((name, f"frame {number} is already there as {frames[number].name}"))
        else:
            frames[number] = Frame(path=folder / name, number=number, name=name)
    if reason := unread(names):
        dropped.append((".", reason))
    return tuple(frames[number] for number in sorted(frames)), tuple(dropped)


def unread(names: Sequence[str]) -> str:
    """Why pictures of a folder are not read, where it has no others; empty if there is nothing to say."""
    left = [name for name in names if name.lower().endswith(UNREAD_SUFFIXES)]
    if not left or any(name.lower().endswith(IMAGE_SUFFIXES) for name in names):
        return ""
    return f"{len(left)} pictures such as {left[0]} are not read; convert them to .png"


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:  # a link to itself
        return False


def list_video(path: Path) -> tuple[tuple[Frame, ...], float | None]:
    """Frames of a video, numbered from 1 and named `000001.png` and so on, and its frame rate if stated.

    All frames are decoded to count them: the counts in containers are often wrong.
    Raises ClipError for a file that is not a video or is truncated inside a frame.
    """
    if not path.is_file():
        raise ClipError("source", "the video is missing, or no regular file", path)
    rates = [rate for _, rate in _decode(path)]
    frames = tuple(
        Frame(path=path, number=index + 1, name=f"{index + 1:06d}.png", index=index) for index in range(len(rates))
    )
    return frames, float(rates[0]) if rates and rates[0] else None


def open_frames(clip: Clip) -> Frames:
    """The frames of a clip: an array, or, where that would be large, what reads them when they are asked for.

    Raises ClipError as `read_frames` does, then or later.
    """
    if not clip.frames:
        raise ClipError("source", "the clip has no frames")
    small = len(clip.frames) * _pixel_count(clip.frames[0]) * 3 <= _AT_ONCE
    return read_frames(clip) if small else ClipFrames(clip.frames)


class ClipFrames:
    """The frames of a long clip, of which few are in memory at once; see `mvgen.core.records.Frames`.

    Those that were last asked for by position are kept: the same ones are asked for again.
    """

    def __init__(self, frames: tuple[Frame, ...]) -> None:
        self._frames = frames
        self._kept: dict[int, Image] = {}

    @property
    def shape(self) -> tuple[int, ...]:
        """(T, H, W, 3)."""
        first = next(iter(self._kept.values())) if self._kept else self[[0]][0]
        return (len(self._frames), *first.shape)

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, at: list[int], /) -> Image:
        if not self._kept.keys() >= set(at):
            ordered = sorted(set(at))
            chosen = [self._frames[index] for index in ordered]
            self._kept = dict(zip(ordered, _alike(chosen), strict=True))
        return np.stack([self._kept[index] for index in at])

    def __iter__(self) -> Iterator[Image]:
        return _alike(self._frames)


def read_frames(clip: Clip) -> Image:
    """Pixels of a clip.

    Returns (T, H, W, 3) uint8 RGB; grey sources have three equal channels, 16-bit ones are scaled to 8 bits.
    Raises ClipError("source", ...) naming the file for a frame that is missing, unreadable, cut short, or of another
    size than the first.
    """
    if not clip.frames:
        raise ClipError("source", "the clip has no frames")
    return np.stack(list(_alike(clip.frames)))


def _alike(frames: Sequence[Frame]) -> Iterator[Image]:
    """Pixels of frames, one after the other. Raises ClipError for one of another size than the first."""
    first: tuple[int, ...] | None = None
    for frame, pixels in zip(frames, _stream(frames), strict=True):
        shape = pixels.shape
        first = first or shape
        if shape != first:
            raise ClipError(
                "source",
                f"frame {frame.number} is {shape[1]}x{shape[0]}, but the first frame is {first[1]}x{first[0]}",
                frame.path,
            )
        yield pixels


def _pixel_count(frame: Frame) -> int:
    """Pixels of a frame, by the header of its file; 0 where that cannot be read, which whoever reads it reports."""
    import av
    from PIL import Image as PillowImage

    try:
        if frame.index is not None:
            with av.open(str(frame.path)) as container:
                return container.streams.video[0].width * container.streams.video[0].height
        with PillowImage.open(frame.path) as image:
            return image.width * image.height
    except (av.FFmpegError, OSError, SyntaxError, ValueError, IndexError, PillowImage.DecompressionBombError):
        return 0


def _stream(frames: Sequence[Frame]) -> Iterator[Image]:
    """Pixels of frames, one after the other; those of a video in the order of time."""
    if frames[0].index is None:
        yield from (_read_image(frame.path) for frame in frames)
        return
    path, wanted = frames[0].path, [frame.index for frame in frames]
    found = 0
    for index, (picture, _) in enumerate(_decode(path)):
        if index == wanted[found]:
            yield _pixels(picture)
            found += 1
            if found == len(wanted):
                return
    raise ClipError("source", f"the video ends before frame {(wanted[found] or 0) + 1}", path)


def _read_image(path: Path) -> NDArray[np.uint8]:
    from PIL import Image as PillowImage
    from PIL import ImageOps

    try:
        with PillowImage.open(path) as image:
            if image.width * image.height > LARGEST_PICTURE:
                raise ClipError("source", f"the frame is too large: {image.width}x{image.height} pixels", path)
            if getattr(image, "n_frames", 1) > 1:
                raise ClipError("source", "the file holds several pictures; write each to a file of its own", path)
            if image.mode == "F":
                raise ClipError("source", "the frame has fractions as pixels; convert it to 8 or 16 bits", path)
            if image.mode.startswith("I"):
                wide = np.asarray(image).astype(np.int64)
                grey = (np.clip(wide, 0, 65535) >> 8).astype(np.uint8)
                return np.repeat(grey[..., None], 3, axis=2)
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except FileNotFoundError:
        raise ClipError("source", "frame is missing", path) from None
    # Pillow raises any of these for broken files, depending on the format and the place of the damage.
    except (OSError, SyntaxError, ValueError, EOFError, PillowImage.DecompressionBombError) as error:
        reason = str(error).replace(str(path), path.name)
        raise ClipError("source", f"unreadable frame: {reason}", path) from None


@dataclass(frozen=True, slots=True)
class Stream:
    """A recording that is read one frame at a time, however long it is.

    rate : frames per second, if stated; count : frames, as far as is known before they are read
    frames : numbers and pixels, (H, W, 3) uint8 RGB
    """

    rate: float | None
    count: int | None
    frames: Iterator[tuple[int, NDArray[np.uint8]]]


def stream_frames(path: Path) -> Stream:
    """Read a video, or a folder of numbered frames, one frame at a time; a video's frames are numbered from 1.

    Raises ClipError("source"), also while frames are read, for a file that is no video, or a frame that is broken.
    """
    if path.is_dir():
        try:
            frames = list_frames(path)[0]
        except OSError as error:
            raise ClipError("source", f"the folder cannot be read: {error.strerror}", path) from None
        return Stream(None, len(frames), ((frame.number, _read_image(frame.path)) for frame in frames))
    if not path.is_file():
        raise ClipError("source", "the video is missing, or no regular file", path)
    rate, count = _stated(path)
    return Stream(rate, count, ((number, _pixels(picture)) for number, (picture, _) in enumerate(_decode(path), 1)))


def _stated(path: Path) -> tuple[float | None, int | None]:
    """Rate and number of frames, as a video's header states them; None where it does not."""
    import av

    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise ClipError("source", "the file holds no video", path)
            stream = container.streams.video[0]
            rate = float(stream.average_rate) if stream.average_rate else None
            seconds = container.duration / av.time_base if container.duration else 0.0
            return rate, stream.frames or round(seconds * (rate or 0)) or None
    except (av.FFmpegError, OSError) as error:
        raise ClipError("source", f"unreadable video: {error.strerror or error}", path) from None


def _pixels(picture: VideoFrame) -> NDArray[np.uint8]:
    """A video's frame upright, (H, W, 3): phones store rotation as metadata; PyAV gives counter-clockwise degrees."""
    turns = round((getattr(picture, "rotation", 0) or 0) / 90) % 4
    return np.ascontiguousarray(np.rot90(picture.to_ndarray(format="rgb24"), turns))


def _decode(path: Path) -> Iterator[tuple[VideoFrame, Fraction | None]]:
    import av

    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise ClipError("source", "the file holds no video", path)
            stream = container.streams.video[0]
            if stream.width * stream.height > LARGEST_PICTURE:
                raise ClipError("source", f"the video is too large: {stream.width}x{stream.height} pixels", path)
            rate: Fraction | None = stream.average_rate
            for picture in container.decode(stream):
                yield picture, rate
    except (av.FFmpegError, OSError) as error:
        raise ClipError("source", f"unreadable video: {error.strerror or error}", path) from None
