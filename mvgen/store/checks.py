"""What has to be true of a store's rows, paths and records before anything is done with them.

A store may come from a stranger: whatever is read from one passes here.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from mvgen.core.angles import view_name
from mvgen.core.errors import StoreError
from mvgen.core.names import unstorable
from mvgen.core.records import Kind, Label, Split
from mvgen.store import layout

if TYPE_CHECKING:
    from mvgen.store.manifest import ViewRow

Record = TypeVar("Record")

_KINDS: dict[str, type | tuple[type, ...]] = {"str": str, "int": int, "float": (int, float), "bool": bool}
_DIGEST = re.compile("[0-9a-f]{64}")


def unsafe(path: str) -> bool:
    """Whether a relative path leads out of the folder that it is relative to."""
    return PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts or "\0" in path


def inside(root: Path, path: str | PurePosixPath) -> Path:
    """Where a path of a store lies on this machine. Raises StoreError where links lead out of the store."""
    place = root / path
    # `Path.resolve` falls over a link to itself.
    if not Path(os.path.realpath(place)).is_relative_to(os.path.realpath(root)):
        raise StoreError(f"{place} leads out of the dataset; nothing there is read or written: remove that link")
    return place


def refuse_links_out(root: Path) -> None:
    """Raise StoreError where something at the top of a store is a link that leads out of it."""
    for entry in root.iterdir():
        inside(root, entry.name)


def record_of(kind: type[Record], values: object) -> Record:
    """A flat record from plain values as JSON has them. Raises ValueError naming fields that are not as declared."""
    declared = {field.name: str(field.type) for field in fields(kind)}  # type: ignore[arg-type]
    if not isinstance(values, dict) or set(values) != set(declared):
        raise ValueError(f"it is no {kind.__name__} of this version")
    wrong = [name for name, type_name in declared.items() if not _is(values[name], type_name)]
    if wrong:
        raise ValueError(f"{', '.join(wrong)} is of another kind")
    return kind(**values)


def _is(value: Any, declared: str) -> bool:
    kind, _, optional = declared.partition(" | ")
    if value is None:
        return bool(optional)
    if kind == "list[str]":
        return isinstance(value, list) and all(isinstance(one, str) and _is(one, "str") for one in value)
    if isinstance(value, bool) != (kind == "bool") or not isinstance(value, _KINDS[kind]):
        return False
    if isinstance(value, str):
        return not any("\ud800" <= letter <= "\udfff" for letter in value)  # halves of letters, which no file can hold
    return not isinstance(value, int) or -(2**63) <= value < 2**63


def row_problems(row: ViewRow) -> Iterator[str]:
    """What contradicts the layout of a store, or itself, in one row of a table or a marker; nothing for a sound one."""
    yield from _frame_problems(row)
    paths = (row.frames_directory, row.maps, row.geometry, *([] if row.video is None else [row.video]))
    outside = [path for path in (*paths, *row.frame_names) if unsafe(path)]
    if outside:
        yield f"a path leads out of the dataset: {outside[0]}"
        return
    if row.yaw is not None and not abs(row.yaw) <= 90:
        yield f"yaw {row.yaw} is no angle between -90 and 90 degrees"
        return
    view = view_name(row.yaw)
    if row.view != view:
        yield f"yaw {row.yaw} has the view {view}"
    below = PurePosixPath(row.frames_directory)
    directory = PurePosixPath(*below.parts[2:])
    if (
        not directory.parts
        or row.frames_directory != str(layout.frames_directory(row.yaw, directory))
        or row.video not in (None, str(layout.video_path(row.yaw, directory)))
        or row.maps != str(layout.maps_path(row.yaw, directory))
        or row.geometry != str(layout.geometry_path(row.clip))
        or row.clip != "__".join(directory.parts)
    ):
        yield "its files are not where this view of this clip belongs"
    for name in (row.clip, row.expression, *directory.parts):
        if reason := unstorable(name):
            yield f"{name!r} {reason}"
    yield from _number_problems(row)
    if row.split not in get_args(Split):
        yield f"split {row.split!r} is unknown"
    if row.label is not None and row.label not in get_args(Label):
        yield f"label {row.label!r} is unknown"
    if row.kind is not None and row.kind not in get_args(Kind):
        yield f"kind {row.kind!r} is neither micro nor macro"
    if "" in row.action_units or len(set(row.action_units)) < len(row.action_units):
        yield "an action unit is empty, or is there twice"
    if row.objective_class == "":
        yield "its objective class is empty"


def _frame_problems(row: ViewRow) -> Iterator[str]:
    files = row.frames if row.video is None else 1
    if not 0 < row.frames == len(row.frame_names) or len(row.frames_sha256) != files:
        yield "it counts other frames than it names"
    elif not all(0 <= at < row.frames for at in (row.onset_index, row.apex_index, row.offset_index)):
        yield "onset, apex or offset is outside the clip"
    if any(not layout.is_frame(name) or unstorable(name) for name in row.frame_names):
        yield "it names a frame that is no picture in the clip's folder"
    if len(set(row.frame_names)) < len(row.frame_names):
        yield "it names a frame twice"
    if not all(_DIGEST.fullmatch(each) for each in (*row.frames_sha256, row.maps_sha256, row.geometry_sha256)):
        yield "a digest is none"


def _number_problems(row: ViewRow) -> Iterator[str]:
    if row.left_out < 0:
        yield "it leaves out fewer than no frames"
    if row.faces < 0 or not all(0 <= value < math.inf for value in (row.head_pixels, row.head_degrees)):
        yield "a number is less than none, or is none"
    if not 0 < row.fps < math.inf:
        yield f"{row.fps} frames per second are none"
    if not all(
        0 <= share <= 1
        for share in (
            row.visible_attention,
            row.valid_fraction,
            row.registered,
            row.face_seen,
            row.exposure,
            row.occlusion,
        )
    ):
        yield "a share is not between 0 and 1"
