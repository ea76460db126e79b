"""A clip of a camera at the side: the face is found as in a frontal clip, and framed as a built view frames it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mvgen.core.camera import Camera, crop_camera
from mvgen.core.config import BuildConfig
from mvgen.core.errors import ConfigError
from mvgen.core.landmarks68 import five_points
from mvgen.core.records import FaceFit, FacePoints, FaceTrack, Floats, Image, Mask
from mvgen.faces.crop import covered, crop_frames, crop_from_points, transform_points
from mvgen.faces.face_mesh_topology import IBUG
from mvgen.morphable.fitting import fit_face, pupils
from mvgen.morphable.rasterise import face_region
from mvgen.motion.flow.methods import ClipFlow, clip_flow
from mvgen.motion.registration import apply, leave, register, seen_in_all
from mvgen.pipeline.frontal import depth_everywhere, find_face
from mvgen.pipeline.tools import Tools
from mvgen.views.view import flow_methods


class SideClip(NamedTuple):
    """A registered clip of a camera at the side.

    crops : (T, S, S, 3) uint8, registered onto the onset frame
    shown : (S, S) bool, where every frame shows the face; flow : there, zero elsewhere
    landmarks : (68, 2) pixels, of the fit in the onset frame, hidden ones too
    """

    crops: Image
    shown: Mask
    flow: ClipFlow
    landmarks: Floats


def side_clip(frames: Image, *, onset: int, apex: int, config: BuildConfig, tools: Tools) -> SideClip:
    """A clip of another camera, registered as by `frontal_clip`, with the face that detector and landmarks find.

    frames : (T, H, W, 3) uint8; onset, apex : positions in the clip, from 0
    Raises ClipError("face") where no frame shows a face, ConfigError for the paper's registration, whose landmarks
    cannot be found from the side.
    """
    if config.registration.method == "paper":
        raise ConfigError("a side view cannot be registered as in the paper, without landmarks; use registration head")
    face = find_face(frames, onset, config.camera, tools)
    found = tools.landmarker.find(crop_frames(frames[[onset]], face))
    camera = crop_camera(config.camera.size, (0.0, 0.0, config.camera.pivot_depth))
    step = framing(fit_face(found.points, camera, tools.model), camera)
    crop = np.vstack([step, [0, 0, 1]]) @ np.vstack([face.crop, [0, 0, 1]])
    face = FaceTrack(
        crop[:2], face.size, face.points, face.confidence, face.faces, covered(crop[:2], face.size, *frames.shape[1:3])
    )
    fit = fit_face(_moved(found, step), camera, tools.model)
    crops = crop_frames(frames, face)
    registration = leave(len(crops))
    if config.registration.method == "head":
        depth = depth_everywhere(camera, fit)
        registration = register(crops, onset, fit, depth, camera)
        crops = apply(crops, registration, depth)
    shown = face_region(camera, fit.vertices[0], fit.rotation[0][:, 2]) & seen_in_all(face.inside, registration)
    flow = clip_flow(crops, onset, apex, shown, flow_methods(config.flow, config.run.device))
    return SideClip(crops, shown, flow, camera.project(fit.vertices[0][IBUG])[:, :2])


def framing(fit: FaceFit, camera: Camera) -> Floats:
    """(2, 3) similarity, pixel of a crop -> pixel of the view that a build gives of the same face from the same angle.

    fit : of a face in the crop; camera : of the crop
    A build's views have the scale and roll of the crop of the frontal clip, which is aligned to five points. They are
    those of the fit without its yaw and roll. The eyes are where the turn about the view's axis takes them.
    """
    rotation, eyes = fit.rotation[0], pupils(fit.vertices)[0]
    roll = np.arctan2(rotation[1, 0], rotation[0, 0])
    yaw = np.degrees(np.arctan2(rotation[2, 0], np.hypot(rotation[0, 0], rotation[1, 0])))
    seen, across = camera.at(float(yaw)), np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])
    turned = seen.rotation.copy()
    turned[:2] = across @ turned[:2]
    frontal = (fit.vertices[0][IBUG] - eyes) @ turned
    aligned = crop_from_points(five_points(camera.project(frontal)[:, :2]), camera.size)
    between = camera.unproject(np.r_[transform_points(aligned, camera.project(np.zeros(3))[:2]), 0.0])
    linear = float(np.hypot(aligned[0, 0], aligned[1, 0])) * across
    return np.column_stack([linear, seen.project(between)[:2] - linear @ camera.project(eyes)[:2]])


def _moved(found: FacePoints, step: Floats) -> Floats:
    """Points (1, 468, 3) of a crop in the crop that `step` (2, 3) leads to."""
    zoom = float(np.hypot(step[0, 0], step[1, 0]))
    return np.concatenate([transform_points(step, found.points[..., :2]), zoom * found.points[..., 2:]], axis=-1)
