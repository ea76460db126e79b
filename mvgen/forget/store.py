"""Remove everything that a store holds of a subject, and see to it that nothing brings the subject back.

While this runs on a finished store `dataset.json` is called `.forgetting.json`, so nobody reads a store that is half
without them. Killed in the middle, the same line finishes it, and so does the build's own.
"""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mvgen.core.config import canonical_json
from mvgen.core.errors import ConfigError, StoreError
from mvgen.core.files import disk_errors, write_atomically
from mvgen.core.names import printable
from mvgen.forget.tombstones import (
    Remains,
    Tombstone,
    bury,
    bury_all,
    find_remains,
    read_forgotten,
    sweep,
    unite,
    write_forgotten,
)
from mvgen.sources.base import subject_key
from mvgen.store import layout
from mvgen.store.about import parse_about, read_about
from mvgen.store.finish import check_replaceable, describe, source_digest
from mvgen.store.manifest import read_table
from mvgen.store.shards import read_shares
from mvgen.store.state import locked, read_markers

_NEAR = 3


@dataclass(frozen=True, slots=True)
class Departure:
    """What `forget` came to, or would.

    clips : ids of what went, clips that could not be built among them; files : paths relative to the place
    views, frames : how many went
    fitted : the attention head of this store was fitted on clips of theirs
    split : side of the split that they were on, where they had a clip
    workbooks : names of the annotation files that went; everybody is named in them
    before : they had left already; nothing was to do
    """

    place: str
    clips: tuple[str, ...]
    files: tuple[str, ...]
    views: int
    frames: int
    fitted: bool
    split: str | None
    workbooks: tuple[str, ...]
    before: bool = False


def check_reason(reason: str, subject: str) -> str:
    """A reason as it is recorded. Raises ConfigError for an empty one, and for one that names the subject."""
    said = printable(reason.strip())
    if not said:
        raise ConfigError("--reason is empty; write why the subject leaves, without naming them")
    if re.search(rf"(?<!\w){re.escape(subject.strip())}(?!\w)", said, re.IGNORECASE):
        raise ConfigError(f"--reason names the subject ({subject}), and it stays in the dataset; say it without the id")
    return said


def forget(out: Path, subject: str, reason: str, dry_run: bool = False) -> Departure:
    """Remove a subject from a store, finished or not.

    subject : as the source writes it, or its key: "s15" and "15" are the same
    reason : recorded, with a digest of the subject
    dry_run : look only
    Raises StoreError for a folder that is no store, and for a subject that is not in it, naming the nearest;
    ConfigError for a reason that will not do.
    """
    reason = check_reason(reason, subject)
    _identity(out)  # before anything is written there
    if dry_run:
        return _departure(out, *_look(out, subject, reason)[2:])
    with locked(out):
        about, tombstones, remains, before = _look(out, subject, reason)
        going = _departure(out, remains, before)
        if not before or (out / layout.FORGETTING).is_file():
            _remove(out, about, tombstones, remains)
    return going


def _look(out: Path, subject: str, reason: str) -> tuple[dict[str, Any], tuple[Tombstone, ...], Remains, bool]:
    """Identity, tombstones with the new one, what is there of all who have left, and whether it was there before."""
    about = _identity(out)
    source = about["source"]
    known = read_forgotten(out)
    new = bury(source["name"], subject_key(subject), source["clips"], reason)
    buried = new.digest in {one.digest for one in known}
    tombstones = known if buried else unite(known, [new])
    remains = find_remains(out, tombstones, source["name"])
    if not buried and not find_remains(out, [new], source["name"]).clips:
        raise StoreError(unknown(str(out), subject, _subjects(out)))
    return about, tombstones, remains, buried and not (remains.clips or remains.files)


def unknown(place: str, subject: str, subjects: Iterable[str]) -> str:
    """What to say of a subject that is not there."""
    there = sorted(set(subjects))
    near = difflib.get_close_matches(subject, there, _NEAR, cutoff=0.3) or there[:_NEAR]
    listed = f"; the nearest are {', '.join(near)}" if near else "; it holds no clip of anybody"
    return f"{place} has no subject {printable(subject)!r}{listed}. Nothing was removed"


def _subjects(out: Path) -> list[str]:
    table = read_table(out / layout.TABLE) if (out / layout.TABLE).is_file() else []
    rows = [*table, *(row for marker in read_markers(out).values() for row in marker.rows)]
    keys = [key[1] for share in read_shares(out) for key in share.clips if key is not None]
    return [row.subject for row in rows] or keys


def _identity(out: Path) -> dict[str, Any]:
    """`dataset.json`, or what a store that is not finished is being built from. StoreError where there is neither."""
    if (out / layout.REFINING).is_file() and not (out / layout.DATASET).is_file():
        read_about(out)  # says what to do
    for name in (layout.DATASET, layout.FORGETTING):
        if (out / name).is_file():
            return parse_about(out / name)
    if not (out / layout.BUILD).is_file():
        return read_about(out)  # says what the folder is
    try:
        identity = json.loads((out / layout.BUILD).read_text(encoding="utf-8"))
        return {**identity, "source": {**identity["source"], "name": str(identity["source"]["name"])}}
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{out / layout.BUILD} is damaged ({error}); build {out} again") from None


def _departure(out: Path, remains: Remains, before: bool) -> Departure:
    sides = {row.split for row in remains.rows}
    annotations = f"{layout.ANNOTATIONS}/"
    return Departure(
        place=str(out),
        clips=remains.clips,
        files=remains.files,
        views=len(remains.rows),
        frames=sum(row.frames for row in remains.rows),
        fitted=any(row.split == "train" and row.label is not None for row in remains.rows),
        split=min(sides, default=None),
        workbooks=tuple(path.removeprefix(annotations) for path in remains.files if path.startswith(annotations)),
        before=before,
    )


def _remove(out: Path, about: Mapping[str, Any], tombstones: tuple[Tombstone, ...], remains: Remains) -> None:
    if not any((out / name).is_file() for name in (layout.DATASET, layout.FORGETTING)):
        bury_all(out, tombstones, about["source"]["name"])
        return
    check_replaceable(out)  # half-way it could not be told from a store that nobody may read
    with disk_errors(out):
        if (out / layout.DATASET).is_file():
            os.replace(out / layout.DATASET, out / layout.FORGETTING)
        write_forgotten(out, tombstones)
        sweep(out, remains)
        rows = [row for row in read_table(out / layout.TABLE) if row.clip not in remains.clips]
        # A store that was handed on may lack the records of its build.
        if markers := read_markers(out):
            about = {**about, "source": {**about["source"], "digest": source_digest(markers.values())}}
        about = describe(out, about, rows, remains.failures)
        write_atomically(out / layout.FORGETTING, canonical_json(about).encode())
        os.replace(out / layout.FORGETTING, out / layout.DATASET)
