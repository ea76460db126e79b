"""Do side views look and move like the true ones? Measured on synthetic performances with true side views.

    python benchmarks/quality/view_fidelity.py --clips 6 --frames 8 --sheets sheets --out view_fidelity.json

Stand-ins of CAS(ME)², as weak as micro-expressions, heads drifting, with sensor noise. The truth is rendered for the
crop that the build cut, from the same heads in the pose of their onset frame: same camera, same pivot, the true eyes at
depth 0. Prints Markdown tables with hardware and commit:

    views     PSNR and SSIM of onset and apex frame against the clean true views, in the pixels of the true face that
              every method shows as valid, without the rim, which may contain background
    motion    onset to apex: length of the error over that of the true motion, means over the same pixels (0 is perfect,
              1 as bad as zero flow), and the angular error; on still clips the mean flow per frame in every third
              view, all of it error
    attention visible attention of a view as computed by the build, and as found by rays
    one side  which views clips of one-sided actions keep

`--sheets` gets a contact sheet of up to five clips: for each view a row as built above a row of the truth, frame by
frame.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import Report, command_line, run_script
from benchmarks.quality.still_clips import Still, noisy
from mvgen.core.angles import parse_angles
from mvgen.core.config import BuildConfig
from mvgen.core.device import one_thread
from mvgen.core.records import BuiltClip, Image
from mvgen.engine import local
from mvgen.evaluation.stand_ins import Take, TrueClip, film, record
from mvgen.evaluation.view_baselines import DEFAULT_BUILD, Views, all_methods, build, side_views
from mvgen.evaluation.view_fidelity import Figures, OneSided, compare, fidelity_tables, one_sided_table
from mvgen.evaluation.view_metrics import false_motion
from mvgen.pipeline.clip import fit_attention_for
from mvgen.pipeline.tools import Tools
from mvgen.scans.corpora.anny import anny_heads
from mvgen.scans.corpora.ict import ict_heads
from mvgen.scans.head import HeadModel, Identity
from mvgen.scans.looks.appearance import Look
from mvgen.synth.emotions import one_sided
from mvgen.synth.plan import ClipPlan, plan_release

SEED, ATTENTION_SEED = 760_001, 760_002  # training draws from other seeds
LAYOUT, STILL_FRAMES = "casme2", 6
STRIP_YAWS, STRIP_CLIPS, STRIP_FRAMES = (-45.0, -15.0, 15.0, 45.0), 5, 5


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of the workers; see the options of the command line."""

    config: BuildConfig
    noise: float
    apex: float | None
    flows: dict[str, dict[str, Any]]
    attention: Path
    ict: Path | None
    sheets: Path | None


@dataclass(frozen=True, slots=True)
class Task:
    """One clip of one corpus; `strip` : make its contact sheet; `sided` : only find the views that it keeps."""

    corpus: str
    plan: ClipPlan
    strip: bool = False
    sided: bool = False

    @property
    def name(self) -> str:
        return f"{self.corpus} {self.plan.subject_name}, {'+'.join(self.plan.action_units)}"


def person(task: Task, ict: Path | None) -> tuple[HeadModel, tuple[Identity, Look]]:
    """The head model of a task and its person."""
    generator = np.random.default_rng([SEED, task.plan.subject, len(task.corpus)])
    if task.corpus == "ict":
        assert ict is not None
        own = ict_heads(ict)
        return own.model, (own.sample_identities(generator, 1)[0], Look.draw(generator, plain=True))
    heads = anny_heads()
    return heads.model, (heads.sample_identities(generator, 1, spread=0.25)[0], Look.draw(generator, plain=True))


def frame_size(size: int) -> tuple[int, int]:
    """(width, height) of frames whose faces are as large as in a crop of `size` pixels: those of the release at 256."""
    return round(2.5 * size), round(1.875 * size)


def still_take(take: Take, model: HeadModel, who: tuple[Identity, Look], noise: float) -> Take:
    """A still take of the onset frame, with new sensor noise in every frame."""
    height, width = take.frames.shape[1:3]
    first = replace(take.plan, numbers=take.plan.numbers[:1], onset=0, apex=0, offset=0)
    clean = film(first, model, who, (width, height), 0.0, moves=False)
    last = STILL_FRAMES - 1
    plan = replace(take.plan, numbers=tuple(range(1, STILL_FRAMES + 1)), onset=0, apex=last, offset=last)
    frames = noisy(Still("", clean.frames[0]), noise, seed=take.plan.seed % 2**32)[:STILL_FRAMES]
    return replace(clean, frames=frames, plan=plan, vertices=np.repeat(clean.vertices, STILL_FRAMES, axis=0))


