"""Is head motion removed and the expression kept? Errors of flow and head poses of built clips.

    python benchmarks/quality/motion_fidelity.py --families anny --conditions still,drifting --acts "smile;still"
        --clips 2 --cache clips --out motion_fidelity.json

People perform single and global expressions while their heads are still, drift or turn about the neck; see
`performance`, `heads` and `clips` in `mvgen.evaluation.motion`. Each clip is built as by `mvgen build` with uniform
attention. The true motion is that of the expression alone, from the onset to the apex frame, with the head in the pose
of the onset frame, in the crop that the build cut. Prints one Markdown table with hardware and commit. A row's error is
the mean length of (flow - true flow) over the mean length of the true flow, on skin that moves by more than 0.15 pixels
at 256:

    class bias     largest minus smallest error among expressions: an artefact that a classifier could learn
    front, 15 ...  error of the flow from onset to apex: in the front, in views at both such yaws
    <act>          error in the front by expression
    false motion   mean length of that flow where only the head moves, pixels of the crop
    head           error of the head motion of the registration, mean over frames: degrees, and pixels on the face
    jump           largest jump of the median flow of the face between frames, pixels; then without registration
    against off    on still heads: largest excess of an expression over the error without registration; 0.03 is allowed

`--cache` keeps the clips, so that a second run only takes the builds. `--old` reads the file of `--out` of another run
and prints its figures after a slash; that file has a row for each clip.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from benchmarks.common import Report, command_line, read_rows, run_script
from mvgen.core.config import BuildConfig
from mvgen.core.device import one_thread
from mvgen.core.errors import ConfigError
from mvgen.core.records import BuiltClip, Clip, Frame, Image
from mvgen.engine import local
from mvgen.evaluation.motion.clips import CONDITIONS, ClipSpec, Condition, Sources, developed, hash_of, load_or_film
from mvgen.evaluation.motion.figures import ANGLES, Scores, motion_table
from mvgen.evaluation.motion.heads import Performers
from mvgen.evaluation.motion.metrics import largest_jump, mean_length, moving_error, pose_errors, true_crop
from mvgen.evaluation.motion.performance import EXPRESSIONS, STILL
from mvgen.faces.crop import crop_frames
from mvgen.motion.flow.methods import clip_flow
from mvgen.pipeline.clip import build_clip
from mvgen.pipeline.tools import Tools
from mvgen.views.view import flow_methods


@dataclass(frozen=True, slots=True)
class Task:
    """One clip to be built."""

    condition: str
    spec: ClipSpec


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of the workers; see the options of the command line."""

    sources: Sources
    cache: Path | None
    weights: Path | None


def record(spec: ClipSpec, frames: int, onset: int, apex: int) -> Clip:
    """The record of a clip, as from a source."""
    name = f"{spec.person}_{spec.expression}_{spec.head}"
    return Clip(
        dataset="benchmark", subject=str(spec.person), subject_key=str(spec.person), name=name, emotion="others",
        label=None, onset=onset + 1, apex=apex + 1, offset=None, fps=spec.fps,
        directory=PurePosixPath(spec.family, name), licence="CC0-1.0", redistribution="open",
        frames=tuple(Frame(Path(f"{number}.png"), number, f"{number}.png") for number in range(1, frames + 1)),
    )  # fmt: skip


def measure(task: Task, settings: Settings, performers: dict[tuple[str, str], Performers], tools: Tools) -> Scores:
    """Every figure of one clip."""
    spec, condition = task.spec, CONDITIONS[task.condition]
    take = load_or_film(spec, performers, settings.cache, settings.sources)
    start = time.perf_counter()
    frames = developed(take, condition, hash_of(spec.family, spec.split, spec.expression, str(spec.person)))
    clip = record(spec, len(frames), take.onset, take.apex)
    config = config_of(condition, settings)
    built = build_clip(clip, frames, config, tools)
    true = true_crop(take, built.reconstruction.face.crop, condition.size)
    found = Scores(spec.family, task.condition, spec.person, spec.expression)
    for view in built.views():
        yaw = view.yaw or 0.0
        seen = true.view(yaw, take.apex)
        if spec.expression == STILL:
            found.false_motion[yaw] = mean_length(view.apex_flow, seen.face & view.valid)
        else:
            found.errors[yaw] = moving_error(view.apex_flow, seen, view.valid)
    # A build may leave frames out, at the ends.
    kept = [frame.number - 1 for frame in built.clip.frames]
    pose = pose_errors(true, built.reconstruction.registration, kept)
    others = np.array(kept) != take.onset
    found.pose_pixels, found.pose_degrees = (float(each[others].mean()) for each in pose)
    found.apex_pixels = float(pose.pixels[kept.index(take.apex)])
    found.moved = bool(built.reconstruction.registration.applied.any())
    found.jump, found.jump_before = jumps(built, frames[kept], (kept.index(take.onset), kept.index(take.apex)), config)
    if condition.head == STILL and spec.expression != STILL:
        off = build_clip(
            clip, frames, config.changed(registration={"method": "none"}, camera={"angles": (0.0,)}), tools
        )
        found.off = moving_error(off.frontal.apex_flow, true.view(0.0, take.apex), off.frontal.valid)
    found.seconds = time.perf_counter() - start
    return found


