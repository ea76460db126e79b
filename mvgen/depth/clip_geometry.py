"""The geometry of a clip: the face model fitted to its registered frames, corrected by the depth network.

Estimated frame by frame, as in section III-A of the main paper, depth changes with sensor noise and residual head
motion by more than a micro-expression moves, and a still face would move in every view.
`benchmarks/quality/clip_geometry.py` compares the methods offered here.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera
from mvgen.core.config import Geometry
from mvgen.core.records import ClipGeometry, DepthMap, FacePoints, FacePrediction, Image
from mvgen.morphable.fitting import FaceFit, fit_face
from mvgen.morphable.model import FaceModel
from mvgen.morphable.rasterise import face_region, fit_image

Floats = NDArray[np.floating]

_LOW_PASS = 0.035  # seconds, sigma of a Gaussian: half its width is half the shortest micro-expression
_MEAN_FRAMES = 8  # enough for sensor noise to average out


class DepthPredictor(Protocol):
    """The depth network: see `mvgen.depth.estimator`."""

    def predict(self, crops: Image, fit: NDArray[np.float32]) -> FacePrediction:
        """(T, S, S, 3) uint8 and their fits (T or 1, S, S, 4) -> depth and face probability of every crop."""
        ...


def frames_needed(how: Geometry, count: int, onset: int) -> list[int]:
    """Indices of the frames, of `count`, that `clip_geometry` needs: all, or a few spread over the clip."""
    if how in ("model", "per-frame"):
        return list(range(count))
    spread = np.linspace(0, count - 1, min(_MEAN_FRAMES, count)).round().astype(int)
    return sorted({onset, *spread.tolist()})


def clip_geometry(  # noqa: PLR0917
    crops: Image,
    points: FacePoints,
    camera: Camera,
    how: Geometry,
    fps: float,
    model: FaceModel,
    network: DepthPredictor,
    onset: int = 0,
) -> tuple[ClipGeometry[DepthMap], ClipGeometry[FaceFit]]:
    """The depth of a clip's face, and the fits that it is based on.

    crops : (T, S, S, 3) uint8, the registered frames of `frames_needed`; points : the landmarks in them
    camera : the source camera of the crop; fps : frames per second; onset : position of the onset frame in the clip
    "clip": one for all frames, from the mean of their landmarks and of the network's corrections. "per-frame": each
    frame by itself, as in the paper. "model": the clip's, moved by each frame's facial actions, low-passed over time.
    "source": as "clip"; `mvgen.pipeline.sensed` puts the sensor's depth in its place.
    """
    if how == "per-frame":
        fits = [fit_face(one[None], camera, model) for one in points.points]
        shown = np.stack([fit_image(camera, fit.vertices[0]) for fit in fits])
        seen = network.predict(crops, shown)
        surfaces = [
            _in_region(camera, fit.vertices[0], depth, face)
            for fit, depth, face in zip(fits, seen.depth, seen.face, strict=True)
        ]
        return ClipGeometry(tuple(surfaces), onset), ClipGeometry(tuple(fits), onset)
    mean = fit_face(points.points.mean(axis=0, keepdims=True), camera, model)
    shown = fit_image(camera, mean.vertices[0])
    seen = network.predict(crops, shown[None])
    depth, face = seen.depth.mean(axis=0), seen.face.mean(axis=0)
    if how in ("clip", "source") or len(crops) == 1:
        surfaces = [_in_region(camera, mean.vertices[0], depth, face)]
    else:
        added = np.nan_to_num(depth - shown[..., 0])
        surfaces = [
            _in_region(camera, vertices, fit_image(camera, vertices)[..., 0] + added, face)
            for vertices in moved_by_actions(mean, fit_face(points.points, camera, model), fps, model)
        ]
    return ClipGeometry(tuple(surfaces), onset), ClipGeometry((mean,), onset)


def moved_by_actions(mean: FaceFit, frames: FaceFit, fps: float, model: FaceModel) -> Floats:
    """(T, N, 3) the face of a clip, moved by each frame's facial actions minus their mean, low-passed over time.

    mean : the fit of the mean of all frames, whose head pose is used; frames : the fit of T registered frames
    """
    from scipy.ndimage import gaussian_filter1d

    actions = gaussian_filter1d(frames.actions - frames.actions.mean(axis=0), _LOW_PASS * fps, axis=0, mode="nearest")
    moved = mean.scale * np.tensordot(actions, model.actions.astype(np.float64), axes=1)
    return mean.vertices + moved @ mean.rotation[0].T


def _in_region(camera: Camera, vertices: Floats, depth: NDArray[np.float32], face: NDArray[np.float32]) -> DepthMap:
    """Depth, NaN outside the face region of the fit."""
    inside = face_region(camera, vertices) & np.isfinite(depth)
    return DepthMap(np.where(inside, depth, np.nan).astype(np.float32), face.astype(np.float32), camera)
