"""Which clips are for training and which for testing. All views of a clip, and all clips that cameras filmed of one
expression, are always on one side.

Under all protocols except the two by clip, all clips of a subject are on one side as well. `check_apart` refuses other
splits, and is called again right before a system is trained. No model is ever chosen by its results on a test fold.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from mvgen.store.split import assign_splits
from recognizer.errors import RecogniserError
from recognizer.readers.base import Entry

Name = Literal[
    "clip-holdout", "lovo", "subject-holdout", "subject-folds", "loso", "megc", "hde", "novel-view", "stored"
]  # fmt: skip
Views = Literal["source", "kept", "all", "any", "true"]

# Kinds of training views. "kept" is for the store's own split, whose training labels its attention has learned from.
TRAINING_VIEWS: dict[Views, Callable[[Entry], bool]] = {
    "source": lambda entry: entry.kind == "source",
    "kept": lambda entry: entry.kind in ("source", "built") and entry.kept,
    "all": lambda entry: entry.kind in ("source", "built"),
    "any": lambda entry: entry.kind in ("source", "drawn"),
    "true": lambda entry: entry.kind in ("source", "true"),
}


_SOUGHT: dict[str, str] = {
    "any": "give `random_angles`, how many views to draw of every clip",
    "true": "give `truth`, the true views of a stand-in",
}


@dataclass(frozen=True, slots=True)
class Protocol:
    """How clips are split.

    name : clip-holdout (a share of the expressions, each class in proportion), subject-holdout (a share of the
        subjects), lovo (each expression, or each of `folds` groups of them, once), loso (each subject once),
        subject-folds (each of `folds` groups of subjects once), novel-view (as subject-folds, for training and testing
        on different views), megc (leave one subject out of several datasets, the composite evaluation CDE), hde (leave
        one dataset out), stored (the store's own split)
    share : of the test side of a holdout
    folds : how many; lovo without them leaves one clip out at a time
    seed : of the split; independent of the training seeds, so that all systems and seeds share the same folds
    """

    name: Name = "novel-view"
    share: float = 0.2
    folds: int | None = None
    seed: int = 0

    @property
    def by_subject(self) -> bool:
        """Whether a subject is on one side only."""
        return self.name not in ("clip-holdout", "lovo")


@dataclass(frozen=True, slots=True)
class Fold:
    """One split: clips to train on and clips to test on."""

    name: str
    train: frozenset[str]
    test: frozenset[str]


def make_folds(entries: Sequence[Entry], classes: Sequence[str], protocol: Protocol) -> tuple[Fold, ...]:
    """The folds of a protocol.

    Raises RecogniserError for a class without clips, too few clips or subjects for the protocol, or a fold that
    leaves a class without training clips.
    """
    clips = _clips(entries)
    _check_classes(clips, classes)
    if protocol.name not in get_args(Name):
        raise RecogniserError(f"unknown protocol {protocol.name!r}; known: {', '.join(get_args(Name))}")
    subjects = {clip.subject for clip in clips}
    if protocol.by_subject and len(subjects) < 2:
        raise RecogniserError(
            f"protocol {protocol.name} needs two subjects or more, the data have {', '.join(sorted(subjects))} only; "
            "use a protocol by clip, or more data"
        )
    tests = _tests(clips, protocol)
    everything = frozenset(clip.clip for clip in clips)
    folds = tuple(Fold(name, everything - test, frozenset(test)) for name, test in tests.items())
    for fold in folds:
        _check_fold(fold, clips, classes)
        check_apart(clips, _of(clips, fold.train), _of(clips, fold.test), by_subject=protocol.by_subject)
    return folds


def check_apart(entries: Sequence[Entry], train: Collection[int], test: Collection[int], *, by_subject: bool) -> None:
    """Refuse a split with a leak.

    train, test : indices into entries, one for each view
    Raises RecogniserError naming a clip or an expression, or a subject under a protocol by subject, on both sides.
    """
    for what in ("clip", "expression"):
        sides = [{getattr(entries[index], what) for index in side} for side in (train, test)]
        if both := sorted(sides[0] & sides[1]):
            raise RecogniserError(f"leak: {what} {both[0]} has views on both sides of a split; all belong on one")
    people = [{entries[index].subject for index in side} for side in (train, test)]
    if by_subject and (both := sorted(people[0] & people[1])):
        raise RecogniserError(f"leak: subject {both[0]} has clips on both sides of a split that is by subject")


def training_entries(entries: Sequence[Entry], fold: Fold, views: Views) -> list[int]:
    """Indices of the training views of a fold. Raises RecogniserError, with the cause, if the data have none."""
    learned = [index for index, entry in enumerate(entries) if entry.clip in fold.train]
    found = [index for index in learned if TRAINING_VIEWS[views](entries[index])]
    if not found or (views in _SOUGHT and all(entries[index].kind == "source" for index in found)):
        raise RecogniserError(f"there is nothing to train on: {_why_none(entries, learned, views)}")
    return found


def _why_none(entries: Sequence[Entry], learned: Sequence[int], views: Views) -> str:
    if not entries:
        return "no clip has a label that is one of the classes; `recognizer data` lists the labels of a dataset"
    if not learned:
        return "no clip is on the training side of the split; give more subjects, or choose another split"
    return f"the data have no view of the kind {views!r}; {_SOUGHT.get(views, 'give data that have them')}"


def entries_to_test(entries: Sequence[Entry], fold: Fold) -> list[int]:
    """Indices of all views of a fold's test clips, but those from random angles."""
    return [index for index, entry in enumerate(entries) if entry.clip in fold.test and entry.kind != "drawn"]


def hold_out(
    entries: Sequence[Entry], train: Sequence[int], share: float, *, by_subject: bool, seed: int
) -> tuple[list[int], list[int]]:
    """Split the training views again to choose a model: (training, validation), apart as the folds are.

    Raises RecogniserError for too few subjects or clips.
    """
    groups = {index: entries[index].subject if by_subject else entries[index].expression for index in train}
    if len(set(groups.values())) < 2:
        raise RecogniserError("a validation split needs two training subjects or clips; train for fixed epochs instead")
    sides = assign_splits(groups.values(), share, seed)
    chosen = [index for index in train if sides[groups[index]] == "test"]
    rest = [index for index in train if sides[groups[index]] == "train"]
    check_apart(entries, rest, chosen, by_subject=by_subject)
    return rest, chosen


def shuffled_labels(entries: Sequence[Entry], seed: int) -> dict[str, tuple[int, tuple[int, ...]]]:
    """Clip -> label and units, permuted over the clips: better results than chance then show a leak."""
    clips = _clips(entries)
    order = np.random.default_rng([seed, len(clips)]).permutation(len(clips))
    return {clip.clip: (clips[other].label, clips[other].units) for clip, other in zip(clips, order, strict=True)}


def _clips(entries: Sequence[Entry]) -> list[Entry]:
    """One entry for each clip, sorted by clip. Raises RecogniserError where two views of a clip disagree."""
    clips: dict[str, Entry] = {}
    for entry in entries:
        first = clips.setdefault(entry.clip, entry)
        if (first.label, first.units, first.subject) != (entry.label, entry.units, entry.subject):
            raise RecogniserError(
                f"views {first.view} and {entry.view} of clip {entry.clip} differ in class or subject"
            )
    return [clips[name] for name in sorted(clips)]


def _of(clips: Sequence[Entry], names: Collection[str]) -> list[int]:
    return [index for index, clip in enumerate(clips) if clip.clip in names]


def _check_classes(clips: Sequence[Entry], classes: Sequence[str]) -> None:
    counts = Counter(label for clip in clips for label in clip.classes)
    empty = [name for number, name in enumerate(classes) if not counts[number]]
    if empty:
        raise RecogniserError(f"class {empty[0]!r} has no clip; leave it out of `classes`, or give data that have it")
    if len(classes) < 2 and not any(clip.units for clip in clips):
        raise RecogniserError(f"there is one class only, {classes[0]!r}; recognition needs two or more")


def _check_fold(fold: Fold, clips: Sequence[Entry], classes: Sequence[str]) -> None:
    if not fold.test or not fold.train:
        side = "test" if not fold.test else "training"
        raise RecogniserError(f"fold {fold.name} has no {side} clip; use other folds, or more data")
    known = {label for clip in clips if clip.clip in fold.train for label in clip.classes}
    missing = [name for number, name in enumerate(classes) if number not in known]
    if missing:
        raise RecogniserError(
            f"fold {fold.name} has no training clip of class {missing[0]!r}: all of them are tested on; "
            "use another protocol, fewer classes, or more data"
        )


def _tests(clips: Sequence[Entry], protocol: Protocol) -> dict[str, set[str]]:
    """Fold -> its test clips."""
    if protocol.name == "stored":
        if any(clip.split is None for clip in clips):
            raise RecogniserError("the data have no split of their own; use another protocol")
        return {"stored": {clip.clip for clip in clips if clip.split == "test"}}
    if protocol.name == "clip-holdout":
        from sklearn.model_selection import train_test_split

        labels = {clip.expression: clip.label for clip in reversed(clips)}
        names = list(dict.fromkeys(clip.expression for clip in clips))
        try:
            _, test = train_test_split(
                names, test_size=protocol.share, stratify=[labels[one] for one in names], random_state=protocol.seed
            )  # fmt: skip
        except ValueError as error:
            raise RecogniserError(f"{len(names)} clips are too few to hold out {protocol.share:.0%}: {error}") from None
        return {"holdout": {clip.clip for clip in clips if clip.expression in {*test}}}
    if protocol.name == "subject-holdout":
        sides = assign_splits((clip.subject for clip in clips), protocol.share, protocol.seed)
        return {"holdout": {clip.clip for clip in clips if sides[clip.subject] == "test"}}
    datasets = sorted({clip.dataset for clip in clips})
    if protocol.name in ("megc", "hde") and len(datasets) < 2:
        raise RecogniserError(f"protocol {protocol.name} needs several datasets; list their stores, or use loso")
    by: dict[Name, Literal["subject", "dataset", "expression"]] = {
        "loso": "subject",
        "megc": "subject",
        "hde": "dataset",
    }
    if protocol.folds is None:
        by["lovo"] = "expression"
    if protocol.name in by:
        owner = {clip.clip: getattr(clip, by[protocol.name]) for clip in clips}
        return {name: {clip for clip, own in owner.items() if own == name} for name in sorted({*owner.values()})}
    return _grouped(clips, protocol)


def _grouped(clips: Sequence[Entry], protocol: Protocol) -> dict[str, set[str]]:
    """Fold -> its test clips, for groups of expressions or subjects with the classes spread as evenly as possible."""
    from sklearn.model_selection import StratifiedGroupKFold

    folds = protocol.folds or 5
    groups = [clip.subject if protocol.by_subject else clip.expression for clip in clips]
    if folds < 2 or len(set(groups)) < folds:
        what = "subjects" if protocol.by_subject else "clips"
        raise RecogniserError(
            f"{len(set(groups))} {what} cannot be split into {folds} folds; use 2 to as many as there are"
        )
    labels = np.array([clip.label for clip in clips])
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=protocol.seed)
    parts = [test for _, test in splitter.split(labels, labels, groups)]
    return {f"fold-{number + 1}": {clips[index].clip for index in part} for number, part in enumerate(parts)}
