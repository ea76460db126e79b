"""Rendering of one view of a clip, for builds and for angles requested from a finished store."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvgen.core.config import BuildConfig, FlowConfig, RenderConfig
from mvgen.core.records import ClipGeometry, DepthMap, Floats, Image, Mask, Mesh, ViewClip, ViewGeometry
from mvgen.core.stopwatch import Stopwatch
from mvgen.motion.flow.methods import ClipFlow, FlowMethods, clip_flow, get_flow_methods
from mvgen.motion.surface_motion import SurfaceMotion, project_clip_motion, project_motion
from mvgen.render import Renderer, project_texture, seen_inside
from mvgen.render.fill import SeenFace, background, composite, fill_unseen
from mvgen.render.lifting import lift_skin
from mvgen.render.mesh import mesh_from_depth, smooth_outline
from mvgen.views.attention import AttendedSurface, visible_attention


@dataclass(frozen=True, slots=True)
class Scene:
    """A registered clip and its geometry, from which every view of the clip is made.

    crops : (T, S, S, 3) uint8, registered onto the onset frame
    onset, apex : positions in the clip, from 0
    inside : (S, S) bool, crop pixels that the source's picture covers in every frame, see `registration.seen_in_all`
    landmarks : (68, 2) float, crop pixels of the onset frame; None where there are none
    attended : the surface that has attention
    surface : the face's depth, NaN outside it; of the onset frame where each frame has its own
    face : the surface as the source saw it
    motion : of the surface; for flow that is geometric
    lift : (T, s, s) float16, world units, on a coarser grid of the source's pixels: displacement in depth of each
        frame's skin from the clip's one geometry, positive toward the camera; None leaves all frames on that geometry
    """

    crops: Image
    onset: int
    apex: int
    inside: Mask
    landmarks: Floats | None
    attended: AttendedSurface
    surface: DepthMap
    meshes: ClipGeometry[Mesh]
    face: SeenFace
    motion: SurfaceMotion | None = None
    lift: NDArray[np.float16] | None = None


def make_scene(  # noqa: PLR0917
    crops: Image,
    apex: int,
    inside: Mask,
    landmarks: Floats | None,
    attention: NDArray[np.float32],
    surfaces: ClipGeometry[DepthMap],
    motion: SurfaceMotion | None = None,
    lift: NDArray[np.float16] | None = None,
) -> Scene:
    """Prepare a clip for rendering from any angle.

    surfaces : the face's depth, NaN outside it
    motion, lift : see `Scene`
    """
    surface = surfaces.at_onset
    return Scene(
        crops=crops,
        onset=surfaces.onset,
        apex=apex,
        inside=inside,
        landmarks=landmarks,
        attended=AttendedSurface.of(attention, surface),
        surface=surface,
        meshes=surfaces.map(surface_mesh),
        face=SeenFace.of(surface, inside, landmarks),
        motion=motion,
        lift=lift,
    )


def surface_mesh(surface: DepthMap) -> Mesh:
    """The mesh of a face's depth, with a smooth outline."""
    return smooth_outline(mesh_from_depth(surface), surface.camera)


def render_geometry(
    scene: Scene, yaw: float, pitch: float, config: RenderConfig, renderer: Renderer
) -> ClipGeometry[ViewGeometry]:
    """Render every geometry of a clip from an angle, degrees."""
    camera = scene.surface.camera.at(yaw, pitch)
    return scene.meshes.map(lambda mesh: renderer.render(mesh, camera, config.grazing))


def visible_share(scene: Scene, seen: ClipGeometry[ViewGeometry], config: RenderConfig) -> float:
    """Share of the clip's attention that is visible in a view, in [0, 1]; seen : from `render_geometry`."""
    return visible_attention(scene.attended, seen.at_onset, config.grazing)


def make_view(
    scene: Scene,
    seen: ClipGeometry[ViewGeometry],
    config: BuildConfig,
    clock: Stopwatch | None = None,
    with_flow: bool = True,
) -> ViewClip:
    """One view of a clip: colour, flow, and the mask of surface that the source saw.

    seen : from `render_geometry`
    with_flow : False leaves the view without flow, (0, S, S, 2)
    """
    clock = clock or Stopwatch()
    view = seen.at_onset
    with clock("views"):
        colour = _project_texture(seen, scene.crops)
        if scene.lift is not None and not seen.moves:
            lift_skin(colour, scene.lift, view)
        hit, valid = _common(seen, scene.inside)
        if config.render.fill == "mirror":
            colour = fill_unseen(
                colour, view, hit & ~valid, scene.crops, scene.face, onset=scene.onset, grazing=config.render.grazing
            )
        behind = background(config.render.background, scene.crops[scene.onset], scene.face)
        colour = composite(colour, np.stack([each.coverage for each in seen.each]), behind)
    with clock("flow"):
        motion = view_flow(scene, seen, colour, hit, config) if with_flow else ClipFlow.none(len(hit))
    with clock("attention"):
        share = visible_share(scene, seen, config.render)
    return ViewClip(
        yaw=view.camera.yaw,
        camera=view.camera,
        colour=colour,
        flow=motion.frames,
        apex_flow=motion.apex,
        valid=valid,
        depth=np.where(hit, view.depth, np.float32(np.nan)),
        visible_attention=share,
    )


def view_flow(
    scene: Scene, seen: ClipGeometry[ViewGeometry], colour: Image, hit: Mask, config: BuildConfig
) -> ClipFlow:
    """Motion in a view, estimated in its pictures or projected from the frontal clip, by the config.

    seen : from `render_geometry`; colour : (T, S, S, 3) uint8; hit : (S, S) bool, where the view shows a surface
    """
    if config.flow.kind == "image":
        return clip_flow(colour, scene.onset, scene.apex, hit, flow_methods(config.flow, config.run.device))
    if scene.motion is None:
        raise ValueError("flow that is projected from the frontal clip needs the scene's motion")
    motion = scene.motion
    if not seen.moves:
        return project_clip_motion(motion, seen.at_onset)
    frames = np.concatenate([project_motion(one[None], seen.at(index)) for index, one in enumerate(motion.frames)])
    return ClipFlow(frames, project_motion(motion.apex[None], seen.at_onset)[0]).on(hit)


def flow_methods(config: FlowConfig, device: str) -> FlowMethods:
    """The flow method of the config."""
    return get_flow_methods(config.method, config.weights, device)


def _project_texture(seen: ClipGeometry[ViewGeometry], crops: Image) -> Image:
    """Colour of every frame, on the clip's one geometry or on each frame's own."""
    if not seen.moves:
        return project_texture(seen.at_onset, crops)
    return np.concatenate([project_texture(seen.at(index), crop[None]) for index, crop in enumerate(crops)])


def _common(seen: ClipGeometry[ViewGeometry], inside: Mask) -> tuple[Mask, Mask]:
    """(S, S) bool each: where every geometry shows a surface, and where the source saw that surface too."""
    hit, valid = np.ones_like(inside), np.ones_like(inside)
    for view in seen.each:
        hit &= np.isfinite(view.depth)
        # A pixel on the outline shows some of the background too.
        valid &= seen_inside(view, inside) & (view.coverage == 1)
    return hit, valid & hit
