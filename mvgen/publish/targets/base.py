"""Interface of publishing targets: a folder, a repository on the Hugging Face Hub, or a prefix in S3."""

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
    """Size and digest of a file. size : bytes; sha256 : lower-case hex"""

    size: int
    sha256: str


class Target(ABC):
    """A place to publish files to.

    address : as given with `--to`; visibility : who can read there
    url : its web address; owner : its owner; each None where unknown
    may_be_public : whether it supports `--public`
    """

    may_be_public: ClassVar[bool] = False
    address: str
    visibility: Visibility
    url: str | None = None
    owner: str | None = None

    @classmethod
    @abstractmethod
    def at(cls, place: str, *, public: bool) -> Self:
        """The target of an address. place : the part after SCHEME://. Raises PublishError for an unusable one."""

    def check(self, out: Path, names: Collection[str] | None = None) -> None:  # noqa: B027
        """Refuse an unusable target, as far as can be checked without a network. Writes nothing.

        out : the dataset; names : of the files to publish, where known
        """

    @abstractmethod
    def begin(self) -> None:
        """Create the target, or read its present state. Raises PublishError where that fails."""

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
        """Files at the target, relative to it."""

    @abstractmethod
    def holds(self, path: Path, name: str, file: FileRecord) -> bool:
        """Whether an identical file is there already. path : the local file"""

    @abstractmethod
    def put(self, path: Path, name: str, file: FileRecord) -> None:
        """Move or send a local file there."""

    def refuse_exposed(self) -> None:  # noqa: B027
        """Raise LicenceError for a place whose content is passed on, as far as can be told before anything is there."""

    @abstractmethod
    def guard(self, name: str) -> None:
        """Raise LicenceError if the target is public. name : a harmless file that is there, to test with"""

    @property
    def disk(self) -> Path:
        """Local folder that files are written to first."""
        return Path(tempfile.gettempdir())

    @contextmanager
    def staging_folder(self) -> Iterator[Path]:
        """A temporary local folder for files that are about to be published."""
        with tempfile.TemporaryDirectory(prefix="mvgen-publish-") as folder:
            yield Path(folder)

    @contextmanager
    def copies_folder(self) -> Iterator[Path]:
        """A temporary local folder for what `fetch` copies."""
        with tempfile.TemporaryDirectory(prefix="mvgen-forget-") as folder:
            yield Path(folder)

    def refuse_others(self, names: Collection[str]) -> None:
        """Raise PublishError if the target holds files other than these."""
        others = sorted(self.names() - set(names))
        if others:
            raise PublishError(
                f"{self.address} holds other files, for example {others[0]}; choose an empty one for --to"
            )
