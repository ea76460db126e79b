"""What a store says about itself: a row per clip and view, a line per failure, a marker per finished clip."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mvgen.core.config import canonical_json
from mvgen.core.errors import StoreError
from mvgen.core.files import open_regular, parse_json, read_regular, reason_of
from mvgen.core.records import Clip
from mvgen.store.checks import record_of, row_problems

if TYPE_CHECKING:
    import pyarrow as pa

_MOST = 100_000_000  # values in a table, texts in lists among them: what a computer can hold


@dataclass(frozen=True, slots=True)
class ViewRow:
    """One row of `clips.parquet`: one view of one clip.

    dataset, clip, expression, subject, subject_key, name, emotion, label, split : as in `records.Clip`; label None =
        no class. Clips with one expression are of one expression, seen by several cameras
    action_units, objective_class, kind : as in `records.Clip`
    onset, apex, offset : frame numbers as the release counts; None = unknown
    onset_index, apex_index, offset_index : the same as positions in `frame_names`, from 0
    apex_estimated : the release names no apex; it is the frame of largest change from onset
    fps : frames per second; frames : how many
    view : folder of the view; yaw : degrees, None for the frontal clip `source`
    visible_attention, valid_fraction : in [0, 1]
    kept : the view passes the attention threshold, or is not for training (the threshold applies to training only)
    left_out : how many of the source's frames could not be registered, and are not in the store
    registered : share of the frames that were moved onto the onset frame
    head_pixels, head_degrees : how far the head moved the face and turned, at most, since the onset frame; a homography
        tells no turn, and 0 is written
    residual, largest_jump, face_seen, blur, exposure, occlusion : how well the clip shows one face, see
        `records.Quality`
    faces : how many faces were found; the largest was taken
    frames_directory, frame_names, frames_sha256 : the colour frames in the order of time
    video : the file that holds the frames, None where each is a file; `frames_sha256` is one digest then, of the video
    maps, maps_sha256, geometry, geometry_sha256 : the arrays beside them
    notes : what was repaired, and what is to be doubted
    """

    dataset: str
    clip: str
    expression: str
    subject: str
    subject_key: str
    name: str
    emotion: str
    label: str | None
    action_units: list[str]
    objective_class: str | None
    kind: str | None
    split: str
    onset: int | None
    apex: int | None
    offset: int | None
    onset_index: int
    apex_index: int
    offset_index: int
    apex_estimated: bool
    fps: float
    frames: int
    left_out: int
    view: str
    yaw: float | None
    visible_attention: float
    valid_fraction: float
    kept: bool
    registered: float
    head_pixels: float
    head_degrees: float
    residual: float
    largest_jump: float
    face_seen: float
    blur: float
    exposure: float
    occlusion: float
    faces: int
    frames_directory: str
    frame_names: list[str]
    frames_sha256: list[str]
    video: str | None
    maps: str
    maps_sha256: str
    geometry: str
    geometry_sha256: str
    notes: list[str]

    def decided(self, threshold: float) -> ViewRow:
        """The row as an attention threshold decides it: only training views can fail, and never the frontal clip."""
        kept = self.split != "train" or self.yaw is None or self.visible_attention >= threshold
        return replace(self, kept=kept)

    def files(self) -> dict[str, str]:
        """Every file of the row -> its sha256, paths relative to the store."""
        pictures = [f"{self.frames_directory}/{name}" for name in self.frame_names]
        found = dict(zip(pictures if self.video is None else [self.video], self.frames_sha256, strict=True))
        return {**found, self.maps: self.maps_sha256, self.geometry: self.geometry_sha256}


@dataclass(frozen=True, slots=True)
class Failure:
    """One line of `failures.jsonl`: a clip that could not be built.

    stage : the room that gave up; reason : for a person; file : relative to the source's root, where there is one
    """

    clip: str
    dataset: str
    stage: str
    reason: str
    file: str | None = None


@dataclass(frozen=True, slots=True)
class Marker:
    """The end of one clip's story: its rows, or why there are none. `source` is the clip's digest at that time."""

    clip: str
    source: str
    rows: tuple[ViewRow, ...] = ()
    failure: Failure | None = None

    def decided(self, threshold: float) -> Marker:
        """The marker with its rows as an attention threshold decides them."""
        return replace(self, rows=tuple(row.decided(threshold) for row in self.rows))

    def to_json(self) -> str:
        return canonical_json(asdict(self))

    @classmethod
    def from_json(cls, content: str | bytes) -> Marker:
        """Raises ValueError for what is no marker, or has a row that no build writes."""
        values = parse_json(content)
        if not isinstance(values, dict) or set(values) != {field.name for field in fields(cls)}:
            raise ValueError("it is no marker of this version")
        clip, source, rows, failure = (values[field.name] for field in fields(cls))
        if not (isinstance(clip, str) and isinstance(source, str) and isinstance(rows, list)):
            raise ValueError("clip, source or rows is of another type")
        marker = cls(
            clip,
            source,
            tuple(record_of(ViewRow, row) for row in rows),
            None if failure is None else record_of(Failure, failure),
        )
        for row in marker.rows:
            for problem in row_problems(row):
                raise ValueError(f"{row.view}: {problem}")
        if any(row.clip != clip for row in marker.rows) or (failure is not None) == bool(rows):
            raise ValueError("its clip, rows and failure do not belong together")
        return marker


def table_schema() -> pa.Schema:
    """Columns of `clips.parquet`, in the order of ViewRow."""
    import pyarrow as pa

    text, whole, real, flag, texts = pa.string(), pa.int64(), pa.float64(), pa.bool_(), pa.list_(pa.string())
    types = {"str": text, "int": whole, "float": real, "bool": flag, "list[str]": texts}
    columns = []
    for column in fields(ViewRow):
        kind, _, optional = str(column.type).partition(" | ")
        columns.append(pa.field(column.name, types[kind], nullable=bool(optional)))
    return pa.schema(columns)


def write_table(rows: Iterable[ViewRow], path: Path) -> None:
    """Write `clips.parquet`; the rows keep their order."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pylist([asdict(row) for row in rows], schema=table_schema())
    pq.write_table(table, path, compression="zstd")