def measure(task: Task, settings: Settings, tools: Tools) -> Figures:
    """Every figure of one clip."""
    model, who = person(task, settings.ict)
    config, mean = settings.config, anny_heads().model
    take = film(task.plan, model, who, frame_size(config.camera.size), settings.noise, moves=True, apex=settings.apex)
    built, true, ways = all_methods(take, mean, config, settings.flows, tools)
    figures, attention = Figures(task.corpus), built.reconstruction.attention
    for yaw in config.camera.angles:
        compare(figures, yaw, true, {name: views[yaw] for name, views in ways.items()}, settings.noise)
        visible = true.visible(task.plan.onset, yaw, config.render.grazing)
        share = float(attention[visible].sum() / attention.sum())
        figures.attention[yaw] = (ways[DEFAULT_BUILD][yaw].visible_attention, share)
    still = still_take(take, model, who, settings.noise)
    few = config.changed(camera={"angles": config.camera.angles[::3]})
    _, _, ways_still = all_methods(still, mean, few, settings.flows, tools)
    for name, views in ways_still.items():
        figures.still[name] = float(np.mean([false_motion(view.flow, view.valid) for view in views.values()]))
    if task.strip and settings.sheets is not None:
        strip(built, true, ways[DEFAULT_BUILD], settings.sheets / f"{task.corpus}-{task.plan.subject_name}.png")
    return figures


def one_side(task: Task, settings: Settings, tools: Tools) -> OneSided:
    """Which views a clip of a one-sided action keeps, and how much of its true motion they see."""
    model, who = person(task, settings.ict)
    config, plan = settings.config, task.plan
    take = film(plan, model, who, frame_size(config.camera.size), settings.noise, moves=True, apex=settings.apex)
    built = build(take, config, tools)
    true = TrueClip(take, built.reconstruction.face.crop, config.camera.size)
    front = true.see(plan.onset, other=plan.apex)
    motion = np.where(front.face, np.linalg.norm(front.motion, axis=-1), 0.0)
    shown: dict[float, tuple[float, float, float, bool]] = {}
    for yaw, view in side_views(built).items():
        visible = true.visible(plan.onset, yaw, config.render.grazing)
        attended, moving = (float(one[visible].sum() / one.sum()) for one in (built.reconstruction.attention, motion))
        shown[yaw] = (view.visible_attention, attended, moving, view.visible_attention >= config.attention.threshold)
    return OneSided(task.name, shown)


def strip(built: BuiltClip, true: TrueClip, views: Views, path: Path) -> None:
    """A sheet of one clip: frames from left to right; for each view a row as built, over a row of the truth."""
    from PIL import Image as Picture

    chosen = sorted({*np.linspace(0, len(true.take.frames) - 1, STRIP_FRAMES).round().astype(int)})
    rows: list[Image] = []
    for yaw in STRIP_YAWS:
        if yaw not in views:
            continue
        rows.append(np.concatenate([views[yaw].colour[frame] for frame in chosen], axis=1))
        rows.append(np.concatenate([true.picture(int(frame), yaw=yaw) for frame in chosen], axis=1))
    if rows:
        path.parent.mkdir(parents=True, exist_ok=True)
        Picture.fromarray(np.concatenate(rows)).save(path)


