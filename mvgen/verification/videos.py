"""Whether the videos of a store hold the frames that its table lists."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mvgen.core.errors import StoreError
from mvgen.store.frames import video_header
from mvgen.store.manifest import ViewRow
from mvgen.verification.findings import Finding, of_clip

_THREADS = 4


def check_videos(out: Path, rows: Sequence[ViewRow]) -> Iterator[Finding]:
    """A finding for every video that cannot be opened, or has other frames than its row.

    Nothing is decoded here: the views of the sample are.
    """
    filmed = [row for row in rows if row.video is not None]
    with ThreadPoolExecutor(_THREADS) as threads:
        for row, problem in zip(filmed, threads.map(lambda row: _problem(out, row), filmed), strict=True):
            if problem is not None:
                yield of_clip(str(row.video), problem, row.clip)


def _problem(out: Path, row: ViewRow) -> str | None:
    try:
        header = video_header(out, row)
    except StoreError as error:
        return str(error)
    return None if header.frames == row.frames else f"it has {header.frames} frames, the table says {row.frames}"
