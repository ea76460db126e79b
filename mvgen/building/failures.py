"""Failures as a store records them: nothing in their text depends on the machine."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mvgen.core.errors import ClipError
from mvgen.core.names import printable
from mvgen.core.records import Clip
from mvgen.store.manifest import Failure

if TYPE_CHECKING:
    from mvgen.sources.base import Listing


def source_failures(listing: Listing, root: Path | None) -> Sequence[Failure]:
    """Clips that the source itself could not list."""
    return [
        Failure(
            clip=failure.clip,
            dataset=listing.dataset,
            stage=failure.stage,
            reason=printable(without_folders(failure.reason, root)),
            file=_relative(failure.path, root) if failure.path else None,
        )
        for failure in listing.failures
    ]


def clip_failure(clip: Clip, error: ClipError, root: Path | None) -> Failure:
    """The failure of a clip in a stage."""
    file = None
    if error.path is not None:
        frames = {frame.path for frame in clip.frames}
        inside = str(clip.directory / error.path.name) if error.path in frames else error.path.name
        file = inside if root is None else _relative(error.path, root)
    reason = printable(without_folders(error.reason, root))
    return Failure(clip.id, clip.dataset, error.stage, reason, file)


def without_folders(text: str, root: Path | None = None) -> str:
    """Remove absolute folders from a message: `/home/me/img1.jpg is broken` -> `img1.jpg is broken`.

    root : paths inside it become relative; it may contain spaces, which end any other path
    """
    if root is not None:
        text = text.replace(f"{root.absolute()}/", "").replace(f"{root}/", "")
    return re.sub(r"(?<![\w./])/(?:[^\s/'\":]+/)+", "", text)


def _relative(path: Path, root: Path | None) -> str:
    if root is not None and path.absolute().is_relative_to(root.absolute()):
        return printable(path.absolute().relative_to(root.absolute()).as_posix())
    return printable(path.name)
