"""Still faces with sensor noise: any motion of their geometry is false."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import crop_camera
from mvgen.core.config import CameraConfig, Geometry
from mvgen.core.records import FacePoints, FaceTrack, Image
from mvgen.depth.clip_geometry import clip_geometry, frames_needed
from mvgen.evaluation.depth_metrics import jitter
from mvgen.faces.crop import crop_frames
from mvgen.morphable.fitting import fit_face
from mvgen.motion.registration import apply, register
from mvgen.pipeline.frontal import depth_everywhere, find_face
from mvgen.pipeline.tools import Tools

FRAMES, FPS, SIZE = 14, 30.0, 256
MODES: tuple[Geometry, ...] = tuple(how for how in get_args(Geometry) if how != "source")  # that needs a sensor


@dataclass(frozen=True, slots=True)
class Still:
    """The picture of a still clip: its name, and (H, W, 3) uint8."""

    name: str
    picture: Image


def astronaut() -> Still:
    """A photograph of a real face that comes with scikit-image."""
    from skimage.data import astronaut as photograph

    return Still("astronaut", np.asarray(photograph(), np.uint8))


def noisy(still: Still, sigma: float, seed: int = 5) -> Image:
    """FRAMES frames (T, H, W, 3) uint8 of a still, with fresh noise of standard deviation `sigma`, of 255, in each."""
    noise = np.random.default_rng(seed).normal(0, sigma, (FRAMES, *still.picture.shape))
    return np.clip(still.picture + noise, 0, 255).round().astype(np.uint8)


def registered(frames: Image, onset: int, tools: Tools) -> tuple[FaceTrack, Image]:
    """The face of a clip and its registered crops (T, SIZE, SIZE, 3), as a build makes them."""
    face = find_face(frames, onset, CameraConfig(size=SIZE), tools)
    crops = crop_frames(frames, face)
    camera = crop_camera(SIZE)
    fit = fit_face(tools.landmarker.find(crops[[onset]]).points, camera, tools.model)
    depth = depth_everywhere(camera, fit)
    return face, apply(crops, register(crops, onset, fit, depth, camera), depth)


def geometries(crops: Image, onset: int, fps: float, tools: Tools) -> dict[Geometry, NDArray[np.float32]]:
    """Depth of registered crops by kind of geometry, NaN outside the face: (T, S, S), or (1, S, S) for all."""
    points, found = tools.landmarker.find(crops), {}
    for how in MODES:
        needed = frames_needed(how, len(crops), onset)
        few = FacePoints(points.points[needed], points.confidence[needed])
        surfaces, _ = clip_geometry(
            crops[needed], few, crop_camera(SIZE), how, fps, tools.model, tools.estimator
        )  # fmt: skip
        found[how] = np.stack([surface.depth for surface in surfaces.each])
    return found


def jitters(frames: Image, tools: Tools) -> dict[Geometry, float]:
    """RMS false change of depth from frame to frame, % of the inter-ocular distance, by geometry of a build."""
    _, crops = registered(frames, 0, tools)
    found = geometries(crops, 0, FPS, tools)
    known = np.all([np.isfinite(depth).all(axis=0) for depth in found.values()], axis=0)
    return {how: jitter(depth, known) if len(depth) > 1 else 0.0 for how, depth in found.items()}
