"""Interface of all sources: their description, and the listing of their clips."""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import ClassVar, Literal

from mvgen.core.config import SourceConfig
from mvgen.core.errors import SourceError
from mvgen.core.names import VIEW_VIDEO, printable, unstorable
from mvgen.core.records import Clip, Redistribution, Variant
from mvgen.sources.marks import MARK, find_mark
from mvgen.sources.workbook import LARGEST_NUMBER


@dataclass(frozen=True, slots=True)
class Problem:
    """A row or a frame that was repaired or dropped on reading.

    where : the row of the workbook, or the file relative to the root
    reason : what was wrong, in words
    """

    where: str
    action: Literal["repaired", "dropped"]
    reason: str


@dataclass(frozen=True, slots=True)
class ClipFailure:
    """An annotated clip that cannot be built; the store records it in its failures.

    clip : the id that the clip would have had
    reason : what was wrong, in words
    path : the folder or file concerned, if any
    """

    clip: str
    reason: str
    path: Path | None = None
    stage: str = "source"


@dataclass(frozen=True, slots=True)
class Listing:
    """All clips of a source, before any pixel is read.

    dataset, title, licence, redistribution : as declared by the source
    version : the workbook and the tree that were read, and whether they belong to a stand-in
    clips : sorted by directory; ids are unique
    problems : in the order of reading; failures : sorted by clip id
    annotation_files : the files with the annotations; a store copies them
    """

    dataset: str
    title: str
    licence: str
    redistribution: Redistribution
    version: str
    clips: tuple[Clip, ...]
    problems: tuple[Problem, ...] = ()
    failures: tuple[ClipFailure, ...] = ()
    annotation_files: tuple[Path, ...] = ()


class Source(ABC):
    """A dataset that clips can be read from. The class constants describe it; `read` lists its clips.

    name : as given to `--dataset`
    rate : frames per second, as text; `fps` is the number where the whole release has one
    licence : its terms, in words; redistribution : what they allow; access : how to get the data
    citation : BibTeX of the paper that describes it; empty if there is none
    tree : the expected contents of the root, a few lines
    stand_in : whether `mvgen synth --layout NAME` can make a stand-in of it
    embedded : whether it is part of mvgen and needs no root
    cameras, videos : whether several cameras filmed it, whether it has long videos
    chosen : which of its clips are read; root, annotations and variant of it are given to `read`
    """

    name: ClassVar[str]
    title: ClassVar[str]
    rate: ClassVar[str]
    licence: ClassVar[str]
    redistribution: ClassVar[Redistribution]
    access: ClassVar[str]
    citation: ClassVar[str] = ""
    tree: ClassVar[str]
    stand_in: ClassVar[bool] = False
    embedded: ClassVar[bool] = False
    cameras: ClassVar[bool] = False
    videos: ClassVar[bool] = False

    def __init__(self, chosen: SourceConfig | None = None) -> None:
        self.chosen = SourceConfig(dataset=self.name) if chosen is None else chosen

    def read(self, root: Path | None, *, annotations: Path | None = None, variant: Variant = "auto") -> Listing:
        """List the clips under a root.

        root : folder of the dataset, or a view of a store that was made from it
        annotations : workbook, or its folder, when it is not in the root
        variant : which tree of a release to read; auto prefers raw clips, then cropped clips, then long videos
        Raises SourceError when there is nothing to read, with the expected contents and the next step.
        """
        if root is None:
            raise SourceError(f"--dataset {self.name} needs --root, the folder of {self.title}.\n{self.expectation()}")
        # `Path.exists` falls over a name that is too long.
        if not os.path.exists(root):
            raise SourceError(f"root {root} does not exist.\n{self.expectation()}")
        if not root.is_dir():
            raise SourceError(f"root {root} is a file, not the folder of {self.title}.\n{self.expectation()}")
        if annotations is not None and not os.path.exists(annotations):
            raise SourceError(f"annotations {annotations} do not exist; give the workbook, or the folder that holds it")
        if store_annotations(root) and _first_file(root) == VIEW_VIDEO:
            raise SourceError(
                f"root {root} is a view whose frames are videos; `mvgen export STORE --to frames --views all --out DIR`"
                f" makes files of them: give DIR/views/{root.resolve().name}"
            )
        for what, given, has in (
            ("cameras", self.chosen.cameras != SourceConfig().cameras, self.cameras),
            ("video-frames", self.chosen.video_frames is not None, self.videos),
        ):
            if given and not has:
                raise SourceError(f"--dataset {self.name} has no --{what} to choose; leave it out")
        try:
            listing = self._of_kind(self._read(root, annotations, variant))
            return _without_unstorable(_marked(listing, find_mark(_beside(root, annotations))))
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise SourceError(
                f"{error.filename or root} cannot be read: {reason}; make it readable for this user and try again"
            ) from None

    @abstractmethod
    def _read(self, root: Path, annotations: Path | None, variant: Variant) -> Listing:
        """Implementation of `read`; root is a folder and annotations exist."""

    def _of_kind(self, listing: Listing) -> Listing:
        """The clips of the chosen kind. Raises SourceError where there are none."""
        if self.chosen.kind == "both":
            return listing
        clips = tuple(clip for clip in listing.clips if clip.kind == self.chosen.kind)
        if not clips and not listing.failures:
            raise SourceError(f"{self.title} has no clip that is called {self.chosen.kind}; leave out --kind")
        return replace(listing, clips=clips, version=f"{listing.version}, {self.chosen.kind}-expressions")

    def recognises(self, root: Path) -> bool:
        """Whether a folder looks like this release, judging by the names of its workbook and trees."""
        return False

    def expectation(self) -> str:
        """The expected contents of the root and how to get a stand-in, for error messages."""
        lines = [f"{self.title} is expected as:"] + [f"  {line}" for line in self.tree.strip().splitlines()]
        if self.stand_in:
            lines.append(f"Without the data, `mvgen synth --layout {self.name} --out DIR` makes a stand-in.")
        return "\n".join(lines)


