"""Whether the frames of rendered views say that they are synthetic."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

from mvgen.core.errors import StoreError
from mvgen.store.coding.pictures import MARKED, says_synthetic
from mvgen.store.frames import video_header
from mvgen.store.manifest import ViewRow
from mvgen.verification.findings import Finding, of_clip

_HEAD = 4096  # bytes of a file; the mark stands in front of the pixels
_THREADS = 4


def check_provenance(out: Path, rows: Sequence[ViewRow]) -> Iterator[Finding]:
    """A finding for every rendered view with a frame that does not say so. Frames that are missing are said elsewhere.

    The frontal clip is not asked: it is the source's own pixels, moved.
    """
    rendered = [row for row in rows if row.yaw is not None]
    with ThreadPoolExecutor(_THREADS) as threads:
        for row, bare in zip(rendered, threads.map(lambda row: _bare(out, row), rendered), strict=True):
            if bare is not None:
                problem = f"{bare} does not say that it is synthetic (XMP DigitalSourceType)"
                yield of_clip(row.frames_directory, problem, row.clip)


def _bare(out: Path, row: ViewRow) -> str | None:
    """The first file of a view's frames without the mark."""
    if row.video is not None:
        try:
            return None if video_header(out, row).synthetic else PurePosixPath(row.video).name
        except StoreError:
            return None  # said elsewhere
    for name in row.frame_names:
        path = out / row.frames_directory / name
        if path.is_file() and path.suffix.lower() in MARKED:
            with path.open("rb") as file:
                if not says_synthetic(file.read(_HEAD)):
                    return name
    return None
