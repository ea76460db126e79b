"""Folders of scan releases: whether a root exists, and which release it looks like."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from mvgen.core.errors import ScanError

# Pattern of a file or folder that identifies each corpus, as a path with forward slashes.
_SIGNS = {
    "facescape": r"(^|/)(models_reg|params\.json|\d{1,3}/\d{1,2}_[a-z_]+\.ply)$",
    "stirling": r"(^|/)[fm]\d{4}[a-z]?(_\d)?_[a-z]{1,3}(_\d)?\.obj$",
    "ict": r"(^|/)generic_neutral_mesh\.obj$",
}
_TITLES = {
    "facescape": "FaceScape",
    "stirling": "the Stirling ESRC 3D face database",
    "ict": "ICT-FaceKit",
    "photos": "photographs",
}


def walk(root: Path, depth: int) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Folders under a root to a depth, sorted, with the names of their folders and files; links are not followed.

    Callers may remove names from the list of folders to leave those out.
    """
    for folder, folders, files in os.walk(root):
        folders.sort()
        here = Path(folder)
        yield here, folders, sorted(files)
        if len(here.relative_to(root).parts) >= depth:
            folders.clear()


def checked_root(root: Path, corpus: str, expected: str) -> Path:
    """The root, if it is a folder. Raises ScanError that lists what is expected there."""
    if not root.exists():
        raise ScanError(f"root {root} of {corpus} does not exist.\n{expected}")
    if not root.is_dir():
        raise ScanError(f"root {root} is a file, not the folder of {_TITLES[corpus]}.\n{expected}")
    return root


def nothing_found(root: Path, corpus: str, what: str, expected: str) -> ScanError:
    """The error for a root without a single usable scan; it names the release that the tree looks like."""
    for other, sign in _SIGNS.items():
        if other != corpus and _holds(root, re.compile(sign, re.IGNORECASE)):
            return ScanError(
                f"root {root} looks like {_TITLES[other]}, not {_TITLES[corpus]}: give it with --scans {other} "
                f"--root {other}={root}\n{expected}"
            )
    return ScanError(f"root {root}: {what}.\n{expected}")


def _holds(root: Path, sign: re.Pattern[str]) -> bool:
    return any(
        sign.search((folder / name).relative_to(root).as_posix())
        for folder, folders, files in walk(root, 4)
        for name in (*folders, *files)
    )
