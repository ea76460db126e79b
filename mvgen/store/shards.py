"""Shares of a build that tasks work on without knowing of one another: what each holds, until they are merged.

Shard i of n takes every n-th clip from the i-th on, so that shards are of a size whatever the order of the source, and
the lists of all shards, dealt out again one by one, are the source's own list.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TypeVar

from mvgen.core.config import canonical_json
from mvgen.core.errors import ConfigError, StoreError
from mvgen.core.files import disk_errors, read_json, write_atomically
from mvgen.core.names import unstorable
from mvgen.core.records import Clip
from mvgen.store import layout
from mvgen.store.checks import inside, record_of
from mvgen.store.manifest import Failure, digest_of

_MOST_SHARDS = 1_000_000
Entry = TypeVar("Entry")
# Id, subject key and label of a clip: what the identity of a build knows of it.
ClipKey = tuple[str, str, str | None]


@dataclass(frozen=True, slots=True, order=True)
class Shard:
    """One of `count` shares of a build; numbers begin at 1."""

    count: int
    number: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read `2/8`. Raises ConfigError for anything else."""
        found = re.fullmatch(r"([0-9]+)/([0-9]+)", text)
        if not found or not 1 <= int(found[1]) <= int(found[2]):
            raise ConfigError(f"shard {text!r} is none; give i/n with i from 1 to n, for example 2/8")
        return cls(count=int(found[2]), number=int(found[1]))

    def of(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        """Its share of a list."""
        return entries[self.number - 1 :: self.count]

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


@dataclass(frozen=True, slots=True)
class Share:
    """What a shard takes on. lost : what the source gave up, the same in every shard

    clips : in the source's order; None stands for a clip of somebody who has left
    """

    shard: Shard
    clips: tuple[ClipKey | None, ...]
    lost: tuple[Failure, ...]


def clip_key(clip: Clip) -> ClipKey:
    """What the identity of a build knows of a clip."""
    return clip.id, clip.subject_key, clip.label


def clips_digest(keys: Sequence[ClipKey]) -> str:
    """Digest of all clips of a build, in the source's order."""
    return digest_of([list(key) for key in keys])


def write_share(out: Path, share: Share) -> None:
    """Write down what a shard takes on, before it begins."""
    with disk_errors(out):
        write_atomically(_path(out, share.shard), canonical_json(asdict(share)).encode())


def read_shares(out: Path) -> list[Share]:
    """What every shard that began in a folder takes on, by number. Raises StoreError for one that cannot be read."""
    paths = inside(out, layout.SHARDS).glob("*.json")
    return sorted((_read(path) for path in paths), key=lambda share: share.shard)


def check_shards(out: Path, shard: Shard) -> None:
    """Raise StoreError where a folder holds shards of another number of shares."""
    others = [share.shard for share in read_shares(out) if share.shard.count != shard.count]
    if others:
        raise StoreError(f"{out} holds shard {others[0]}, which does not go with {shard}; choose another --out")


def dealt(shares: Sequence[Share]) -> list[ClipKey]:
    """The clips of all shards of a build, given by number, in the source's order; without those who have left."""
    rounds = zip_longest(*(share.clips for share in shares))
    return [key for each in rounds for key in each if key is not None]


def _path(out: Path, shard: Shard) -> Path:
    return out / layout.SHARDS / f"{shard.number}-of-{shard.count}.json"


def _read(path: Path) -> Share:
    remedy = "run the line of that shard again"
    values = read_json(path, remedy)
    try:
        if set(values) != {"shard", "clips", "lost"} or not all(isinstance(values[n], list) for n in ("clips", "lost")):
            raise ValueError("it is no shard of this version")
        shard = record_of(Shard, values["shard"])
        if not 1 <= shard.number <= shard.count <= _MOST_SHARDS:
            raise ValueError(f"there is no shard {shard}")
        clips = tuple(None if key is None else _clip_key(key) for key in values["clips"])
        return Share(shard, clips, tuple(record_of(Failure, failure) for failure in values["lost"]))
    except ValueError as error:
        raise StoreError(f"{path} is damaged ({error}); {remedy}") from None


def _clip_key(values: object) -> ClipKey:
    if not isinstance(values, list) or len(values) != 3:
        raise ValueError("an entry is no clip")
    name, subject, label = values
    if not isinstance(name, str) or unstorable(name) or not isinstance(subject, str):
        raise ValueError(f"{name!r} is no clip")
    if label is not None and not isinstance(label, str):
        raise ValueError(f"{label!r} is no label")
    return name, subject, label
