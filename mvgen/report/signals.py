"""Head pose and facial actions of a clip as curves for the page, and the largest jump of its face."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mvgen.core.records import Signals
from mvgen.motion.jumps import jumps
from mvgen.report.charts import CurveChart, Mark, curve_chart, marks
from mvgen.store.arrays import read_maps
from mvgen.store.frames import read_frames
from mvgen.store.geometry import read_signals
from mvgen.store.manifest import ViewRow

ACTIONS = 4
"""Number of actions drawn, the strongest ones."""


@dataclass(frozen=True, slots=True)
class ClipSignals:
    """The signals of a clip on the page.

    turn : degrees; shift : crop pixels; both None where the head pose is not known
    actions : crop pixels, the strongest ones; None where all are within the noise
    scale : of the head, smallest and largest; NaN where unknown
    jump : of the face between two frames, the largest, crop pixels; seconds : from the first frame to the last
    """

    clip: str
    turn: CurveChart | None
    shift: CurveChart | None
    actions: CurveChart | None
    scale: tuple[float, float]
    jump: float
    marks: tuple[Mark, ...]
    seconds: float


def show_signals(out: Path, rows: Sequence[ViewRow]) -> ClipSignals:
    """The signals of one clip. rows : of the clip. Raises StoreError when a file is missing or damaged."""
    row = next(row for row in rows if row.yaw is None)
    signals = read_signals(out, row)
    face = np.isfinite(read_maps(out, row, flow="none").depth)
    known = bool(np.isfinite(signals.scale).all())
    moments = {"onset": row.onset_index, "apex": row.apex_index, "offset": row.offset_index}
    return ClipSignals(
        clip=row.clip,
        turn=curve_chart({"yaw": signals.yaw, "pitch": signals.pitch, "roll": signals.roll}) if known else None,
        shift=curve_chart({"right": signals.dx, "down": signals.dy}) if known else None,
        actions=_actions(signals),
        scale=(float(signals.scale.min()), float(signals.scale.max())),
        jump=float(max(jumps(read_frames(out, row), face), default=0.0)),
        marks=marks(moments, row.frames),
        seconds=(row.frames - 1) / row.fps,
    )


def _actions(signals: Signals) -> CurveChart | None:
    """The strongest actions, the strongest first; those within one standard deviation of zero are left out."""
    peaks, columns = signals.actions.max(axis=0), np.arange(len(signals.names))
    doubts = signals.deviation[signals.actions.argmax(axis=0), columns]
    strongest = [index for index in np.argsort(-peaks, kind="stable")[:ACTIONS] if peaks[index] > doubts[index]]
    if not strongest:
        return None
    return curve_chart(
        {signals.names[index]: signals.actions[:, index] for index in strongest},
        {signals.names[index]: signals.deviation[:, index] for index in strongest},
    )
