from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
from factories import write_frames
from hypothesis import given, settings
from hypothesis import strategies as st
from recognizer_trees import CLASSES, PatternReader

from recognizer.errors import RecogniserError
from recognizer.evaluation.protocols import (
    Fold,
    Protocol,
    check_apart,
    entries_to_test,
    hold_out,
    make_folds,
    shuffled_labels,
    training_entries,
)
from recognizer.readers.base import Entry
from recognizer.readers.config import DataConfig, open_data

ENTRIES = PatternReader(subjects=8, clips=6, datasets=2).entries
SPLITS = ("train", "test")
EMOTIONS = (("negative", "ne"), ("positive", "po"), ("surprise", "sur"))
PROTOCOLS = [
    Protocol("clip-holdout"),
    Protocol("lovo", folds=6),
    Protocol("lovo"),
    Protocol("subject-holdout"),
    Protocol("subject-folds", folds=4),
    Protocol("novel-view", folds=3),
    Protocol("loso"),
    Protocol("megc"),
    Protocol("stored"),
]


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: f"{protocol.name}-{protocol.folds}")
@pytest.mark.parametrize("seed", [0, 1])
def test_views_of_a_clip_and_clips_of_a_subject_stay_on_one_side(protocol: Protocol, seed: int) -> None:
    for fold in make_folds(ENTRIES, CLASSES, replace(protocol, seed=seed)):
        train, test = training_entries(ENTRIES, fold, "all"), entries_to_test(ENTRIES, fold)
        assert train
        assert test
        assert not {ENTRIES[i].clip for i in train} & {ENTRIES[i].clip for i in test}
        if protocol.by_subject:
            assert not {ENTRIES[i].subject for i in train} & {ENTRIES[i].subject for i in test}
        assert sorted(train + test) == list(range(len(ENTRIES)))


@pytest.mark.parametrize(
    "protocol",
    [protocol for protocol in PROTOCOLS[1:] if protocol.name not in ("subject-holdout", "stored")],  # these: one fold
    ids=lambda protocol: f"{protocol.name}-{protocol.folds}",
)
def test_folds_test_every_clip_once(protocol: Protocol) -> None:
    tested = Counter(clip for fold in make_folds(ENTRIES, CLASSES, protocol) for clip in fold.test)
    assert tested == dict.fromkeys({entry.clip for entry in ENTRIES}, 1)


def test_a_holdout_by_clip_keeps_the_proportions_of_the_classes() -> None:
    (fold,) = make_folds(ENTRIES, CLASSES, Protocol("clip-holdout", share=0.25))
    labels = {entry.clip: entry.label for entry in ENTRIES}
    assert Counter(labels[clip] for clip in fold.test) == {0: 4, 1: 4, 2: 4}


def test_the_stored_split_is_the_stores_own() -> None:
    (fold,) = make_folds(ENTRIES, CLASSES, Protocol("stored"))
    assert fold.test == {entry.clip for entry in ENTRIES if entry.split == "test"}


def test_a_clip_with_views_on_both_sides_is_a_leak() -> None:
    with pytest.raises(RecogniserError, match="clip p00-0 has views on both sides"):
        check_apart(ENTRIES, [0, 20], [1, 40], by_subject=False)
    with pytest.raises(RecogniserError, match="expression e0 has views on both sides"):
        check_apart(filmed([(0, 0, 2)]), [0], [2], by_subject=False)


def filmed(expressions: list[tuple[int, int, int]]) -> list[Entry]:
    """Entries of expressions, each (subject, label, cameras), in two views."""
    return [
        Entry("set", f"c{camera}/{number}", f"e{number}", f"p{subject}", label, view, kind, yaw, True, split, "")
        for number, (subject, label, cameras) in enumerate(expressions)
        for camera in range(cameras)
        for view, kind, yaw, split in (
            ("source", "source", None, SPLITS[subject % 2]),
            ("yaw-15", "built", -15.0, SPLITS[subject % 2]),
        )
    ]


@pytest.mark.filterwarnings("ignore:The least populated class")
@settings(max_examples=25)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2), st.integers(1, 3)), max_size=20),
    st.integers(0, 9),
)
def test_no_expression_is_on_two_sides_under_any_protocol(expressions: list[tuple[int, int, int]], seed: int) -> None:
    entries = filmed([*product((0, 1, 2, 3), (0, 1, 2), (2,)), *expressions])
    for protocol in PROTOCOLS:
        try:
            folds = make_folds(entries, CLASSES, replace(protocol, seed=seed))
        except RecogniserError as error:
            if "leak" in str(error):
                raise
            continue
        for fold in folds:
            train, test = training_entries(entries, fold, "all"), entries_to_test(entries, fold)
            assert not {entries[i].expression for i in train} & {entries[i].expression for i in test}
            assert len(train) + len(test) == len(entries)
            if len({entries[i].expression for i in train}) > 1:
                rest, chosen = hold_out(entries, train, 0.3, by_subject=False, seed=seed)
                assert not {entries[i].expression for i in rest} & {entries[i].expression for i in chosen}


