"""Parts of recordings: tables of `mvgen spot` as label tables, and frames left out of a clip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mvgen.core.errors import SourceError
from mvgen.core.records import Clip, Frame
from mvgen.sources.base import ClipFailure, Listing
from mvgen.sources.workbook import Cells, number, read_sheets, text

FILE = "file"
"""The column of a table of parts: a recording, of which each row is a part."""
MARGIN = 6
"""Frames before the onset and after the offset that a clip keeps."""


def lists_parts(table: Path) -> bool:
    """Whether a table is one of parts, as `mvgen spot` writes it."""
    (sheet,) = read_sheets(table)[:1]
    return FILE in [text(cell).lower() for cell in sheet.rows[0]]


def as_labels(rows: Sequence[Cells], known: Sequence[str], table: Path) -> list[Cells]:
    """Rows of a table of parts, with its header, as those of a label table; of another table unchanged.

    known : columns of a label table; others are left out. The name of a part is that of its recording and its onset.
    Raises SourceError for a part without a frame number for its onset.
    """
    header = [text(cell).lower() for cell in rows[0]]
    if FILE not in header:
        return list(rows)
    kept = [column for column, name in enumerate(header) if name in known and name != "clip"]
    made: list[Cells] = [("clip", *(header[column] for column in kept))]
    for line, row in enumerate(rows[1:], start=2):
        cells = dict(zip(header, map(text, row), strict=False))
        if not any(cells.values()):
            continue
        try:
            onset = number(cells.get("onset"))
        except ValueError as error:
            raise SourceError(f"table {table}, line {line}: {error}") from None
        if onset is None or not cells[FILE]:
            raise SourceError(f"table {table}, line {line}: a part of a recording needs its file and its onset")
        made.append((part_name(cells[FILE], onset), *(row[column] if column < len(row) else None for column in kept)))
    return made


def part_name(recording: str, onset: int) -> str:
    """The name of the part of a recording that begins at a frame."""
    return f"{recording}/{onset:06d}"


def around(frames: Sequence[Frame], onset: int, offset: int) -> tuple[Frame, ...]:
    """The frames from onset to offset, with `MARGIN` frames on both sides."""
    numbers = [frame.number for frame in frames]
    first = max(sum(number < onset for number in numbers) - MARGIN, 0)
    return tuple(frames[first : sum(number <= offset for number in numbers) + MARGIN])


def thinned(listing: Listing, first: int | None, last: int | None, every: int) -> Listing:
    """The clips of a listing without the frames before `first` and after `last`, and with one of `every` frames.

    Onset, apex and offset are moved to the nearest frame that is left. A clip that keeps fewer than two is a failure.
    """
    if first is None and last is None and every == 1:
        return listing
    clips, failures = [], list(listing.failures)
    for clip in listing.clips:
        frames = [f for f in clip.frames if (first or f.number) <= f.number <= (f.number if last is None else last)]
        frames = frames[::every]
        if len(frames) < 2:
            reason = f"--from, --to and --every leave {len(frames)} of its {len(clip.frames)} frames; motion needs two"
            failures.append(ClipFailure(clip.id, reason, clip.frames[0].path))
            continue
        clips.append(_with_frames(clip, tuple(frames), clip.fps / every))
    ordered = tuple(sorted(failures, key=lambda failure: (failure.clip, failure.reason)))
    return replace(listing, clips=tuple(clips), failures=ordered)


def _with_frames(clip: Clip, frames: tuple[Frame, ...], fps: float) -> Clip:
    def nearest(number: int | None) -> int | None:
        return None if number is None else min((f.number for f in frames), key=lambda own: abs(own - number))

    onset, apex, offset = (nearest(number) for number in (clip.onset, clip.apex, clip.offset))
    return replace(clip, frames=frames, fps=fps, onset=onset, apex=apex, offset=offset)
