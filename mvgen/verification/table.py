"""Check that `clips.parquet`, `dataset.json` and the build records are intact and agree."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from mvgen.core.config import canonical_json
from mvgen.core.errors import StoreError
from mvgen.store import layout
from mvgen.store.about import stored_config
from mvgen.store.checks import row_problems
from mvgen.store.finish import source_digest
from mvgen.store.manifest import Failure, Marker, ViewRow, counts
from mvgen.store.state import read_build, read_marker
from mvgen.verification.findings import WHOLE, Finding, of_clip

# What the rows of one clip differ in; in all else they agree.
_OF_A_VIEW = frozenset(
    {
        *("view", "yaw", "visible_attention", "valid_fraction", "kept"),
        *("frames_directory", "frames_sha256", "video", "maps", "maps_sha256"),
    }
)
_OF_A_CLIP = tuple(field.name for field in fields(ViewRow) if field.name not in _OF_A_VIEW)


def check_about(
    text: str, about: Mapping[str, Any], rows: Sequence[ViewRow], failures: Sequence[Failure]
) -> Iterator[Finding]:
    """Check `dataset.json`, with the content `text`, against the table."""
    if canonical_json(about) != text:
        yield Finding(layout.DATASET, "it is not formatted as mvgen writes it", WHOLE)
    others = sorted({row.dataset for row in rows} - {about["source"]["name"]})
    if others:
        yield Finding(layout.DATASET, f"its source is {about['source']['name']}, {layout.TABLE} has {others[0]}", WHOLE)
    if about["counts"] != counts(rows, failures):
        yield Finding(layout.DATASET, f"its counts differ from those of {layout.TABLE} and {layout.FAILURES}", WHOLE)
    if about["views"] != list(dict.fromkeys(row.view for row in rows)):
        yield Finding(layout.DATASET, f"its views differ from those of {layout.TABLE}", WHOLE)


def check_rows(about: Mapping[str, Any], rows: Sequence[ViewRow]) -> Iterator[Finding]:
    """Check each row for consistency: in itself, with the layout of a store, with the other rows of its clip."""
    threshold = stored_config(about).attention.threshold
    for row in rows:
        for problem in row_problems(row):
            yield of_clip(layout.TABLE, f"{row.clip}, {row.view}: {problem}", row.clip)
        if row != row.decided(threshold):
            problem = f"kept is {row.kept}, which the threshold of {threshold:g} does not give"
            yield of_clip(layout.TABLE, f"{row.clip}, {row.view}: {problem}", row.clip)
    for (clip, view), times in Counter((row.clip, row.view) for row in rows).items():
        if times > 1:
            yield of_clip(layout.TABLE, f"{clip}, {view}: there are {times} rows for this view", clip)
    of_clips: defaultdict[str, list[ViewRow]] = defaultdict(list)
    for row in rows:
        of_clips[row.clip].append(row)
    for clip, some in of_clips.items():
        differing = [name for name in _OF_A_CLIP if any(getattr(row, name) != getattr(some[0], name) for row in some)]
        if differing:
            yield of_clip(layout.TABLE, f"{clip}: its views disagree about {', '.join(differing)}", clip)
        missing = [view for view in about["views"] if view not in {row.view for row in some}]
        if missing:
            yield of_clip(layout.TABLE, f"{clip}: it has no view {', '.join(map(str, missing))}", clip)
    yield from check_split(rows)


def check_split(rows: Sequence[ViewRow]) -> Iterator[Finding]:
    """Check that every subject is in one split only."""
    sides: defaultdict[str, defaultdict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for row in rows:
        sides[row.subject_key][row.split].add(row.clip)
    for subject, clips in sides.items():
        if len(clips) > 1:
            examples = "; ".join(f"{split}: {', '.join(sorted(some)[:3])}" for split, some in sorted(clips.items()))
            yield Finding(layout.TABLE, f"subject {subject} is in {len(clips)} splits ({examples})", WHOLE)


def check_records(
    out: Path, about: Mapping[str, Any], rows: Sequence[ViewRow], failures: Sequence[Failure]
) -> list[Finding]:
    """Whether a build's own records, where they were kept, say what the finished files say."""
    if not (out / layout.BUILD).exists():
        return []
    try:
        identity = read_build(out)
    except StoreError as error:
        return [Finding(layout.BUILD, str(error), WHOLE)]
    wanted = _identity(about)
    differing = sorted(name for name in {*identity, *wanted} if identity.get(name) != wanted.get(name))
    found = []
    if differing:
        found.append(Finding(layout.DATASET, f"it differs from {layout.BUILD} in: {', '.join(differing)}", WHOLE))
    markers: dict[str, Marker] = {}
    for path in sorted((out / layout.DONE).glob("*.json")):
        try:
            marker = read_marker(out, path.stem)
        except StoreError as error:
            found.append(of_clip(f"{layout.DONE}/{path.name}", str(error), path.stem))
        else:
            if marker is not None:
                markers[path.stem] = marker
    return found + list(_check_markers(out, about, markers, rows, failures))


def _check_markers(
    out: Path,
    about: Mapping[str, Any],
    markers: Mapping[str, Marker],
    rows: Sequence[ViewRow],
    failures: Sequence[Failure],
) -> Iterator[Finding]:
    of_clips: defaultdict[str, list[ViewRow]] = defaultdict(list)
    for row in rows:
        of_clips[row.clip].append(row)
    for clip, some in of_clips.items():
        path = layout.marker_path(clip)
        if clip not in markers:
            if not (out / path).is_file():
                yield of_clip(str(path), "the marker is missing", clip)
        elif list(markers[clip].rows) != some:
            yield of_clip(str(path), f"it says something else than {layout.TABLE}", clip)
        elif (out / path).read_bytes() != markers[clip].to_json().encode():
            yield of_clip(str(path), "it is not formatted as mvgen writes it", clip)
    for clip, marker in markers.items():
        if clip not in of_clips and marker.failure not in failures:
            yield of_clip(str(layout.marker_path(clip)), f"neither {layout.TABLE} nor {layout.FAILURES} has it", clip)
    if set(markers) >= set(of_clips) and about["source"].get("digest") != source_digest(markers.values()):
        yield Finding(layout.DATASET, "its digest of the source differs from that of the markers", WHOLE)


def _identity(about: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of `dataset.json` that were fixed when the build began."""
    source = {name: value for name, value in about["source"].items() if name != "digest"}
    return {**{name: about[name] for name in ("schema", "config", "software", "weights")}, "source": source}