def config_of(condition: Condition, settings: Settings) -> BuildConfig:
    """The settings of builds under a condition."""
    return BuildConfig(
        camera={"size": condition.size, "angles": ANGLES},
        geometry={"weights": settings.weights},
        run={"device": "cpu"},
    )


def jumps(built: BuiltClip, frames: Image, ends: tuple[int, int], config: BuildConfig) -> tuple[float, float]:
    """`largest_jump` of the frontal clip as built, and of the same crops before they were registered.

    ends : onset and apex frame
    """
    front = built.frontal
    crops = crop_frames(frames, built.reconstruction.face)
    before = clip_flow(crops, *ends, np.isfinite(front.depth), flow_methods(config.flow, config.run.device))
    return largest_jump(front.flow, front.valid), largest_jump(before.frames, front.valid)


def make_worker(settings: Settings) -> Callable[[Task], Scores]:
    """Load the networks; return the function that measures one clip."""
    one_thread()
    tools = Tools.load(BuildConfig(geometry={"weights": settings.weights}, run={"device": "cpu"}))
    performers: dict[tuple[str, str], Performers] = {}

    def work(task: Task) -> Scores:
        start = time.perf_counter()
        found = measure(task, settings, performers, tools)
        name = f"{task.condition}, {task.spec.family} {task.spec.person}, {task.spec.expression}"
        print(f"{name}: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
        return found

    return work


def chosen_names(text: str, known: Sequence[str], separator: str) -> list[str]:
    """Names listed in an option; raises ConfigError for an unknown one."""
    names = [name.strip() for name in text.split(separator)] if text else list(known)
    for name in names:
        if name not in known:
            raise ConfigError(f"{name!r} is none of: {separator.join(known)}")
    return names


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--ict", type=Path, help="a clone of ICT-FaceKit")
    parser.add_argument("--portraits", type=Path, help="a folder of photographs of faces")
    parser.add_argument("--families", default="", help="anny, ict, portraits; else all that there are")
    parser.add_argument("--conditions", default="", help=", ".join(CONDITIONS))
    parser.add_argument("--acts", default="", help="; ".join(EXPRESSIONS))
    parser.add_argument("--clips", type=int, default=2, help="people of each family; each does every act")
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--fps", type=float, default=60.0)
    parser.add_argument("--pixels", type=float, default=2.5, help="largest motion, pixels of a crop of 256")
    parser.add_argument("--split", choices=("dev", "test"), default="test")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--cache", type=Path, help="folder where clips are kept")
    parser.add_argument("--old", type=Path, metavar="FILE.json", help="of another run")
    chosen = parser.parse_args()
    old = [Scores.of(row) for row in read_rows(chosen.old, __file__)] if chosen.old else []
    there = ["anny", *(["ict"] if chosen.ict else []), *(["portraits"] if chosen.portraits else [])]
    families = chosen_names(chosen.families, there, ",")
    conditions = chosen_names(chosen.conditions, list(CONDITIONS), ",")
    acts = chosen_names(chosen.acts, list(EXPRESSIONS), ";")
    tasks = [
        Task(name, ClipSpec(family, chosen.split, person, act, CONDITIONS[name].head, chosen.pixels, chosen.frames,
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
    order = {(task.spec.family, task.spec.person, task.spec.expression, task.condition): number
             for number, task in enumerate(tasks)}  # fmt: skip
    scores.sort(key=lambda one: order[one.family, one.person, one.act, one.condition])
    acted = f"{chosen.clips} people a family ({chosen.split}), {chosen.frames} frames at {chosen.fps:g} a second"
    about = f"{acted}, {chosen.pixels:g} px; {len(failed)} clips failed; {time.perf_counter() - start:.0f} s"
    report = Report(__file__, chosen, about)
    print(motion_table(scores, old).markdown())
    report.keep([asdict(one) for one in scores])


if __name__ == "__main__":
    run_script(main)
