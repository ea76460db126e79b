"""Still faces with sensor noise: whatever moves in their geometry is false."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

import numpy as np
from depth_metrics import jitter

from mvgen.camera import crop_camera
from mvgen.config import Geometry
from mvgen.depth.clip import clip_geometry, frames_needed
from mvgen.depth.predict import DepthEstimator
from mvgen.faces.crop import crop_frames, track_face
from mvgen.faces.detection import FaceDetector
from mvgen.faces.landmarks import find_landmarks
from mvgen.mesh import face_mask
from mvgen.records import DepthMap, FaceTrack, Image
from mvgen.register import apply, register

FRAMES, FPS, SIZE = 14, 30.0, 256
MODES: tuple[Geometry, ...] = get_args(Geometry)


@dataclass(frozen=True, slots=True)
class Still:
    """A picture that a still clip is made of: its name, and (H, W, 3) uint8."""

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


def registered(frames: Image, onset: int, estimator: DepthEstimator, detector: FaceDetector) -> tuple[FaceTrack, Image]:
    """The face of a clip and its registered crops (T, SIZE, SIZE, 3), as a build makes them."""
    face = find_landmarks(frames, track_face(frames, SIZE, detector, onset), estimator, onset)
    crops = crop_frames(frames, face)
    seconds = np.arange(len(crops)) / FPS
    return face, apply(crops, register(crops, onset, face.points, landmarks=face.landmarks, seconds=seconds))


def jitters(frames: Image, estimator: DepthEstimator, detector: FaceDetector) -> dict[Geometry, float]:
    """RMS false change of depth from frame to frame, % of the inter-ocular distance, of a build's geometries."""
    _, crops = registered(frames, 0, estimator, detector)
    seen = estimator.predict(crops)
    known = face_mask(DepthMap(seen.depth.mean(axis=0), seen.face.mean(axis=0), crop_camera(SIZE)))
    found = {}
    for how in MODES:
        needed = frames_needed(how, len(crops), 0)
        geometry, _ = clip_geometry(seen.depth[needed], seen.face[needed], how, FPS)
        found[how] = jitter(geometry, known) if len(geometry) > 1 else 0.0
    return found
