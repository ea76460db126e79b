"""Is the head's motion taken out and the expression's kept? Flow and head poses of built clips beside the truth.

    .venv/bin/python benchmarks/motion_fidelity.py [--ict DIR] [--portraits DIR] [--clips 2] [--cache DIR]
        [--families anny,ict,portraits] [--conditions still,drifting] [--acts "smile;still"] [--frames 24]
        [--pixels 2.5] [--split test] [--workers 2] [--out FILE.json] [--old FILE.json]

People act single and global expressions while their heads are still, drift or turn about the neck; see
`motion_acts`, `motion_heads` (who acts) and `motion_clips` (how it is filmed). Each clip is built as by `mvgen build`
with attention that is the same everywhere; what is true is the motion of the expression alone, from the onset to the
apex frame, with the head held as in the onset frame, in the crop that the build cut. Prints one Markdown table with
hardware and commit. A row's error is the mean length of (flow - true flow) over the mean length of the true flow, on
skin that moves by more than 0.15 pixels at 256:

    class bias     largest minus smallest error among acts: what a classifier would learn of the registration
    front, 15 ...  error of the flow from onset to apex: in the front, in views at both such yaws
    <act>          error in the front by act
    false motion   mean length of that flow where only the head moves, pixels of the crop
    head           registration's head motion beside the true one, mean over frames: degrees, and pixels on the face
    jump           largest jump of the face's median flow between frames, pixels; beside it, without registration
    against off    on still heads: the largest difference by act to the error without registration; 0.03 is allowed

`--cache` keeps the clips: a second run costs the builds alone. `--old` takes the JSON of another run and prints its
figures behind a slash.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np
from motion_acts import ACTS, STILL
from motion_clips import CONDITIONS, Condition, Order, Sources, developed, hash_of, take_of
from motion_heads import Casting
from motion_scores import (
    class_bias,
    largest_jump,
    mean,
    mean_length,
    moving_error,
    pose_errors,
    true_crop,
)
from stages import commit, hardware
from tables import table
from view_metrics import FlowErrors, relative_error

from mvgen.core.config import BuildConfig
from mvgen.core.device import one_thread
from mvgen.core.records import BuiltClip, Clip, Frame, Image
from mvgen.engine import local
from mvgen.faces.crop import crop_frames
from mvgen.motion.flow import clip_flow
from mvgen.pipeline.clip import Tools, build_clip
from mvgen.views.view import flow_methods

YAWS = (15.0, 25.0, 45.0)
ANGLES = (-45.0, -25.0, -15.0, 15.0, 25.0, 45.0)
ALLOWED = 0.03  # by which an act may be worse than with registration off
ALL = "all"


@dataclass(frozen=True, slots=True)
class Task:
    """One clip to be built."""

    condition: str
    order: Order


@dataclass(frozen=True, slots=True)
class Settings:
    """What the workers are told; see the options of the command line."""

    sources: Sources
    cache: Path | None
    weights: Path | None


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


def record(order: Order, frames: int, onset: int, apex: int) -> Clip:
    """A clip as a source would describe it."""
    name = f"{order.person}_{order.act}_{order.head}"
    return Clip(
        dataset="benchmark", subject=str(order.person), subject_key=str(order.person), name=name, emotion="others",
        label=None, onset=onset + 1, apex=apex + 1, offset=None, fps=order.fps,
        directory=PurePosixPath(order.family, name), licence="CC0-1.0", redistribution="open",
        frames=tuple(Frame(Path(f"{number}.png"), number, f"{number}.png") for number in range(1, frames + 1)),
    )  # fmt: skip


def measure(task: Task, settings: Settings, castings: dict[tuple[str, str], Casting], tools: Tools) -> Scores:
    """Every figure of one clip."""
    order, condition = task.order, CONDITIONS[task.condition]
    take = take_of(order, castings, settings.cache, settings.sources)
    start = time.perf_counter()
    frames = developed(take, condition, hash_of(order.family, order.split, order.act, str(order.person)))
    clip = record(order, len(frames), take.onset, take.apex)
    config = config_of(condition, settings)
    built = build_clip(clip, frames, config, tools)
    true = true_crop(take, built.face.crop, condition.size)
    found = Scores(order.family, task.condition, order.person, order.act)
    for view in built.views:
        yaw = view.yaw or 0.0
        seen = true.view(yaw, take.apex)
        if order.act == STILL:
            found.false_motion[yaw] = mean_length(view.apex_flow, seen.face & view.valid)
        else:
            found.errors[yaw] = moving_error(view.apex_flow, seen, view.valid)
    # A build may leave frames out, at the ends.
    kept = [frame.number - 1 for frame in built.clip.frames]
    pose = pose_errors(true, built.registration, kept)
    others = np.array(kept) != take.onset
    found.pose_pixels, found.pose_degrees = (float(each[others].mean()) for each in pose)
    found.apex_pixels = float(pose.pixels[kept.index(take.apex)])
    found.moved = bool(built.registration.applied.any())
    found.jump, found.jump_before = jumps(built, frames[kept], (kept.index(take.onset), kept.index(take.apex)), config)
    if condition.head == STILL and order.act != STILL:
        off = build_clip(
            clip, frames, config.changed(registration={"method": "none"}, camera={"angles": (0.0,)}), tools
        )
        found.off = moving_error(off.views[0].apex_flow, true.view(0.0, take.apex), off.views[0].valid)
    found.seconds = time.perf_counter() - start
    return found


def config_of(condition: Condition, settings: Settings) -> BuildConfig:
    """How clips are built under a condition."""
    return BuildConfig(
        camera={"size": condition.size, "angles": ANGLES},
        geometry={"weights": settings.weights},
        run={"device": "cpu"},
    )


def jumps(built: BuiltClip, frames: Image, ends: tuple[int, int], config: BuildConfig) -> tuple[float, float]:
    """`largest_jump` of the frontal clip as built, and of the same crops before they were registered.

    ends : onset and apex frame
    """
    front = built.views[0]
    crops = crop_frames(frames, built.face)
    before = clip_flow(crops, *ends, np.isfinite(front.depth), flow_methods(config.flow, config.run.device))
    return largest_jump(front.flow, front.valid), largest_jump(before.frames, front.valid)


def make_worker(settings: Settings) -> Callable[[Task], Scores]:
    """Load the networks; return what measures one clip."""
    one_thread()
    tools = Tools.load(BuildConfig(geometry={"weights": settings.weights}, run={"device": "cpu"}))
    castings: dict[tuple[str, str], Casting] = {}

    def work(task: Task) -> Scores:
        start = time.perf_counter()
        found = measure(task, settings, castings, tools)
        name = f"{task.condition}, {task.order.family} {task.order.person}, {task.order.act}"
        print(f"{name}: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
        return found

    return work


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
        "false motion, front, px": mean(one.false_motion.get(0.0, np.nan) for one in scores),
        "false motion, views, px": mean(one.false_motion.get(yaw, np.nan) for one in scores for yaw in ANGLES),
        "head, degrees": mean(one.pose_degrees for one in scores),
        "head, px": mean(one.pose_pixels for one in scores),
        "head at the apex, px": mean(one.apex_pixels for one in acted),
        "jump, px": mean(one.jump for one in scores),
        "jump unregistered, px": mean(one.jump_before for one in scores),
        "clips moved, share": mean(float(one.moved) for one in scores),
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


def motion_table(scores: Sequence[Scores], old: Sequence[Scores] = ()) -> str:
    """One table: a column for each condition, a block of rows for all families and for each."""
    conditions = [name for name in CONDITIONS if any(one.condition == name for one in scores)]
    families = list(dict.fromkeys(one.family for one in scores))
    blocks = [ALL, *families] if len(families) > 1 else families
    rows: list[list[str | float]] = []
    for block in blocks:
        cells = defaultdict(list)
        for condition in conditions:
            now, then = (figures(_of(each, block, condition)) for each in (scores, old))
            for name, value in now.items():
                cells[name].append(_cell(value, then[name]))
        rows += [[f"{block}: {name}", *values] for name, values in cells.items() if any(v != "-" for v in values)]
    return table(["", *conditions], rows)


def _of(scores: Sequence[Scores], block: str, condition: str) -> list[Scores]:
    return [one for one in scores if one.condition == condition and block in (ALL, one.family)]


def _cell(now: float, then: float) -> str:
    shown = "-" if np.isnan(now) else f"{now:.3f}"
    return shown if np.isnan(then) else f"{shown} / {then:.3f}"


def write(scores: Sequence[Scores], path: Path, about: str) -> None:
    """Write the figures of every clip."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"about": about, "clips": [asdict(one) for one in scores]}, indent=1) + "\n")


