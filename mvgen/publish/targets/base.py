"""Where a dataset is published to: a folder, a repository on the Hugging Face Hub, or a place in S3."""

from __future__ import annotations

import tempfile
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, Self

from mvgen.core.errors import PublishError

Visibility = Literal["private", "gated", "public"]


@dataclass(frozen=True, slots=True)
class FileRecord:
    """What a file is. size : bytes; sha256 : lower-case hex"""

    size: int
    sha256: str


class Target(ABC):
    """A place that takes files.

    address : what `--to` says; visibility : who can read there
    url : where people find it; owner : whose it is. None where it does not tell
    may_be_public : whether `--public` can be asked of it
    """

    may_be_public: ClassVar[bool] = False
    address: str
    visibility: Visibility
    url: str | None = None
    owner: str | None = None

    @classmethod
    @abstractmethod
    def at(cls, place: str, *, public: bool) -> Self:
        """The target of an address. place : what follows SCHEME://. Raises PublishError for one that will not do."""

    def check(self, out: Path, names: Collection[str] | None = None) -> None:  # noqa: B027
        """Refuse a place that will not do, as far as that shows without a network. Writes nothing.

        out : the dataset; names : of the files that are to go there, where they are known
        """

    @abstractmethod
    def begin(self) -> None:
        """Make the place, or find it as it was left. Raises PublishError where that fails."""

    @abstractmethod
    def open(self) -> None:
        """Find a place where something was published; nothing is changed. Raises PublishError where there is none."""

    @abstractmethod
    def fetch(self, name: str, folder: Path) -> Path:
        """A local copy of a file that is there, under its name below a folder. It may not be written to."""

    @abstractmethod
    def remove(self, names: Sequence[str]) -> None:
        """Remove files that are there, in one new revision where the place has those."""

    @abstractmethod
    def names(self) -> frozenset[str]:
        """Files that are there, relative to the place."""

    @abstractmethod
    def holds(self, path: Path, name: str, file: FileRecord) -> bool:
        """Whether just this file, which lies at a local path, is there already."""

    @abstractmethod
    def put(self, path: Path, name: str, file: FileRecord) -> None:
        """Move or send a local file there."""

    @abstractmethod
    def guard(self, name: str) -> None:
        """Raise LicenceError if anybody can read the place. name : a file that is there and that may be read"""

    @property
    def disk(self) -> Path:
        """Where on this machine files are written."""
        return Path(tempfile.gettempdir())

    @contextmanager
    def stage(self) -> Iterator[Path]:
        """A local folder for files on their way."""
        with tempfile.TemporaryDirectory(prefix="mvgen-publish-") as folder:
            yield Path(folder)

    def refuse_others(self, names: Collection[str]) -> None:
        """Raise PublishError if files are there that are not to be."""
        others = sorted(self.names() - set(names))
        if others:
            raise PublishError(
                f"{self.address} holds other files, for example {others[0]}; choose an empty one for --to"
            )
