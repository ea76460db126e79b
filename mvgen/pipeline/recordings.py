"""Spot the expressions of one recording or of a folder of them, and write them as a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from mvgen.core.errors import ClipError, SourceError
from mvgen.core.files import disk_errors, write_atomically
from mvgen.pipeline.spot import Measurer, Progress, Spotted, spot_video
from mvgen.sources.folder import recordings

COLUMNS = (
    "file", "onset", "apex", "offset", "onset_seconds", "apex_seconds", "offset_seconds", "kind", "score",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Spotting:
    """What was found in recordings.

    expressions : by recording and onset; recordings : names of those that were searched
    failures : name -> why it could not be searched to its end; expressions before that point are kept
    """

    expressions: tuple[Spotted, ...]
    recordings: tuple[str, ...]
    failures: Mapping[str, str]

    def save(self, path: str | Path) -> None:
        """Write a table for `mvgen build --clips`. Raises StoreError where it cannot be written."""
        write_clips(Path(path), self.expressions)


def spot_recordings(
    place: Path,
    measure: Callable[[float], Measurer],
    *,
    fps: float | None = None,
    threshold: float | None = None,
    progress: Callable[[str], AbstractContextManager[Progress]] | None = None,
) -> Spotting:
    """The expressions of a video, or of every recording below a folder.

    measure, fps, threshold : see `spot_video`; progress : makes the progress of the recording of a name
    Raises SourceError where there is no recording. One that cannot be searched is in `Spotting.failures`.
    """
    found: list[Spotted] = []
    searched, failures = [], {}
    for name, path in find_recordings(place):
        with progress(name) if progress else nullcontext() as shown:
            try:
                found += spot_video(path, measure, name=name, fps=fps, threshold=threshold, progress=shown)
                searched.append(name)
            except ClipError as error:
                failures[name] = str(error)
    return Spotting(tuple(found), tuple(searched), failures)


def find_recordings(place: Path) -> list[tuple[str, Path]]:
    """Name and path of a video, or of every video and folder of frames below a folder.

    Raises SourceError where there is none.
    """
    if not place.exists():
        raise SourceError(f"{place} does not exist; give a video, a folder of frames, or a folder of those")
    if place.is_file():
        return [(place.name, place)]
    found = [(place.name if path == place else path.relative_to(place).as_posix(), path) for path in recordings(place)]
    if not found:
        raise SourceError(f"{place} holds no video and no frames; give a video, or a folder with some")
    return found


def write_clips(path: Path, found: Sequence[Spotted]) -> None:
    """Write expressions as a table that `mvgen build --clips` reads. Raises StoreError where it cannot be written."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerows([COLUMNS, *(one.row() for one in found)])
    with disk_errors(path):
        write_atomically(path, text.getvalue().encode())