def test_clips_of_several_cameras_are_on_one_side_under_every_protocol_by_clip(tmp_path: Path) -> None:
    for subject, (emotion, code), camera, number in product((11, 12), EMOTIONS, ("HS", "VIS", "NIR"), (1, 2)):
        name = f"s{subject}_{code}_{number:02d}"
        write_frames(tmp_path / f"SMIC_all_raw/{camera}/s{subject}/micro/{emotion}/{name}", ["i1.bmp", "i2.bmp"])
    entries = open_data(DataConfig(source="smic", root=tmp_path, cameras="HS,VIS,NIR")).entries
    assert len(entries) == 3 * len({entry.expression for entry in entries}) == 36
    for protocol in PROTOCOLS[:3]:
        for fold in make_folds(entries, CLASSES, protocol):
            assert all(
                len({entry.clip in fold.test for entry in entries if entry.expression == one}) == 1
                for one in {entry.expression for entry in entries}
            )


def test_a_subject_on_both_sides_is_a_leak_where_subjects_are_to_be_apart() -> None:
    one, other = 0, next(i for i, entry in enumerate(ENTRIES) if entry.clip == "p00-1")
    check_apart(ENTRIES, [one], [other], by_subject=False)
    with pytest.raises(RecogniserError, match="subject p00 has clips on both sides"):
        check_apart(ENTRIES, [one], [other], by_subject=True)


def test_training_views_are_chosen_by_kind() -> None:
    true = replace(ENTRIES[0], view="true yaw+15", kind="true", yaw=15.0)
    drawn = replace(ENTRIES[0], view="yaw+07pitch-03", kind="drawn", yaw=7.0)
    entries = [*ENTRIES, true, drawn]
    fold = Fold("all", frozenset(entry.clip for entry in entries), frozenset())
    kinds = {
        views: {(entries[i].view) for i in training_entries(entries, fold, views)}
        for views in ("source", "kept", "all", "any", "true")
    }
    assert kinds == {
        "source": {"source"},
        "kept": {"source", "yaw-15"},
        "all": {"source", "yaw-15", "yaw+15"},
        "any": {"source", "yaw+07pitch-03"},
        "true": {"source", "true yaw+15"},
    }
    with pytest.raises(RecogniserError, match="no view of the kind 'true'"):
        training_entries(ENTRIES, fold, "true")
    with pytest.raises(RecogniserError, match="no clip has a label that is one of the classes"):
        training_entries([], fold, "kept")
    with pytest.raises(RecogniserError, match="no clip is on the training side"):
        training_entries(ENTRIES, Fold("none", frozenset(), fold.train), "kept")


@pytest.mark.parametrize("share", [0.1, 0.35, 0.6])
@pytest.mark.parametrize("by_subject", [False, True])
@pytest.mark.parametrize("seed", [0, 7])
def test_a_validation_split_is_apart_from_the_training(share: float, by_subject: bool, seed: int) -> None:
    train = [i for i, entry in enumerate(ENTRIES) if entry.split == "train"]
    rest, chosen = hold_out(ENTRIES, train, share, by_subject=by_subject, seed=seed)
    assert sorted(rest + chosen) == train
    assert rest
    assert chosen
    check_apart(ENTRIES, rest, chosen, by_subject=by_subject)


def test_shuffled_labels_are_the_same_labels_on_other_clips() -> None:
    labels = {entry.clip: (entry.label, ()) for entry in ENTRIES}
    shuffled = shuffled_labels(ENTRIES, 0)
    assert Counter(shuffled.values()) == Counter(labels.values())
    assert sum(shuffled[clip] == label for clip, label in labels.items()) < 0.6 * len(labels)
    assert shuffled == shuffled_labels(tuple(reversed(ENTRIES)), 0)


def _only(**wanted: object) -> list[Entry]:
    return [entry for entry in ENTRIES if all(getattr(entry, name) == value for name, value in wanted.items())]


@pytest.mark.parametrize(
    ("entries", "classes", "protocol", "message"),
    [
        (ENTRIES, (*CLASSES, "contempt"), Protocol("loso"), "class 'contempt' has no clip"),
        (_only(label=0), CLASSES[:1], Protocol("loso"), "one class only"),
        (_only(subject="p01"), CLASSES, Protocol("loso"), "needs two subjects or more, the data have p01 only"),
        (ENTRIES, CLASSES, Protocol("subject-folds", folds=9), "8 subjects cannot be split into 9 folds"),
        (_only(dataset="set0"), CLASSES, Protocol("megc"), "needs several datasets"),
        (ENTRIES, CLASSES, Protocol("best-epoch"), "unknown protocol 'best-epoch'"),  # type: ignore[arg-type]
        ([replace(entry, split=None) for entry in ENTRIES], CLASSES, Protocol("stored"), "no split of their own"),
        (
            [entry for entry in ENTRIES if entry.label != 2 or entry.subject == "p01"],
            CLASSES,
            Protocol("loso"),
            "fold p01 has no training clip of class 'surprise'",
        ),
        ([*ENTRIES, replace(ENTRIES[0], view="x", label=2)], CLASSES, Protocol("loso"), "differ in class or subject"),
        (_only(subject="p01")[:9], CLASSES, Protocol("clip-holdout"), "too few to hold out"),
    ],
)
def test_data_that_a_protocol_cannot_use_are_refused(
    entries: list[Entry], classes: tuple[str, ...], protocol: Protocol, message: str
) -> None:
    with pytest.raises(RecogniserError, match=message):
        make_folds(entries, classes, protocol)
