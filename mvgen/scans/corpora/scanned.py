"""Common parts of scan corpora: a listing of their files, and people with their scanned expressions."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from mvgen.core.errors import ScanError
from mvgen.faces.detection import FaceDetector
from mvgen.scans.corpora.meshfiles import read_obj, read_texture
from mvgen.scans.corpora.placing import place
from mvgen.scans.records import Scan, ScanProblem, Sitter, Subject


@dataclass(frozen=True, slots=True)
class ScanFile:
    """One scan on disk, not yet read.

    identity, expression : as in `Scan`
    mesh : the OBJ or PLY
    colour : its texture, or the folder of the photographs that colour it
    alignment : the file with the transform that makes the mesh upright; None where it is upright
    """

    identity: str
    expression: str
    mesh: Path
    colour: Path
    alignment: Path | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of a release, before any mesh is read.

    files : sorted by identity and expression; problems : files that cannot be used
    notes : what users should know before they train, such as which licence applies
    """

    files: tuple[ScanFile, ...]
    problems: tuple[ScanProblem, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def people(self) -> dict[str, tuple[ScanFile, ...]]:
        """The scans of each person."""
        people: dict[str, list[ScanFile]] = {}
        for file in self.files:
            people.setdefault(file.identity, []).append(file)
        return {identity: tuple(files) for identity, files in people.items()}


class ScanCorpus:
    """A release of scans as a corpus; see `mvgen.scans.records.Corpus`.

    People are in hashed order, whatever their number: releases list women before men, and a split by position must be
    fair.
    notes : as in `Listing`
    problems : scans that cannot be used: found while listing, or since then in this process
    """

    shippable = False

    def __init__(self, name: str, licence: str, listing: Listing, read: Callable[[ScanFile], Scan]) -> None:
        self.name, self.licence = name, licence
        self.notes: tuple[str, ...] = listing.notes
        self.problems = list(listing.problems)
        people = listing.people
        order = sorted(people, key=lambda identity: hashlib.sha256(f"{name}/{identity}".encode()).digest())
        self._people = [people[identity] for identity in order]
        self.count: int | None = len(order)
        self._read = read

    def draw(self, generator: np.random.Generator, first: int, count: int) -> list[Subject]:
        """People `first` to `first + count`; meshes are read in `sit`. Raises ValueError beyond the last."""
        if not 0 <= first <= first + count <= len(self._people):
            raise ValueError(f"people {first} to {first + count} of {self.count} in {self.name}")
        return [ScannedSubject(files, self._read, self.problems) for files in self._people[first : first + count]]


class ScannedSubject:
    """A person of a corpus of scans, with the expressions that were scanned.

    problems : a list to which this adds what is wrong with a scan
    """

    def __init__(
        self, files: tuple[ScanFile, ...], read: Callable[[ScanFile], Scan], problems: list[ScanProblem]
    ) -> None:
        self._files, self._read, self._problems = files, read, problems
        self._broken: dict[ScanFile, ScanError] = {}
        self._last: tuple[ScanFile, Sitter] | None = None

    def sit(self, generator: np.random.Generator) -> Sitter:
        """The person with one of the scanned expressions, drawn from `generator`.

        Where a scan cannot be used, the next is tried. Raises ScanError when none of them can.
        """
        for index in generator.permutation(len(self._files)):
            sitter = self._sitter(self._files[index])
            if sitter is not None:
                return sitter
        reasons = "\n".join(f"  {error}" for error in self._broken.values())
        raise ScanError(f"no scan of person {self._files[0].identity} can be used:\n{reasons}")

    def _sitter(self, file: ScanFile) -> Sitter | None:
        if file in self._broken:
            return None
        if self._last is None or self._last[0] != file:
            try:
                self._last = file, place(self._read(file), _detector())
            except ScanError as error:
                self._broken[file] = error
                self._problems.append(ScanProblem(file.mesh, str(error)))
                return None
        return self._last[1]


def read_textured_obj(corpus: str, file: ScanFile, metre: float) -> Scan:
    """Read an OBJ with one texture; `metre` is as in `Scan`. Raises ScanError when either is torn."""
    mesh = read_obj(file.mesh)
    if mesh.corner_uv is None:
        raise ScanError(f"{file.mesh} has no texture coordinates for {file.colour.name}; extract it again")
    texture, vertices = read_texture(file.colour), mesh.vertices.astype(np.float32)
    return Scan(corpus, file.identity, file.expression, vertices, mesh.triangles, mesh.corner_uv, texture, metre)


@lru_cache(maxsize=1)
def _detector() -> FaceDetector:
    """The detector of this process."""
    return FaceDetector()
