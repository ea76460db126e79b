"""What is to be published, file by file, and the order it goes in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mvgen.core.config import file_digest
from mvgen.core.files import disk_errors
from mvgen.publish.targets.base import FileRecord, Target


@dataclass(frozen=True, slots=True)
class Part:
    """One file to publish.

    size : bytes, None where what was published before it decides; exact : False, it is about that
    write : puts the file at a path, given what was published before it
    """

    name: str
    size: int | None
    write: Callable[[Path, Mapping[str, FileRecord]], object]
    exact: bool = True


@dataclass(frozen=True, slots=True)
class Outcome:
    """What publishing came to. files : everything that is there now; sent : names of what was not there before"""

    files: Mapping[str, FileRecord]
    sent: frozenset[str]


@dataclass(frozen=True, slots=True)
class Plan:
    """Parts for a place.

    guarded : a stranger must not be able to read there, from the first part on
    stale : files of an earlier publication there, which go when all parts are there; None for a place of its own
    """

    target: Target
    parts: tuple[Part, ...]
    guarded: bool = False
    stale: frozenset[str] | None = None

    @property
    def names(self) -> frozenset[str]:
        return frozenset(part.name for part in self.parts)

    def write(self, note: Callable[[str, int, bool], None] | None = None) -> Outcome:
        """Publish the parts in their order; what is there already, byte for byte, is not sent again.

        note : told the name and size of every file, and whether it was sent
        Raises PublishError for a place that will not do, LicenceError for one that everybody can read where nobody
        may, StoreError when the disk is full. Stopped in the middle, the same call goes on.
        """
        files: dict[str, FileRecord] = {}
        sent = set()
        with disk_errors(self.target.disk):
            if self.stale is None:
                self.target.begin()
                self.target.refuse_others(self.names)
            with self.target.stage() as stage:
                for part in self.parts:
                    path = stage / part.name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    part.write(path, files)
                    record = files[part.name] = FileRecord(path.stat().st_size, file_digest(path))
                    if not self.target.holds(path, part.name, record):
                        self.target.put(path, part.name, record)
                        sent.add(part.name)
                    path.unlink(missing_ok=True)
                    if note:
                        note(part.name, record.size, part.name in sent)
                    if self.guarded and len(files) == 1:
                        self.target.guard(part.name)
            if self.stale:
                self.target.remove(sorted(self.stale - self.names))
        return Outcome(files, frozenset(sent))


def part_of(name: str, content: bytes) -> Part:
    """A part whose bytes are known."""
    return Part(name, len(content), lambda path, _: path.write_bytes(content))
