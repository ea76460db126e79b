"""Whether `clips.parquet`, `dataset.json` and the build's own records are whole, and say the same."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path, PurePosixPath
from typing import Any, get_args

from mvgen.core.angles import view_name
from mvgen.core.config import canonical_json
from mvgen.core.errors import ConfigError
from mvgen.core.records import Label, Split
from mvgen.store import layout
from mvgen.store.about import stored_config
from mvgen.store.finish import source_digest
from mvgen.store.manifest import Failure, Marker, ViewRow, counts, table_schema
from mvgen.verify.findings import WHOLE, Finding, of_clip

# What `dataset.json` holds.
_ABOUT = {
    "config": dict,
    "counts": dict,
    "files": dict,
    "schema": int,
    "software": dict,
    "source": dict,
    "views": list,
    "weights": dict,
}
# What the rows of one clip differ in; in all else they agree.
_OF_A_VIEW = frozenset(
    {
        *("view", "yaw", "visible_attention", "valid_fraction", "kept"),
        *("frames_directory", "frames_sha256", "maps", "maps_sha256"),
    }
)
_OF_A_CLIP = tuple(field.name for field in fields(ViewRow) if field.name not in _OF_A_VIEW)


def check_schema(out: Path) -> list[Finding]:
    """Whether the table has the columns of this version."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        there = pq.read_schema(out / layout.TABLE)
    except (OSError, pa.ArrowException) as error:
        return [Finding(layout.TABLE, f"it cannot be read: {error}", WHOLE)]
    wanted = table_schema()
    if there.equals(wanted):
        return []
    columns = [name for name in wanted.names if name not in there.names or there.field(name) != wanted.field(name)]
    return [Finding(layout.TABLE, f"columns are missing, unknown or of another kind: {', '.join(columns)}", WHOLE)]


def check_shape(about: Mapping[str, Any]) -> list[Finding]:
    """Whether `dataset.json` has the parts that its schema promises."""
    wrong = [name for name, kind in _ABOUT.items() if not isinstance(about.get(name), kind)]
    wrong += sorted(set(about) - set(_ABOUT))
    if not wrong:
        return []
    return [Finding(layout.DATASET, f"missing, unknown or of another kind: {', '.join(wrong)}", WHOLE)]


def check_config(about: Mapping[str, Any]) -> list[Finding]:
    """Whether the settings are such that this version could build with them."""
    try:
        stored_config(about)
    except ConfigError as error:
        return [Finding(layout.DATASET, f"its {error}", WHOLE)]
    return []


def check_about(
    text: str, about: Mapping[str, Any], rows: Sequence[ViewRow], failures: Sequence[Failure]
) -> Iterator[Finding]:
    """Whether `dataset.json`, of content `text`, counts what the table holds."""
    if canonical_json(about) != text:
        yield Finding(layout.DATASET, "it is not written as mvgen writes it", WHOLE)
    if about["counts"] != counts(rows, failures):
        yield Finding(layout.DATASET, f"its counts are not those of {layout.TABLE} and {layout.FAILURES}", WHOLE)
    if about["views"] != list(dict.fromkeys(row.view for row in rows)):
        yield Finding(layout.DATASET, f"its views are not those of {layout.TABLE}", WHOLE)


