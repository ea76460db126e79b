"""Views as Parquet, one row each, which `datasets.load_dataset` opens without options."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from mvgen.core.records import Label
from mvgen.publish.formats.columns import COLUMNS, Kind
from mvgen.publish.formats.samples import Sample, row_of

if TYPE_CHECKING:
    import pyarrow as pa

SUFFIX = ".parquet"
# A reader holds one row group in memory.
_GROUP_BYTES = 32 * 2**20
_CLASSES: tuple[str, ...] = get_args(Label)
_FILES: tuple[Kind, ...] = ("image", "images", "bytes")


def parquet_schema() -> pa.Schema:
    """The columns, with the features that the `datasets` library reads from a file's metadata."""
    import pyarrow as pa

    image = pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])
    types: dict[Kind, pa.DataType] = {
        "text": pa.string(),
        "texts": pa.list_(pa.string()),
        "whole": pa.int64(),
        "real": pa.float64(),
        "flag": pa.bool_(),
        "label": pa.int64(),
        "image": image,
        "images": pa.list_(image),
        "bytes": pa.binary(),
    }
    features: dict[Kind, dict[str, Any]] = {
        "text": {"dtype": "string", "_type": "Value"},
        "texts": {"feature": {"dtype": "string", "_type": "Value"}, "_type": "List"},
        "whole": {"dtype": "int64", "_type": "Value"},
        "real": {"dtype": "float64", "_type": "Value"},
        "flag": {"dtype": "bool", "_type": "Value"},
        "bytes": {"dtype": "binary", "_type": "Value"},
        "label": {"names": list(_CLASSES), "_type": "ClassLabel"},
        "image": {"_type": "Image"},
        "images": {"feature": {"_type": "Image"}, "_type": "List"},
    }
    info = {"info": {"features": {column.name: features[column.kind] for column in COLUMNS}}}
    return pa.schema(
        [pa.field(column.name, types[column.kind]) for column in COLUMNS],
        metadata={"huggingface": json.dumps(info)},
    )


def write_parquet(path: Path, samples: Iterable[Sample]) -> None:
    """Write samples, in their order, as one file in row groups of about 32 MiB."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = parquet_schema()
    plain = [column.name for column in COLUMNS if column.kind not in _FILES]
    # Images are compressed already, and statistics over their bytes are of no use.
    options: dict[str, Any] = {"compression": "zstd", "use_dictionary": plain, "write_statistics": plain}
    with pq.ParquetWriter(path, schema, **options) as writer:
        for group in _groups(samples):
            writer.write_table(pa.Table.from_pylist([_record(sample) for sample in group], schema=schema))


def read_parquet(path: Path) -> Iterator[Sample]:
    """Samples of a file, in their order. Raises KeyError or ValueError for one of another version."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=1):
            for record in batch.to_pylist():
                label = None if record["label"] is None else _CLASSES[record["label"]]
                yield Sample(
                    row=row_of(record, label),
                    frames=tuple(frame["bytes"] for frame in record["frames"]),
                    depth=record["depth"]["bytes"],
                    valid=record["valid"]["bytes"],
                    maps=record["maps"],
                    geometry=record["geometry"],
                )


def _groups(samples: Iterable[Sample]) -> Iterator[list[Sample]]:
    group: list[Sample] = []
    size = 0
    for sample in samples:
        group.append(sample)
        size += sum(map(len, (*sample.frames, sample.maps, sample.geometry or b"")))
        if size >= _GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def _record(sample: Sample) -> dict[str, Any]:
    row = sample.row
    frames = zip(sample.frames, row.frame_names, strict=True)
    return {
        **sample.facts(),
        "label": None if row.label is None else _CLASSES.index(row.label),
        "frames": [{"bytes": content, "path": name} for content, name in frames],
        "depth": {"bytes": sample.depth, "path": "depth.png"},
        "valid": {"bytes": sample.valid, "path": "valid.png"},
        "maps": sample.maps,
        "geometry": sample.geometry,
    }
