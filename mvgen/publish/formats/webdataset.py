"""Views as tar files in the WebDataset convention: the files of a view are adjacent and share a name prefix."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import get_args

from mvgen.core.config import canonical_json
from mvgen.core.records import Label
from mvgen.publish.formats.samples import Sample, row_of
from mvgen.store.manifest import ViewRow

SUFFIX = ".tar"
_CLASSES: tuple[str, ...] = get_args(Label)
_DIGITS = 4
# Zip readers look for the end of an archive in the last 64 KiB of a file. They would find that of an `.npz` there and
# take the whole tar for a zip; a tar may end in any number of empty blocks.
_END = bytes(129 * tarfile.BLOCKSIZE)


def sample_key(row: ViewRow) -> str:
    """Name prefix of a view's files, without dots: the extension of a name begins at its first dot."""
    return f"{row.clip}__{row.view}".replace("%", "%25").replace(".", "%2E")


def write_tar(path: Path, samples: Iterable[Sample]) -> None:
    """Write samples, in their order, as one tar whose bytes depend on them alone: no owner, no time.

    Files of a sample: `0000.jpg`, `0001.jpg` ... its frames, `depth.png`, `valid.png`, `maps.npz`, for the frontal clip
    `geometry.npz`, and `json` with the other columns, where `label` is the class number and `label_name` its name.
    """
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for sample in samples:
            key = sample_key(sample.row)
            for extension, content in sorted(_members(sample)):
                entry = tarfile.TarInfo(f"{key}.{extension}")
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
    with path.open("ab") as file:
        file.write(_END)


def read_tar(path: Path) -> Iterator[Sample]:
    """Samples of a file, in their order. Raises KeyError or ValueError for one of another version."""
    with tarfile.open(path) as archive:
        for _, group in groupby(archive, lambda entry: entry.name.partition(".")[0]):
            files = {entry.name.partition(".")[2]: _content(archive, entry) for entry in group}
            facts = json.loads(files["json"])
            frames = sorted(
                (name for name in files if name[:1].isdigit()), key=lambda name: int(name.partition(".")[0])
            )
            yield Sample(
                row=row_of(facts, facts["label_name"]),
                frames=tuple(files[name] for name in frames),
                depth=files["depth.png"],
                valid=files["valid.png"],
                maps=files["maps.npz"],
                geometry=files.get("geometry.npz"),
            )


def _content(archive: tarfile.TarFile, entry: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(entry)
    if file is None:
        raise ValueError(f"{entry.name} is no file")
    return file.read()


def _members(sample: Sample) -> Iterator[tuple[str, bytes]]:
    row = sample.row
    digits = max(_DIGITS, len(str(len(row.frame_names) - 1)))
    for index, (name, content) in enumerate(zip(row.frame_names, sample.frames, strict=True)):
        yield f"{index:0{digits}d}{PurePosixPath(name).suffix.lower()}", content
    yield "depth.png", sample.depth
    yield "valid.png", sample.valid
    yield "maps.npz", sample.maps
    if sample.geometry is not None:
        yield "geometry.npz", sample.geometry
    label = None if row.label is None else _CLASSES.index(row.label)
    yield "json", canonical_json({**sample.facts(), "label": label, "label_name": row.label}).encode()