def check_rows(about: Mapping[str, Any], rows: Sequence[ViewRow]) -> Iterator[Finding]:
    """Whether each row agrees with itself, with the layout of a store and with the other rows of its clip."""
    threshold = stored_config(about).attention.threshold
    for row in rows:
        for problem in _problems(row, threshold):
            yield of_clip(layout.TABLE, f"{row.clip}, {row.view}: {problem}", row.clip)
    for (clip, view), times in Counter((row.clip, row.view) for row in rows).items():
        if times > 1:
            yield of_clip(layout.TABLE, f"{clip}, {view}: there are {times} rows of it", clip)
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
    """Whether every subject is on one side of the split."""
    sides: defaultdict[str, defaultdict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for row in rows:
        sides[row.subject_key][row.split].add(row.clip)
    for subject, clips in sides.items():
        if len(clips) > 1:
            said = "; ".join(f"{split}: {', '.join(sorted(some)[:3])}" for split, some in sorted(clips.items()))
            yield Finding(layout.TABLE, f"subject {subject} is on {len(clips)} sides of the split ({said})", WHOLE)


def check_records(
    out: Path, about: Mapping[str, Any], rows: Sequence[ViewRow], failures: Sequence[Failure]
) -> list[Finding]:
    """Whether a build's own records, where they were kept, say what the finished files say."""
    if not (out / layout.BUILD).is_file():
        return []
    try:
        identity = json.loads((out / layout.BUILD).read_text(encoding="utf-8"))
        wanted = _identity(about)
        differing = sorted(name for name in {*identity, *wanted} if identity.get(name) != wanted.get(name))
    except (ValueError, TypeError, AttributeError) as error:
        return [Finding(layout.BUILD, f"it is damaged: {error}", WHOLE)]
    found = []
    if differing:
        found.append(Finding(layout.DATASET, f"its {', '.join(differing)} is not what {layout.BUILD} says", WHOLE))
    markers: dict[str, Marker] = {}
    for path in sorted((out / layout.DONE).glob("*.json")):
        try:
            marker = Marker.from_json(path.read_text(encoding="utf-8"))
        except (ValueError, TypeError, KeyError) as error:
            found.append(of_clip(f"{layout.DONE}/{path.name}", f"the marker is damaged: {error}", path.stem))
        else:
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
        elif (out / path).read_text(encoding="utf-8") != markers[clip].to_json():
            yield of_clip(str(path), "it is not written as mvgen writes it", clip)
    for clip, marker in markers.items():
        if clip not in of_clips and marker.failure not in failures:
            yield of_clip(str(layout.marker_path(clip)), f"neither {layout.TABLE} nor {layout.FAILURES} knows it", clip)
    if set(markers) >= set(of_clips) and about["source"].get("digest") != source_digest(markers.values()):
        yield Finding(layout.DATASET, "its digest of the source is not that of the clips' markers", WHOLE)


def _identity(about: Mapping[str, Any]) -> dict[str, Any]:
    """What `dataset.json` took over from the beginning of the build."""
    source = {name: value for name, value in about["source"].items() if name != "digest"}
    return {**{name: about[name] for name in ("schema", "config", "software", "weights")}, "source": source}


def _problems(row: ViewRow, threshold: float) -> Iterator[str]:
    outside = [path for path in row.files() if unsafe(path)]
    if outside:
        yield f"a path leads out of the dataset: {outside[0]}"
        return
    view = view_name(row.yaw)
    if row.view != view:
        yield f"yaw {row.yaw} has the view {view}"
    below = PurePosixPath(row.frames_directory)
    directory = PurePosixPath(*below.parts[2:])
    if (
        below != layout.frames_directory(row.yaw, directory)
        or row.maps != str(layout.maps_path(row.yaw, directory))
        or row.geometry != str(layout.geometry_path(row.clip))
        or row.clip != "__".join(directory.parts)
    ):
        yield "its files are not where this view of this clip belongs"
    if not row.frames == len(row.frame_names) == len(row.frames_sha256):
        yield "it counts other frames than it names"
    if row.left_out < 0:
        yield "it leaves out fewer than no frames"
    if not all(0 <= at < row.frames for at in (row.onset_index, row.apex_index, row.offset_index)):
        yield "onset, apex or offset lies outside the clip"
    if not all(0 <= share <= 1 for share in (row.visible_attention, row.valid_fraction, row.registered)):
        yield "a share is not between 0 and 1"
    if row.split not in get_args(Split):
        yield f"split {row.split!r} is unknown"
    if row.label is not None and row.label not in get_args(Label):
        yield f"label {row.label!r} is unknown"
    if row != row.decided(threshold):
        yield f"kept is {row.kept}, which the threshold of {threshold:g} does not give"


def unsafe(path: str) -> bool:
    """Whether a path of a table leads out of the dataset."""
    return PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts or "\0" in path
