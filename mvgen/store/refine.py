"""Decide anew which training views are kept, from the scores that a store holds: no view is built again.

While this runs `dataset.json` is called `.refining.json`, so nobody reads a store that is half one thing, half the
other. The last step is its renaming back; until then running the same again mends everything.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from mvgen.core.config import canonical_json
from mvgen.core.errors import ConfigError
from mvgen.core.files import disk_errors, write_atomically
from mvgen.store import layout
from mvgen.store.about import check_identity, parse_about, read_about
from mvgen.store.finish import check_replaceable, describe
from mvgen.store.manifest import Failure, Marker, ViewRow, read_failures, read_table
from mvgen.store.sheet import contact_sheet
from mvgen.store.state import begin, locked, read_build, read_markers
from mvgen.store.writer import write_marker


@dataclass(frozen=True, slots=True)
class ViewChange:
    """What a new threshold does to one view: its training clips, and how many of them it keeps before and after."""

    view: str
    clips: int
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class Refinement:
    """What `refine` came to. before, after : attention thresholds; views : in the order of the store."""

    out: Path
    before: float
    after: float
    views: tuple[ViewChange, ...]


def refine(out: Path, threshold: float) -> Refinement:
    """Give a finished store another attention threshold: the same bytes as if it had been built with it.

    out : folder that `mvgen build` wrote
    threshold : a training view is kept when it sees at least this share of the attention, in [0, 1]
    Raises ConfigError for a threshold out of range, StoreError for a folder that holds no finished store.
    """
    if not 0 <= threshold <= 1:
        raise ConfigError(f"threshold {threshold:g} is out of range; it is a share between 0 and 1")
    if not (out / layout.REFINING).is_file():
        read_about(out)  # before anything is written there
    with locked(out):
        store = _read(out)
        before = float(store.about["config"]["attention"]["threshold"])
        change = Refinement(out, before, float(threshold), _changes(store.rows, before, threshold))
        if _interrupted(out) or before != threshold:
            _rewrite(out, store, float(threshold))
    return change


class _Store(NamedTuple):
    """All that a refinement needs of a store. build : None where the store was handed on without its records"""

    about: dict[str, Any]
    build: dict[str, Any] | None
    rows: list[ViewRow]
    failures: list[Failure]
    markers: dict[str, Marker]


def _read(out: Path) -> _Store:
    """Read it all before anything is changed: what cannot be read would end the refinement half-way, every time."""
    about = parse_about(out / layout.REFINING) if _interrupted(out) else read_about(out)
    # A store that was handed on may lack what only a build needs.
    build = read_build(out) if (out / layout.BUILD).exists() else None
    if build is not None:
        check_identity(out / layout.BUILD, build)
    rows = read_table(out / layout.TABLE)
    contact_sheet(out, rows)  # frames are read for it in the end
    check_replaceable(out)
    return _Store(about, build, rows, read_failures(out / layout.FAILURES), read_markers(out))


def redecide(out: Path, marker: Marker, threshold: float) -> Marker:
    """A marker as a threshold decides it, written down where that is news."""
    decided = marker.decided(threshold)
    return marker if decided == marker else write_marker(out, decided)


def _interrupted(out: Path) -> bool:
    return (out / layout.REFINING).is_file() and not (out / layout.DATASET).is_file()


def _rewrite(out: Path, store: _Store, threshold: float) -> None:
    with disk_errors(out):
        if (out / layout.DATASET).is_file():
            os.replace(out / layout.DATASET, out / layout.REFINING)
        if store.build is not None:
            begin(out, _with_threshold(store.build, threshold))
        for marker in store.markers.values():
            redecide(out, marker, threshold)
        rows = [row.decided(threshold) for row in store.rows]
        about = describe(out, _with_threshold(store.about, threshold), rows, store.failures)
        write_atomically(out / layout.REFINING, canonical_json(about).encode())
        os.replace(out / layout.REFINING, out / layout.DATASET)


def _with_threshold(about: dict[str, Any], threshold: float) -> dict[str, Any]:
    return {**about, "config": {**about["config"], "attention": {"threshold": threshold}}}


def _changes(rows: list[ViewRow], before: float, after: float) -> tuple[ViewChange, ...]:
    training = [row for row in rows if row.split == "train"]
    views = dict.fromkeys(row.view for row in rows)
    of = {view: [row for row in training if row.view == view] for view in views}
    return tuple(
        ViewChange(view, len(some), *(sum(row.decided(each).kept for row in some) for each in (before, after)))
        for view, some in of.items()
    )
