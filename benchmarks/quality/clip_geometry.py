"""Comparison of geometries of a clip: one per frame, one for all frames, or one that facial actions move.

    python benchmarks/quality/clip_geometry.py --subjects 3 --clips 2 --frames 14 --out clip_geometry.json

Synthetic performances with ground truth, with drifting heads and sensor noise, as weak as micro-expressions (`micro`)
and at full strength (`full`); and still clips. For each geometry:

    change of depth   RMS error of depth minus the clip's mean depth, over that without any change: below 1 the change
                      of geometry is useful; its correlation with the true change; and its least squares factor to
                      the true change, 1 where the strength is right
    flow at 45        from onset to apex in both side views: mean error over mean true motion
    still             RMS change of depth between frames, % of the inter-ocular distance; and the mean length of the
                      flow between frames in both side views, pixels of a 256-pixel crop: all of it is error

Prints a Markdown table with hardware and commit.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import Report, command_line, run_script
from benchmarks.quality.still_clips import MODES, SIZE, Still, astronaut, geometries, jitters, noisy, registered
from mvgen.core.config import BuildConfig, Geometry
from mvgen.core.records import BuiltClip, Clip, Image
from mvgen.evaluation.depth_metrics import correlation, regression
from mvgen.evaluation.stand_ins import Take, film, record, truth
from mvgen.evaluation.tables import Rows
from mvgen.evaluation.view_metrics import flow_errors, known_mean, relative_error
from mvgen.pipeline.clip import build_clip
from mvgen.pipeline.tools import Tools
from mvgen.scans.corpora.anny import anny_heads
from mvgen.scans.looks.appearance import Look
from mvgen.synth.plan import ClipPlan, plan_release

Floats = NDArray[np.floating]

SEED = 740_001
YAWS = (-45.0, 45.0)
NOISE = 1.5  # sigma of sensor noise in moving clips, of 255
FRAME = (480, 360)


def built(clip: Clip, frames: Image, how: Geometry, tools: Tools) -> BuiltClip:
    """The side views of a clip."""
    return build_clip(clip, frames, BuildConfig(camera={"angles": YAWS, "size": SIZE}, geometry={"method": how}), tools)


def depth_changes(take: Take, tools: Tools) -> dict[Geometry, tuple[float, float, float]]:
    """For each geometry: RMS error of the change of depth over the RMS of the true change, correlation, best factor."""
    plan = take.plan
    face, crops = registered(take.frames, plan.onset, tools)
    ways = geometries(crops, plan.onset, plan.fps, tools)
    seen = [truth(take, face.crop, SIZE, index) for index in range(len(crops))]
    true = np.stack([np.where(one.face, one.depth, np.nan) for one in seen])
    known = np.isfinite(np.concatenate([true, *ways.values()])).all(axis=0)
    true_change = _change(true)[:, known]
    found = {}
    for how, depth in ways.items():
        change = _change(np.broadcast_to(depth, true.shape))[:, known]
        error = np.sqrt(np.square(change - true_change).mean() / np.square(true_change).mean())
        one, other = change.ravel(), true_change.ravel()
        found[how] = (float(error), correlation(one, other), regression(one, other))
    return found


def _change(depth: Floats) -> Floats:
    return np.asarray(depth, np.float64) - depth.mean(axis=0, dtype=np.float64)


def side_flow(take: Take, how: Geometry, tools: Tools) -> float:
    """Mean error of the flow from onset to apex over the mean true motion, in the side views' valid face."""
    plan = take.plan
    made = built(record(plan, len(take.frames)), take.frames, how, tools)
    errors = []
    for view in made.views():
        if view.yaw is None:
            continue
        true = truth(take, made.reconstruction.face.crop, view.camera.size, plan.onset, yaw=view.yaw, other=plan.apex)
        errors.append(flow_errors(view.apex_flow, true.motion, view.valid & true.face))
    return relative_error(errors)


def false_motion(frames: Image, how: Geometry, tools: Tools, plan: ClipPlan) -> float:
    """Mean length of the flow between frames of a still clip in its side views, pixels."""
    made = built(replace(record(plan, len(frames)), onset=1, apex=len(frames), offset=None), frames, how, tools)
    lengths = [np.linalg.norm(view.flow[:, view.valid], axis=-1).mean() for view in made.sides]
    return float(np.mean(lengths))


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--layout", choices=("casme2", "casme-ii"), default="casme2", help="30 or 200 frames a second")
    parser.add_argument("--subjects", type=int, default=3)
    parser.add_argument("--clips", type=int, default=2)
    parser.add_argument("--frames", type=int, default=14)
    parser.add_argument("--weights", type=Path, default=None)
    chosen = parser.parse_args()
    tools, heads = Tools.load(BuildConfig(geometry={"weights": chosen.weights}, run={"device": "cpu"})), anny_heads()
    figures: dict[tuple[str, Geometry], list[float]] = defaultdict(list)
    plans = plan_release(chosen.layout, chosen.subjects, chosen.clips, chosen.frames, seed=SEED)
    still = [astronaut()]
    for plan in plans:
        generator = np.random.default_rng([SEED, plan.subject])
        person = heads.sample_identities(generator, 1, spread=0.25)[0], Look.draw(generator, plain=True)
        for kind in ("micro", "full"):
            take = film(plan, heads.model, person, FRAME, NOISE, moves=True, full=kind == "full")
            for how, (error, agreed, share) in depth_changes(take, tools).items():
                figures[f"{kind}: change of depth, error", how].append(error)
                figures[f"{kind}: change of depth, correlation", how].append(agreed)
                figures[f"{kind}: change of depth, best share", how].append(share)
                figures[f"{kind}: flow error at 45°", how].append(side_flow(take, how, tools))
            print(f"{plan.directory}: {kind}, {'+'.join(plan.action_units)}", file=sys.stderr, flush=True)
        if plan.clip == 0:
            still.append(Still(plan.subject_name, take.frames[plan.onset]))
    for one in still:
        for sigma in (2.0, 5.0):
            frames = noisy(one, sigma)
            for how, jitter in jitters(frames, tools).items():
                figures[f"still, sigma {sigma:.0f}: jitter %", how].append(jitter)
                moved = false_motion(frames, how, tools, plans[0])
                figures[f"still, sigma {sigma:.0f}: motion at 45°, px", how].append(moved)
    about = f"{len(plans)} plans of {chosen.frames} frames, {len(still)} still pictures"
    report = Report(__file__, chosen, f"{chosen.layout}, {about}")
    names = dict.fromkeys(name for name, _ in figures)
    rows: Rows = [[name, *(known_mean(figures[name, how]) for how in MODES)] for name in names]
    report.table(["mean of the clips", *MODES], rows, digits=3)


if __name__ == "__main__":
    run_script(main)
