"""One colour frame as a picture file, and the mark of synthetic pictures.

PNG files are written fast: one filter for all rows, and ISA-L's deflate.

The average filter is the best of those that numpy can work out at once: files come out an eighth larger than libpng's
own choice of a filter for each row at zlib's level 6, in a twentieth of its time.
Source: PNG Specification (Third Edition), W3C, sections 5, 9 and 11.
"""

from __future__ import annotations

import io
import struct
from functools import cache

import numpy as np

from mvgen.core.records import Image

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _RGB = 0, 2  # colour types
_AVERAGE = 3  # filter type: what a byte is more than the mean of those to the left and above, rounded down
_LEVEL = 1  # of ISA-L's 0 to 3: 2 and 3 take longer and are no smaller on filtered rows


# What the files of rendered views say of themselves, as XMP: no camera saw the face from there. IPTC's code for that is
# worded for generative models, of which there is none here; but it is what readers of metadata show as synthetic, and
# the neighbouring codes (composite, algorithmicallyEnhanced) would pass for a photograph. The packet says the rest.
# Source: https://cv.iptc.org/newscodes/digitalsourcetype, edition of 2024-10-23.
SYNTHETIC = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeSynthetic"
XMP_PACKET = f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmp="http://ns.adobe.com/xap/1.0/"
 xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" xmp:CreatorTool="mvgen"
 Iptc4xmpExt:DigitalSourceType="{SYNTHETIC}">
<dc:description><rdf:Alt><rdf:li xml:lang="x-default">A view rendered by mvgen from a frontal recording; no camera saw \
the face from here.</rdf:li></rdf:Alt></dc:description>
</rdf:Description></rdf:RDF></x:xmpmeta>
<?xpacket end="r"?>""".encode()
# Files that have room for it. Source: XMP Specification Part 3, sections 1.1.3 (JPEG) and 1.1.5 (PNG).
MARKED = (".jpg", ".jpeg", ".png")


def encode_frame(pixels: Image, image_format: str, grey: bool, quality: int, rendered: bool = False) -> bytes:
    """Encode one frame, (S, S, 3) uint8 RGB, as JPEG (4:4:4: chroma blocks are motion too), PNG or BMP.

    rendered : the file says that it is a synthetic picture; a BMP has no room for that
    """
    picture = np.ascontiguousarray(pixels[..., 0] if grey else pixels)
    if image_format == "PNG":
        return png_bytes(picture, _png_mark() if rendered else b"")
    if image_format == "JPEG":
        content = _jpeg_bytes(picture, quality)
        return _marked_jpeg(content) if rendered else content
    from PIL import Image as Pillow

    buffer = io.BytesIO()
    Pillow.fromarray(picture).save(buffer, format=image_format)
    return buffer.getvalue()


def _jpeg_bytes(picture: Image, quality: int) -> bytes:
    import cv2

    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    if picture.ndim == 3:
        picture = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), np.uint8)
        options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    return cv2.imencode(".jpg", picture, options)[1].tobytes()


@cache
def _jpeg_mark() -> bytes:
    """The packet as an APP1 segment."""
    content = b"http://ns.adobe.com/xap/1.0/\0" + XMP_PACKET
    return b"\xff\xe1" + struct.pack(">H", 2 + len(content)) + content


@cache
def _png_mark() -> bytes:
    return _chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP_PACKET)


def _marked_jpeg(content: bytes) -> bytes:
    """A JPEG file with the mark behind its first segment, which JFIF wants to be first."""
    end = 4 + struct.unpack(">H", content[4:6])[0]
    return content[:end] + _jpeg_mark() + content[end:]


def says_synthetic(head: bytes) -> bool:
    """Whether a frame's file, by its first kilobytes, says that it is rendered."""
    return (_png_mark() if head.startswith(_SIGNATURE) else _jpeg_mark()) in head


def png_bytes(pixels: Image, mark: bytes = b"") -> bytes:
    """A PNG file of a picture, (H, W, 3) RGB or (H, W) grey, uint8. Equal pictures give equal bytes. mark : a chunk"""
    from isal import isal_zlib

    height, width = pixels.shape[:2]
    channels = 3 if pixels.ndim == 3 else 1
    header = struct.pack(">IIBBBBB", width, height, 8, _RGB if channels == 3 else _GREY, 0, 0, 0)
    rows = isal_zlib.compress(_filtered(pixels.reshape(height, width * channels), channels), _LEVEL)
    return _SIGNATURE + _chunk(b"IHDR", header) + mark + _chunk(b"IDAT", rows) + _chunk(b"IEND", b"")


def _filtered(rows: Image, channels: int) -> Image:
    """Rows (H, N) behind their filter type: (H, 1 + N). Beyond the picture everything is 0."""
    left, above = np.zeros_like(rows), np.zeros_like(rows)
    left[:, channels:] = rows[:, :-channels]
    above[1:] = rows[:-1]
    out = np.empty((len(rows), 1 + rows.shape[1]), np.uint8)
    out[:, 0] = _AVERAGE
    # The mean of two bytes without a ninth bit; differences wrap around, as the format has it.
    np.subtract(rows, (left & above) + ((left ^ above) >> 1), out=out[:, 1:])
    return out


def _chunk(kind: bytes, content: bytes) -> bytes:
    from isal import isal_zlib

    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", isal_zlib.crc32(kind + content))
