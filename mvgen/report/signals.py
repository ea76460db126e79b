"""Head pose, facial actions and flow of a clip as curves for the page, and how well its frames are registered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mvgen.core.records import Floats, Mask, Signals
from mvgen.faces.quality import compare
from mvgen.report.charts import CurveChart, Mark, curve_chart, marks
from mvgen.store.arrays import read_maps
from mvgen.store.frames import read_frames
from mvgen.store.geometry import read_head_length, read_signals
from mvgen.store.manifest import ViewRow

ACTIONS = 4
"""Number of actions drawn, the strongest ones."""


@dataclass(frozen=True, slots=True)
class ClipSignals:
    """The signals of a clip on the page.

    turn : degrees; shift : crop pixels; both None where the head's motion is not known
    actions : crop pixels, the strongest ones; None where none is seen
    flow : length of the optical flow from the frame before, crop pixels, over the face
    moved : how far registration moved each frame, and the face as a whole jumps after it, crop pixels
    residual : of each frame after it, grey levels of 255
    scale : smallest and largest; NaN where it is not known
    row : of the frontal clip; seconds : from the first frame to the last
    """

    clip: str
    turn: CurveChart | None
    shift: CurveChart | None
    actions: CurveChart | None
    flow: CurveChart
    moved: CurveChart
    residual: CurveChart
    scale: tuple[float, float]
    row: ViewRow
    marks: tuple[Mark, ...]
    seconds: float


def show_signals(out: Path, rows: Sequence[ViewRow]) -> ClipSignals:
    """The signals of one clip. rows : of the clip. Raises StoreError when a file is missing or damaged."""
    row = next(row for row in rows if row.yaw is None)
    signals = read_signals(out, row)
    maps = read_maps(out, row)
    face = np.isfinite(maps.depth)
    likeness = compare(read_frames(out, row), row.onset_index, face)
    known = bool(np.isfinite(signals.scale).all())
    moments = {"onset": row.onset_index, "apex": row.apex_index, "offset": row.offset_index}
    return ClipSignals(
        clip=row.clip,
        turn=curve_chart({"yaw": signals.yaw, "pitch": signals.pitch, "roll": signals.roll}) if known else None,
        shift=curve_chart({"right": signals.dx, "down": signals.dy}) if known else None,
        actions=_actions(signals),
        flow=curve_chart(_flow(maps.flow.frames, face)),
        moved=curve_chart({"moved by": read_head_length(out, row), "jump": likeness.jump}),
        residual=curve_chart({"residual": likeness.residual}),
        scale=(float(signals.scale.min()), float(signals.scale.max())),
        row=row,
        marks=marks(moments, row.frames),
        seconds=(row.frames - 1) / row.fps,
    )


def _flow(flow: NDArray[np.float32], face: Mask) -> dict[str, Floats]:
    """Lengths of flow (T-1, S, S, 2) over a face (S, S): (T,) each, 0 in the first frame, which has none before it."""
    lengths = np.linalg.norm(flow[:, face], axis=-1)
    found = np.quantile(lengths, (0.95, 0.5), axis=1) if lengths.size else np.zeros((2, len(flow)))
    return {name: np.r_[0.0, each] for name, each in zip(("95th percentile", "median"), found, strict=True)}


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
