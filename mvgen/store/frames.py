"""Colour frames of a store, read back: from a folder of pictures, or from a video. Nothing else opens them."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from mvgen.core.config import LARGEST_SIZE
from mvgen.core.errors import StoreError
from mvgen.core.files import open_regular, read_regular, reason_of
from mvgen.core.records import Image
from mvgen.store import layout
from mvgen.store.checks import inside
from mvgen.store.coding.pictures import encode_frame
from mvgen.store.coding.video import VideoHeader, decode_frame, decode_video, read_header
from mvgen.store.manifest import ViewRow

if TYPE_CHECKING:
    from PIL.Image import Image as PictureFile

_MOST_BYTES = 8 << 30  # of the decoded frames of one view


def read_frames(root: Path, row: ViewRow, at: Sequence[int] | None = None) -> Image:
    """Colour frames of a row, (T, S, S, 3) uint8.

    at : positions of those that are wanted, in rising order; None: all
    Raises StoreError for a frame that is missing or damaged, or is not as large as the others, and for a video that
    does not hold the row's frames.
    """
    wanted = range(row.frames) if at is None else at
    size = _size(root, row)
    if len(wanted) * size * size * 3 > _MOST_BYTES:
        files = root / (row.video or row.frames_directory)
        raise StoreError(f"the frames of {files} take more memory than those of any clip; build the dataset again")
    found = np.empty((len(wanted), size, size, 3), np.uint8)
    for frame, pixels in zip(found, iterate_frames(root, row, wanted), strict=True):
        frame[:] = pixels
    return found


def iterate_frames(root: Path, row: ViewRow, at: Sequence[int] | None = None) -> Iterator[Image]:
    """The same one by one, (S, S, 3) each, so that a long clip need not be in memory."""
    wanted = range(row.frames) if at is None else at
    if row.video is None:
        folder, size = inside(root, row.frames_directory), _size(root, row)
        for index in wanted:
            yield _read_picture(folder / row.frame_names[index], size)
        return
    with _opened_video(root, row) as file:
        chosen = set(wanted)
        for index, pixels in enumerate(decode_video(file, row.frames)):
            if index in chosen:
                yield pixels


def read_frame(root: Path, row: ViewRow, index: int) -> Image:
    """One of them, (S, S, 3) uint8."""
    if row.video is not None:
        with _opened_video(root, row) as file:
            return decode_frame(file, row.frames, index)
    path = inside(root, row.frames_directory) / row.frame_names[index]
    return _read_picture(path, frame_size(path))


def frame_files(root: Path, row: ViewRow, quality: int) -> Iterator[bytes]:
    """The frames of a row as picture files: those of the store, or made of a video's frames as their names say.

    quality : of JPEG files that are made
    Raises StoreError as `read_frames`.
    """
    if row.video is None:
        folder = inside(root, row.frames_directory)
        yield from (_picture_file(folder / name) for name in row.frame_names)
        return
    for name, pixels in zip(row.frame_names, iterate_frames(root, row), strict=True):
        grey = bool((pixels == pixels[..., :1]).all())
        yield encode_frame(pixels, layout.encoder(name), grey, quality, rendered=row.yaw is not None)


def video_header(root: Path, row: ViewRow) -> VideoHeader:
    """What the video of a row says of itself. Raises StoreError for what is none."""
    with _opened_video(root, row) as file:
        return read_header(file)


def frame_size(path: Path) -> int:
    """The side of a frame in pixels, without decoding it. Raises StoreError for what is no frame of a store."""
    with _opened(path) as picture:
        width, height = picture.size
        if width != height or width > LARGEST_SIZE:
            raise ValueError(f"it has {width} x {height} pixels, which no view has")
        return width


def _size(root: Path, row: ViewRow) -> int:
    if row.video is not None:
        return video_header(root, row).size
    return frame_size(inside(root, row.frames_directory) / row.frame_names[0])


@contextmanager
def _opened_video(root: Path, row: ViewRow) -> Iterator[IO[bytes]]:
    """The video of a row. StoreError for what cannot be opened, and for a ValueError of whoever decodes it."""
    path = inside(root, row.video or "")
    try:
        if path.is_symlink():
            raise ValueError("it is a link")
        with open_regular(path) as file:
            yield file
    except (OSError, ValueError, MemoryError) as error:
        raise StoreError(
            f"video {path} cannot be read: {reason_of(error)}; the store is damaged, build it again"
        ) from None


def _read_picture(path: Path, size: int) -> Image:
    with _opened(path) as picture:
        if picture.size != (size, size):
            raise ValueError(f"it has {picture.width} x {picture.height} pixels, others of its clip {size} x {size}")
        return np.array(picture.convert("RGB"))


def _picture_file(path: Path) -> bytes:
    with _opened(path):
        return read_regular(path)


@contextmanager
def _opened(path: Path) -> Iterator[PictureFile]:
    """A frame by its header. StoreError for what cannot be read, and for a ValueError of whoever looks at it."""
    from PIL import Image as Picture

    try:
        if path.is_symlink():
            raise ValueError("it is a link")
        with open_regular(path) as file, Picture.open(file, formats=[layout.encoder(path.name)]) as picture:
            yield picture
    except (
        OSError,
        ValueError,
        SyntaxError,
        MemoryError,
        struct.error,
        zlib.error,
        Picture.DecompressionBombError,
    ) as error:
        raise StoreError(
            f"frame {path} cannot be read: {reason_of(error)}; the store is damaged, build it again"
        ) from None
