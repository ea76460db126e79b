"""Errors of side views and their motion by method, and their tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from mvgen.core.records import ViewClip
from mvgen.evaluation.stand_ins import TrueClip
from mvgen.evaluation.tables import Rows, Table
from mvgen.evaluation.view_baselines import AS_PUBLISHED, DEFAULT_BUILD
from mvgen.evaluation.view_metrics import FlowErrors, flow_errors, known_mean, psnr, relative_error, ssim, whole
from mvgen.motion.flow.methods import flow_between

Key = tuple[str, float]  # name of a method, and yaw in degrees

NO_MOTION, TRUE_FRAMES = "no motion at all", "image flow on the true frames"
AT_THE_SIDES = 40.0  # degrees; views from here on are the far ones


@dataclass(slots=True)
class Figures:
    """The measurements on one clip.

    corpus : of the face; psnr : dB; ssim; motion : see `FlowErrors`; all by method and yaw
    still : method -> mean flow of a still clip, pixels per frame
    attention : yaw -> visible attention, computed by the build and true
    compared : yaw -> share of the valid pixels of the default build that every method shows
    """

    corpus: str
    psnr: dict[Key, float] = field(default_factory=dict)
    ssim: dict[Key, float] = field(default_factory=dict)
    motion: dict[Key, FlowErrors] = field(default_factory=dict)
    still: dict[str, float] = field(default_factory=dict)
    attention: dict[float, tuple[float, float]] = field(default_factory=dict)
    compared: dict[float, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OneSided:
    """A clip of a one-sided action: yaw -> computed score, true score, share of the true motion that is seen, kept."""

    name: str
    shown: dict[float, tuple[float, float, float, bool]]


def compare(figures: Figures, yaw: float, true: TrueClip, views: dict[str, ViewClip], noise: float) -> None:
    """Add the figures of one view for every method."""
    plan = true.take.plan
    ends = [plan.onset, plan.apex]
    seen = true.see(plan.onset, yaw=yaw, other=plan.apex)
    clean = [true.picture(frame, yaw=yaw) for frame in ends]
    # The crops of the published method differ from those of the ground truth.
    where = seen.face & np.all([whole(view.valid) for name, view in views.items() if name != AS_PUBLISHED], axis=0)
    figures.compared[yaw] = float(where.sum() / max(1, (seen.face & views[DEFAULT_BUILD].valid).sum()))
    for name, view in views.items():
        figures.motion[name, yaw] = flow_errors(view.apex_flow, seen.motion, where & view.valid)
        if name != AS_PUBLISHED:
            pairs = [(view.colour[frame], picture) for frame, picture in zip(ends, clean, strict=True)]
            figures.psnr[name, yaw] = float(np.mean([psnr(*pair, where) for pair in pairs]))
            figures.ssim[name, yaw] = float(np.mean([ssim(*pair, where) for pair in pairs]))
    first, second = (true.picture(frame, yaw=yaw, noise=noise) for frame in ends)
    figures.motion[TRUE_FRAMES, yaw] = flow_errors(flow_between(first, second), seen.motion, where)
    figures.motion[NO_MOTION, yaw] = flow_errors(np.zeros_like(seen.motion), seen.motion, where)


def fidelity_tables(results: Sequence[Figures]) -> list[Table]:
    """Every table of one corpus: all figures by method, then PSNR, SSIM, flow error and visible attention by yaw."""
    yaws = sorted(results[0].attention)
    methods = list(dict.fromkeys(name for name, _ in results[0].motion))
    sides = [yaw for yaw in yaws if abs(yaw) >= AT_THE_SIDES]

    def noise(name: str, chosen: Sequence[float]) -> float:
        return known_mean([one.psnr.get((name, yaw), np.nan) for one in results for yaw in chosen])

    def similarity(name: str, chosen: Sequence[float]) -> float:
        return known_mean([one.ssim.get((name, yaw), np.nan) for one in results for yaw in chosen])

    def flow(name: str, chosen: Sequence[float]) -> float:
        return relative_error([one.motion[name, yaw] for one in results for yaw in chosen])

    def angle(name: str) -> float:
        return known_mean([one.motion[name, yaw].angle for one in results for yaw in yaws])

    rows: Rows = [
        [
            name, noise(name, yaws), similarity(name, yaws), flow(name, yaws), flow(name, sides), angle(name),
            known_mean([one.still.get(name, np.nan) for one in results]),
        ]
        for name in methods
    ]  # fmt: skip
    header = ["way", "PSNR dB", "SSIM", "flow error", "at the sides", "angular error °", "false motion px"]
    pictured = [name for name in methods if any(key[0] == name for key in results[0].psnr)]
    pairs = {yaw: np.array([one.attention[yaw] for one in results]) for yaw in yaws}
    scores: dict[str, Callable[[float], float]] = {
        "said": lambda yaw: float(pairs[yaw][:, 0].mean()),
        "true": lambda yaw: float(pairs[yaw][:, 1].mean()),
        "mean difference": lambda yaw: float(np.abs(np.diff(pairs[yaw], axis=1)).mean()),
        "pixels compared, % of the valid": lambda yaw: 100 * known_mean([one.compared[yaw] for one in results]),
    }

    def score(name: str, chosen: Sequence[float]) -> float:
        return known_mean([scores[name](yaw) for yaw in chosen])

    return [
        Table(header, rows, digits=3),
        _by_yaw("PSNR, dB", pictured, yaws, noise, digits=1),
        _by_yaw("SSIM", pictured, yaws, similarity, digits=3),
        _by_yaw("flow error", methods, yaws, flow, digits=3),
        _by_yaw("visible attention", list(scores), yaws, score),
    ]


def _by_yaw(
    title: str,
    names: Sequence[str],
    yaws: Sequence[float],
    figure: Callable[[str, Sequence[float]], float],
    digits: int = 2,
) -> Table:
    """A row for each name, a column for each yaw and one for all of them."""
    rows: Rows = [[name, *(figure(name, [yaw]) for yaw in yaws), figure(name, yaws)] for name in names]
    return Table([title, *(f"{yaw:g}" for yaw in yaws), "all"], rows, digits)


def one_sided_table(clips: Sequence[OneSided]) -> Table:
    """The scores of the views of each clip, at least one; views that are not kept are struck out."""
    yaws = sorted(clips[0].shown)
    rows: Rows = []
    for clip in clips:
        computed, true, moving, kept = ([clip.shown[yaw][part] for yaw in yaws] for part in range(4))
        marked = [f"{score:.2f}" if keep else f"~~{score:.2f}~~" for score, keep in zip(computed, kept, strict=True)]
        rows += [[clip.name, *marked], ["- true", *true], ["- of its motion", *moving]]
    return Table(["clip", *(f"{yaw:g}" for yaw in yaws)], rows)
