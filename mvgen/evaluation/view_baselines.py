"""Methods to make the side views of a clip, for comparison: builds with other settings, or with other surfaces."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvgen.core.config import BuildConfig
from mvgen.core.records import BuiltClip, ClipGeometry, Mask, ViewClip
from mvgen.evaluation.depth_metrics import plane_values
from mvgen.evaluation.mean_face import posed_mean
from mvgen.evaluation.stand_ins import Take, TrueClip, record
from mvgen.motion.flow.methods import clip_flow
from mvgen.motion.surface_motion import clip_surface_motion
from mvgen.pipeline.clip import build_clip
from mvgen.pipeline.tools import Tools
from mvgen.render import Renderer
from mvgen.scans.head import HeadModel
from mvgen.views.view import Scene, flow_methods, make_scene, make_view, render_geometry

Floats = NDArray[np.floating]
Views = dict[float, ViewClip]

DEFAULT_BUILD = "mvgen build, its defaults"
TRUE_DEPTH, POSED_MEAN, PLANE = "true depth", "posed mean face", "plane"
AS_PUBLISHED = "crop and depth of every frame, unregistered"

# Builds that differ in these settings.
BUILDS: dict[str, dict[str, Any]] = {
    "registered as in the paper": {"registration": {"method": "paper"}},
    "without registration": {"registration": {"method": "none"}},
    "depth of every frame": {"geometry": {"method": "per-frame"}},
}


def build(take: Take, config: BuildConfig, tools: Tools) -> BuiltClip:
    """The built clip of the frames of a take."""
    return build_clip(record(take.plan, len(take.frames)), take.frames, config, tools)


def side_views(built: BuiltClip) -> Views:
    """The views of a built clip by their yaw, without the frontal one."""
    return {view.yaw: view for view in built.sides if view.yaw is not None}


def scene_of(built: BuiltClip, onset: int) -> Scene:
    """The scene from which the views of a built clip are rendered. onset : position of the onset frame."""
    front, found, apex = built.frontal, built.reconstruction, built.clip.position(built.clip.apex, onset)
    surfaces = ClipGeometry((found.depth,), onset)
    return make_scene(front.colour, apex, front.valid, found.face.landmarks, found.attention, surfaces)


def on_surface(
    scene: Scene, attention: NDArray[np.float32], depth: Floats, config: BuildConfig, renderer: Renderer
) -> Views:
    """The views of a scene with another depth (S, S) of the face in the crop; NaN where there is none."""
    surfaces = ClipGeometry((replace(scene.surface, depth=depth.astype(np.float32)),), scene.onset)
    scene = make_scene(scene.crops, scene.apex, scene.inside, scene.landmarks, attention, surfaces)
    if config.flow.kind == "geometric":
        face = np.isfinite(scene.surface.depth)
        frontal = clip_flow(scene.crops, scene.onset, scene.apex, face, flow_methods(config.flow, config.run.device))
        scene = replace(scene, motion=clip_surface_motion(frontal, surfaces, scene.apex))
    return {
        yaw: make_view(scene, render_geometry(scene, yaw, 0.0, config.render, renderer), config)
        for yaw in config.camera.angles
    }


def flat(depth: Floats, face: Mask) -> NDArray[np.float32]:
    """The best-fitting plane of a depth map (S, S) in a face (S, S), NaN elsewhere.

    Its views are an affine map of the picture for an orthographic camera, a homography for a pinhole: the best that a
    planar method can do, since it is fitted to the true depth.
    """
    return np.where(face, plane_values(depth, face & np.isfinite(depth)), np.nan).astype(np.float32)


def other_depths(face: Mask, true: TrueClip, mean: HeadModel) -> dict[str, Floats]:
    """Other depths of a face (S, S): the true one, and some that need no network.

    mean : the head model whose template is the mean face; it is posed onto the true landmarks
    """
    onset = true.take.plan.onset
    depth = true.see(onset).depth
    found = {
        TRUE_DEPTH: depth,
        POSED_MEAN: posed_mean(mean, true.landmarks(onset), true.size),
        PLANE: flat(depth, face),
    }
    return {name: np.where(face, one, np.nan) for name, one in found.items()}


def frame_by_frame(take: Take, config: BuildConfig, tools: Tools) -> Views:
    """The method of section III-A of the main paper: crop and depth are found for every frame."""
    clip = record(take.plan, len(take.frames))
    frames = [
        side_views(build_clip(replace(clip, frames=(one,)), take.frames[index : index + 1], config, tools))
        for index, one in enumerate(clip.frames)
    ]
    views = {}
    for yaw in config.camera.angles:
        shown = [frame[yaw] for frame in frames]
        colour = np.concatenate([view.colour for view in shown])
        surface = np.all([np.isfinite(view.depth) for view in shown], axis=0)
        motion = clip_flow(
            colour, take.plan.onset, take.plan.apex, surface, flow_methods(config.flow, config.run.device)
        )
        valid = np.all([view.valid for view in shown], axis=0)
        views[yaw] = replace(
            shown[take.plan.onset], colour=colour, flow=motion.frames, apex_flow=motion.apex, valid=valid
        )  # fmt: skip
    return views


def all_methods(
    take: Take, mean: HeadModel, config: BuildConfig, flows: Mapping[str, dict[str, Any]], tools: Tools
) -> tuple[BuiltClip, TrueClip, dict[str, Views]]:
    """A take by every method: the default build, its ground truth, and views by method, DEFAULT_BUILD first.

    flows : further flow methods, name -> settings of flow
    """
    built = build(take, config, tools)
    true = TrueClip(take, built.reconstruction.face.crop, config.camera.size)
    found = {DEFAULT_BUILD: side_views(built)}
    scene = scene_of(built, take.plan.onset)
    for name, settings in flows.items():
        found[name] = on_surface(
            scene,
            built.reconstruction.attention,
            scene.surface.depth,
            config.changed(flow=settings),
            tools.renderer,
        )
    for name, settings in BUILDS.items():
        found[name] = side_views(build(take, config.changed(**settings), tools))
    found[AS_PUBLISHED] = frame_by_frame(take, config.changed(registration={"method": "none"}), tools)
    for name, depth in other_depths(np.isfinite(scene.surface.depth), true, mean).items():
        found[name] = on_surface(scene, built.reconstruction.attention, depth, config, tools.renderer)
    return built, true, found
