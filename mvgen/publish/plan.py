"""The files to publish, and their order."""

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

    size : bytes, None where it depends on the files before it; exact : whether that size is exact or an estimate
    write : writes the file to a path, given the records of the files before it
    """

    name: str
    size: int | None
    write: Callable[[Path, Mapping[str, FileRecord]], object]
    exact: bool = True


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of publishing. files : all published files; sent : names of those that were sent in this run"""

    files: Mapping[str, FileRecord]
    sent: frozenset[str]


@dataclass(frozen=True, slots=True)
class Plan:
    """Parts for a target.

    guarded : check after the first part that the public cannot read the target
    stale : files of an earlier publication there, which go when all parts are there; None for a target of its own
    """

    target: Target
    parts: tuple[Part, ...]
    guarded: bool = False
    stale: frozenset[str] | None = None

    @property
    def names(self) -> frozenset[str]:
        return frozenset(part.name for part in self.parts)

    def write(self, note: Callable[[str, int, bool], None] | None = None) -> Outcome:
        """Publish the parts in their order; identical files that are there already are not sent again.

        note : called with the name and size of every file, and whether it was sent
        Raises PublishError for an unusable target, LicenceError for a guarded plan whose target is public, StoreError
        when the disk is full. After an interruption the same call continues.
        """
        files: dict[str, FileRecord] = {}
        sent = set()
        with disk_errors(self.target.disk):
            if self.stale is None:
                self.target.begin()
                self.target.refuse_others(self.names)
            with self.target.staging_folder() as folder:
                for part in self.parts:
                    path = folder / part.name
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
    """A part with known bytes."""
    return Part(name, len(content), lambda path, _: path.write_bytes(content))
