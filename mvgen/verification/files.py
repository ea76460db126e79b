"""Check that every file is present and unchanged, and that there are no others."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

from mvgen.core.config import file_digest
from mvgen.store import layout
from mvgen.store.checks import unsafe
from mvgen.store.manifest import ViewRow
from mvgen.verification.findings import WHOLE, Finding, of_clip

_REPORT = PurePosixPath(layout.REPORT).parts[0]  # made from a dataset, but not part of it
_LEFT = (layout.PARTIAL, layout.LOCK, layout.REFINING, layout.FORGETTING, layout.FORGOTTEN)
# Files of every dataset besides those of its clips.
_WHOLE = (layout.TABLE, layout.FAILURES, layout.SHEET, layout.ATTENTION)
_THREADS = 4  # hashing waits for the disk as often as for the processor


def check_listed(files: Mapping[str, object]) -> Iterator[Finding]:
    """Check that `files` of `dataset.json` lists the files every dataset has, and none outside the dataset."""
    for name in sorted({*_WHOLE, *files}):
        below = PurePosixPath(name).parts[:1] == (layout.ANNOTATIONS,)
        if name not in files:
            yield Finding(layout.DATASET, f"it has no digest of {name}", WHOLE)
        elif unsafe(name) or not (name in (*_WHOLE, layout.FORGOTTEN) or below) or not isinstance(files[name], str):
            yield Finding(layout.DATASET, f"it lists {name}, which is not a file of a dataset", WHOLE)


def check_digests(out: Path, files: Mapping[str, object]) -> Iterator[Finding]:
    """Check that every file, path -> sha256, is present and unchanged."""
    for path, problem in _damaged(out, files):
        yield Finding(path, problem, WHOLE)


def check_clips(out: Path, rows: Sequence[ViewRow]) -> Iterator[Finding]:
    """Check the same for every file of every row of the table."""
    clips: dict[str, str] = {}
    digests: dict[str, str] = {}
    for row in rows:
        for path, digest in row.files().items():
            if clips.setdefault(path, row.clip) != row.clip or digests.setdefault(path, digest) != digest:
                yield of_clip(layout.TABLE, f"two rows give {path} different digests or clips", row.clip)
    for path, problem in _damaged(out, digests):
        yield of_clip(path, problem, clips[path])


def _damaged(out: Path, digests: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    paths = sorted(path for path in digests if not unsafe(path))
    with ThreadPoolExecutor(_THREADS) as threads:
        for path, there in zip(paths, threads.map(lambda path: _digest(out / path), paths), strict=True):
            if there != digests[path]:
                yield path, "it is missing" if there is None else "it was changed after the build"


def check_extra(out: Path, expected: Collection[str]) -> Iterator[Finding]:
    """Check for files that are not listed anywhere; reports and empty folders are ignored."""
    for path in walk(out):
        if (out / path).is_symlink():
            yield Finding(path, "it is a link, which no build makes", "put what it leads to in its place, or remove it")
        elif path not in expected:
            left = PurePosixPath(path).parts[0] in _LEFT
            problem = "it is left from a command that did not end" if left else "it is not part of the dataset"
            yield Finding(path, problem, "run that command again" if left else "remove it, or move it elsewhere")


def walk(out: Path) -> Iterator[str]:
    """Every file of a store, sorted, relative to it; reports are left out. A link is a file, wherever it leads."""
    for place, folders, files in os.walk(out):
        here = Path(place).relative_to(out)
        links = [name for name in folders if (Path(place) / name).is_symlink()]
        folders[:] = sorted(name for name in folders if name not in links and (here.parts or name != _REPORT))
        yield from sorted((here / name).as_posix() for name in [*files, *links])


def expected_files(files: Iterable[str], rows: Sequence[ViewRow], records: Iterable[str]) -> frozenset[str]:
    """Paths of all files of a store. records : ids of the clips with a marker"""
    markers = (str(layout.marker_path(clip)) for clip in records)
    listed = (path for row in rows for path in row.files())
    return frozenset({layout.DATASET, layout.BUILD, *files, *listed, *markers})


def _digest(path: Path) -> str | None:
    return file_digest(path) if path.is_file() and not path.is_symlink() else None
