"""How side views and their motion compare with the true ones, by every way to make them, and the tables of that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from mvgen.core.records import ViewClip
from mvgen.evaluation.stand_ins import TrueClip
from mvgen.evaluation.tables import Rows, Table
from mvgen.evaluation.view_baselines import AS_PUBLISHED, OURS
from mvgen.evaluation.view_metrics import FlowErrors, flow_errors, known_mean, psnr, relative_error, ssim, whole
from mvgen.motion.flow import flow_between

Key = tuple[str, float]  # a way's name and the yaw, degrees

NO_MOTION, TRUE_FRAMES = "no motion at all", "image flow on the true frames"
AT_THE_SIDES = 40.0  # degrees; views from here on are the far ones


@dataclass(slots=True)
class Figures:
    """What was measured on one clip.

    corpus : whose faces; psnr : dB; ssim; motion : see `FlowErrors`, by way and yaw
    still : way -> mean flow of a still clip, pixels a frame
    attention : yaw -> the share that a view is said to see, and the one that it sees
    compared : yaw -> share of our own valid pixels that every way shows
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
    """A clip of a one-sided action: yaw -> said score, true score, share of the true motion that is seen, kept."""

    name: str
    shown: dict[float, tuple[float, float, float, bool]]


def compare(figures: Figures, yaw: float, true: TrueClip, views: dict[str, ViewClip], noise: float) -> None:
    """Add the figures of one view by every way."""
    plan = true.take.plan
    ends = [plan.onset, plan.apex]
    seen = true.see(plan.onset, yaw=yaw, other=plan.apex)
    clean = [true.picture(frame, yaw=yaw) for frame in ends]
    # The crops of the published way are not the truth's.
    where = seen.face & np.all([whole(view.valid) for name, view in views.items() if name != AS_PUBLISHED], axis=0)
    figures.compared[yaw] = float(where.sum() / max(1, (seen.face & views[OURS].valid).sum()))
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
    """Every table of one corpus: the ways as a whole, then PSNR, SSIM, flow error and visible attention by yaw."""
    yaws = sorted(results[0].attention)
    ways = list(dict.fromkeys(name for name, _ in results[0].motion))
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
        for name in ways
    ]  # fmt: skip
    header = ["way", "PSNR dB", "SSIM", "flow error", "at the sides", "angular error °", "false motion px"]
    pictured = [name for name in ways if any(key[0] == name for key in results[0].psnr)]
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
        _by_yaw("flow error", ways, yaws, flow, digits=3),
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
    """For each clip, one at least, the scores of its views; views that it loses are struck out."""
    yaws = sorted(clips[0].shown)
    rows: Rows = []
    for clip in clips:
        said, true, moving, kept = ([clip.shown[yaw][part] for yaw in yaws] for part in range(4))
        marked = [f"{score:.2f}" if keep else f"~~{score:.2f}~~" for score, keep in zip(said, kept, strict=True)]
        rows += [[clip.name, *marked], ["- true", *true], ["- of its motion", *moving]]
    return Table(["clip", *(f"{yaw:g}" for yaw in yaws)], rows)
