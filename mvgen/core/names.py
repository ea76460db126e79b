"""Names from disk and from tables: which can be stored, and how to print any of them."""

from __future__ import annotations

import unicodedata

# A file system takes 255 bytes; the marker of a clip has the clip's name and up to ten bytes more.
LONGEST = 240

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
# Pictures of other programs, which frames may well be; a folder of nothing else is not left out without a word.
UNREAD_SUFFIXES = (".gif", ".jp2", ".ppm", ".pgm", ".pbm", ".heic", ".avif", ".dng", ".raw")

_UNPRINTED = frozenset({"Cc", "Cs", "Zl", "Zp"})  # controls, undecodable bytes, line breaks

VIEW_VIDEO = "frames.mkv"
"""The file in a clip's folder that holds the frames of a view where they are one video."""


def printable(text: str) -> str:
    """Text that prints on one line and encodes as UTF-8: control characters and undecodable bytes are escaped."""
    if text.isprintable():
        return text
    return "".join(
        letter.encode("unicode_escape").decode() if unicodedata.category(letter) in _UNPRINTED else letter
        for letter in text
    )


def unstorable(name: str) -> str:
    """Why a file or folder of this name cannot be stored so that any machine can read it; empty if it can."""
    if name in ("", ".", "..") or "/" in name:
        return "is no name of a single folder or file"
    if printable(name) != name:
        return "holds control characters or is not UTF-8"
    if len(name.encode()) > LONGEST:
        return f"is longer than {LONGEST} bytes"
    return ""
