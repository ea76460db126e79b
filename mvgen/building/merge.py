"""Merge the shards of a build into one store, with the same bytes as a build without shards."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mvgen.core.config import file_digest
from mvgen.core.errors import StoreError
from mvgen.core.files import disk_errors, write_atomically
from mvgen.forget.tombstones import bury_all, kept_annotations, leavers_of, read_forgotten, unite, without
from mvgen.store import layout
from mvgen.store.about import check_identity
from mvgen.store.checks import inside
from mvgen.store.finish import finish
from mvgen.store.manifest import Marker
from mvgen.store.shards import Share, clips_digest, dealt, read_shares
from mvgen.store.state import begin, check_folder, differences, locked, read_build, read_marker
from mvgen.store.writer import write_marker

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Merged:
    """Result of `merge`: counts of shards, clips and failures."""

    out: Path
    shards: int
    clips: int
    failures: int


def merge(parts: Sequence[Path], out: Path) -> Merged:
    """Merge all shards of a build into one store.

    parts : folders with one or more shards each; a single one may be `out` itself
    out : the finished store; files are hard-linked into it where possible, else copied
    Raises StoreError naming shards that are missing, not finished, duplicate or of another build, before anything is
    written. The same call resumes an interrupted merge.
    """
    found = _read_parts(parts)
    identity = _one_identity(parts)
    forgotten = unite(*(read_forgotten(place) for place in (*parts, out)))
    if forgotten:
        rows = [row for _, (_, marker) in _markers(found).items() for row in marker.rows]
        who = leavers_of(out, forgotten, identity["source"]["name"], rows, [share for _, share in found])
        found = [(part, without(share, who)) for part, share in found]
    shares = _whole(found, parts)
    keys = dealt(shares)
    # Where somebody left, their places in the list are empty.
    if not forgotten and clips_digest(keys) != identity["source"]["clips"]:
        raise StoreError("the sources of the shards list different clips; build all shards from one source")
    markers = _markers(found)
    elsewhere = [part for part in parts if part.resolve() != out.resolve()]
    if elsewhere:
        check_folder(out, identity)
        _check_common_files(parts, bool(forgotten))
    with locked(out), disk_errors(out):
        begin(out, identity)
        if forgotten:
            for name in (layout.DATASET, layout.FORGETTING, f".{layout.FORGETTING}.tmp"):
                (out / name).unlink(missing_ok=True)
            bury_all(out, forgotten, identity["source"]["name"])
        for part in elsewhere:
            _copy(part, out, _common_files(part, bool(forgotten)))
        for name, *_ in keys:
            part, marker = markers[name]
            if part in elsewhere and read_marker(out, name) != marker:
                _copy(part, out, (path for row in marker.rows for path in row.files()))
                write_marker(out, marker)
        ends = [markers[name][1] for name, *_ in keys]
        finish(out, identity, ends, shares[0].lost)
    failed = sum(end.failure is not None for end in ends)
    return Merged(out, len(shares), len(ends) - failed, len(shares[0].lost) + failed)


def _read_parts(parts: Sequence[Path]) -> list[tuple[Path, Share]]:
    found = []
    for part in parts:
        shares = read_shares(part)
        if not shares:
            if (part / layout.DATASET).is_file():
                raise StoreError(f"{part} is a finished dataset without shards: there is nothing to merge")
            raise StoreError(f"{part} has no shard of a build; make one with `mvgen build --shard i/n`")
        found += [(part, share) for share in shares]
    return found


def _one_identity(parts: Sequence[Path]) -> dict[str, Any]:
    """The identity of the build, see `build._identity`. Raises StoreError where two parts differ."""
    identities: list[dict[str, Any]] = []
    for part in parts:
        identities.append(read_build(part))
        check_identity(part / layout.BUILD, identities[-1])
        lines = differences(identities[0], identities[-1])
        if lines:
            raise StoreError(f"{parts[0]} and {part} are not shards of one build:\n  " + "\n  ".join(lines))
    return identities[0]


def _whole(found: Sequence[tuple[Path, Share]], parts: Sequence[Path]) -> list[Share]:
    """All shards by number. Raises StoreError when they are not 1 to n, each once."""
    shards = [share.shard for _, share in found]
    counts = sorted({shard.count for shard in shards})
    if len(counts) > 1:
        raise StoreError(f"some shards are 1 of {counts[0]}, others 1 of {counts[1]}; merge those of one build")
    twice = next((shard for shard in shards if shards.count(shard) > 1), None)
    if twice is not None:
        both = ", ".join(str(part) for part, share in found if share.shard == twice)
        raise StoreError(f"shard {twice} is given twice: {both}; name one of them")
    missing = [str(number) for number in range(1, counts[0] + 1) if number not in {shard.number for shard in shards}]
    if missing:
        listed = ", ".join(missing[:_SHOWN]) + (", ..." if len(missing) > _SHOWN else "")
        raise StoreError(
            f"{len(missing)} of {counts[0]} shards are missing: {listed}. Build them with "
            f"`--shard {missing[0]}/{counts[0]}`, or name the folders that contain them"
        )
    return [share for _, share in sorted(found, key=lambda each: each[1].shard)]


def _markers(found: Sequence[tuple[Path, Share]]) -> dict[str, tuple[Path, Marker]]:
    """Clip id -> its folder and its marker. Raises StoreError naming shards that are not finished."""
    markers: dict[str, tuple[Path, Marker]] = {}
    lines = []
    for part, share in found:
        names = [key[0] for key in share.clips if key is not None]
        there = {name: marker for name in names if (marker := read_marker(part, name)) is not None}
        markers |= {name: (part, marker) for name, marker in there.items()}
        if len(there) < len(names):
            lines.append(f"shard {share.shard} in {part}: {len(there)} of {len(names)} clips")
    if lines:
        raise StoreError("finish these shards before merging:\n  " + "\n  ".join(lines))
    return markers


def _check_common_files(parts: Sequence[Path], forgotten: bool) -> None:
    """Raise StoreError where shards have fitted different attention heads, or copied other annotations."""
    first = _common_files(parts[0], forgotten)
    for part in parts[1:]:
        lines = differences(dict(first), dict(_common_files(part, forgotten)))
        if lines:
            raise StoreError(
                f"{parts[0]} and {part} differ in files that all shards share:\n  "
                + "\n  ".join(lines)
                + "\nProcessors of "
                "different kinds may fit different attention heads: build all shards on one kind, or into one --out"
            )


def _common_files(part: Path, forgotten: bool) -> Mapping[str, str]:
    """Files that every shard has, with their digests. forgotten : somebody has left"""
    annotations = sorted((part / layout.ANNOTATIONS).glob("**/*"))
    paths = [part / layout.ATTENTION, *(kept_annotations(annotations) if forgotten else annotations)]
    files = [inside(part, path.relative_to(part).as_posix()) for path in paths if path.is_file()]
    return {path.relative_to(part).as_posix(): file_digest(path) for path in files}


def _copy(part: Path, out: Path, paths: Iterable[str]) -> None:
    """Link or copy files of a part into the store, each one atomically."""
    with disk_errors(out):
        for path in paths:
            source, target = inside(part, path), inside(out, path)
            if source.is_symlink() or not source.is_file():
                raise StoreError(f"{source} is missing; run the command of its shard again")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            try:
                os.link(source, target)
            except OSError:  # another disk, or one without links
                write_atomically(target, source.read_bytes())
