"""Names from disk and from tables: which of them can be kept, and how any of them is shown."""

from __future__ import annotations

import unicodedata

# A file system takes 255 bytes; the marker of a clip is called after it, with up to ten more while it is written.
LONGEST = 240

# What the file of a picture ends with.
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp")

_UNPRINTED = frozenset({"Cc", "Cs", "Zl", "Zp"})  # controls, undecodable bytes, and what else breaks a line


def printable(text: str) -> str:
    """Text that fits on a line of a terminal and into UTF-8: control characters and undecodable bytes as escapes."""
    if text.isprintable():
        return text
    return "".join(
        letter.encode("unicode_escape").decode() if unicodedata.category(letter) in _UNPRINTED else letter
        for letter in text
    )


def unstorable(name: str) -> str:
    """Why a name of one file or folder cannot be kept in a dataset that is to be read anywhere; empty if it can."""
    if name in ("", ".", "..") or "/" in name:
        return "is no name of a single folder or file"
    if printable(name) != name:
        return "holds control characters or is not UTF-8"
    if len(name.encode()) > LONGEST:
        return f"is longer than {LONGEST} bytes"
    return ""