def _first_file(root: Path) -> str | None:
    """Name of the first file below a folder."""
    return next((min(files) for _, _, files in os.walk(root) if files), None)


def store_annotations(root: Path) -> tuple[Path, ...]:
    """The annotation folder of a store, if `root` is one of its views."""
    views = root.resolve().parent
    return (views.parent / "annotations",) if views.name == "views" else ()


def _beside(root: Path, annotations: Path | None) -> tuple[Path, ...]:
    """Folders that may contain the mark of a stand-in."""
    given = () if annotations is None else (annotations if annotations.is_dir() else annotations.parent,)
    return (root, *given, *store_annotations(root))


def _marked(listing: Listing, mark: Path | None) -> Listing:
    """The listing; that of a stand-in states so in its version and includes the mark file."""
    if mark is None or any(path.name == MARK for path in listing.annotation_files):
        return listing
    files = (*listing.annotation_files, mark)
    return replace(listing, version=f"{listing.version}; a stand-in", annotation_files=files)


def _without_unstorable(listing: Listing) -> Listing:
    """The listing without clips that a store cannot hold, and with all its texts printable.

    Its texts come from file names and workbook cells, which are not trusted.
    """
    for path in listing.annotation_files:
        if reason := unstorable(path.name):
            raise SourceError(f"the name of {printable(str(path))} {reason}; rename the file")
    # A store keeps the arrays of a clip `x` in a file `x.npz`, which cannot be the folder of another clip as well.
    arrays = {clip.directory.with_name(f"{clip.directory.name}.npz"): clip.id for clip in listing.clips if clip.id}
    faults = {clip: _unstorable(clip) or _collision(clip, arrays) for clip in listing.clips}
    lost = [ClipFailure(clip.id, reason, clip.frames[0].path) for clip, reason in faults.items() if reason]
    failures = [
        replace(failure, clip=printable(failure.clip), reason=printable(failure.reason))
        for failure in (*listing.failures, *lost)
    ]
    return replace(
        listing,
        version=printable(listing.version),
        clips=tuple(clip for clip, reason in faults.items() if not reason),
        problems=tuple(
            replace(problem, where=printable(problem.where), reason=printable(problem.reason))
            for problem in listing.problems
        ),
        failures=tuple(sorted(failures, key=lambda failure: (failure.clip, failure.reason))),
    )


def _collision(clip: Clip, arrays: Mapping[PurePosixPath, str]) -> str:
    """Why a clip lies where a file of another clip has to; empty if it does not. arrays : path -> id of its clip"""
    taken = next((folder for folder in clip.directory.parents if folder in arrays), None)
    return f"its folder {taken.name!r} is called as the arrays of clip {arrays[taken]!r}; rename it" if taken else ""


def _unstorable(clip: Clip) -> str:
    """Why a store cannot hold a clip, in words; empty if it can."""
    for part in clip.directory.parts:
        if reason := unstorable(part):
            return f"the folder name {printable(part)!r} {reason}"
    if reason := unstorable(clip.id):
        return f"the path {clip.id!r} {reason}"
    for frame in clip.frames:
        if reason := unstorable(frame.name):
            return f"the frame name {printable(frame.name)!r} {reason}"
        if not 0 <= frame.number < LARGEST_NUMBER:
            return f"the frame number {frame.number} is too large"
    return ""


def subject_key(subject: str) -> str:
    """A subject id without the release's prefix and padding: "s15", "sub15" and "015" are all "15"."""
    match = re.fullmatch(r"(?:sub|spno\.|s)?0*(\d+)", subject.strip().lower())
    return match.group(1) if match else subject.strip()
