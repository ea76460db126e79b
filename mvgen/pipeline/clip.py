"""The way one clip goes, from frames to views. The only place where the order of the stages stands.

Frames are registered before they are rendered, not after as in section III-A of the main paper: a clip has one
geometry, which only an expression changes, and a frame must lie on that before it is draped over it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol, overload

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera, crop_camera, pinhole_crop_camera
from mvgen.core.config import BuildConfig, CameraConfig, RegistrationConfig
from mvgen.core.device import resolved_device
from mvgen.core.errors import ClipError, WeightsError
from mvgen.core.records import (
    BuiltClip,
    Clip,
    DepthMap,
    FacePoints,
    FaceTrack,
    Floats,
    Image,
    Label,
    Mask,
    Registration,
    ViewClip,
)
from mvgen.depth.clip_geometry import DepthPredictor, clip_geometry, frames_needed
from mvgen.faces.crop import crop_frames, track_face
from mvgen.faces.detection import Detector
from mvgen.faces.face_mesh_topology import IBUG
from mvgen.faces.landmarks import Landmarker, find_landmarks, ibug_landmarks
from mvgen.morphable.fitting import FaceFit, fit_face
from mvgen.morphable.model import FaceModel
from mvgen.morphable.rasterise import face_region, fit_image, vertex_normals
from mvgen.motion.flow import ClipFlow, clip_flow
from mvgen.motion.joint_flow import OnsetMotion, motion_from_onset
from mvgen.motion.paper import register_by_homography
from mvgen.motion.registration import apply, leave, only_usable, register, seen_in_all, usable_span
from mvgen.motion.scene_flow import SceneFlow
from mvgen.motion.signals import clip_signals
from mvgen.motion.surface_motion import clip_surface_motion
from mvgen.render import Renderer, get_renderer
from mvgen.views.attention import AttentionModel, attention_map, fit_head, pooled_change
from mvgen.views.view import Scene, Stopwatch, flow_methods, look, make_scene, make_view

# A landmark on skin that is seen this much aslant (the cosine) or more is on its way out of sight.
_GRAZING = 0.25


class DepthEstimator(DepthPredictor, Protocol):
    """The depth network: see `mvgen.depth.estimator`."""

    @property
    def encoder(self) -> Callable[[Any], Sequence[Any]]:
        """(N, 3, S, S) -> feature maps."""
        ...

    def normalise(self, crops: Image) -> Any:
        """Crops as the encoder takes them."""
        ...


@dataclass(frozen=True, slots=True)
class Tools:
    """What is loaded once per process and serves every clip."""

    detector: Detector
    landmarker: Landmarker
    model: FaceModel
    estimator: DepthEstimator
    attention: AttentionModel
    renderer: Renderer

    @classmethod
    def load(cls, config: BuildConfig, attention: Path | None = None) -> Tools:
        """Load the networks and open the renderer.

        attention : the head that `fit_attention_for` gave, as safetensors; None before there is one
        Raises WeightsError for weights that do not fit, MissingPartError without what the renderer needs.
        """
        from mvgen.depth.estimator import DepthEstimator as Network
        from mvgen.faces.detection import FaceDetector
        from mvgen.faces.face_mesh import FaceMesh
        from mvgen.morphable.model import face_model

        return cls(
            detector=FaceDetector(config.run.device),
            landmarker=FaceMesh(config.run.device),
            model=face_model(),
            estimator=Network(config.geometry.weights, config.run.device),
            attention=AttentionModel.empty() if attention is None else _read_attention(attention),
            renderer=get_renderer(config.render.renderer, resolved_device(config.run.device)),
        )


def _read_attention(path: Path) -> AttentionModel:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return AttentionModel.from_tensors(load_file(path))
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"attention weights {path} cannot be read: {error}; remove them to fit them again") from None


def build_clip(clip: Clip, frames: Image, config: BuildConfig, tools: Tools) -> BuiltClip:
    """Build one clip; its side views are made when they are asked for, and again when asked again.

    frames : (T, H, W, 3) uint8, the clip's frames
    Raises ClipError naming the stage that gave up.
    """
    clock = Stopwatch()
    onset = clip.position(clip.onset, 0)
    with clock("face"):
        face = find_face(frames, onset, config.camera, tools)
        camera = source_camera(face, config.camera)
        crops = crop_frames(frames, face)
        del frames  # they may be many times larger than what is cut out of them
    with clock("register"):
        registration, crops = _register(crops, onset, face, camera, config.registration, tools=tools)
        span = usable_span(registration, onset)
        clip = only_usable(clip, span, registration)
        registration, crops, onset = registration.part(span), crops[span], onset - span.start
        inside = seen_in_all(face.inside, registration)
    with clock("depth"):
        shown = crops[frames_needed(config.geometry.method, len(crops), onset)]
        points = tools.landmarker.find(shown)
        how = config.geometry.method
        surfaces, fits = clip_geometry(shown, points, camera, how, clip.fps, tools.model, tools.estimator)
        # A clip with one geometry has one depth; otherwise the onset frame's is the one that is kept.
        surface = surfaces[onset if len(surfaces) > 1 else 0]
        face = settle_landmarks(face, points, fits[onset if len(fits) > 1 else 0], surface)
    with clock("flow"):
        face_seen = np.any([np.isfinite(each.depth) for each in surfaces], axis=0)
        from_onset = motion_from_onset(crops, onset, face_seen)
        apex = clip.position(clip.apex, apex_position(crops, onset, np.isfinite(surface.depth), from_onset))
        frontal = clip_flow(crops, onset, apex, face_seen, flow_methods(config.flow, config.run.device), from_onset)
        fit = fits[onset if len(fits) > 1 else 0]
        scene_flow = SceneFlow(fit, surface)
        signals = clip_signals(registration.pose, from_onset, scene_flow)
        carried = config.flow.kind == "geometric"
        lift = _lift(from_onset.flows(), frontal.apex, scene_flow) if len(surfaces) == 1 else None
        motion = clip_surface_motion(frontal, surfaces, onset, apex, lift) if carried else None
    with clock("attention"):
        attention = attention_map(
            crops[onset],
            crops[apex],
            clip.label,
            model=tools.attention,
            estimator=tools.estimator,
            face=np.isfinite(surface.depth),
            motion=frontal.apex,
        )
    with clock("mesh"):
        scene = make_scene(crops, onset, apex, inside, face.landmarks, attention, surfaces, motion, lift)
    views = _Views(_source_view(crops, surface, inside, frontal), scene, config, tools.renderer, clock)
    # A release that marks no apex gets the one found here; the adapter's note on the clip says that it is an estimate.
    clip = replace(clip, apex=clip.frames[apex].number)
    return BuiltClip(clip, face, registration, signals, surface, fit, attention, views, clock.seconds, lift)


_LIFT_SIDE = 64  # of the grid that skin's motion in depth is kept on: it is as smooth as the flow


def _lift(flows: NDArray[np.float32], expression: NDArray[np.float32], scene_flow: SceneFlow) -> NDArray[np.float16]:
    """(T, s, s) float16, see `Scene`, of flows (T, S, S, 2) from the onset frame to every frame."""
    import cv2

    side = min(_LIFT_SIDE, flows.shape[1])
    lifts = (scene_flow.lift(flow[None], expression)[0] for flow in flows)
    few = [cv2.resize(lift, (side, side), interpolation=cv2.INTER_AREA) for lift in lifts]
    return np.stack(few).astype(np.float16)


@dataclass(frozen=True, slots=True)
class _Views(Sequence[ViewClip]):
    """The views of a clip, of which none but the frontal one is kept: together they are larger than all else."""

    source: ViewClip
    scene: Scene
    config: BuildConfig
    renderer: Renderer
    clock: Stopwatch

    def __len__(self) -> int:
        return 1 + len(self.config.camera.angles)

    @overload
    def __getitem__(self, index: int) -> ViewClip: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[ViewClip, ...]: ...

    def __getitem__(self, index: int | slice) -> ViewClip | tuple[ViewClip, ...]:
        if isinstance(index, slice):
            return tuple(self[each] for each in range(len(self))[index])
        number = range(len(self))[index]
        if number == 0:
            return self.source
        with self.clock("views"):
            seen = look(self.scene, self.config.camera.angles[number - 1], 0.0, self.config.render, self.renderer)
        return make_view(self.scene, seen, self.config, self.clock)


def find_face(frames: Image, onset: int, config: CameraConfig, tools: Tools) -> FaceTrack:
    """The one crop of a clip, and the landmarks in it. Raises ClipError("face") where no frame shows a face."""
    face = track_face(frames, config.size, tools.detector, onset)
    return find_landmarks(frames, face, tools.landmarker, onset)


def settle_landmarks(face: FaceTrack, points: FacePoints, fit: FaceFit, surface: DepthMap) -> FaceTrack:
    """The same face with its landmarks as registered frames show them, and which of them are seen.

    points : of the registered frames; fit : of the clip; surface : its depth, with where it shows face
    """
    landmarks = np.median(ibug_landmarks(points), axis=0)
    shown = surface.confidence[tuple(np.clip(landmarks[:, ::-1].astype(int), 0, len(surface.confidence) - 1).T)]
    facing = vertex_normals(fit.vertices[0])[IBUG, 2]
    return replace(face, landmarks=landmarks, visible=shown * np.clip(facing / _GRAZING, 0, 1))


def _register(
    crops: Image, onset: int, face: FaceTrack, camera: Camera, config: RegistrationConfig, *, tools: Tools
) -> tuple[Registration, Image]:
    """How the frames lie on the onset frame, and the frames brought there."""
    if config.method == "none":
        return leave(len(crops)), crops
    if config.method == "paper":
        landmarks = ibug_landmarks(tools.landmarker.find(crops))
        registration = register_by_homography(crops, onset, landmarks, face.inside, config.min_inliers)
        return registration, apply(crops, registration, np.zeros(crops.shape[1:3]))
    fit = fit_face(tools.landmarker.find(crops[[onset]]).points, camera, tools.model)
    shown = fit_image(camera, fit.vertices[0])
    depth = known_everywhere(tools.estimator.predict(crops[[onset]], shown[None]).depth[0])
    registration = register(crops, onset, fit, depth, camera)
    return registration, apply(crops, registration, depth)


def depth_everywhere(camera: Camera, fit: FaceFit) -> Floats:
    """Depth of a fit, (S, S) world units; beyond the face as at its nearest pixel."""
    return known_everywhere(fit_image(camera, fit.vertices[0])[..., 0])


def known_everywhere(depth: NDArray[np.floating]) -> Floats:
    """Depth (S, S), where it is NaN as at the nearest pixel where it is not."""
    from scipy.ndimage import distance_transform_edt

    nearest = distance_transform_edt(~np.isfinite(depth), return_distances=False, return_indices=True)
    return np.asarray(depth[tuple(nearest)], np.float64)


def source_camera(face: FaceTrack, config: CameraConfig) -> Camera:
    """The camera that took the crop, as the config describes it."""
    pivot = (0.0, 0.0, config.pivot_depth)
    if config.model == "orthographic" or config.focal is None or config.principal is None:
        return crop_camera(config.size, pivot)
    return pinhole_crop_camera(config.size, face.crop, config.focal, config.principal, pivot)


def apex_position(crops: Image, onset: int, face: Mask, motion: OnsetMotion) -> int:
    """Index of the frame to which the face has moved most since the onset, for releases that mark no apex.

    crops : (T, S, S, 3) uint8, registered; face : (S, S) bool; motion : of the crops
    Where nothing moves, it is the frame that differs most from the onset frame in the face; frames are smoothed first,
    so that the largest change is not the noisiest frame.
    """
    import cv2

    farthest = motion.farthest()
    if farthest is not None:
        return farthest

    sigma = crops.shape[1] / 128
    smooth = [cv2.GaussianBlur(crop.astype(np.float32), (0, 0), sigma)[face] for crop in crops]
    return int(np.argmax([np.abs(other - smooth[onset]).mean() for other in smooth]))


def _source_view(crops: Image, surface: DepthMap, inside: Mask, frontal: ClipFlow) -> ViewClip:
    """The registered frontal clip, which is always kept beside the views and sees all there is."""
    face = np.isfinite(surface.depth)
    motion = frontal.on(face)
    return ViewClip(
        yaw=None,
        camera=surface.camera,
        colour=crops,
        flow=motion.frames,
        apex_flow=motion.apex,
        valid=face & inside,
        depth=surface.depth,
        visible_attention=1.0,
        kept=True,
    )


class Observation(NamedTuple):
    """What the attention head is fitted on, of one clip. change : (1, C), see `attention.pooled_change`"""

    change: Floats
    label: Label


def observe(clip: Clip, read_frames: Callable[[Clip], Image], config: BuildConfig, tools: Tools) -> Observation | None:
    """How a labelled clip changes from onset to apex.

    None for a clip that has no label, cannot be read or shows no face; the build reports it when it comes to it.
    """
    if clip.label is None:
        return None
    few = _few_frames(clip)
    try:
        onset, apex = _onset_and_apex(few, read_frames(few), config, tools)
    except ClipError:
        return None
    return Observation(pooled_change(onset[None], apex[None], tools.estimator), clip.label)


_OBSERVED = 8  # frames, spread over a clip, beside its onset and apex, that tell the head's path well enough
_OBSERVED_UNMARKED = 24  # among which the apex is looked for where the release marks none


def _few_frames(clip: Clip) -> Clip:
    """The clip with a few of its frames, the onset's and the apex's among them."""
    last = len(clip.frames) - 1
    most = _OBSERVED if clip.apex is not None else _OBSERVED_UNMARKED
    spread = np.linspace(0, last, min(most, last + 1)).round().astype(int).tolist()
    chosen = sorted({*spread, clip.position(clip.onset, 0), clip.position(clip.apex, 0)}) if last >= 0 else []
    return replace(clip, frames=tuple(clip.frames[index] for index in chosen))


def fit_attention_on(observed: Sequence[Observation]) -> dict[str, NDArray[Any]]:
    """Fit the attention head on clips of the training split; returns its arrays, for a safetensors file."""
    if not observed:
        return AttentionModel.empty().to_tensors()
    return fit_head(np.concatenate([each.change for each in observed]), [each.label for each in observed]).to_tensors()


def fit_attention_for(
    clips: Sequence[Clip], read_frames: Callable[[Clip], Image], config: BuildConfig, tools: Tools
) -> dict[str, NDArray[Any]]:
    """Observe clips one after the other and fit the attention head on them."""
    observed = [observe(clip, read_frames, config, tools) for clip in clips]
    return fit_attention_on([each for each in observed if each is not None])


def _onset_and_apex(clip: Clip, frames: Image, config: BuildConfig, tools: Tools) -> tuple[Image, Image]:
    """The registered crops of the two frames that an expression is classified by."""
    onset = clip.position(clip.onset, 0)
    face = find_face(frames, onset, config.camera, tools)
    camera = source_camera(face, config.camera)
    crops = crop_frames(frames, face)
    registration, crops = _register(crops, onset, face, camera, config.registration, tools=tools)
    span = usable_span(registration, onset)
    clip, crops, first = only_usable(clip, span, registration), crops[span], onset - span.start
    apex = first if clip.apex is None else clip.position(clip.apex, first)
    if clip.apex is None:
        fit = fit_face(tools.landmarker.find(crops[[first]]).points, camera, tools.model)
        shown = face_region(camera, fit.vertices[0])
        apex = apex_position(crops, first, shown, motion_from_onset(crops, first, shown))
    return crops[first], crops[apex]
