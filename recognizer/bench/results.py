"""Summary of predictions: pooled and averaged figures, with confidence intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from recognizer.bench.compare import MEASURES, compare, compare_trainings, seeds_resampled, shares_interval
from recognizer.bench.units import Data, Prediction, Unit
from recognizer.config import BenchConfig, SystemConfig, figures_of, notes_of, open_system, training_of
from recognizer.evaluation import metrics
from recognizer.evaluation.metrics import Counts, Floats
from recognizer.evaluation.protocols import Views
from recognizer.readers.base import Entry

# Groups of tested views by name; each single view is a group as well.
GROUPS: dict[str, Callable[[Entry], bool]] = {
    "source": lambda entry: entry.kind == "source",
    "built": lambda entry: entry.kind == "built",
    "all": lambda entry: entry.kind in ("source", "built"),
    "true": lambda entry: entry.kind == "true",
}
TRAINED_ON: dict[Views, str] = {
    "source": "frontal", "kept": "multi-view", "all": "all views", "any": "any angle", "true": "oracle",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Tested:
    """Confusion counts of one system trained on one kind of views, for one group of tested views.

    seeds : (R, F, C, C) for R seeds, F folds, C classes; clips : (R, K, C, C) for K clips
    """

    seeds: Counts
    clips: Counts


def summarise(config: BenchConfig, data: Data, found: Mapping[Unit, Sequence[Prediction]]) -> dict[str, Any]:
    """Results of a benchmark as plain values: see `results.json`.

    Figures are means over the seeds, with their spread (standard deviation) and the middle 95 % of a bootstrap over
    subjects, their clips and seeds. The gain of a system is the accuracy, UF1 or UAR on the headline views when trained
    on more than the front, less that when trained on the front only, over the same draws; its share, the part of the
    oracle's gain. `compared` says whether systems differ, `compared_trainings` whether trainings do, see `compare`.
    """
    clips = {entry.clip: entry for entry in data.entries}
    predicted = {each.clip for predictions in found.values() for each in predictions}
    # In the order of the data: runs end in any order, and the bootstrap draws must not depend on it.
    tested = {clip: entry.subject for clip, entry in clips.items() if clip in predicted}
    drawn = metrics.draws([*tested.values()])
    groups = _groups(data.entries)
    systems = []
    compared: dict[tuple[str, str], dict[str, Counts]] = {}
    for number, row in enumerate(config.systems):
        trained = row.train or config.train
        counted = {views: _count(config, data, found, number, views, groups, [*tested]) for views in trained}
        asked = [name for name in groups if name == headline(groups) or name.startswith("dataset ")]
        systems.append(_system(row, counted, asked, drawn))
        for views, one in counted.items():
            compared[row.title, views] = {name: one[name].clips for name in asked}
    kinds = [kind for kind in ("source", "built", "true") if kind in groups]
    return {
        "title": config.title,
        "about": config.about,
        "protocol": asdict(config.protocol) | {"folds": len(data.folds), "by_subject": config.protocol.by_subject},
        "classes": list(data.reader.classes),
        "data": {
            "clips": len(clips),
            "subjects": len({entry.subject for entry in clips.values()}),
            "of_class": {
                name: sum(entry.label == label for entry in clips.values())
                for label, name in enumerate(data.reader.classes)
            },
            "views": {kind: sum(GROUPS[kind](entry) for entry in data.entries) for kind in kinds},
        },
        "seeds": list(config.seeds),
        "selection": config.selection.model_dump(),
        "labels_shuffled": config.shuffle_labels,
        "headline": headline(groups),
        "groups": list(groups),
        "systems": systems,
        "compared": compare(compared, [*tested.values()], drawn),
        "compared_trainings": compare_trainings(compared, [*tested.values()], drawn),
        "beside": dict(config.beside),
        "published": {name: figures_of(columns) for name, columns in config.published.items()},
        "published_notes": {name: notes_of(columns) for name, columns in config.published.items()},
    }


def headline(groups: Mapping[str, Any]) -> str:
    """The group of views for the headline: true side views, else all views, else the frontal ones."""
    return next(name for name in ("true", "all", "source") if name in groups)


def _groups(entries: Sequence[Entry]) -> dict[str, set[tuple[str, str]]]:
    """Group -> (clip, view) of its members, without empty and redundant groups."""
    found = {name: {_key(entry) for entry in entries if belongs(entry)} for name, belongs in GROUPS.items()}
    if not found["built"]:
        del found["all"]
    datasets = sorted({entry.dataset for entry in entries})
    if len(datasets) > 1:
        found |= {f"dataset {name}": {_key(e) for e in entries if e.dataset == name} for name in datasets}
    sides = sorted({(entry.kind, entry.yaw or 0.0, entry.view) for entry in entries if entry.kind in ("built", "true")})
    for _, _, view in sides:
        found[view] = {_key(entry) for entry in entries if entry.view == view}
    return {name: members for name, members in found.items() if members}


def _key(entry: Entry) -> tuple[str, str]:
    return entry.clip, entry.view


def _count(  # noqa: PLR0917
    config: BenchConfig,
    data: Data,
    found: Mapping[Unit, Sequence[Prediction]],
    number: int,
    views: Views,
    groups: Mapping[str, set[tuple[str, str]]],
    tested: Sequence[str],
) -> dict[str, _Tested]:
    classes = len(data.reader.classes)
    clips = {entry.clip: entry for entry in data.entries}
    place = {clip: index for index, clip in enumerate(tested)}
    shape = (len(config.seeds), len(data.folds), classes, classes)
    counts = {name: np.zeros(shape, np.int64) for name in groups}
    by_clip = {name: np.zeros((shape[0], len(tested), classes, classes), np.int64) for name in groups}
    for one, seed in enumerate(config.seeds):
        for two, fold in enumerate(data.folds):
            for each in found[Unit(number, views, fold, seed)]:
                entry, predicted = clips[each.clip], int(np.argmax(each.scores))
                for name, members in groups.items():
                    if (each.clip, each.view) in members:
                        counts[name][one, two, entry.label, predicted] += 1
                        by_clip[name][one, place[each.clip], entry.label, predicted] += 1
    return {name: _Tested(counts[name], by_clip[name]) for name in groups}


def _system(
    row: SystemConfig, tested: Mapping[Views, dict[str, _Tested]], asked: Sequence[str], drawn: Counts
) -> dict[str, Any]:
    """Figures and gains of a system. asked : the headline's group, then those of the datasets"""
    system = open_system(row)
    training = training_of(row, system)
    gains = {group: _gain({views: groups[group] for views, groups in tested.items()}, drawn) for group in asked}
    return {
        "label": row.title,
        "system": row.name,
        "options": asdict(system.options),
        "training": None if training is None else asdict(training),
        "published": figures_of(row.published),
        "published_notes": notes_of(row.published),
        "published_confusion": None if row.confusion is None else row.confusion.model_dump(),
        "trained_on": {
            views: {name: _figures(counts, drawn) for name, counts in groups.items()}
            for views, groups in tested.items()
        },
        "gain": gains[asked[0]],
        "gain_by_dataset": {group: gains[group] for group in asked[1:]},
    }


