"""The figures of clips built for the motion benchmark, and the table they become."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mvgen.evaluation.motion.acts import ACTS, STILL
from mvgen.evaluation.motion.clips import CONDITIONS
from mvgen.evaluation.motion.metrics import class_bias
from mvgen.evaluation.tables import Rows, Table
from mvgen.evaluation.view_metrics import FlowErrors, known_mean, relative_error

YAWS = (15.0, 25.0, 45.0)
ANGLES = (-45.0, -25.0, -15.0, 15.0, 25.0, 45.0)
ALLOWED = 0.03  # by which an act may be worse than with registration off
ALL = "all"


@dataclass(slots=True)
class Scores:
    """The figures of one clip; errors by yaw, 0 is the front; `off` is the front's without registration."""

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
        """What `asdict` made, read from JSON, which has no numbers for keys, no tuples with names and no NaN."""
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
    """The rows of some clips, in the order of the table; NaN where nothing was measured."""
    acted = [one for one in scores if one.act != STILL]
    by_act = {act: [one for one in acted if one.act == act] for act in ACTS if act != STILL}

    def known(chosen: Sequence[Scores], *yaws: float) -> list[FlowErrors]:
        return [one.errors[yaw] for one in chosen for yaw in yaws if yaw in one.errors]

    def error(chosen: Sequence[Scores], *yaws: float) -> float:
        return relative_error(known(chosen, *yaws))

    rows = {
        "class bias, front": class_bias({act: known(each, 0.0) for act, each in by_act.items()}),
        "class bias, views": class_bias({act: known(each, *ANGLES) for act, each in by_act.items()}),
        "front": error(acted, 0.0),
        **{f"±{yaw:.0f}": error(acted, -yaw, yaw) for yaw in YAWS},
        **{act: error(each, 0.0) for act, each in by_act.items()},
        "false motion, front, px": known_mean(one.false_motion.get(0.0, np.nan) for one in scores),
        "false motion, views, px": known_mean(one.false_motion.get(yaw, np.nan) for one in scores for yaw in ANGLES),
        "head, degrees": known_mean(one.pose_degrees for one in scores),
        "head, px": known_mean(one.pose_pixels for one in scores),
        "head at the apex, px": known_mean(one.apex_pixels for one in acted),
        "jump, px": known_mean(one.jump for one in scores),
        "jump unregistered, px": known_mean(one.jump_before for one in scores),
        "clips moved, share": known_mean(float(one.moved) for one in scores),
        "front, registration off": relative_error([one.off for one in acted if one.off is not None]),
        f"against off, worst act (allowed {ALLOWED})": against_off(by_act),
    }
    return rows


def against_off(by_act: dict[str, list[Scores]]) -> float:
    """By how much the worst act's error in the front is larger than without registration; NaN where it is not known."""
    differences = []
    for each in by_act.values():
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
