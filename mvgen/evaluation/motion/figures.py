"""The figures of clips built for the motion benchmark, and their table."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mvgen.evaluation.motion.clips import CONDITIONS
from mvgen.evaluation.motion.metrics import class_bias
from mvgen.evaluation.motion.performance import EXPRESSIONS, STILL
from mvgen.evaluation.tables import Rows, Table
from mvgen.evaluation.view_metrics import FlowErrors, known_mean, relative_error

YAWS = (15.0, 25.0, 45.0)
ANGLES = (-45.0, -25.0, -15.0, 15.0, 25.0, 45.0)
ALLOWED = 0.03  # by how much an expression may be worse than without registration
ALL = "all"


@dataclass(slots=True)
class Scores:
    """The figures of one clip; errors by yaw, 0 is the front; `off` : those of the front without registration."""

    family: str
    condition: str
    person: int
    act: str
    errors: dict[float, FlowErrors] = field(default_factory=dict)
    off: FlowErrors | None = None
    false_motion: dict[float, float] = field(default_factory=dict)
    pose_pixels: float = float("nan")
    pose_degrees: float = float("nan")
    apex_pixels: float = float("nan")
    jump: float = float("nan")
    jump_before: float = float("nan")
    moved: bool = False
    seconds: float = 0.0

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Scores:
        """Restore `asdict` from JSON, which has no numbers as keys, no named tuples and no NaN."""
        values: dict[str, Any] = {name: _number(value) for name, value in row.items()}
        values["errors"] = {float(yaw): _errors(each) for yaw, each in row["errors"].items()}
        values["false_motion"] = {float(yaw): _number(each) for yaw, each in row["false_motion"].items()}
        values["off"] = None if row["off"] is None else _errors(row["off"])
        return cls(**values)


def _errors(values: Sequence[Any]) -> FlowErrors:
    return FlowErrors(*map(_number, values))


def _number(value: Any) -> Any:
    return float("nan") if value is None else value


def figures(scores: Sequence[Scores]) -> dict[str, float]:
    """The rows of the table for some clips; NaN where nothing was measured."""
    moving = [one for one in scores if one.act != STILL]
    by_expression = {act: [one for one in moving if one.act == act] for act in EXPRESSIONS if act != STILL}

    def known(chosen: Sequence[Scores], *yaws: float) -> list[FlowErrors]:
        return [one.errors[yaw] for one in chosen for yaw in yaws if yaw in one.errors]

    def error(chosen: Sequence[Scores], *yaws: float) -> float:
        return relative_error(known(chosen, *yaws))

    rows = {
        "class bias, front": class_bias({act: known(each, 0.0) for act, each in by_expression.items()}),
        "class bias, views": class_bias({act: known(each, *ANGLES) for act, each in by_expression.items()}),
        "front": error(moving, 0.0),
        **{f"±{yaw:.0f}": error(moving, -yaw, yaw) for yaw in YAWS},
        **{act: error(each, 0.0) for act, each in by_expression.items()},
        "false motion, front, px": known_mean(one.false_motion.get(0.0, np.nan) for one in scores),
        "false motion, views, px": known_mean(one.false_motion.get(yaw, np.nan) for one in scores for yaw in ANGLES),
        "head, degrees": known_mean(one.pose_degrees for one in scores),
        "head, px": known_mean(one.pose_pixels for one in scores),
        "head at the apex, px": known_mean(one.apex_pixels for one in moving),
        "jump, px": known_mean(one.jump for one in scores),
        "jump unregistered, px": known_mean(one.jump_before for one in scores),
        "clips moved, share": known_mean(float(one.moved) for one in scores),
        "front, registration off": relative_error([one.off for one in moving if one.off is not None]),
        f"against off, worst act (allowed {ALLOWED})": against_off(by_expression),
    }
    return rows


def against_off(by_expression: dict[str, list[Scores]]) -> float:
    """Largest increase of the frontal error of an expression over that without registration; NaN where unknown."""
    differences = []
    for each in by_expression.values():
        both = [one for one in each if one.off is not None]
        if both:
            without = relative_error([one.off for one in both if one.off is not None])
            differences.append(relative_error([one.errors[0.0] for one in both]) - without)
    return max(differences) if differences else float("nan")


def motion_table(scores: Sequence[Scores], old: Sequence[Scores] = ()) -> Table:
    """One table: a column for each condition, a block of rows for all families and for each."""
    conditions = [name for name in CONDITIONS if any(one.condition == name for one in scores)]
    families = list(dict.fromkeys(one.family for one in scores))
    blocks = [ALL, *families] if len(families) > 1 else families
    rows: Rows = []
    for block in blocks:
        cells = defaultdict(list)
        for condition in conditions:
            now, then = (figures(_of(each, block, condition)) for each in (scores, old))
            for name, value in now.items():
                cells[name].append(_cell(value, then[name]))
        rows += [[f"{block}: {name}", *values] for name, values in cells.items() if any(v != "-" for v in values)]
    return Table(["figure", *conditions], rows)


def _of(scores: Sequence[Scores], block: str, condition: str) -> list[Scores]:
    return [one for one in scores if one.condition == condition and block in (ALL, one.family)]


def _cell(now: float, then: float) -> str:
    shown = "-" if np.isnan(now) else f"{now:.3f}"
    return shown if np.isnan(then) else f"{shown} / {then:.3f}"
