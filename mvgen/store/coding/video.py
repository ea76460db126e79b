"""The frames of a view as one video in Matroska: H.264 with errors below what motion shows, or FFV1 without any.

H.264 has a fixed quantiser, so that every frame is as exact as the next, and full chroma (4:4:4: chroma is motion too)
of 10 bits, in which RGB of 8 bits comes back as it was but for what the quantiser takes. Every 64th frame needs no
other, so that one frame is read without those long before it.

Equal frames give equal bytes: one thread, no dates, no name of a program, and whole numbers between RGB and YCbCr.
A video may come from a stranger: its header is checked before anything is decoded, and no frame more than wanted is.
Source: ITU-R BT.709, section 3, in full range; `benchmarks/quality/size_on_disk.py` for the quantiser.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from itertools import islice
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mvgen.core.config import LARGEST_SIZE
from mvgen.core.errors import MvgenError
from mvgen.core.records import Image
from mvgen.store.coding.pictures import XMP_PACKET

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer

QUANTISER = 14
"""Of H.264 with 10 bits: 12 of it are the two more bits. The largest at which flow that is estimated again from the
frames moved by less than 0.01 pixels, in the median, in all views of `benchmarks/quality/size_on_disk.py`."""

_GROUP = 64  # frames from one that needs no other to the next
_FASTEST = 500  # frames per second; Matroska counts milliseconds, and every frame needs its own
_SLOWEST = 1
_TAG = "XMP"  # Matroska has no place for XMP, as JPEG and PNG have, but tags of any name
_MOST_FRAMES = 1 << 20  # half a day at 24 frames a second
_HEADER = 1 << 20  # bytes of a file beside its frames, at most
_LOSSY, _LOSSLESS = "yuv444p10le", "bgr0"
_ENCODERS = {False: "libx264", True: "ffv1"}
_CODECS = {"h264": _LOSSY, "ffv1": _LOSSLESS}  # what is decoded, and the pixels that it has to have

# BT.709 in full range between 8 bits and 10, in 65536ths. Rows are Y, Cb, Cr, and back R, G, B.
_UNIT, _HALF, _GREY = 1 << 16, 1 << 15, 512
_LUMA = np.array([0.2126, 0.7152, 0.0722])
_SPREAD = np.array([1.8556, 1.5748])  # of Cb and Cr: 2 (1 - the weight of blue, red)
_FORWARD = np.stack([_LUMA, ([0, 0, 1] - _LUMA) / _SPREAD[0], ([1, 0, 0] - _LUMA) / _SPREAD[1]])
_TO = np.rint(_FORWARD * _UNIT * 1023 / 255).astype(np.int32)
_BACK = np.rint(np.linalg.inv(_FORWARD) * _UNIT * 255 / 1023).astype(np.int32)


class VideoHeader(NamedTuple):
    """What a video says of itself. size : side of its frames, pixels; frames : how many; synthetic : it is marked so"""

    size: int
    frames: int
    synthetic: bool


def encode_video(frames: Image, fps: float, lossless: bool = False, rendered: bool = False) -> bytes:
    """A Matroska file of frames, (T, S, S, 3) uint8 RGB.

    fps : frames per second, for players; rendered : the file says that its pictures are synthetic
    Raises MvgenError where PyAV was built without the encoder.
    """
    import av

    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska", options={"fflags": "+bitexact"}) as container:
        if rendered:
            container.metadata[_TAG] = XMP_PACKET.decode()
        try:
            stream: Any = container.add_stream(_ENCODERS[lossless], rate=_rate(fps))
        except av.codec.codec.UnknownCodecError as error:
            raise MvgenError(
                f"this PyAV cannot write video: it has no {error}; install the wheel of PyPI, or use --format png"
            ) from None
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = _LOSSLESS if lossless else _LOSSY
        stream.options = _options(lossless)
        context = stream.codec_context
        context.thread_count, context.gop_size = 1, _GROUP
        context.flags |= av.codec.context.Flags.bitexact
        if not lossless:
            context.colorspace, context.color_primaries, context.color_trc, context.color_range = 1, 1, 1, 2
        for pixels in frames:
            container.mux(stream.encode(_picture(pixels, lossless)))
        container.mux(stream.encode(None))
    return buffer.getvalue()


def read_header(file: IO[bytes]) -> VideoHeader:
    """The header of a video, and the number of its frames, without decoding any. Raises ValueError for what is none."""
    with _opened(file) as (container, times):
        size = container.streams.video[0].codec_context.width
        synthetic = container.metadata.get(_TAG, "").encode() == XMP_PACKET
        return VideoHeader(size, len(times), synthetic)


def decode_video(file: IO[bytes], count: int) -> Iterator[Image]:
    """The frames of a video of `count` frames, (S, S, 3) uint8 RGB each, in the order of time.

    Raises ValueError for what is no video of a store, is damaged, or has fewer or more frames.
    """
    with _opened(file) as (container, _):
        found = 0
        for picture in container.decode(video=0):
            found += 1
            if found > count:
                raise ValueError(f"it has more than {count} frames")
            yield _pixels(picture, container)
        if found < count:
            raise ValueError(f"it has {found} frames, not {count}")


def decode_frame(file: IO[bytes], count: int, index: int) -> Image:
    """One frame of a video of `count` frames, the same as `decode_video` gives. Raises ValueError as that does."""
    with _opened(file) as (container, times):
        if len(times) != count:
            raise ValueError(f"it has {len(times)} frames, not {count}")
        stream = container.streams.video[0]
        container.seek(times[index], stream=stream, backward=True)
        for picture in container.decode(stream):
            if picture.pts == times[index]:
                return _pixels(picture, container)
            if picture.pts is None or picture.pts > times[index]:
                break
        raise ValueError(f"frame {index + 1} cannot be found")


def _rate(fps: float) -> Fraction:
    return Fraction(min(max(fps, _SLOWEST), _FASTEST)).limit_denominator(1001)


def _options(lossless: bool) -> dict[str, str]:
    if lossless:
        return {"level": "3", "coder": "1", "context": "1", "slices": "4", "slicecrc": "1"}
    # Nothing that spends bits on what the eye likes, and no B frames, which have a coarser quantiser than their
    # neighbours: what is quantised otherwise from frame to frame looks like motion.
    return {
        "preset": "medium",
        "qp": str(QUANTISER),
        "aq-mode": "0",
        "psy": "0",
        "bf": "0",
        "sc_threshold": "0",
    }


@contextmanager
def _opened(file: IO[bytes]) -> Iterator[tuple[InputContainer, Sequence[int]]]:
    """A video of a store, checked by its header, and the times of its frames.

    What PyAV raises, meanwhile too, becomes a ValueError.
    """
    import av

    most = {"codec_whitelist": ",".join(_CODECS), "max_streams": "1", "max_pixels": str(LARGEST_SIZE**2)}
    length = file.seek(0, io.SEEK_END)
    file.seek(0)
    try:
        with av.open(file, "r", format="matroska", options=most) as container:
            if [stream.type for stream in container.streams] != ["video"]:
                raise ValueError("it holds something else than one video")
            context = container.streams.video[0].codec_context
            if _CODECS.get(context.name) != context.pix_fmt:
                raise ValueError(f"it is coded as {context.name} {context.pix_fmt}, which no view is")
            if context.width != context.height or not 0 < context.width <= LARGEST_SIZE:
                raise ValueError(f"it has {context.width} x {context.height} pixels, which no view has")
            context.options = {"max_pixels": most["max_pixels"], "err_detect": "crccheck+explode"}
            context.thread_count = 1
            times = _times(container)
            if length > _HEADER + len(times) * 6 * context.width**2:
                raise ValueError("it is larger than its frames can be")
            yield container, times
    except (av.FFmpegError, UnicodeError, OverflowError) as error:
        raise ValueError(getattr(error, "strerror", None) or str(error)) from None


def _times(container: InputContainer) -> Sequence[int]:
    """The times of all frames, in order; the container is at its beginning then."""
    stream = container.streams.video[0]
    container.seek(0, stream=stream)
    packets = (packet for packet in container.demux(stream) if packet.size and packet.pts is not None)
    times = sorted(packet.pts for packet in islice(packets, _MOST_FRAMES + 1) if packet.pts is not None)
    if len(times) > _MOST_FRAMES:
        raise ValueError(f"it has more than {_MOST_FRAMES} frames")
    if len(set(times)) < len(times):
        raise ValueError("two of its frames are at the same time")
    container.seek(0, stream=stream)
    return times


def _picture(pixels: Image, lossless: bool) -> VideoFrame:
    from av import VideoFrame

    height, width = pixels.shape[:2]
    if lossless:
        planes = [np.dstack([pixels[..., ::-1], np.zeros((height, width), np.uint8)]).reshape(height, -1)]
    else:
        planes = list(to_ycbcr(pixels).astype("<u2"))
    picture = VideoFrame(width, height, _LOSSLESS if lossless else _LOSSY)
    for plane, values in zip(picture.planes, planes, strict=True):
        padded = np.zeros((height, plane.line_size // values.itemsize), values.dtype)
        padded[:, : values.shape[1]] = values
        plane.update(padded.tobytes())
    return picture


def _pixels(picture: VideoFrame, container: InputContainer) -> Image:
    """(S, S, 3) RGB of a decoded frame. Raises ValueError for one that is not as the header says."""
    context = container.streams.video[0].codec_context
    if (picture.width, picture.height, picture.format.name) != (context.width, context.height, context.pix_fmt):
        raise ValueError("a frame is of another size or form than the header says")
    if picture.is_corrupt:
        raise ValueError("a frame is damaged")
    lossless = picture.format.name == _LOSSLESS
    kind, width = ("u1", 4 * picture.width) if lossless else ("<u2", picture.width)
    planes = [np.frombuffer(bytes(plane), kind).reshape(picture.height, -1)[:, :width] for plane in picture.planes]
    if lossless:
        return np.ascontiguousarray(planes[0].reshape(picture.height, picture.width, 4)[..., 2::-1])
    return from_ycbcr(np.stack(planes))


def to_ycbcr(rgb: Image) -> NDArray[np.uint16]:
    """(H, W, 3) 8-bit RGB -> (3, H, W) Y, Cb, Cr of 10 bits, BT.709 in full range."""
    planes = _mixed(_TO, rgb.astype(np.int32).transpose(2, 0, 1), (0, _GREY, _GREY))
    return np.clip(planes, 0, 1023).astype(np.uint16)


def from_ycbcr(planes: NDArray[np.uint16]) -> Image:
    """(3, H, W) Y, Cb, Cr of 10 bits -> (H, W, 3) 8-bit RGB."""
    centred = planes.astype(np.int32)
    centred[1:] -= _GREY
    return np.clip(_mixed(_BACK, centred, (0, 0, 0)), 0, 255).astype(np.uint8).transpose(1, 2, 0).copy()


def _mixed(matrix: NDArray[np.int32], planes: NDArray[np.int32], offset: Sequence[int]) -> NDArray[np.int32]:
    """A matrix in 65536ths, of planes (3, H, W), rounded."""
    rows = [row[0] * planes[0] + row[1] * planes[1] + row[2] * planes[2] for row in matrix]
    return np.stack([((row + _HALF) >> 16) + more for row, more in zip(rows, offset, strict=True)])
