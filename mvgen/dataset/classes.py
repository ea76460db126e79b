"""The sets of classes that papers use, from the labels of a clip."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, Protocol

from mvgen.core.records import LABELS

# three        negative, positive, surprise: the label of a clip
# emotion      the emotions that the data have, as released, in lower case
# objective    I to VII, by action units, in SAMM, CASME II and CAS(ME)³. Source: Davison et al. 2018,
#              doi:10.3390/jimaging4100119
# strcn-four   negative, positive, surprise, other. Source: STRCN, section IV-A
ClassSet = Literal["three", "emotion", "objective", "strcn-four"]

_OBJECTIVE = ("I", "II", "III", "IV", "V", "VI", "VII")
# The workbooks write 1 to 7, or I to VII.
_OBJECTIVE_OF = {written: name for number, name in enumerate(_OBJECTIVE, start=1) for written in (name, str(number))}
_FOUR: Mapping[str, tuple[str, ...]] = {
    "negative": ("negative", "anger", "contempt", "disgust", "fear", "sadness", "sad"),
    "positive": ("positive", "happiness", "happy"),
    "surprise": ("surprise",),
    "other": ("others", "tense", "repression"),
}
_FOUR_OF = {word: name for name, words in _FOUR.items() for word in words}


class Labelled(Protocol):
    """The labels of a clip; `Clip` and `ViewRow` have them."""

    @property
    def emotion(self) -> str: ...
    @property
    def label(self) -> str | None: ...
    @property
    def objective_class(self) -> str | None: ...


def class_of(clip: Labelled, chosen: ClassSet) -> str | None:
    """The class of a clip in a set, None if it belongs to none."""
    if chosen == "three":
        return clip.label
    if chosen == "objective":
        return _OBJECTIVE_OF.get((clip.objective_class or "").upper())
    emotion = clip.emotion.lower()
    emotion = "others" if emotion == "other" else emotion
    return (emotion or None) if chosen == "emotion" else _FOUR_OF.get(emotion)


def class_names(clips: Iterable[Labelled], chosen: ClassSet) -> tuple[str, ...]:
    """The classes of a set that some clips belong to, in their order; all three of `three`."""
    if chosen == "three":
        return LABELS
    found = {class_of(clip, chosen) for clip in clips} - {None}
    order = {"objective": _OBJECTIVE, "strcn-four": tuple(_FOUR)}.get(chosen, tuple(sorted(map(str, found))))
    return tuple(name for name in order if name in found)
