"""Stand-ins for licensed releases: planned, performed, filmed and written with their ground truth."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from os import cpu_count
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mvgen.core.angles import view_name
from mvgen.core.config import canonical_json
from mvgen.core.errors import ConfigError, StoreError
from mvgen.engine import local
from mvgen.scans.corpora.meshfiles import write_obj
from mvgen.scans.head import HeadModel, Identity
from mvgen.scans.looks.appearance import Look
from mvgen.sources import get_source
from mvgen.sources.marks import write_mark
from mvgen.synth.filming import Film, Setup, TrueView
from mvgen.synth.layouts import frame_path, write_workbook
from mvgen.synth.performance import Performance, perform
from mvgen.synth.plan import ClipPlan, plan_release
from mvgen.synth.releases import get_layout

if TYPE_CHECKING:
    from mvgen.scans.corpora.anny import AnnyHeads
    from mvgen.scans.corpora.ict import IctHeads

Report = Callable[[str], None]

# Deviation of the weights of people, by the family of heads: people who differ as clearly as those of a release.
_SPREAD = {"AnnyHeads": 0.25, "IctHeads": 1.0}


def synth(
    *,
    layout: str,
    out: Path,
    truth: Path | None = None,
    subjects: int = 3,
    clips: int = 4,
    frames: int | None = None,
    size: tuple[int, int] | None = None,
    seed: int = 0,
    angles: Sequence[float] = (),
    ict: Path | None = None,
    drift: float | None = None,
    maps: bool = True,
    cropped: bool = False,
    report: Report = print,
    workers: int | None = None,
) -> tuple[ClipPlan, ...]:
    """Write a stand-in of a release into `out`, and its ground truth into `truth`.

    size : (width, height) of the frames, those of the release if None
    angles : yaw angles of the true side views, degrees
    cropped : also write the release's tree of frames that are cropped to the face
    ict : a clone of ICT-FaceKit whose heads act, Anny's if None; drift : of the heads, see `perform`
    `truth` gets truth.json (camera and performance of every clip), views/<view>/<clip's folder>/<frame>.png (clean)
    and maps/<view>/<clip's folder>.npz with depth (T, H, W), face (T, H, W) and flow (T-1, H, W, 2), see `TrueView`;
    the view `source` is the frontal one. Without `maps` it gets truth.json and the pictures of `angles` only, which
    takes half the time.
    Raises ConfigError for an unknown layout or counts that are too small, StoreError when a folder is not empty,
    ScanError when `ict` is not the ICT face model.
    """
    rules = get_layout(layout)
    width, height = size or rules.size
    if min(width, height) < 96 or max(width, height) > 4096:
        raise ConfigError(f"size {width}x{height} is out of range; frames are 96 to 4096 pixels on each side")
    for folder in (out, truth):
        if folder is not None and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise StoreError(f"{folder} is not an empty folder; a stand-in needs one: remove it, or give another")
    if cropped and rules.cropping is None:
        raise ConfigError(f"{layout} has no tree of cropped frames beside its others; leave out --cropped")
    plans = plan_release(layout, subjects, clips, frames, seed)

    report("loading the parametric heads (about a minute the first time on a machine)")
    heads = _open_heads(ict)
    people = [_draw_person(heads, layout, seed, subject) for subject in range(subjects)]
    make_filmer = partial(
        _make_filmer, heads.model, people=people, size=(width, height), out=out, truth=truth, angles=tuple(angles),
        drift=drift, maps=maps, cropped=cropped,
    )  # fmt: skip
    write_mark(out, get_source(layout).title)
    performed: dict[PurePosixPath, Performance] = {}
    for outcome in local.run(plans, make_filmer, workers or cpu_count() or 1):
        if outcome.error is not None:
            raise outcome.error
        assert outcome.result is not None
        plan = outcome.item
        performed[plan.directory] = performance = outcome.result
        units = "+".join(f"AU{unit}" for unit in plan.action_units)
        motion = f"{plan.emotion}, {units}, {performance.apex_pixels:.1f} px"
        report(f"[{len(performed)}/{len(plans)}] {plan.directory}: {motion}")
    performances = [performed[plan.directory] for plan in plans]
    write_workbook(layout, plans, out)
    if truth is not None:
        _write_truth_index(truth, plans, performances, (width, height), angles)
    return plans


def _open_heads(ict: Path | None) -> AnnyHeads | IctHeads:
    if ict is None:
        from mvgen.scans.corpora.anny import anny_heads

        return anny_heads()
    from mvgen.scans.corpora.ict import ict_heads

    return ict_heads(ict)


def _draw_person(heads: AnnyHeads | IctHeads, layout: str, seed: int, subject: int) -> tuple[Identity, Look]:
    """One subject, whatever the number of subjects and clips."""
    generator = np.random.default_rng([seed, subject, *layout.encode()])
    spread = _SPREAD[type(heads).__name__]
    return heads.sample_identities(generator, 1, spread=spread)[0], Look.draw(generator, plain=True)


def _make_filmer(model: HeadModel, **settings: Any) -> Callable[[ClipPlan], Performance]:
    """The work on a plan in a worker process, to which the model is sent once."""
    return partial(_film_clip, model=model, **settings)


def _film_clip(
    plan: ClipPlan,
    *,
    model: HeadModel,
    people: Sequence[tuple[Identity, Look]],
    size: tuple[int, int],
    out: Path,
    truth: Path | None,
    angles: tuple[float, ...],
    drift: float | None,
    maps: bool,
    cropped: bool,
) -> Performance:
    """Perform, film and write one clip, in a worker process."""
    person = people[plan.subject]
    performance = perform(plan, model, person[0], drift)
    setup = Setup.of(plan, *size)
    film = Film(plan, model, person, performance, setup)
    for index in range(len(plan.numbers)):
        frame = film.frame(index)
        write_frame(out / frame_path(plan, index), frame, plan)
        if cropped:
            _write_cropped(out, frame, plan, index, setup)
        _write_captured(out, film, plan, index)
    if truth is not None and maps:
        for yaw in (None, *angles):
            view = film.truth(yaw or 0.0)
            _write_pictures(truth, plan, yaw, view.colour)
            _write_maps(truth, plan, yaw, view)
    elif truth is not None:
        for yaw, colour in zip(angles, film.pictures(angles), strict=True):
            _write_pictures(truth, plan, yaw, colour)
    return performance


def write_frame(path: Path, frame: np.ndarray, plan: ClipPlan) -> None:
    """Write a frame (H, W, 3) as the release has it: JPEG or PNG by its name, one channel where the release is grey."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(frame[..., 0] if plan.grey else frame)
    with path.open("wb") as file:
        if path.suffix == ".png":
            picture.save(file, "PNG")
        else:
            picture.save(file, "JPEG", quality=plan.jpeg_quality)