def read(path: Path | None) -> list[Scores]:
    """The figures that `write` wrote."""
    if path is None:
        return []
    scores = []
    for values in json.loads(path.read_text())["clips"]:
        # JSON has no numbers for keys, and no tuples with names.
        values["errors"] = {float(yaw): FlowErrors(*each) for yaw, each in values["errors"].items()}
        values["false_motion"] = {float(yaw): each for yaw, each in values["false_motion"].items()}
        values["off"] = None if values["off"] is None else FlowErrors(*values["off"])
        scores.append(Scores(**values))
    return scores


def chosen_names(text: str, known: Sequence[str], separator: str) -> list[str]:
    """Names that an option lists; exits with a word for one that is not known."""
    names = [name.strip() for name in text.split(separator)] if text else list(known)
    for name in names:
        if name not in known:
            raise SystemExit(f"{name!r} is none of: {separator.join(known)}")
    return names


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ict", type=Path, help="a clone of ICT-FaceKit")
    parser.add_argument("--portraits", type=Path, help="a folder of photographs of faces")
    parser.add_argument("--families", default="", help="anny, ict, portraits; else all that there are")
    parser.add_argument("--conditions", default="", help=", ".join(CONDITIONS))
    parser.add_argument("--acts", default="", help="; ".join(ACTS))
    parser.add_argument("--clips", type=int, default=2, help="people of each family; each does every act")
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--fps", type=float, default=60.0)
    parser.add_argument("--pixels", type=float, default=2.5, help="largest motion, pixels of a crop of 256")
    parser.add_argument("--split", choices=("dev", "test"), default="test")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--cache", type=Path, help="folder where clips are kept")
    parser.add_argument("--out", type=Path, help="JSON with the figures of every clip")
    parser.add_argument("--old", type=Path, help="JSON of another run")
    chosen = parser.parse_args()
    there = ["anny", *(["ict"] if chosen.ict else []), *(["portraits"] if chosen.portraits else [])]
    families = chosen_names(chosen.families, there, ",")
    conditions = chosen_names(chosen.conditions, list(CONDITIONS), ",")
    acts = chosen_names(chosen.acts, list(ACTS), ";")
    tasks = [
        Task(name, Order(family, chosen.split, person, act, CONDITIONS[name].head, chosen.pixels, chosen.frames,
                         chosen.fps))
        for family in families for person in range(chosen.clips) for act in acts for name in conditions
    ]  # fmt: skip
    settings = Settings(Sources(chosen.ict, chosen.portraits), chosen.cache, chosen.weights)
    start = time.perf_counter()
    scores, failed = [], []
    for outcome in local.run(tasks, partial(make_worker, settings), chosen.workers):
        if outcome.result is None:
            print(f"{outcome.item}: {outcome.error!r}", file=sys.stderr, flush=True)
            failed.append(outcome.item)
        else:
            scores.append(outcome.result)
    order = {(task.order.family, task.order.person, task.order.act, task.condition): number
             for number, task in enumerate(tasks)}  # fmt: skip
    scores.sort(key=lambda one: order[one.family, one.person, one.act, one.condition])
    acted = f"{chosen.clips} people a family ({chosen.split}), {chosen.frames} frames at {chosen.fps:g} a second"
    about = f"{hardware()}; commit {commit()}; {acted}, {chosen.pixels:g} px; {len(failed)} clips failed"
    print(f"{about}; {time.perf_counter() - start:.0f} s\n")
    print(motion_table(scores, read(chosen.old)))
    if chosen.out is not None:
        write(scores, chosen.out, about)


if __name__ == "__main__":
    main()
