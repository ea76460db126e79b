"""The parts of a dataset published with its pixels: card, views, Croissant description, and last the manifest."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from mvgen.forget.tombstones import read_forgotten
from mvgen.publish import metrics
from mvgen.publish.card import dataset_card
from mvgen.publish.formats import parquet, webdataset
from mvgen.publish.formats.croissant import croissant
from mvgen.publish.formats.samples import Shard, plan_shards, read_samples
from mvgen.publish.licence import access_to, citation_of, terms_of
from mvgen.publish.plan import Part, part_of
from mvgen.publish.recipe import CARD, CROISSANT, MANIFEST, manifest_bytes
from mvgen.publish.statement import Format, Statement
from mvgen.publish.targets.base import FileRecord, Target
from mvgen.sources.marks import find_mark
from mvgen.store import layout
from mvgen.store.manifest import Failure, ViewRow

SHARD_BYTES = 256 * 2**20
_WRITERS = {"parquet": (parquet.SUFFIX, parquet.write_parquet), "webdataset": (webdataset.SUFFIX, webdataset.write_tar)}
_DIGITS = 10


def pixel_parts(
    out: Path,
    about: Mapping[str, Any],
    rows: Sequence[ViewRow],
    failures: Sequence[Failure],
    *,
    target: Target,
    kind: Format,
    permission: str | None,
    creator: str | None,
    url: str | None,
    shard_bytes: int = SHARD_BYTES,
) -> tuple[Part, ...]:
    """The files of a dataset that is published with its pixels, in the order of publishing.

    about, rows, failures : its `dataset.json`, table and failures
    creator, url : None takes those of the target
    shard_bytes : limit of the stored files that go into one shard
    """
    dataset = (out / layout.DATASET).read_bytes()
    digest = hashlib.sha256(dataset).hexdigest()
    suffix, write = _WRITERS[kind]
    source = about["source"]
    facts = Statement(
        source=source,
        counts=about["counts"],
        software=about["software"],
        weights=about["weights"],
        metrics=metrics.describe(rows, failures),
        terms=terms_of(source),
        access=access_to(source),
        citation=citation_of(source),
        stand_in=find_mark([out / layout.ANNOTATIONS]) is not None,
        permission=permission,
        creator=creator or target.owner or f"not named; made with mvgen {about['software'].get('mvgen')}",
        url=url or target.url or f"urn:sha256:{digest}",
        visibility=target.visibility,
        format=kind,
        suffix=suffix,
        withdrawn=tuple(one.reason for one in read_forgotten(out)),
    )

    def put(shard: Shard, path: Path, _: Mapping[str, FileRecord]) -> None:
        write(path, read_samples(out, shard.rows))

    sizes = {path: (out / path).stat().st_size for row in rows for path in row.files()}
    shards = plan_shards(rows, sizes, shard_bytes)
    return (
        part_of(CARD, dataset_card(facts).encode()),
        part_of(layout.DATASET, dataset),
        *(
            [part_of(layout.FORGOTTEN, (out / layout.FORGOTTEN).read_bytes())]
            if layout.FORGOTTEN in about["files"]
            else []
        ),
        *(Part(shard_name(shard, digest, suffix), shard.size, partial(put, shard), exact=False) for shard in shards),
        *closing_parts(facts),
    )


def closing_parts(facts: Statement) -> tuple[Part, Part]:
    """What describes all that was published before."""

    def describe(path: Path, files: Mapping[str, FileRecord]) -> None:
        path.write_text(croissant(facts, files), encoding="utf-8")

    def list_all(path: Path, files: Mapping[str, FileRecord]) -> None:
        path.write_bytes(manifest_bytes({name: file.sha256 for name, file in files.items()}))

    return Part(CROISSANT, None, describe), Part(MANIFEST, None, list_all)


def shard_name(shard: Shard, digest: str, suffix: str) -> str:
    """Name of a file of views. digest : of `dataset.json`"""
    # Readers cache unpacked files by name: the dataset's digest keeps two datasets apart.
    return f"data/{shard.split}-{shard.index:05d}-of-{shard.count:05d}-{digest[:_DIGITS]}{suffix}"