def make_worker(settings: Settings) -> Callable[[Task], Figures | OneSided]:
    """Load the networks; return the function that measures one clip."""
    one_thread()
    tools = Tools.load(settings.config, settings.attention)

    def work(task: Task) -> Figures | OneSided:
        start = time.perf_counter()
        found = one_side(task, settings, tools) if task.sided else measure(task, settings, tools)
        print(f"{task.name}: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
        return found

    return work


def plan_tasks(clips: int, frames: int, corpora: list[str]) -> list[Task]:
    """The clips of each corpus, one for each person, then clips of one-sided actions."""
    plans = plan_release(LAYOUT, clips, 1, frames, seed=SEED)
    tasks = [
        Task(corpus, plan, strip=number < STRIP_CLIPS)
        for corpus in corpora for number, plan in enumerate(plans)
    ]  # fmt: skip
    sided = [("12", "L"), ("12", "R"), ("4", "L"), ("10", "R")]
    for (unit, side), plan in zip(sided, plans, strict=False):
        units = one_sided((unit,), side)
        tasks.append(Task(corpora[-1], replace(plan, action_units=units), sided=True))
    return tasks


def fit_attention(config: BuildConfig, clips: int, path: Path) -> None:
    """Fit the attention head on other people's clips, none for uniform attention, and write it as safetensors."""
    from safetensors.numpy import save_file

    tools = Tools.load(config)
    takes: dict[str, Image] = {}
    records = []
    for plan in plan_release(LAYOUT, clips, 1, 3, seed=ATTENTION_SEED) if clips else ():
        quick = replace(plan, onset=0, apex=1, offset=2)
        task = Task("anny", replace(quick, subject=quick.subject + 1000))
        take = film(quick, *person(task, None), frame_size(128), 1.5, moves=True)
        records.append(record(quick, 3))
        takes[records[-1].id] = take.frames
    save_file(dict(fit_attention_for(records, lambda clip: takes[clip.id], config, tools)), path)


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--clips", type=int, default=6, help="of each corpus")
    parser.add_argument("--frames", type=int, default=8, help="of a clip; the layout's own are 14, and take longer")
    parser.add_argument("--ict", type=Path, help="a clone of ICT-FaceKit: its faces too, which are not Anny's")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--yaws", default="-45:45:10")
    parser.add_argument("--noise", type=float, default=1.5, help="sigma of the sensor, of 255")
    parser.add_argument(
        "--apex", type=float, help="largest motion of all clips, pixels at 256; else 0.8 to 2.8, as in stand-ins"
    )
    parser.add_argument("--methods", default="dis,farneback", help="of image flow; tvl1 and raft are slow")
    parser.add_argument(
        "--attention-clips", type=int, default=12, help="that the attention head is fitted on; 0: uniform"
    )
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--sheets", type=Path, metavar="FOLDER", help="of contact sheets")
    parser.add_argument("--workers", type=int, default=2)
    # argparse takes "-45:45:10" for an option unless it is glued to the flag.
    chosen = parser.parse_args()
    config = BuildConfig(
        camera={"size": chosen.size, "angles": parse_angles(chosen.yaws)},
        geometry={"weights": chosen.weights},
        run={"device": "cpu"},
    )
    flows: dict[str, dict[str, Any]] = {"geometric flow": {"kind": "geometric"}}
    flows |= {f"image flow, {name}": {"kind": "image", "method": name} for name in chosen.methods.split(",")}
    flows = {name: own for name, own in flows.items() if config.changed(flow=own) != config}
    corpora = ["anny", *(["ict"] if chosen.ict else [])]
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        attention = Path(folder) / "attention.safetensors"
        fit_attention(config, chosen.attention_clips, attention)
        settings = Settings(config, chosen.noise, chosen.apex, flows, attention, chosen.ict, chosen.sheets)
        tasks = plan_tasks(chosen.clips, chosen.frames, corpora)
        found = {}
        for outcome in local.run(tasks, partial(make_worker, settings), chosen.workers):
            if outcome.error is not None:
                raise outcome.error
            found[tasks.index(outcome.item)] = outcome.result
    results = [found[index] for index in range(len(tasks))]
    clips = f"{chosen.clips} clips a corpus, {chosen.frames} frames each"
    takes = f"{chosen.size} pixels, noise {chosen.noise}, apex {chosen.apex or 'as in stand-ins'}"
    report = Report(__file__, chosen, f"{clips}, {takes}; {time.perf_counter() - start:.0f} s")
    for corpus in corpora:
        figures = [one for one in results if isinstance(one, Figures) and one.corpus == corpus]
        report.section(f"{corpus}: {len(figures)} clips")
        for each in fidelity_tables(figures):
            report.table(*each)
    if sided := [one for one in results if isinstance(one, OneSided)]:
        report.section("One-sided actions: visible attention")
        report.table(*one_sided_table(sided))


if __name__ == "__main__":
    run_script(main)
