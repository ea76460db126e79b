"""How one view of a clip is made. A build goes this way, and so does an angle that is asked of a finished store."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvgen.core.config import BuildConfig, FlowConfig, RenderConfig
from mvgen.core.records import ClipGeometry, DepthMap, Floats, Image, Mask, Mesh, ViewClip, ViewGeometry
from mvgen.core.stopwatch import Stopwatch
from mvgen.motion.flow import ClipFlow, FlowMethods, clip_flow, get_flow_methods
from mvgen.motion.surface_motion import SurfaceMotion, see_clip_motion, see_motion
from mvgen.render import Renderer, drape, seen_inside
from mvgen.render.fill import SeenFace, background, fill_unseen, lay_over
from mvgen.render.lifting import lift_skin
from mvgen.render.mesh import mesh_from_depth, smooth_outline
from mvgen.views.attention import AttendedSurface, visible_attention


@dataclass(frozen=True, slots=True)
class Scene:
    """A registered clip and its geometry: what every view of the clip is made from.

    crops : (T, S, S, 3) uint8, registered onto the onset frame
    onset, apex : positions in the clip, from 0
    inside : (S, S) bool, crop pixels that the source's picture covers in every frame
    landmarks : (68, 2) float, crop pixels of the onset frame; None where there are none
    attended : where on the surface the attention is
    surface : the face's depth, NaN outside it; of the onset frame where each frame has its own
    face : how the source saw the surface
    motion : of the surface; for flow that is geometric
    lift : (T, s, s) float16, world units, on a coarser grid of the source's pixels: how much nearer to the camera each
        frame has the skin than the clip's one geometry; None leaves all frames on that geometry
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
    """Make a clip ready to be seen from any angle.

    surfaces : the face's depth, NaN outside it
    motion, lift : see `Scene`
    """
    surface = surfaces.at_onset
    inside = _sampled_inside(inside)
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


def _sampled_inside(inside: Mask) -> Mask:
    """(S, S) bool, where cubic interpolation reaches nothing but pixels inside: beyond them crops are black."""
    from scipy.ndimage import binary_erosion

    return np.asarray(binary_erosion(inside, np.ones((5, 5), bool), border_value=1))


def surface_mesh(surface: DepthMap) -> Mesh:
    """The mesh of a face's depth, its outline smooth."""
    return smooth_outline(mesh_from_depth(surface), surface.camera)


def look(
    scene: Scene, yaw: float, pitch: float, config: RenderConfig, renderer: Renderer
) -> ClipGeometry[ViewGeometry]:
    """What the camera at an angle, degrees, sees of every geometry of a clip."""
    camera = scene.surface.camera.at(yaw, pitch)
    return scene.meshes.map(lambda mesh: renderer.render(mesh, camera, config.grazing))


def visible_share(scene: Scene, seen: ClipGeometry[ViewGeometry], config: RenderConfig) -> float:
    """Share of the clip's attention that `look` sees, in [0, 1]."""
    return visible_attention(scene.attended, seen.at_onset, config.grazing)


def make_view(
    scene: Scene,
    seen: ClipGeometry[ViewGeometry],
    config: BuildConfig,
    clock: Stopwatch | None = None,
    with_flow: bool = True,
) -> ViewClip:
    """One view of a clip: colour, flow, and what of it was seen.

    seen : what `look` gave
    with_flow : False leaves the view without flow, (0, S, S, 2)
    """
    clock = clock or Stopwatch()
    view = seen.at_onset
    with clock("views"):
        colour = _drape(seen, scene.crops)
        if scene.lift is not None and not seen.moves:
            lift_skin(colour, scene.lift, view)
        hit, valid = _common(seen, scene.inside)
        if config.render.fill == "mirror":
            colour = fill_unseen(
                colour, view, hit & ~valid, scene.crops, scene.face, onset=scene.onset, grazing=config.render.grazing
            )
        behind = background(config.render.background, scene.crops[scene.onset], scene.face)
        colour = lay_over(colour, np.stack([each.coverage for each in seen.each]), behind)
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
    """Motion in a view, found in its pictures or carried there from the frontal clip, as the config says.

    seen : what `look` gave; colour : (T, S, S, 3) uint8; hit : (S, S) bool, where the view shows a surface
    """
    if config.flow.kind == "image":
        return clip_flow(colour, scene.onset, scene.apex, hit, flow_methods(config.flow, config.run.device))
    if scene.motion is None:
        raise ValueError("flow that is carried through the surface needs the scene's motion")
    motion = scene.motion
    if not seen.moves:
        return see_clip_motion(motion, seen.at_onset)
    frames = np.concatenate([see_motion(one[None], seen.at(index)) for index, one in enumerate(motion.frames)])
    return ClipFlow(frames, see_motion(motion.apex[None], seen.at_onset)[0]).on(hit)


def flow_methods(config: FlowConfig, device: str) -> FlowMethods:
    """What finds motion between pictures, as the config says."""
    return get_flow_methods(config.method, config.weights, device)


def _drape(seen: ClipGeometry[ViewGeometry], crops: Image) -> Image:
    """Colour of every frame, on the clip's one geometry or on each frame's own."""
    if not seen.moves:
        return drape(seen.at_onset, crops)
    return np.concatenate([drape(seen.at(index), crop[None]) for index, crop in enumerate(crops)])


def _common(seen: ClipGeometry[ViewGeometry], inside: Mask) -> tuple[Mask, Mask]:
    """Where every geometry shows a surface, and where that surface was seen in the source's picture."""
    hit, valid = np.ones_like(inside), np.ones_like(inside)
    for view in seen.each:
        hit &= np.isfinite(view.depth)
        # A pixel on the outline shows what is behind the face too.
        valid &= seen_inside(view, inside) & (view.coverage == 1)
    return hit, valid & hit
