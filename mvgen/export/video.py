"""One clip as a video: its source and its views side by side, as MP4 or GIF.

What a file says of itself as a stored frame does (XMP: a synthetic picture) stands in the video too, with the source's
terms. Sources: XMP Specification Part 3, sections 1.1.2 (GIF) and 2.1.1 (MPEG-4); ISO/IEC 14496-12, 4.2 (uuid boxes).
"""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mvgen.core.errors import ConfigError, StoreError
from mvgen.core.files import disk_errors, write_atomically
from mvgen.core.records import Image
from mvgen.export.base import Exported
from mvgen.store.coding.pictures import XMP_PACKET
from mvgen.store.frames import read_frames
from mvgen.store.manifest import ViewRow
from mvgen.store.sheet import spread

SUFFIXES = {"mp4": ".mp4", "gif": ".gif"}
FEW = 4
"""Views beside the source where none are asked for."""

_COLUMNS = 6
_CAPTION = 20  # pixels
_QUALITY = "14"  # x264's constant rate factor: hardly to be told from the pictures
_RATES = (0.1, 10_000)  # frames a second
_SHORTEST = 2  # hundredths of a second: players show a shorter GIF frame for longer
_XMP_BOX = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_XMP_END = bytes([1, *range(255, -1, -1), 0])  # lets a reader that knows no XMP find the end of the block


def write_video(exported: Exported, clip: str, path: Path, speed: float = 1.0, most: int | None = None) -> int:
    """Write a clip's views, in the order of their angles, as the kind of video that the suffix of `path` names.

    speed : of playing, 1 the original; most : views beside the source, evenly spread; None for all
    Returns the number of frames. In a GIF, those that would be shown for less than 20 ms are left out.
    Raises ConfigError for a clip that is not there, a suffix that is no video's, or a speed that no video has;
    StoreError for a file that is there already or cannot be written, and for a damaged store.
    """
    if path.suffix.lower() not in SUFFIXES.values():
        raise ConfigError(f"cannot write a video as {path.name}: use {' or '.join(SUFFIXES.values())}")
    if path.exists():
        raise StoreError(f"{path} is there already; remove it, or give another --out")
    rows = _rows(exported, clip, most)
    rate = rows[0].fps * speed
    if not _RATES[0] <= rate <= _RATES[1]:
        raise ConfigError(f"no video has {rate:g} frames a second; give another --speed")
    pictures = _side_by_side([read_frames(exported.root, row) for row in rows], [row.view for row in rows])
    # The source by itself is no synthetic picture.
    packet = XMP_PACKET if any(row.yaw is not None for row in rows) else b""
    if path.suffix.lower() == ".mp4":
        content, count = _mp4(pictures, rate, exported.terms, packet), len(pictures)
    else:
        content, count = _gif(pictures, rate, exported.terms, packet)
    with disk_errors(path):
        write_atomically(path, content)
    return count


def _rows(exported: Exported, clip: str, most: int | None) -> list[ViewRow]:
    """The source, where it is among the rows, then views from the least angle to the greatest."""
    found = [row for row in exported.rows if row.clip == clip]
    if not found:
        known = list(dict.fromkeys(row.clip for row in exported.rows))
        raise ConfigError(f"{exported.root} has no clip {clip!r}; it has {len(known)}, such as {', '.join(known[:3])}")
    swept = sorted((row for row in found if row.yaw is not None), key=lambda row: row.yaw or 0.0)
    return [*(row for row in found if row.yaw is None), *(swept if most is None else spread(swept, most))]


def _side_by_side(views: Sequence[Image], names: Sequence[str]) -> NDArray[np.uint8]:
    """Views (T, S, S, 3) in rows of six under their names: (T, H, W, 3), of even height and width."""
    from PIL import Image as Pillow
    from PIL import ImageDraw, ImageFont

    if len({each.shape for each in views}) > 1:
        raise StoreError("the views of the clip differ in frames or size; the store is damaged, build it again")
    count, side = views[0].shape[:2]
    columns = min(_COLUMNS, len(views))
    height, width = -(-len(views) // columns) * (side + _CAPTION), columns * side
    behind = Pillow.new("RGB", (width + width % 2, height + height % 2))
    draw, font = ImageDraw.Draw(behind), ImageFont.load_default(13)
    places = [(index // columns * (side + _CAPTION), index % columns * side) for index in range(len(views))]
    for (top, left), name in zip(places, names, strict=True):
        draw.text((left + side / 2, top + _CAPTION / 2), name, fill="white", font=font, anchor="mm")
    film = np.repeat(np.asarray(behind)[None], count, axis=0)
    for (top, left), view in zip(places, views, strict=True):
        film[:, top + _CAPTION : top + _CAPTION + side, left : left + side] = view
    return film


def _mp4(pictures: NDArray[np.uint8], rate: float, terms: str, packet: bytes) -> bytes:
    """H.264 at so many frames a second. packet : XMP, or nothing"""
    import av

    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4", options={"fflags": "+bitexact"}) as file:
        file.metadata["copyright"] = terms
        stream = file.add_stream("libx264", rate=Fraction(rate).limit_denominator(1001))
        stream.height, stream.width = pictures.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": _QUALITY, "threads": "1"}  # more threads would write other bytes on other machines
        for picture in pictures:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        file.mux(stream.encode())
    box = struct.pack(">I4s", 24 + len(packet), b"uuid") + _XMP_BOX + packet
    return buffer.getvalue() + (box if packet else b"")


def _gif(pictures: NDArray[np.uint8], rate: float, terms: str, packet: bytes) -> tuple[bytes, int]:
    """A GIF that plays for ever, and how many frames it has. packet : XMP, or nothing"""
    from PIL import Image as Pillow

    times = np.rint(100 * np.arange(len(pictures) + 1) / rate).astype(int)
    shown = [0]
    for index in range(1, len(pictures)):
        if times[index] - times[shown[-1]] >= _SHORTEST:
            shown.append(index)
    stays = np.maximum(np.diff([*times[shown], times[-1]]), _SHORTEST)
    first, *others = (Pillow.fromarray(pictures[index]) for index in shown)
    buffer = io.BytesIO()
    durations = (10 * stays).tolist()
    first.save(buffer, "GIF", save_all=True, append_images=others, duration=durations, loop=0, comment=terms.encode())
    content = buffer.getvalue()
    # Behind the screen's descriptor and its table of colours, if there is one.
    start = 13 + (3 << (content[10] & 7) + 1 if content[10] & 0x80 else 0)
    block = b"\x21\xff\x0bXMP DataXMP" + packet + _XMP_END
    return content[:start] + (block if packet else b"") + content[start:], len(shown)
