"""The stages of one clip, from frames to views; the first ones are in `mvgen.pipeline.frontal`.

Frames are registered before they are rendered, not after as in section III-A of the main paper: a clip has one
geometry, which only an expression changes, and a frame must be aligned with it before it is projected onto it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mvgen.core.config import BuildConfig
from mvgen.core.errors import ClipError
from mvgen.core.records import BuiltClip, Clip, Floats, Frames, Image, Label, Reconstruction, ViewClip
from mvgen.core.stopwatch import Stopwatch
from mvgen.morphable.fitting import fit_face
from mvgen.morphable.rasterise import face_region
from mvgen.motion.flow.joint import motion_from_onset
from mvgen.motion.flow.onset_motion import OnsetMotion
from mvgen.motion.scene_flow import SceneFlow
from mvgen.motion.signals import clip_signals
from mvgen.motion.surface_motion import clip_surface_motion
from mvgen.pipeline.frontal import FrontalClip, apex_position, cut_face, hold_still, measure, source_camera
from mvgen.pipeline.tools import Tools
from mvgen.render import Renderer
from mvgen.views.attention import AttentionModel, attention_map, fit_head, pooled_change
from mvgen.views.view import Scene, make_scene, make_view, render_geometry


def build_clip(
    clip: Clip, frames: Frames, config: BuildConfig, tools: Tools, clock: Stopwatch | None = None
) -> BuiltClip:
    """Build one clip; its side views are rendered on demand.

    frames : (T, H, W, 3) uint8, the clip's frames; clock : collects the time of each stage
    Raises ClipError naming the stage that failed.
    """
    clock = clock or Stopwatch()
    with clock("face"):
        face, crops = cut_face(clip, frames, config, tools)
        del frames  # they may be many times larger than the crops
    with clock("register"):
        still = hold_still(clip, face, crops, config, tools)
        del crops
    front = measure(still, config, tools, clock)
    crops, onset, apex, surfaces = front.crops, front.onset, front.apex, front.surfaces
    with clock("flow"):
        scene_flow = SceneFlow(front.fits.at_onset, front.surface)
        signals = clip_signals(front.registration.pose, front.from_onset, scene_flow)
        lift = _lift(front.from_onset, front.flow.apex, scene_flow) if not surfaces.moves else None
        motion = clip_surface_motion(front.flow, surfaces, apex, lift) if config.flow.kind == "geometric" else None
    with clock("attention"):
        attention = attention_map(
            crops[onset],
            crops[apex],
            clip.label,
            model=tools.attention,
            estimator=tools.estimator,
            face=front.shown,
            motion=front.flow.apex,
        )
    with clock("mesh"):
        scene = make_scene(crops, apex, front.inside, front.face.landmarks, attention, surfaces, motion, lift)
    found = Reconstruction(front.face, front.registration, signals, front.surface, front.fits.at_onset, attention, lift)
    sides = _SideViews(scene, config, tools.renderer, clock)
    return BuiltClip(front.clip, found, front.quality, _frontal_view(front), sides)


_LIFT_SIDE = 64  # of the grid of the skin's motion in depth, which is as smooth as the flow


def _lift(motion: OnsetMotion, expression: NDArray[np.float32], scene_flow: SceneFlow) -> NDArray[np.float16]:
    """(T, s, s) float16, see `Scene`, of the motion from the onset frame to every frame."""
    import cv2

    side = min(_LIFT_SIDE, len(expression))
    lifts = (scene_flow.lift(motion.flow(frame)[None], expression)[0] for frame in range(len(motion.nodes)))
    few = [cv2.resize(lift, (side, side), interpolation=cv2.INTER_AREA) for lift in lifts]
    return np.stack(few).astype(np.float16)


@dataclass(frozen=True, slots=True)
class _SideViews(Iterable[ViewClip]):
    """The side views of a clip, rendered one at a time: together they are larger than all other data."""

    scene: Scene
    config: BuildConfig
    renderer: Renderer
    clock: Stopwatch

    def __iter__(self) -> Iterator[ViewClip]:
        for yaw in self.config.camera.angles:
            with self.clock("views"):
                seen = render_geometry(self.scene, yaw, 0.0, self.config.render, self.renderer)
            yield make_view(self.scene, seen, self.config, self.clock)


def _frontal_view(front: FrontalClip) -> ViewClip:
    """The registered frontal clip, which sees the whole surface."""
    motion = front.flow.on(front.shown)
    return ViewClip(
        yaw=None,
        camera=front.surface.camera,
        colour=front.crops,
        flow=motion.frames,
        apex_flow=motion.apex,
        valid=front.shown & front.inside,
        depth=front.surface.depth,
        visible_attention=1.0,
    )


class Observation(NamedTuple):
    """Training data of the attention head from one clip. change : (1, C), see `attention.pooled_change`"""

    change: Floats
    label: Label


def observe(clip: Clip, read_frames: Callable[[Clip], Image], config: BuildConfig, tools: Tools) -> Observation | None:
    """How a labelled clip changes from onset to apex.

    None for a clip that has no label, cannot be read or shows no face, which the build reports later.
    """
    if clip.label is None:
        return None
    few = _few_frames(clip)
    try:
        onset, apex = _onset_and_apex(few, read_frames(few), config, tools)
    except ClipError:
        return None
    return Observation(pooled_change(onset[None], apex[None], tools.estimator), clip.label)


_OBSERVED = 8  # frames, spread over a clip, beside onset and apex: enough for the head's motion
_OBSERVED_UNMARKED = 24  # enough to find the apex, where the release marks none


def _few_frames(clip: Clip) -> Clip:
    """The clip with a few of its frames, the onset's and the apex's among them."""
    last = len(clip.frames) - 1
    most = _OBSERVED if clip.apex is not None else _OBSERVED_UNMARKED
    spread = np.linspace(0, last, min(most, last + 1)).round().astype(int).tolist()
    chosen = sorted({*spread, clip.position(clip.onset, 0), clip.position(clip.apex, 0)}) if last >= 0 else []
    return replace(clip, frames=tuple(clip.frames[index] for index in chosen))


def fit_attention_on(observed: Sequence[Observation]) -> dict[str, NDArray[Any]]:
    """Fit the attention head on observations of training clips; returns its arrays, for a safetensors file."""
    if not observed:
        return AttentionModel.empty().to_tensors()
    return fit_head(np.concatenate([each.change for each in observed]), [each.label for each in observed]).to_tensors()


def fit_attention_for(
    clips: Sequence[Clip], read_frames: Callable[[Clip], Image], config: BuildConfig, tools: Tools
) -> dict[str, NDArray[Any]]:
    """Observe clips and fit the attention head on them."""
    observed = [observe(clip, read_frames, config, tools) for clip in clips]
    return fit_attention_on([each for each in observed if each is not None])


def _onset_and_apex(clip: Clip, frames: Image, config: BuildConfig, tools: Tools) -> tuple[Image, Image]:
    """The registered crops of the onset and the apex frame."""
    face, crops = cut_face(clip, frames, config, tools)
    still = hold_still(clip, face, crops, config, tools)
    clip, crops, onset = still.clip, still.crops, still.onset
    apex = clip.position(clip.apex, onset)
    if clip.apex is None:
        camera = source_camera(face, config.camera)
        fit = fit_face(tools.landmarker.find(crops[[onset]]).points, camera, tools.model)
        shown = face_region(camera, fit.vertices[0])
        apex = apex_position(crops, onset, shown, motion_from_onset(crops, onset, shown), still.seen)
    return crops[onset], crops[apex]
