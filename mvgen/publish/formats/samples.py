"""Samples of a finished dataset, as they are published, and their shards."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvgen.core.errors import PublishError
from mvgen.core.records import Mask
from mvgen.publish.formats.columns import COLUMNS, DEPTH_STEP, DEPTH_ZERO
from mvgen.sources.base import subject_key
from mvgen.store.arrays import read_maps
from mvgen.store.frames import frame_files
from mvgen.store.manifest import ViewRow

_QUALITY = 100  # of JPEG files that are made of a video's frames
_PICTURES = 5  # times as large as a video are pictures of its frames, about

# Facts that are called as in the row.
_SAME = (
    *("clip", "view", "yaw", "expression", "subject", "name", "emotion", "split", "apex_estimated", "fps"),
    *("action_units", "objective_class", "kind"),
    *("visible_attention", "valid_fraction", "registered", "left_out", "head_pixels", "head_degrees"),
    *("residual", "largest_jump", "face_seen", "blur", "exposure", "occlusion", "kept"),
)


@dataclass(frozen=True, slots=True)
class Sample:
    """One view of one clip.

    frames : the files of the frames; depth, valid : PNG; maps, geometry : `.npz`, geometry only with the frontal clip
    """

    row: ViewRow
    frames: tuple[bytes, ...]
    depth: bytes
    valid: bytes
    maps: bytes
    geometry: bytes | None

    def facts(self) -> dict[str, str | int | float | bool | list[str] | None]:
        """The columns other than files, by name; `label` is the name of the class."""
        row = self.row
        known = {name: getattr(row, name) for name in (*_SAME, "label", "frame_names")}
        known |= {"onset": row.onset_index, "apex": row.apex_index, "offset": row.offset_index}
        return {column.name: known[column.name] for column in COLUMNS if column.name in known}


def row_of(facts: Mapping[str, Any], label: str | None) -> ViewRow:
    """The row that `Sample.facts` were made from, as far as they tell. Raises KeyError where one is missing."""
    known = {name: facts[name] for name in _SAME}
    known |= {f"{name}_index": facts[name] for name in ("onset", "apex", "offset")}
    blank: dict[str, Any] = {
        **dict.fromkeys(("dataset", "frames_directory", "maps", "maps_sha256", "geometry", "geometry_sha256"), ""),
        **dict.fromkeys(("onset", "apex", "offset", "video")),
    }
    names = list(facts["frame_names"])
    return ViewRow(
        **known,
        **blank,
        label=label,
        subject_key=subject_key(facts["subject"]),
        frames=len(names),
        frame_names=names,
        frames_sha256=[],
        faces=1,
        notes=[],
    )


@dataclass(frozen=True, slots=True)
class Shard:
    """Rows that go into one file. index, count : its number among the shards of its split; size : bytes"""

    split: str
    index: int
    count: int
    rows: tuple[ViewRow, ...]
    size: int


def read_samples(out: Path, rows: Iterable[ViewRow]) -> Iterator[Sample]:
    """Samples of a dataset's rows, in their order. Raises PublishError for depth that does not fit into a PNG."""
    for row in rows:
        maps = read_maps(out, row, flow="none")
        try:
            picture = depth_png(maps.depth)
        except ValueError as error:
            raise PublishError(f"{row.maps}: {error}; its clip was reconstructed badly, leave it out") from None
        yield Sample(
            row=row,
            frames=tuple(frame_files(out, row, _QUALITY)),
            depth=picture,
            valid=mask_png(maps.valid),
            maps=(out / row.maps).read_bytes(),
            geometry=(out / row.geometry).read_bytes() if row.yaw is None else None,
        )


def depth_png(depth: NDArray[np.float32]) -> bytes:
    """(S, S) float32 in world units, NaN where unknown -> 16-bit PNG in steps of DEPTH_STEP, 0 where unknown.

    The error is at most half a step. Raises ValueError for depth out of range.
    """
    known = np.isfinite(depth)
    steps = np.rint(np.where(known, depth, 0) / DEPTH_STEP) + DEPTH_ZERO
    if steps.min() < 1 or steps.max() > np.iinfo(np.uint16).max:
        raise ValueError(f"depth ranges from {np.nanmin(depth):.2f} to {np.nanmax(depth):.2f}, beyond -4 to 4")
    return _png(np.where(known, steps, 0).astype(np.uint16))


def mask_png(mask: Mask) -> bytes:
    """(S, S) bool -> 8-bit PNG, 255 where true."""
    return _png(mask.astype(np.uint8) * 255)


def plan_shards(rows: Sequence[ViewRow], sizes: Mapping[str, int], limit: int) -> tuple[Shard, ...]:
    """Rows packed in their order, split by split, into files of up to `limit` bytes; a larger row gets its own file.

    sizes : path -> bytes, of every file of the rows
    """
    shards: list[Shard] = []
    for split in ("train", "test"):
        packs: list[list[ViewRow]] = []
        totals: list[int] = []
        for row in rows:
            if row.split != split:
                continue
            size = row_size(row, sizes)
            if not packs or totals[-1] + size > limit:
                packs.append([])
                totals.append(0)
            packs[-1].append(row)
            totals[-1] += size
        pairs = enumerate(zip(packs, totals, strict=True))
        shards += [Shard(split, index, len(packs), tuple(pack), total) for index, (pack, total) in pairs]
    return tuple(shards)


def row_size(row: ViewRow, sizes: Mapping[str, int]) -> int:
    """Published bytes of a row, without the images of its depth and mask."""
    of = {path: sizes[path] for path in row.files() if path != row.geometry or row.yaw is None}
    return sum(size * _PICTURES if path == row.video else size for path, size in of.items())


def _png(pixels: NDArray[Any]) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()
