"""Publishing to a folder of this machine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from mvgen.core.config import file_digest
from mvgen.core.errors import LicenceError, PublishError
from mvgen.publish.targets.base import FileRecord, Target

_STAGING = ".publishing"


class Folder(Target):
    """A folder. It counts as private: its owner decides who can read it."""

    visibility = "private"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.address = str(folder)

    @classmethod
    def at(cls, place: str, *, public: bool) -> Self:
        if not place:
            raise PublishError("--to is empty; give a folder")
        return cls(Path(place))

    def check(self, out: Path, names: Collection[str] | None = None) -> None:
        if self.folder.resolve().is_relative_to(out.resolve()):
            raise PublishError(f"{self.folder} is inside the dataset; choose a folder outside {out} for --to")
        if self.folder.exists() and not self.folder.is_dir():
            raise PublishError(f"{self.folder} is a file; give a folder with --to")
        if names is not None:
            self.refuse_others(names)

    def begin(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)

    def open(self) -> None:
        if not self.folder.is_dir():
            raise PublishError(f"{self.folder} is no folder")

    def fetch(self, name: str, folder: Path) -> Path:
        there = self.folder / name
        if not there.is_file() or not there.resolve().is_relative_to(self.folder.resolve()):
            raise PublishError(f"{there} is missing, or lies elsewhere; publish the dataset again")
        return there

    def remove(self, names: Sequence[str]) -> None:
        for name in names:
            (self.folder / name).unlink(missing_ok=True)

    def names(self) -> frozenset[str]:
        paths = (path.relative_to(self.folder) for path in self.folder.rglob("*") if not path.is_dir())
        return frozenset(path.as_posix() for path in paths if path.parts[0] != _STAGING)

    def holds(self, path: Path, name: str, file: FileRecord) -> bool:
        there = self.folder / name
        return there.is_file() and there.stat().st_size == file.size and file_digest(there) == file.sha256

    def put(self, path: Path, name: str, file: FileRecord) -> None:
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with path.open("rb+") as content:
            os.fsync(content.fileno())
        os.replace(path, target)

    def guard(self, name: str) -> None:
        pass  # its owner decides who can read it

    def refuse_exposed(self) -> None:
        """Raise LicenceError in a git work tree, at its top or below: what lies there is pushed with the rest."""
        place = self.folder.resolve()
        tree = next((folder for folder in (place, *place.parents) if (folder / ".git").exists()), None)
        if tree is not None:
            raise LicenceError(
                f"{self.folder} lies in the git work tree {tree}; nothing was written. "
                "Choose a folder outside it for --to"
            )

    @property
    def disk(self) -> Path:
        return self.folder

    @contextmanager
    def copies_folder(self) -> Iterator[Path]:
        """The folder itself: nothing is copied, so a run that is killed leaves nothing elsewhere."""
        yield self.folder

    @contextmanager
    def staging_folder(self) -> Iterator[Path]:
        """On the same disk, so that a finished file is moved into place at once."""
        staging = self.folder / _STAGING
        shutil.rmtree(staging, ignore_errors=True)  # of a run that was killed
        staging.mkdir()
        try:
            yield staging
        finally:
            shutil.rmtree(staging, ignore_errors=True)
