"""Interface of all readers: entries, one for each view of a clip, before any pixel is read."""

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

Kind = Literal["source", "built", "drawn", "true"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One view of one clip.

    clip, subject : ids, unique in all data; label : index into the reader's classes
    view : its name; yaw : degrees, None for a frontal clip
    kind : the registered frontal clip, a view built from it, one from a random angle (never tested on), or a true side
        view
    kept : whether the view sees enough of the expression for training
    split : of the subject in its store; None if there is none
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
    """Rule for the class of a clip.

    words : class -> the release's words for it, in lower case; None takes mvgen's three labels
    by : whether the words are emotions, or prefixes of clip names (`anger1_1` has "anger")
    """

    words: Mapping[str, Sequence[str]] | None = None
    by: Literal["emotion", "name"] = "emotion"

    @property
    def names(self) -> tuple[str, ...]:
        """The classes, in the order of their numbers."""
        return get_args(Label) if self.words is None else tuple(self.words)

    def of(self, label: str | None, emotion: str, name: str) -> int | None:
        """The class of a clip, None if it belongs to none."""
        if self.words is None:
            return None if label is None else self.names.index(label)
        found = re.match(r"[a-z]*", name.lower())
        word = emotion.lower() if self.by == "emotion" or found is None else found[0]
        return next((index for index, words in enumerate(self.words.values()) if word in words), None)


class Reader(ABC):
    """Entries of some data, and their samples. Readers can be pickled.

    classes : names, in the order of the labels; entries : in a fixed order
    gives : what a sample holds: "frames", or only the "motion" from onset to apex
    """

    classes: tuple[str, ...]
    entries: tuple[Entry, ...]
    gives: Needs = "frames"

    @abstractmethod
    def read(self, index: int) -> Sample:
        """The sample of an entry. Raises MvgenError if it cannot be read."""


class Joined(Reader):
    """Several readers with the same classes, concatenated.

    The names of clips and subjects get the dataset as a prefix if there are several datasets.
    Raises RecogniserError for different classes, or if two readers have the same view of a clip.
    """

    def __init__(self, readers: Sequence[Reader]) -> None:
        self.classes = readers[0].classes
        if any(reader.classes != self.classes for reader in readers):
            raise RecogniserError("the data have different classes; set `classes` to common ones")
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
    """Frames (T, S, S, 3) uint8, black outside the face.

    A built view shows only the face. Without this a recogniser could distinguish filmed from rendered views by hair and
    background, and would learn frontal views with them and side views without.
    """
    return np.where(face[..., None], frames, np.uint8(0))


def sample_of(  # noqa: PLR0917
    entry: Entry, frames: Image, flow: Floats, apex_flow: Floats, valid: Mask,
              times: tuple[int, int, int], landmarks: Floats | None) -> Sample:  # fmt: skip
    """A sample of an entry; times : onset, apex and offset, put in order where a release violates it."""
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
