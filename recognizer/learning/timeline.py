"""A picture and a table of the expressions in videos."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

import numpy as np

from recognizer.learning.prediction import Predicted

_COLOURS = ("#2f6db0", "#5a9c5a", "#b0532f", "#8a5aa8", "#c9a227", "#4aa3a3", "#777777")
COLUMNS = ("video", "onset", "apex", "offset", "onset_seconds", "apex_seconds", "offset_seconds", "kind", "score",
           "view", "expression")  # fmt: skip


def rows(found: Sequence[Predicted], classes: Sequence[str]) -> list[tuple[object, ...]]:
    """A row for each view of each expression: `COLUMNS`, and the probabilities of the classes."""
    listed: list[tuple[object, ...]] = []
    for one in found:
        frames = (one.onset, one.apex, one.offset)
        score = "" if np.isnan(one.score) else f"{one.score:.2f}"
        about = (one.video, *frames, *(f"{one.seconds(frame):.2f}" for frame in frames), one.kind, score)
        for view, said in one.views.items():
            listed.append((*about, view, next(iter(said)), *(f"{said[name]:.3f}" for name in classes)))
    return listed


def table(found: Sequence[Predicted], classes: Sequence[str]) -> str:
    """The rows as CSV."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([(*COLUMNS, *classes), *rows(found, classes)])
    return text.getvalue()


def timeline(found: Sequence[Predicted], classes: Sequence[str], note: str) -> bytes:
    """PNG: the expressions of each video over time, as wide as they last, with probabilities: means over the views.

    note : written below, such as what the system was trained on
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    videos = list(dict.fromkeys(one.video for one in found))
    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(10, 1.9 * max(len(videos), 1) + 0.9), layout="constrained")
        axes = figure.subplots(max(len(videos), 1), 1, squeeze=False)[:, 0]
        for axis, video in zip(axes, videos, strict=False):
            own = [one for one in found if one.video == video]
            end = max(one.seconds(one.offset) for one in own)
            for one in own:
                left, right = one.seconds(one.onset), one.seconds(one.offset)
                # Wide enough to be seen, in a video of any length.
                width, bottom = max(right - left, end / 150), 0.0
                for number, name in enumerate(classes):
                    share = sum(said[name] for said in one.views.values()) / len(one.views)
                    colour = _COLOURS[number % len(_COLOURS)]
                    axis.bar(left, share, width, bottom, align="edge", color=colour, label=name)
                    bottom += share
                axis.text(left + width / 2, 1.02, one.kind, ha="center", fontsize=6)
            axis.set(title=video, ylim=(0, 1.12), xlim=(0, 1.03 * end), ylabel="probability")
        axes[-1].set_xlabel("seconds")
        handles, labels = axes[0].get_legend_handles_labels()
        if handles:
            figure.legend(
                handles[: len(classes)], labels[: len(classes)], loc="outside upper right", ncols=len(classes)
            )
        figure.supxlabel(note, fontsize=7)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()
