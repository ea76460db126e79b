"""Summary numbers of a dataset: how well its clips were reconstructed, and how much its views see."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from mvgen.store.manifest import Failure, ViewRow

_DIGITS = 6


def describe(rows: Sequence[ViewRow], failures: Sequence[Failure]) -> dict[str, Any]:
    """Numbers over all clips; none of them identifies a single clip.

    labels : 3-class label -> clips; failures : stage -> clips
    registered : mean share of a clip's frames that were registered onto its onset frame
    head_pixels, head_degrees : largest head motion (crop pixels) and head turn of a clip, mean over clips
    left_out : frames that could not be registered
    views : for each view the number of clips, how many are kept, mean visible attention and mean valid fraction
    """
    frontal = [row for row in rows if row.yaw is None]
    return {
        "labels": dict(sorted(Counter(row.label or "none" for row in frontal).items())),
        "failures": dict(sorted(Counter(failure.stage for failure in failures).items())),
        "registered": _mean(frontal, lambda row: row.registered),
        "head_pixels": _mean(frontal, lambda row: row.head_pixels),
        "head_degrees": _mean(frontal, lambda row: row.head_degrees),
        "left_out": sum(row.left_out for row in frontal),
        "views": {view: _of_view([row for row in rows if row.view == view]) for view in _views(rows)},
    }


def _views(rows: Sequence[ViewRow]) -> list[str]:
    return list(dict.fromkeys(row.view for row in rows))


def _of_view(rows: Sequence[ViewRow]) -> dict[str, float]:
    return {
        "clips": len(rows),
        "kept": sum(row.kept for row in rows),
        "visible_attention": _mean(rows, lambda row: row.visible_attention),
        "valid_fraction": _mean(rows, lambda row: row.valid_fraction),
    }


def _mean(rows: Sequence[ViewRow], value: Callable[[ViewRow], float]) -> float:
    return round(sum(map(value, rows)) / len(rows), _DIGITS) if rows else 0.0
