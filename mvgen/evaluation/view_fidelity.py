"""The figures that `fidelity.py` collects, and the tables they become."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmarks.common import table
from mvgen.evaluation.view_metrics import FlowErrors, relative_error

Key = tuple[str, float]  # a way's name and the yaw, degrees

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


def mean(values: Sequence[float]) -> float:
    """Mean of the finite ones; NaN where there is none."""
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")


def print_tables(corpus: str, results: Sequence[Figures]) -> None:
    """Print every table of one corpus."""
    yaws = sorted(results[0].attention)
    ways = list(dict.fromkeys(name for name, _ in results[0].motion))
    sides = [yaw for yaw in yaws if abs(yaw) >= AT_THE_SIDES]

    def psnr(name: str, chosen: Sequence[float]) -> float:
        return mean([one.psnr.get((name, yaw), np.nan) for one in results for yaw in chosen])

    def ssim(name: str, chosen: Sequence[float]) -> float:
        return mean([one.ssim.get((name, yaw), np.nan) for one in results for yaw in chosen])

    def flow(name: str, chosen: Sequence[float]) -> float:
        return relative_error([one.motion[name, yaw] for one in results for yaw in chosen])

    def angle(name: str) -> float:
        return mean([one.motion[name, yaw].angle for one in results for yaw in yaws])

    print(f"## {corpus}: {len(results)} clips\n")
    rows: list[list[str | float]] = [
        [
            name, psnr(name, yaws), ssim(name, yaws), flow(name, yaws), flow(name, sides), angle(name),
            mean([one.still.get(name, np.nan) for one in results]),
        ]
        for name in ways
    ]  # fmt: skip
    header = ["way", "PSNR dB", "SSIM", "flow error", "at the sides", "angular error °", "false motion px"]
    print(table(header, rows, digits=3))
    pictured = [name for name in ways if any(key[0] == name for key in results[0].psnr)]
    print(_by_yaw("PSNR, dB", pictured, yaws, psnr, digits=1))
    print(_by_yaw("SSIM", pictured, yaws, ssim, digits=3))
    print(_by_yaw("flow error", ways, yaws, flow, digits=3))
    pairs = {yaw: np.array([one.attention[yaw] for one in results]) for yaw in yaws}
    scores: dict[str, Callable[[float], float]] = {
        "said": lambda yaw: float(pairs[yaw][:, 0].mean()),
        "true": lambda yaw: float(pairs[yaw][:, 1].mean()),
        "mean difference": lambda yaw: float(np.abs(np.diff(pairs[yaw], axis=1)).mean()),
        "pixels compared, % of the valid": lambda yaw: 100 * mean([one.compared[yaw] for one in results]),
    }
    print(
        _by_yaw(
            "visible attention", list(scores), yaws, lambda name, chosen: mean([scores[name](yaw) for yaw in chosen])
        )
    )


def _by_yaw(
    title: str,
    names: Sequence[str],
    yaws: Sequence[float],
    figure: Callable[[str, Sequence[float]], float],
    digits: int = 2,
) -> str:
    """A row for each name, a column for each yaw and one for all of them."""
    rows: list[list[str | float]] = [
        [name, *(figure(name, [yaw]) for yaw in yaws), figure(name, yaws)] for name in names
    ]
    return table([title, *(f"{yaw:g}" for yaw in yaws), "all"], rows, digits)


def one_sided_table(clips: Sequence[OneSided]) -> str:
    """For each clip the scores of its views; views that it loses are struck out."""
    if not clips:
        return ""
    yaws = sorted(clips[0].shown)
    rows: list[list[str | float]] = []
    for clip in clips:
        said, true, moving, kept = ([clip.shown[yaw][part] for yaw in yaws] for part in range(4))
        marked = [f"{score:.2f}" if keep else f"~~{score:.2f}~~" for score, keep in zip(said, kept, strict=True)]
        rows += [[clip.name, *marked], ["- true", *true], ["- of its motion", *moving]]
    return "## One-sided actions: visible attention\n\n" + table(["clip", *(f"{yaw:g}" for yaw in yaws)], rows)
