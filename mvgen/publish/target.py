"""Where a dataset is published to."""

from __future__ import annotations

import re
from pathlib import Path

from mvgen.errors import PublishError


def target_folder(target: str) -> Path:
    """The folder that a target names. Raises PublishError for one that is not on this machine."""
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", target)
    if scheme:
        raise PublishError(
            f"{target}: publishing to {scheme[1]}:// is not available in this version; publish to a folder, and copy it"
        )
    if not target:
        raise PublishError("--to is empty; give it a folder")
    return Path(target)


def check_target(folder: Path, out: Path, ours: frozenset[str]) -> None:
    """Refuse a folder that holds something else, or lies in the dataset. Writes nothing.

    ours : names of the files that are to be written there, which may be there from before
    """
    if folder.resolve().is_relative_to(out.resolve()):
        raise PublishError(f"{folder} lies in the dataset itself; choose a folder outside {out} for --to")
    if folder.exists() and not folder.is_dir():
        raise PublishError(f"{folder} is a file; give --to a folder")
    foreign = sorted(entry.name for entry in folder.iterdir() if entry.name not in ours) if folder.exists() else []
    if foreign:
        raise PublishError(f"{folder} holds other files, for example {foreign[0]}; choose an empty folder for --to")
