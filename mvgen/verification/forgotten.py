"""Whether a store is without those who have left."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from mvgen.core.errors import StoreError
from mvgen.forget.tombstones import Tombstone, find_remains, read_forgotten
from mvgen.store import layout
from mvgen.store.manifest import Failure, ViewRow
from mvgen.verification.findings import WHOLE, Finding

_REMEDY = "run `mvgen forget` again for this subject"


def read_tombstones(out: Path) -> tuple[tuple[Tombstone, ...], list[Finding]]:
    """Who has left, and what is wrong with the file that says so."""
    try:
        return read_forgotten(out), []
    except StoreError as error:
        return (), [Finding(layout.FORGOTTEN, f"it cannot be read: {error}", WHOLE)]


def check_forgotten(
    out: Path, dataset: str, tombstones: Sequence[Tombstone], rows: Sequence[ViewRow], failures: Sequence[Failure]
) -> Iterator[Finding]:
    """A finding for everything that is there of somebody who has left. dataset : the source's name"""
    if not tombstones:
        return
    try:
        remains = find_remains(out, tombstones, dataset)
    except (StoreError, ValueError, TypeError, KeyError) as error:
        yield Finding(layout.FORGOTTEN, f"whether all of them is gone cannot be told: {error}", WHOLE)
        return
    listed = {row.clip for row in rows} | {failure.clip for failure in failures}
    for clip in remains.clips:
        if clip in listed:
            yield Finding(layout.TABLE, f"{clip}: its subject has left", _REMEDY)
    for path in remains.files:
        if not path.startswith("report/"):
            yield Finding(path, "it is of somebody who has left", _REMEDY)
