"""The interface of a corpus of heads, parametric or scanned: people who can be photographed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from mvgen.scans.imaging.rendering import DressedHead


@dataclass(frozen=True, slots=True)
class Scan:
    """One 3D scan of a face, as its corpus stores it.

    corpus, identity, expression : names; the identity is the same for all scans of one person
    vertices : (N, 3) float32 in the corpus's own unit and axes
    triangles : (M, 3) int32, counter-clockwise from outside
    corner_uv : (M, 3, 2) float32, texture coordinates of each triangle's corners, v up; None without a texture
    texture : (H, W, 3) uint8 RGB; None without one
    metre : metres in one unit of the vertices
    """

    corpus: str
    identity: str
    expression: str
    vertices: NDArray[np.float32]
    triangles: NDArray[np.int32]
    corner_uv: NDArray[np.float32] | None
    texture: NDArray[np.uint8] | None
    metre: float


@dataclass(frozen=True, slots=True)
class Sitter:
    """One person with one expression, ready to be photographed.

    dressed : the head with its appearance
    vertices : (N, 3) float32, world units, upright and turned to the camera
    metre : inter-ocular distance in metres
    lit : its albedo already contains the light, as that of a photograph does
    """

    dressed: DressedHead
    vertices: NDArray[np.float32]
    metre: float
    lit: bool = False


@dataclass(frozen=True, slots=True)
class ScanProblem:
    """A scan that cannot be used. where : the file; reason : what is wrong with it, and what the user can do."""

    where: Path
    reason: str


class Subject(Protocol):
    """One person of a corpus."""

    def sit(self, generator: np.random.Generator) -> Sitter:
        """The person with an expression drawn from `generator`. Raises ScanError when none can be shown."""


class Corpus(Protocol):
    """A source of heads.

    name : as in `--scans`; licence : in words
    shippable : whether weights trained on it may be redistributed
    count : number of people; None for a model, from which any number can be sampled
    """

    name: str
    licence: str
    shippable: bool
    count: int | None

    @property
    def notes(self) -> Sequence[str]:
        """What users should know before they train on it."""

    @property
    def problems(self) -> Sequence[ScanProblem]:
        """Scans that cannot be used: found while listing, or since then in this process."""

    def draw(self, generator: np.random.Generator, first: int, count: int) -> list[Subject]:
        """People `first` to `first + count`; a model samples them from `generator`."""