def _write_cropped(out: Path, frame: np.ndarray, plan: ClipPlan, index: int, setup: Setup) -> None:
    """Write a frame (H, W, 3) cropped to the face, as the release has it."""
    from PIL import Image

    cropping = get_layout(plan.layout).cropping
    assert cropping is not None
    face = Image.fromarray(frame).crop(setup.face_box(*cropping.size)).resize(cropping.size, Image.Resampling.LANCZOS)
    write_frame(out / cropping.place(plan.directory, plan.names[index]), np.asarray(face), plan)


def _write_captured(out: Path, film: Film, plan: ClipPlan, index: int) -> None:
    """Write what other sensors of the release captured of a frame: depth, or a mesh and its texture."""
    from PIL import Image

    rules, number = get_layout(plan.layout), plan.numbers[index]
    if rules.depth_file is not None:
        write_depth(out / rules.depth_file(plan.directory, number), film.distance(index))
    if rules.mesh_file is not None:
        path = out / rules.mesh_file(plan.directory, number)
        mesh, texture = film.mesh(index)
        write_obj(path, mesh)
        Image.fromarray(texture).save(path.with_suffix(".png"))


def write_depth(path: Path, distance: NDArray[np.uint16]) -> None:
    """Write distance (H, W) in millimetres as a 16-bit PNG."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(distance).save(path)


def _write_pictures(truth: Path, plan: ClipPlan, yaw: float | None, colour: NDArray[np.uint8]) -> None:
    from PIL import Image

    folder = truth / "views" / view_name(yaw) / plan.directory
    folder.mkdir(parents=True, exist_ok=True)
    for name, frame in zip(plan.names, colour, strict=True):
        Image.fromarray(frame).save(folder / f"{name.partition('.')[0]}.png")


def _write_maps(truth: Path, plan: ClipPlan, yaw: float | None, view: TrueView) -> None:
    maps = truth / "maps" / view_name(yaw) / plan.directory.parent
    maps.mkdir(parents=True, exist_ok=True)
    # Half floats hold a flow of a pixel to 0.0005 and a depth of one unit to 0.05 %.
    np.savez_compressed(
        maps / f"{plan.directory.name}.npz",
        depth=view.depth.astype(np.float32), face=view.face, flow=view.flow.astype(np.float16),
    )  # fmt: skip


def _write_truth_index(
    truth: Path,
    plans: Sequence[ClipPlan],
    performances: Sequence[Performance],
    size: tuple[int, int],
    angles: Sequence[float],
) -> None:
    """truth.json: the camera and the performance of every clip."""
    clips = []
    for plan, performance in zip(plans, performances, strict=True):
        camera = dataclasses.asdict(Setup.of(plan, *size).camera)
        clips.append(
            {
                "directory": str(plan.directory), "subject": plan.subject_name, "name": plan.name,
                "emotion": plan.emotion, "action_units": list(plan.action_units), "macro": plan.macro,
                "onset": plan.onset, "apex": plan.apex, "offset": plan.offset, "camera": camera,
                "apex_pixels": performance.apex_pixels, "head_turns": performance.turns.tolist(),
                "head_shifts": performance.shifts.tolist(),
            }
        )  # fmt: skip
    index = {"schema": 1, "angles": list(angles), "width": size[0], "height": size[1], "clips": clips}
    (truth / "truth.json").write_text(canonical_json(index), encoding="utf-8")
