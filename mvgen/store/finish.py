"""The last step of a build: from the markers of all clips to the files that describe the whole store."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mvgen.core.config import canonical_json, file_digest
from mvgen.core.errors import StoreError
from mvgen.core.files import disk_errors, write_atomically
from mvgen.store import layout
from mvgen.store.manifest import Failure, Marker, ViewRow, counts, digest_of, failure_lines, write_table
from mvgen.store.sheet import contact_sheet


def finish(out: Path, identity: Mapping[str, Any], markers: Sequence[Marker], lost: Sequence[Failure]) -> None:
    """Write the table, the failures, the contact sheet and, last, `dataset.json`; remove what only a build needs.

    identity : what the build depends on, as `state.begin` wrote it down
    markers : of every clip, in the source's order; lost : clips that the source itself gave up
    `source.digest` : see `source_digest`
    """
    rows = [row for marker in markers for row in marker.rows]
    failures = [*lost, *(marker.failure for marker in markers if marker.failure)]
    digest = source_digest(markers)
    with disk_errors(out):
        about = describe(out, {**identity, "source": {**identity["source"], "digest": digest}}, rows, failures)
        shutil.rmtree(out / layout.TURNS, ignore_errors=True)
        write_atomically(out / layout.DATASET, canonical_json(about).encode())
        # Last, because a merge that is stopped before its end has to find them again.
        shutil.rmtree(out / layout.SHARDS, ignore_errors=True)


def source_digest(markers: Iterable[Marker]) -> str:
    """sha256 over the ids and digests of all clips, sorted: see `manifest.clip_digest`."""
    return digest_of(sorted([one.clip, one.source] for one in markers))


def check_replaceable(out: Path) -> None:
    """Raise StoreError where a folder lies in place of a file that `describe` and what follows it write."""
    files = (layout.TABLE, layout.FAILURES, layout.SHEET, layout.BUILD, layout.REFINING, layout.FORGETTING)
    names = [layout.DATASET, *(each for name in files for each in (name, f".{name}.tmp"))]
    wrong = [out / name for name in names if (out / name).is_dir()]
    partial = out / layout.PARTIAL
    if partial.exists() and not partial.is_dir():
        wrong.append(partial)
    if wrong:
        raise StoreError(f"{wrong[0]} is in the way of what is written there; remove it, mvgen did not make it")


def describe(
    out: Path, about: Mapping[str, Any], rows: Sequence[ViewRow], failures: Sequence[Failure]
) -> dict[str, Any]:
    """Write everything that describes the whole but `dataset.json`, whose content is returned.

    about : what it says of settings, source, software and weights
    """
    with disk_errors(out):
        staged = out / layout.PARTIAL / layout.TABLE
        staged.parent.mkdir(parents=True, exist_ok=True)
        write_table(rows, staged)
        write_atomically(out / layout.TABLE, staged.read_bytes())
        write_atomically(out / layout.FAILURES, failure_lines(failures).encode())
        write_atomically(out / layout.SHEET, contact_sheet(out, rows))
        whole = [layout.TABLE, layout.FAILURES, layout.SHEET, layout.ATTENTION, layout.FORGOTTEN]
        paths = [out / name for name in whole] + sorted((out / layout.ANNOTATIONS).glob("**/*"))
        shutil.rmtree(out / layout.PARTIAL)
        return {
            **about,
            "counts": counts(rows, failures),
            "views": list(dict.fromkeys(row.view for row in rows)),
            "files": {path.relative_to(out).as_posix(): file_digest(path) for path in paths if path.is_file()},
        }


def copy_annotations(out: Path, files: Sequence[Path]) -> None:
    """Copy a source's workbooks, byte for byte, to where its own adapter finds them. StoreError for equal names."""
    names = [path.name for path in files]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise StoreError(f"two annotation files are called {twice[0]}; name one of them with --annotations")
    with disk_errors(out):
        for path in files:
            write_atomically(out / layout.ANNOTATIONS / path.name, path.read_bytes())