def _figures(tested: _Tested, drawn: Counts) -> dict[str, Any]:
    """All figures of one group: mean and spread over the seeds, interval over subjects and their clips."""
    each = [metrics.figures(folds) for folds in tested.seeds]
    again = seeds_resampled(tested.clips, drawn)
    bootstrapped = {"accuracy": metrics.accuracy, "uf1": metrics.uf1, "uar": metrics.uar}
    found: dict[str, Any] = {"views": int(tested.seeds[0].sum())}
    for name in metrics.NAMES:
        values = np.array([getattr(one, name) for one in each])
        found[name] = {"mean": _plain(values.mean()), "spread": _plain(values.std(ddof=1) if len(values) > 1 else 0.0)}
        if name in bootstrapped:
            found[name]["interval"] = [_plain(end) for end in metrics.interval(bootstrapped[name](again))]
    return found | {"confusion": tested.seeds.sum(axis=(0, 1)).tolist()}


def _gain(tested: Mapping[Views, _Tested], drawn: Counts) -> dict[Views, dict[str, Any]]:
    """Gains by training on more than frontal views, and shares of the oracle's: of accuracy, and of UF1 and UAR."""
    if "source" not in tested:
        return {}
    counts = {views: seeds_resampled(one.clips, drawn) for views, one in tested.items()}
    found: dict[Views, dict[str, Any]] = {views: {} for views in tested if views != "source"}
    for name, measure in {"accuracy": metrics.accuracy, **MEASURES}.items():
        mean = {views: float(measure(one.seeds.sum(axis=1)).mean()) for views, one in tested.items()}
        again = {views: measure(one) for views, one in counts.items()}
        gain = {views: (mean[views] - mean["source"], again[views] - again["source"]) for views in found}
        for views, (value, draws) in gain.items():
            one: dict[str, Any] = {"mean": _plain(value), "interval": [_plain(end) for end in metrics.interval(draws)]}
            if views != "true" and "true" in gain:
                one["share_of_oracle"] = _share(value, draws, *gain["true"])
            found[views].update(one if name == "accuracy" else {name: one})
    return found


def _share(gain: float, draws: Floats, oracle: float, oracle_draws: Floats) -> dict[str, Any]:
    """Share of the oracle's gain, and its interval, where None is an open end; no share if the oracle gains nothing."""
    if not oracle > 0:
        return {"mean": None, "interval": [None, None]}
    return {"mean": _plain(gain / oracle), "interval": [_plain(end) for end in shares_interval(draws, oracle_draws)]}


def _plain(value: float | np.floating) -> float | None:
    """A number for JSON: six digits, None if it is not finite."""
    return round(float(value), 6) if math.isfinite(value) else None
