"""Remove a subject from a dataset that was published with its pixels: what is left is published again in its place.

New files go first, the old ones last, so whoever looks meanwhile finds a whole publication. Killed in the middle, the
same line goes on. What the manifest lists is what counts; other files of views are left over.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mvgen.core.config import canonical_json, file_digest
from mvgen.core.errors import PublishError
from mvgen.core.files import disk_errors, parse_json, read_regular, reason_of
from mvgen.forget.store import Departure, check_reason, unknown
from mvgen.forget.tombstones import Tombstone, bury, forgotten_bytes, parse_forgotten, unite
from mvgen.publish import metrics
from mvgen.publish.card import dataset_card
from mvgen.publish.formats import parquet, webdataset
from mvgen.publish.formats.samples import Sample, Shard
from mvgen.publish.licence import access_to, citation_of, terms_of
from mvgen.publish.pixels import closing_parts, shard_name
from mvgen.publish.plan import Part, Plan, part_of
from mvgen.publish.recipe import CARD, CROISSANT, MANIFEST, RECIPE, parse_manifest
from mvgen.publish.statement import READERS, Statement
from mvgen.publish.targets.address import parse_target
from mvgen.publish.targets.base import FileRecord, Target
from mvgen.sources.base import subject_key
from mvgen.store import layout
from mvgen.store.about import parse_about
from mvgen.store.manifest import Failure, ViewRow, counts

_READ: dict[str, Callable[[Path], Iterator[Sample]]] = {
    parquet.SUFFIX: parquet.read_parquet,
    webdataset.SUFFIX: webdataset.read_tar,
}
_WRITE: dict[str, Callable[[Path, Iterable[Sample]], None]] = {
    parquet.SUFFIX: parquet.write_parquet,
    webdataset.SUFFIX: webdataset.write_tar,
}
_VIEWS = re.compile(r"data/(train|test)-\d{5}-of-\d{5}-[0-9a-f]{10}(\.parquet|\.tar)")


@dataclass(frozen=True, slots=True)
class _Publication:
    """What lies at a place. shards : files of views, by name -> where a copy of them is"""

    target: Target
    about: dict[str, Any]
    croissant: dict[str, Any]
    tombstones: tuple[Tombstone, ...]
    shards: dict[str, Path]

    @property
    def suffix(self) -> str:
        return next((Path(name).suffix for name in self.shards), parquet.SUFFIX)

    def samples(self, name: str) -> Iterator[Sample]:
        """Samples of a file of views. Raises PublishError for one that another version wrote."""
        try:
            yield from _READ[self.suffix](self.shards[name])
        except (KeyError, ValueError, TypeError) as error:
            raise PublishError(
                f"{name} was published by another version of mvgen ({error}); forget the subject in the store it came "
                "from and publish that into a new place, then remove this one"
            ) from None


def is_published(folder: Path) -> bool:
    """Whether a folder holds a publication, not a store."""
    return (folder / MANIFEST).is_file() or (folder / RECIPE).is_file()


def forget_published(address: str, subject: str, reason: str, dry_run: bool = False) -> Departure:
    """Remove a subject from a publication, see `mvgen.forget.store.forget`. address : as `--to` takes it

    Raises PublishError for a place that holds none, for a recipe, and for a subject that is not in it.
    """
    reason = check_reason(reason, subject)
    target = parse_target(address)
    with disk_errors(target.disk), target.copies_folder() as folder:
        target.open()
        there = _fetch(target, folder)
        key, source = subject_key(subject), there.about["source"]
        rows = {name: [sample.row for sample in there.samples(name)] for name in there.shards}
        gone = [row for some in rows.values() for row in some if row.subject_key == key]
        new = bury(source["name"], key, source["clips"], reason)
        buried = new.digest in {one.digest for one in there.tombstones}
        if not gone and not buried:
            raise PublishError(unknown(address, subject, (row.subject for some in rows.values() for row in some)))
        stay = {name: [row for row in some if row.subject_key != key] for name, some in rows.items()}
        tombstones = there.tombstones if buried else unite(there.tombstones, [new])
        plan = _plan(there, stay, key, tombstones)
        going = Departure(
            place=address,
            clips=tuple(sorted({row.clip for row in gone})),
            files=tuple(sorted(plan.stale or ())),
            views=len(gone),
            frames=sum(row.frames for row in gone),
            fitted=any(row.split == "train" and row.label is not None for row in gone),
            split=min((row.split for row in gone), default=None),
            workbooks=(),
            before=not gone and not plan.stale,
        )
        if not dry_run and not going.before:
            plan.write()
        return going


def _fetch(target: Target, folder: Path) -> _Publication:
    names = target.names()
    if RECIPE in names:
        raise PublishError(
            f"{target.address} is a recipe; forget the subject in its store, and publish the recipe there again"
        )
    if MANIFEST not in names:
        raise PublishError(f"{target.address} holds no store and no publication of mvgen: it has no {MANIFEST}")
    listed = parse_manifest(read_regular(target.fetch(MANIFEST, folder)))
    views = sorted(
        (name for name in listed if _VIEWS.fullmatch(name)), key=lambda name: (_split(name) != "train", name)
    )
    shards = {name: target.fetch(name, folder) for name in views}
    for name, path in shards.items():
        if file_digest(path) != listed[name]:
            raise PublishError(f"{name} of {target.address} is damaged: it is not what {MANIFEST} lists")
    try:
        about = parse_about(target.fetch(layout.DATASET, folder))
        croissant = parse_json(read_regular(target.fetch(CROISSANT, folder)))
        _check_croissant(croissant)
        held = layout.FORGOTTEN in names
        tombstones = parse_forgotten(read_regular(target.fetch(layout.FORGOTTEN, folder))) if held else ()
        return _Publication(target, about, croissant, tombstones, shards)
    except (OSError, ValueError) as error:
        raise PublishError(f"{target.address} is damaged: {reason_of(error)}; publish the dataset again") from None


def _check_croissant(said: Any) -> None:
    """Raise ValueError where `croissant.json` lacks what is taken over from it."""
    values = said if isinstance(said, dict) else {}
    words, creator = values.get("rai:personalSensitiveInformation"), values.get("creator")
    sound = isinstance(words, list) and all(isinstance(word, str) for word in words)
    sound = sound and isinstance(creator, dict) and isinstance(creator.get("name"), str)
    texts = [values.get(key) for key in ("name", "url", "rai:dataReleaseMaintenancePlan")]
    if not sound or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"{CROISSANT} is not what mvgen wrote")


def _plan(there: _Publication, stay: Mapping[str, list[ViewRow]], key: str, tombstones: tuple[Tombstone, ...]) -> Plan:
    """The publication of those who stay."""
    rows = [row for some in stay.values() for row in some]
    stones = forgotten_bytes(tombstones)
    about = _about(there.about, rows, stones)
    dataset = canonical_json(about).encode()
    digest = hashlib.sha256(dataset).hexdigest()
    said = _statement(there, about, rows, digest, tombstones)
    names = [name for name, some in stay.items() if some]
    totals = Counter(_split(name) for name in names)
    parts: list[Part] = []
    for split, total in totals.items():
        for index, name in enumerate(sorted(name for name in names if _split(name) == split)):
            new = shard_name(Shard(split, index, total, (), 0), digest, there.suffix)
            parts.append(Part(new, None, _writer(there, name, key)))
    views = {name for name in there.target.names() if _VIEWS.fullmatch(name)}
    opening = (
        part_of(CARD, dataset_card(said).encode()),
        part_of(layout.DATASET, dataset),
        part_of(layout.FORGOTTEN, stones),
    )
    plan = Plan(there.target, (*opening, *parts, *closing_parts(said)))
    return replace(plan, guarded=said.terms != "open", stale=frozenset(views - plan.names))


def _split(name: str) -> str:
    return name.removeprefix("data/").partition("-")[0]


def _writer(there: _Publication, name: str, key: str) -> Callable[[Path, Mapping[str, FileRecord]], None]:
    def write(path: Path, _: Mapping[str, FileRecord]) -> None:
        _WRITE[there.suffix](path, (sample for sample in there.samples(name) if sample.row.subject_key != key))

    return write


def _about(about: Mapping[str, Any], rows: list[ViewRow], stones: bytes) -> dict[str, Any]:
    """`dataset.json` of those who stay. Digests of files that named those who left, and are not here, go."""
    failed = [Failure("", "", "", "")] * int(about["counts"]["failures"])
    files = {name: digest for name, digest in about["files"].items() if name == layout.ATTENTION}
    return {
        **about,
        "counts": counts(rows, failed),
        "views": list(dict.fromkeys(row.view for row in rows)),
        "files": {**files, layout.FORGOTTEN: hashlib.sha256(stones).hexdigest()},
    }


def _statement(
    there: _Publication, about: Mapping[str, Any], rows: list[ViewRow], digest: str, tombstones: Sequence[Tombstone]
) -> Statement:
    """What is said of the publication, as far as it was said before."""
    said, source = there.croissant, about["source"]
    words = " ".join(said["rai:personalSensitiveInformation"])
    permission = re.search(r"Permission, in the publisher's words: (.*)\.$", words, re.DOTALL)
    readers = said["rai:dataReleaseMaintenancePlan"]
    visibility = next((name for name, text in READERS.items() if text in readers), there.target.visibility)
    # Of those who could not be built it is not known whose they were.
    failed = {"in all": int(about["counts"]["failures"])} if about["counts"]["failures"] else {}
    return Statement(
        source=source,
        counts=about["counts"],
        software=about["software"],
        weights=about["weights"],
        metrics={**metrics.describe(rows, []), "failures": failed},
        terms=terms_of(source),
        access=access_to(source),
        citation=citation_of(source),
        stand_in=said["name"].endswith("(stand-in)"),
        permission=permission[1] if permission else None,
        creator=said["creator"]["name"],
        url=f"urn:sha256:{digest}" if said["url"].startswith("urn:sha256:") else said["url"],
        visibility=visibility,
        format="parquet" if there.suffix == parquet.SUFFIX else "webdataset",
        suffix=there.suffix,
        withdrawn=tuple(one.reason for one in tombstones),
    )