def read_table(path: Path) -> list[ViewRow]:
    """Read `clips.parquet`. Raises StoreError as `read_rows` does, and for a row that no build writes."""
    rows = read_rows(path)
    for row in rows:
        for problem in row_problems(row):
            raise StoreError(
                f"{path}: {row.clip!r}, {row.view!r}: {problem}; `mvgen verify {path.parent}` lists what is wrong"
            )
    return rows


def read_rows(path: Path) -> list[ViewRow]:
    """The rows of `clips.parquet`, whose values may contradict one another.

    Raises StoreError when the file is missing, damaged, or has other columns.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with open_regular(path) as file, pq.ParquetFile(file) as table:
            _check_columns(table.schema_arrow)
            groups = [table.metadata.row_group(index) for index in range(table.num_row_groups)]
            if sum(group.column(index).num_values for group in groups for index in range(group.num_columns)) > _MOST:
                raise ValueError(f"it has more than {_MOST} values")
            rows = [ViewRow(**row) for row in table.read().to_pylist()]
        if any(None in texts for row in rows for texts in _texts(row)):
            raise ValueError("a text in a list is missing")
        return rows
    except FileNotFoundError:
        raise StoreError(f"{path} is missing; build the dataset again with the same line to restore it") from None
    except (pa.ArrowException, OSError, ValueError, TypeError, MemoryError, OverflowError) as error:
        raise StoreError(
            f"{path} is not a table of this version of mvgen: {reason_of(error)}; build the dataset again"
        ) from None


def _texts(row: ViewRow) -> tuple[list[str], ...]:
    return row.frame_names, row.frames_sha256, row.action_units, row.notes


def _check_columns(there: pa.Schema) -> None:
    wanted = table_schema()
    columns = [name for name in wanted.names if name not in there.names or there.field(name) != wanted.field(name)]
    if not there.equals(wanted):
        raise ValueError(f"columns are missing, unknown or of another type: {', '.join(columns) or there.names}")


def failure_lines(failures: Iterable[Failure]) -> str:
    """`failures.jsonl`: a JSON object per line, sorted by clip."""
    ordered = sorted(failures, key=lambda failure: (failure.clip, failure.stage, failure.reason))
    return "".join(json.dumps(asdict(failure), sort_keys=True, ensure_ascii=False) + "\n" for failure in ordered)


def read_failures(path: Path) -> list[Failure]:
    """Read `failures.jsonl`. Raises StoreError naming a line that is none."""
    remedy = "build the dataset again"
    try:
        *lines, rest = read_regular(path).decode().split("\n")
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} is damaged: {reason_of(error)}; {remedy}") from None
    failures = []
    for number, line in enumerate([*lines, rest] if rest else lines, 1):
        try:
            failures.append(record_of(Failure, parse_json(line)))
        except ValueError as error:
            raise StoreError(f"{path} is damaged: line {number}: {error}; {remedy}") from None
    return failures


def clip_digest(clip: Clip) -> str:
    """sha256 over what a source says of a clip: ids, labels, frame numbers, and each frame's name and file sizes.

    Sizes stand in for the pixels, so that a resumed build can be checked in seconds. No absolute path or time enters.
    """
    frames = [
        [frame.number, frame.name, frame.index, _size(frame.path), *([_size(frame.depth)] if frame.depth else [])]
        for frame in clip.frames
    ]
    about = [clip.dataset, clip.id, clip.subject, clip.subject_key, clip.name, clip.emotion, clip.label]
    labels = [list(clip.action_units), clip.objective_class, clip.kind, clip.expression]
    times = [clip.onset, clip.apex, clip.offset, clip.fps]
    return digest_of([about, labels, times, list(clip.notes), frames])


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


def digest_of(value: Any) -> str:
    """sha256 of a plain value's canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def counts(rows: Sequence[ViewRow], failures: Sequence[Failure]) -> dict[str, Any]:
    """How much a store holds, per split and in all."""

    def of(some: Sequence[ViewRow]) -> dict[str, int]:
        return {
            "clips": len({row.clip for row in some}),
            "subjects": len({row.subject_key for row in some}),
            "views": len(some),
            "kept": sum(row.kept for row in some),
            "frames": sum(row.frames for row in some),
        }

    splits = {split: of([row for row in rows if row.split == split]) for split in ("train", "test")}
    return {**of(rows), "failures": len(failures), "splits": splits}


def finite(value: float) -> float:
    """A number that JSON and Parquet both keep; NaN, which only an empty clip gives, becomes 0."""
    return 0.0 if math.isnan(value) else float(value)
