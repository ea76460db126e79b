"""From frames to a registered frontal clip: face, head, depth, motion; the first step of builds and recognisers.

`frontal_clip` runs its parts `cut_face`, `hold_still` and `measure`, for callers that do nothing between them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera, crop_camera, pinhole_crop_camera
from mvgen.core.config import BuildConfig, CameraConfig
from mvgen.core.records import (
    Clip,
    ClipGeometry,
    DepthMap,
    FaceFit,
    FacePoints,
    FaceTrack,
    Floats,
    Frames,
    Image,
    Mask,
    Quality,
    Registration,
)
from mvgen.core.stopwatch import Stopwatch
from mvgen.depth.clip_geometry import clip_geometry, frames_needed
from mvgen.faces.crop import crop_frames, track_face
from mvgen.faces.face_mesh_topology import IBUG
from mvgen.faces.landmarks import find_landmarks, ibug_landmarks
from mvgen.morphable.fitting import fit_face
from mvgen.morphable.rasterise import fit_image, vertex_normals
from mvgen.motion.flow.joint import motion_from_onset
from mvgen.motion.flow.methods import ClipFlow, clip_flow
from mvgen.motion.flow.onset_motion import OnsetMotion
from mvgen.motion.paper import register_by_homography
from mvgen.motion.registration import apply, leave, only_usable, register, seen_in_all, usable_span
from mvgen.pipeline.quality import check_frames, judge, with_occlusion
from mvgen.pipeline.sensed import sensed_surface
from mvgen.pipeline.tools import Tools
from mvgen.sources.frames import open_frames
from mvgen.views.view import flow_methods

# Cosine of the viewing angle below which a landmark is less and less visible.
_GRAZING = 0.25


class StillClip(NamedTuple):
    """A registered clip, in which the head stands still.

    clip : without the frames that cannot be registered; face : its crop
    crops : (T, S, S, 3) uint8, registered onto the onset frame; onset : its position, from 0
    seen : (T,) bool, frames that show the face of the onset frame; quality : all but the occlusion
    """

    clip: Clip
    face: FaceTrack
    crops: Image
    onset: int
    registration: Registration
    seen: Mask
    quality: Quality


@dataclass(frozen=True, slots=True)
class FrontalClip:
    """A registered frontal clip and its measurements.

    clip : without the frames that cannot be registered; with an estimated apex where the release marks none
    crops : (T, S, S, 3) uint8, registered onto the onset frame
    onset, apex : positions in the clip, from 0
    face : its landmarks are those of the onset frame
    inside : (S, S) bool, crop pixels that the source image covers in every frame
    surfaces : depth of the face; fits : the face model that it is based on
    from_onset : motion from the onset frame to every frame
    flow : motion from frame to frame, and from onset to apex, wherever a surface shows
    quality : how well the clip shows one face
    """

    clip: Clip
    crops: Image
    onset: int
    apex: int
    face: FaceTrack
    inside: Mask
    registration: Registration
    surfaces: ClipGeometry[DepthMap]
    fits: ClipGeometry[FaceFit]
    from_onset: OnsetMotion
    flow: ClipFlow
    quality: Quality

    @property
    def surface(self) -> DepthMap:
        """Of the onset frame."""
        return self.surfaces.at_onset

    @property
    def shown(self) -> Mask:
        """(S, S) bool, where the clip shows face."""
        return np.isfinite(self.surface.depth)


def frontal_clip(
    clip: Clip, config: BuildConfig, tools: Tools, read: Callable[[Clip], Frames] = open_frames
) -> FrontalClip:
    """The registered frontal clip of a release's clip, with depth and motion of the face.

    read : gives the clip's frames, (T, H, W, 3) uint8
    Raises ClipError naming the stage that failed.
    """
    return measure(hold_still(clip, *cut_face(clip, read(clip), config, tools), config, tools), config, tools)


def cut_face(clip: Clip, frames: Frames, config: BuildConfig, tools: Tools) -> tuple[FaceTrack, Image]:
    """The face of a clip's frames (T, H, W, 3) uint8, and its crops (T, S, S, 3) uint8. Raises ClipError("face")."""
    face = find_face(frames, clip.position(clip.onset, 0), config.camera, tools)
    return face, crop_frames(frames, face)


def hold_still(clip: Clip, face: FaceTrack, crops: Image, config: BuildConfig, tools: Tools) -> StillClip:
    """Register the crops (T, S, S, 3) uint8 of a clip onto its onset frame.

    Raises ClipError("face") where they do not show one face, ClipError("register") where they cannot be registered.
    """
    onset = clip.position(clip.onset, 0)
    points = tools.landmarker.find(crops[[onset]])
    registration, still = _register(crops, onset, face, points, config, tools)
    checked = check_frames(clip, crops, still, registration, face, points, tools.landmarker)
    del crops
    span = slice(0, len(still))
    if config.registration.method != "none":
        registration = replace(registration, reasons=checked.reasons)
        span = usable_span(registration, onset)
        clip = only_usable(clip, span, registration)
    clip, quality = judge(clip, still[span], face, checked, span)
    return StillClip(clip, face, still[span], onset - span.start, registration.part(span), checked.seen[span], quality)


