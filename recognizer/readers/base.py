"""What every reader has: entries, one for each view of a clip, before any pixel is read."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from typing import Literal, get_args

import numpy as np

from mvgen.core.records import Floats, Image, Label, Mask
from recognizer.errors import RecogniserError
from recognizer.records import Needs, Sample

Kind = Literal["source", "built", "true"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One view of one clip.

    clip, subject : unique in the whole data; label : index into the reader's classes
    view : its name; yaw : degrees, None for a frontal clip
    kind : the registered frontal clip, a view that was built from it, or a true side view
    kept : whether the view sees enough of the expression to be learned from
    split : the side a store puts the subject on; None where nobody has said
    key : digest of all that the sample depends on
    """

    dataset: str
    clip: str
    subject: str
    label: int
    view: str
    kind: Kind
    yaw: float | None
    kept: bool
    split: str | None
    key: str


@dataclass(frozen=True, slots=True)
class ClassRule:
    """Which class a clip is of.

    words : class -> what the release calls it, in lower case; None takes mvgen's three labels
    by : whether the words are emotions, or what a clip's name begins with (`anger1_1` is "anger")
    """

    words: Mapping[str, Sequence[str]] | None = None
    by: Literal["emotion", "name"] = "emotion"

    @property
    def names(self) -> tuple[str, ...]:
        """The classes, in the order of their numbers."""
        return get_args(Label) if self.words is None else tuple(self.words)

    def of(self, label: str | None, emotion: str, name: str) -> int | None:
        """The class of a clip, None for one that has no place in them."""
        if self.words is None:
            return None if label is None else self.names.index(label)
        found = re.match(r"[a-z]*", name.lower())
        word = emotion.lower() if self.by == "emotion" or found is None else found[0]
        return next((index for index, words in enumerate(self.words.values()) if word in words), None)


class Reader(ABC):
    """Entries of some data, and their samples. It pickles.

    classes : names, in the order of the labels; entries : in a fixed order
    gives : what a sample holds: "frames", or only the "motion" from onset to apex
    """

    classes: tuple[str, ...]
    entries: tuple[Entry, ...]
    gives: Needs = "frames"

    @abstractmethod
    def read(self, index: int) -> Sample:
        """The sample of an entry. Raises MvgenError where it cannot be read."""


class Joined(Reader):
    """Several readers of the same classes, one after the other.

    Clips and subjects of different datasets are told apart by the dataset's name.
    Raises RecogniserError for other classes, or a view of a clip that two readers have.
    """

    def __init__(self, readers: Sequence[Reader]) -> None:
        self.classes = readers[0].classes
        if any(reader.classes != self.classes for reader in readers):
            raise RecogniserError("the data have different classes; give `classes` that all of them have")
        self._readers = tuple(readers)
        self._places = [(reader, index) for reader in readers for index in range(len(reader.entries))]
        several = len({entry.dataset for reader in readers for entry in reader.entries}) > 1
        self.entries = tuple(_named(entry) if several else entry for reader in readers for entry in reader.entries)
        seen = set()
        for entry in self.entries:
            if (entry.clip, entry.view) in seen:
                raise RecogniserError(
                    f"view {entry.view} of clip {entry.clip} is in the data twice; give each store once"
                )
            seen.add((entry.clip, entry.view))

    def read(self, index: int) -> Sample:
        reader, own = self._places[index]
        return reader.read(own)


def _named(entry: Entry) -> Entry:
    return replace(entry, clip=f"{entry.dataset}/{entry.clip}", subject=f"{entry.dataset}/{entry.subject}")


def excluded(clip: str, patterns: Sequence[str]) -> bool:
    """Whether a clip's id ends with one of the patterns, in which `*` stands for anything."""
    return any(fnmatch(clip, f"*{pattern}") for pattern in patterns)


def on_face(frames: Image, face: Mask) -> Image:
    """Frames (T, S, S, 3) uint8, black where no face is.

    A built view shows a face and nothing else. Without this a recogniser could tell what was rendered from what was
    filmed by hair and background, and would learn the front with them and the sides without.
    """
    return np.where(face[..., None], frames, np.uint8(0))


def sample_of(  # noqa: PLR0917
    entry: Entry, frames: Image, flow: Floats, apex_flow: Floats, valid: Mask,
              times: tuple[int, int, int], landmarks: Floats | None) -> Sample:  # fmt: skip
    """A sample of an entry; times : onset, apex and offset, put in order where a release has them in another."""
    onset, apex, offset = times
    return Sample(
        frames=np.ascontiguousarray(frames),
        flow=np.asarray(flow, np.float32),
        apex_flow=np.asarray(apex_flow, np.float32),
        valid=valid,
        onset=onset,
        apex=max(apex, onset),
        offset=max(offset, apex, onset),
        landmarks=None if landmarks is None else np.asarray(landmarks, np.float32),
        label=entry.label,
        clip=entry.clip,
        subject=entry.subject,
        view=entry.view,
    )
