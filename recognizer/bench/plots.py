"""Plots of a benchmark's results: accuracy over yaw, and confusion matrices."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from recognizer.bench.results import TRAINED_ON

Results = Mapping[str, Any]
_COLOURS = {"source": "#b0532f", "kept": "#2f6db0", "all": "#5a9c5a", "any": "#9a62b8", "true": "#444444"}


def plots(results: Results) -> dict[str, bytes]:
    """File name -> PNG, the same bytes for the same results."""
    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        found = {}
        if any(_angle(group) is not None for group in results["groups"]):
            found["accuracy_over_yaw.png"] = _png(over_yaw(results))
        found["confusion.png"] = _png(confusions(results))
    return found


def over_yaw(results: Results) -> Figure:
    """A panel for each system: accuracy over yaw, a curve for each kind of training views; true side views dashed."""
    systems = results["systems"]
    columns = min(3, len(systems))
    rows = -(-len(systems) // columns)
    figure = Figure(figsize=(3.6 * columns, 2.8 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).reshape(-1)
    chance = 1 / len(results["classes"])
    for axis, system in zip(axes, systems, strict=False):
        for views, groups in system["trained_on"].items():
            for kind, style in (("yaw", "-"), ("true yaw", "--")):
                points = sorted(
                    (angle, groups[group]["accuracy"])
                    for group in groups
                    if group.startswith(kind) and (angle := _angle(group)) is not None
                )
                if not points:
                    continue
                yaws = [angle for angle, _ in points]
                means = np.array([figure["mean"] for _, figure in points], float)
                label = f"{TRAINED_ON[views]} training, {'true' if kind == 'true yaw' else 'built'} views"
                axis.plot(yaws, means, style, color=_COLOURS[views], marker="o", markersize=3, label=label)
                if kind == "true yaw" or "true" not in results["groups"]:
                    low, high = np.array([figure["interval"] for _, figure in points], float).T
                    axis.fill_between(yaws, low, high, color=_COLOURS[views], alpha=0.12, linewidth=0)
        axis.axhline(chance, color="#999999", linewidth=0.8, linestyle=":")
        axis.set(title=system["label"], ylim=(0, 1), xlabel="yaw (degrees)", ylabel="accuracy")
        axis.label_outer()
    for axis in axes[len(systems) :]:
        axis.set_axis_off()
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False)
    return figure


def confusions(results: Results) -> Figure:
    """Confusion matrices by system and kind of training views, on the headline views; rows: true classes, percent."""
    group, classes = results["headline"], results["classes"]
    panels = [
        (f"{system['label']}\n{TRAINED_ON[views]} training", np.array(groups[group]["confusion"], float))
        for system in results["systems"]
        for views, groups in system["trained_on"].items()
    ]
    columns = min(4, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(2.6 * columns, 2.7 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).reshape(-1)
    for axis, (title, counts) in zip(axes, panels, strict=False):
        share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        axis.imshow(share, cmap="Blues", vmin=0, vmax=1)
        for row, column in np.ndindex(share.shape):
            ink = "white" if share[row, column] > 0.5 else "black"
            axis.text(column, row, f"{share[row, column]:.0%}", ha="center", va="center", color=ink, fontsize=8)
        axis.set_title(title, fontsize=9)
        axis.set_xticks(range(len(classes)), classes, rotation=45, ha="right")
        axis.set_yticks(range(len(classes)), classes)
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    figure.suptitle(f"{group} views; true classes from top to bottom")
    return figure


def _angle(group: str) -> float | None:
    """Yaw of a group of one view without pitch, degrees; None for other groups."""
    text = group.removeprefix("true ").removeprefix("yaw")
    try:
        return float(text) if "yaw" in group else None
    except ValueError:
        return None


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150, metadata={"Software": None})
    return buffer.getvalue()