def measure(still: StillClip, config: BuildConfig, tools: Tools, clock: Stopwatch | None = None) -> FrontalClip:
    """Find the depth of a registered clip's face, its apex, and its motion."""
    clock = clock or Stopwatch()
    clip, face, crops, onset, registration, seen_face, quality = still
    with clock("depth"):
        seen = crops[frames_needed(config.geometry.method, len(crops), onset)]
        points = tools.landmarker.find(seen)
        camera = source_camera(face, config.camera)
        surfaces, fits = clip_geometry(
            seen, points, camera, config.geometry.method, clip.fps, tools.model, tools.estimator, onset
        )
        if config.geometry.method == "source":
            surfaces = surfaces.map(
                lambda one: sensed_surface(clip.frames, onset, face, registration, one, fits.at_onset, config.camera)
            )
        face = settle_landmarks(face, points, fits.at_onset, surfaces.at_onset)
        clip, quality = with_occlusion(clip, quality, surfaces.at_onset)
    with clock("flow"):
        shown = np.any([np.isfinite(each.depth) for each in surfaces.each], axis=0)
        from_onset = motion_from_onset(crops, onset, shown)
        estimate = apex_position(crops, onset, np.isfinite(surfaces.at_onset.depth), from_onset, seen_face)
        apex = clip.position(clip.apex, estimate)
        flow = clip_flow(crops, onset, apex, shown, flow_methods(config.flow, config.run.device), from_onset)
    return FrontalClip(
        # A release that marks no apex gets the one found here; the adapter's note says that it is an estimate.
        clip=replace(clip, apex=clip.frames[apex].number),
        crops=crops,
        onset=onset,
        apex=apex,
        face=face,
        inside=seen_in_all(face.inside, registration),
        registration=registration,
        surfaces=surfaces,
        fits=fits,
        from_onset=from_onset,
        flow=flow,
        quality=quality,
    )


def find_face(frames: Frames, onset: int, config: CameraConfig, tools: Tools) -> FaceTrack:
    """The one crop of a clip, and the landmarks in it. Raises ClipError("face") where no frame shows a face."""
    face = track_face(frames, config.size, tools.detector, onset)
    return find_landmarks(frames, face, tools.landmarker, onset)


def settle_landmarks(face: FaceTrack, points: FacePoints, fit: FaceFit, surface: DepthMap) -> FaceTrack:
    """The same face with the median landmarks of the registered frames, and their visibility.

    points : of the registered frames; fit : of the clip; surface : its depth, with the confidence of the face
    """
    landmarks = np.median(ibug_landmarks(points), axis=0)
    shown = surface.confidence[tuple(np.clip(landmarks[:, ::-1].astype(int), 0, len(surface.confidence) - 1).T)]
    facing = vertex_normals(fit.vertices[0])[IBUG, 2]
    return replace(face, landmarks=landmarks, visible=shown * np.clip(facing / _GRAZING, 0, 1))


def _register(  # noqa: PLR0917
    crops: Image, onset: int, face: FaceTrack, points: FacePoints, config: BuildConfig, tools: Tools
) -> tuple[Registration, Image]:
    """How the frames lie on the onset frame, and the frames brought there. points : of the onset frame"""
    if config.registration.method == "none":
        return leave(len(crops)), crops
    camera = source_camera(face, config.camera)
    if config.registration.method == "paper":
        landmarks = ibug_landmarks(tools.landmarker.find(crops))
        registration = register_by_homography(crops, onset, landmarks, face.inside, config.registration.min_inliers)
        return registration, apply(crops, registration, np.zeros(crops.shape[1:3]))
    fit = fit_face(points.points, camera, tools.model)
    shown = fit_image(camera, fit.vertices[0])
    depth = fill_nearest(tools.estimator.predict(crops[[onset]], shown[None]).depth[0])
    registration = register(crops, onset, fit, depth, camera)
    return registration, apply(crops, registration, depth)


def depth_everywhere(camera: Camera, fit: FaceFit) -> Floats:
    """Depth of a fit, (S, S) world units; outside the face that of its nearest pixel."""
    return fill_nearest(fit_image(camera, fit.vertices[0])[..., 0])


def fill_nearest(depth: NDArray[np.floating]) -> Floats:
    """Depth (S, S) with every NaN replaced by the value of the nearest other pixel."""
    from scipy.ndimage import distance_transform_edt

    nearest = distance_transform_edt(~np.isfinite(depth), return_distances=False, return_indices=True)
    return np.asarray(depth[tuple(nearest)], np.float64)


def source_camera(face: FaceTrack, config: CameraConfig) -> Camera:
    """The camera of the crop, as the config describes it."""
    pivot = (0.0, 0.0, config.pivot_depth)
    if config.model == "orthographic" or config.focal is None or config.principal is None:
        return crop_camera(config.size, pivot)
    return pinhole_crop_camera(config.size, face.crop, config.focal, config.principal, pivot)


def apex_position(crops: Image, onset: int, face: Mask, motion: OnsetMotion, seen: Mask | None = None) -> int:
    """Index of the frame to which the face has moved most since the onset, for releases that mark no apex.

    crops : (T, S, S, 3) uint8, registered; face : (S, S) bool; motion : of the crops
    seen : (T,) bool, frames that show the face; None is all
    Where nothing moves, it is the frame that differs most from the onset frame in the face; frames are smoothed first,
    so that the largest change is not the noisiest frame.
    """
    import cv2

    seen = np.ones(len(crops), bool) if seen is None else seen
    farthest = motion.farthest(seen)
    if farthest is not None:
        return farthest
    sigma = crops.shape[1] / 128
    smooth = [cv2.GaussianBlur(crop.astype(np.float32), (0, 0), sigma)[face] for crop in crops]
    changes = np.array([np.abs(other - smooth[onset]).mean() for other in smooth])
    return int(np.where(seen, changes, -1.0).argmax())
