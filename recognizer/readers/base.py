"""Interface of all readers: entries, one for each view of a clip, before any pixel is read."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from typing import Literal

import numpy as np

from mvgen.core.records import Clip, Floats, Image, Mask
from mvgen.dataset.classes import ClassSet, class_names, class_of
from mvgen.dataset.units import unit_numbers
from mvgen.store.manifest import ViewRow
from recognizer.errors import RecogniserError
from recognizer.records import Needs, Sample

Kind = Literal["source", "built", "drawn", "true"]
Chosen = ClassSet | Literal["action-units"] | Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Entry:
    """One view of one clip.

    clip, subject : ids, unique in all data; label : index into the reader's classes
    expression : id that the clips of one expression share, which several cameras may have filmed
    view : its name; yaw : degrees, None for a frontal clip
    kind : the registered frontal clip, a view built from it, one from a random angle (never tested on), or a true side
        view
    kept : whether the view sees enough of the expression for training
    split : of the subject in its store; None if there is none
    key : digest of all that the sample depends on
    units : where classes are action units, 0 or 1 for each; label is then the first that is 1, or how many there are
    """

    dataset: str
    clip: str
    expression: str
    subject: str
    label: int
    view: str
    kind: Kind
    yaw: float | None
    kept: bool
    split: str | None
    key: str
    units: tuple[int, ...] = ()

    @property
    def classes(self) -> frozenset[int]:
        """The classes that the clip belongs to."""
        return (
            frozenset(index for index, there in enumerate(self.units) if there)
            if self.units
            else frozenset({self.label})
        )


@dataclass(frozen=True, slots=True)
class ClassRule:
    """Rule for the class of a clip, or for its action units.

    chosen : a set of `mvgen.dataset.classes`, or class -> the release's words for it, in lower case, or "action-units"
    by : whether the words are emotions, or prefixes of clip names (`anger1_1` has "anger")
    names : the classes, in the order of their numbers; see `over`
    least : expressions that have to show an action unit for it to be a class
    """

    chosen: Chosen = "three"
    by: Literal["emotion", "name"] = "emotion"
    names: tuple[str, ...] = ()
    least: int = 10

    def over(self, clips: Iterable[ViewRow | Clip]) -> ClassRule:
        """The rule with its names: those of a set that some of the clips belong to. Names that are known stay.

        Raises RecogniserError where no action unit is shown by enough expressions.
        """
        if self.names:
            return self
        if self.chosen == "action-units":
            return replace(self, names=self._units(clips))
        chosen = self.chosen
        return replace(self, names=class_names(clips, chosen) if isinstance(chosen, str) else tuple(chosen))

    def _units(self, clips: Iterable[ViewRow | Clip]) -> tuple[str, ...]:
        shown = {(clip.dataset, clip.expression, unit) for clip in clips for unit in unit_numbers(clip.action_units)}
        times = Counter(unit for _, _, unit in shown)
        found = sorted(unit for unit, often in times.items() if often >= self.least)
        if not found:
            raise RecogniserError(
                f"no action unit is named for {self.least} expressions; lower `least_positives`, or give more data"
            )
        return tuple(f"AU{unit}" for unit in found)

    def of(self, clip: ViewRow | Clip) -> int | None:
        """The number of a clip's class, None if it belongs to none; of its first action unit, see `Entry.units`."""
        if self.chosen == "action-units":
            return (*self.units(clip), 1).index(1) if clip.action_units else None
        if isinstance(self.chosen, str):
            name = class_of(clip, self.chosen)
            return self.names.index(name) if name in self.names else None
        found = re.match(r"[a-z]*", clip.name.lower())
        word = clip.emotion.lower() if self.by == "emotion" or found is None else found[0]
        return next((index for index, words in enumerate(self.chosen.values()) if word in words), None)

    def units(self, clip: ViewRow | Clip) -> tuple[int, ...]:
        """0 or 1 for each action unit that is a class; empty for other classes."""
        shown = unit_numbers(clip.action_units)
        return tuple(int(int(name[2:]) in shown) for name in self.names) if self.chosen == "action-units" else ()


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
    clip, expression, subject = (f"{entry.dataset}/{one}" for one in (entry.clip, entry.expression, entry.subject))
    return replace(entry, clip=clip, expression=expression, subject=subject)


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
