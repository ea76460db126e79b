"""Results of recognising action units: a clip may show several, so each unit is a problem of its own.

Figures are F1 of every unit, from counts pooled over the folds, and their mean; means over the seeds, with the middle
95 % of a bootstrap over subjects and their clips.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from recognizer.bench.results import GROUPS, TRAINED_ON, headline
from recognizer.bench.units import Data, Prediction, Unit
from recognizer.config import BenchConfig
from recognizer.evaluation import metrics
from recognizer.evaluation.metrics import Counts, Floats

Results = Mapping[str, Any]


def summarise_units(config: BenchConfig, data: Data, found: Mapping[Unit, Sequence[Prediction]]) -> dict[str, Any]:
    """Results of a benchmark of action units as plain values."""
    entries = {(entry.clip, entry.view): entry for entry in data.entries}
    predicted = {each.clip for predictions in found.values() for each in predictions}
    clips = {entry.clip: entry for entry in data.entries if entry.clip in predicted}
    drawn = metrics.draws([entry.subject for entry in clips.values()])
    groups = [name for name, belongs in GROUPS.items() if any(map(belongs, data.entries))]
    if "built" not in groups:
        groups.remove("all")
    systems = []
    for number, row in enumerate(config.systems):
        trained: dict[str, Any] = {}
        for views in row.train or config.train:
            counts = {
                name: np.zeros((len(config.seeds), len(clips), len(data.reader.classes), 3), int) for name in groups
            }
            place = {clip: index for index, clip in enumerate(clips)}
            for one, seed in enumerate(config.seeds):
                for fold in data.folds:
                    for each in found[Unit(number, views, fold, seed)]:
                        entry = entries[each.clip, each.view]
                        counted = _counts(np.array(entry.units), np.array(each.scores) > 0.5)
                        for name in groups:
                            if GROUPS[name](entry):
                                counts[name][one, place[each.clip]] += counted
            trained[views] = {name: _figures(one, drawn) for name, one in counts.items()}
        systems.append({"label": row.title, "trained_on": trained})
    units = {name: sum(entry.units[at] for entry in clips.values()) for at, name in enumerate(data.reader.classes)}
    return {
        "task": "action-units",
        "title": config.title,
        "about": config.about,
        "protocol": asdict(config.protocol) | {"folds": len(data.folds), "by_subject": config.protocol.by_subject},
        "classes": list(data.reader.classes),
        "data": {
            "clips": len(clips),
            "subjects": len({entry.subject for entry in clips.values()}),
            "of_class": units,
        },
        "seeds": list(config.seeds),
        "labels_shuffled": config.shuffle_labels,
        "headline": headline(dict.fromkeys(groups)),
        "systems": systems,
    }


def _counts(there: np.ndarray, said: np.ndarray) -> Counts:
    """(C, 3) hits, false alarms and misses of each unit."""
    there = there.astype(bool)
    return np.stack([there & said, ~there & said, there & ~said], axis=-1).astype(np.int64)


def unit_f1(counts: Floats | Counts) -> Floats:
    """(..., C, 3) hits, false alarms and misses -> (..., C) F1 of each unit; 0 where there are none of either."""
    hits, alarms, misses = np.moveaxis(np.asarray(counts, np.float64), -1, 0)
    return np.asarray(2 * hits / np.maximum(2 * hits + alarms + misses, 1))


def _figures(counts: Counts, drawn: Counts) -> dict[str, Any]:
    """Figures of counts (R, K, C, 3) of each seed and clip; drawn : (B, K) see `metrics.draws`."""
    each = unit_f1(counts.sum(axis=1)).mean(axis=0)
    again = unit_f1(np.einsum("bk,rkcn->rbcn", drawn, counts)).mean(axis=(0, 2))
    low, high = metrics.interval(again)
    return {
        "f1": [round(float(one), 6) for one in each],
        "mean_f1": round(float(each.mean()), 6),
        "interval": [round(low, 6), round(high, 6)],
    }


def unit_rows(results: Results) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """(header, rows) of the table of F1 on the headline views."""
    header = ("system", "trained on", *results["classes"], "mean F1", "95 %")
    rows = []
    for system in results["systems"]:
        for views, groups in system["trained_on"].items():
            found = groups[results["headline"]]
            low, high = found["interval"]
            figures = [f"{one:.3f}" for one in (*found["f1"], found["mean_f1"])]
            rows.append((system["label"], TRAINED_ON[views], *figures, f"{low:.3f} to {high:.3f}"))
    return header, rows


def units_markdown(results: Results) -> str:
    """`results.md`."""
    header, rows = unit_rows(results)
    data, protocol = results["data"], results["protocol"]
    shown = ", ".join(f"{name} {count}" for name, count in data["of_class"].items())
    lines = [
        f"# {results['title'] or 'Benchmark'}",
        *([results["about"]] if results["about"] else []),
        f"F1 of every action unit on {results['headline']} views; {protocol['name']}, {protocol['folds']} folds; "
        f"{data['clips']} clips of {data['subjects']} subjects, that show {shown}"
        f"{'; labels shuffled' if results['labels_shuffled'] else ''}.",
        "\n".join("| " + " | ".join(row) + " |" for row in (header, ("---",) * len(header), *rows)),
    ]
    return "\n\n".join(lines) + "\n"
