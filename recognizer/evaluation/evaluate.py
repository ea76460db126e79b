"""Evaluate a trained system on clips that it was not trained on: `recognizer eval`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mvgen.core.errors import ConfigError
from recognizer.errors import RecogniserError
from recognizer.evaluation import metrics
from recognizer.learning.data import prepare
from recognizer.learning.fit import Device
from recognizer.learning.weights import Trained
from recognizer.readers.base import Entry, Reader
from recognizer.systems.needs import check_needs

SPLITS = ("test", "train", "all")


def evaluate(trained: Trained, reader: Reader, split: str, device: Device, workers: int = 1) -> dict[str, Any]:
    """Results of a trained system for each view, as plain values.

    split : "test", the data's own test subjects; "train"; or "all". Data without a split are tested as a whole
    Raises RecogniserError for data with other classes, and, unless split is "train", if the system was trained on a
    tested clip.
    """
    if split not in SPLITS:
        raise ConfigError(f"split {split!r} is unknown; it is one of {', '.join(SPLITS)}")
    if reader.classes != trained.classes:
        raise RecogniserError(
            f"the data have the classes {', '.join(reader.classes)}, the weights {', '.join(trained.classes)}"
        )
    check_needs(reader, [trained.system])
    entries = reader.entries
    chosen = [i for i, entry in enumerate(entries) if split == "all" or entry.split in (None, split)]
    if not chosen:
        raise RecogniserError(f"the data have no clip in the split {split!r}; test on others with --split")
    known = {*trained.about.get("expressions", ()), *trained.about.get("clips", ())}
    tested = [entries[index] for index in chosen]
    seen = sorted({entry.expression for entry in tested if known & {entry.expression, entry.clip}})
    if seen and split != "train":
        raise RecogniserError(
            f"leak: the weights were trained on {len(seen)} of these expressions, such as {seen[0]}; test others, or "
            "get the results on training clips with --split train"
        )
    inputs = prepare(reader, trained.system, chosen, workers=workers)
    predicted = trained.scores(inputs.inputs, device).argmax(axis=1)
    views = list(dict.fromkeys(entry.view for entry in sorted(tested, key=_order)))
    groups = {"all views": np.ones(len(tested), bool)} if len(views) > 1 else {}
    groups |= {view: np.array([entry.view == view for entry in tested]) for view in views}
    return {
        "system": trained.system.name,
        "classes": list(trained.classes),
        "split": split,
        "clips": len({entry.clip for entry in tested}),
        "subjects": len({entry.subject for entry in tested}),
        "views": {name: _figures(tested, predicted, members, len(trained.classes)) for name, members in groups.items()},
    }


def _order(entry: Entry) -> tuple[str, float]:
    return entry.kind if entry.kind != "source" else "", entry.yaw or 0.0


def _figures(tested: Sequence[Entry], predicted: np.ndarray, members: np.ndarray, classes: int) -> dict[str, Any]:
    places = np.flatnonzero(members).tolist()
    subjects = {tested[index].clip: tested[index].subject for index in places}
    clips = list(subjects)
    counts = np.zeros((len(clips), classes, classes), np.int64)
    for index in places:
        counts[clips.index(tested[index].clip), tested[index].label, predicted[index]] += 1
    found = metrics.figures(counts.sum(axis=0, keepdims=True))
    again = metrics.resampled(counts, metrics.draws([*subjects.values()]))
    low, high = metrics.interval(metrics.accuracy(again))
    return {
        "views": len(places),
        "accuracy": round(found.accuracy, 6),
        "interval": [round(low, 6), round(high, 6)],
        "uf1": round(found.uf1, 6),
        "uar": round(found.uar, 6),
        "confusion": counts.sum(axis=0).tolist(),
    }
