"""Landmarks of a clip's face, and the crop aligned to them.

The detector's five points give a first crop, in which the landmarker finds its points. The clip's one crop is aligned
to them, since they jitter less than the detector's.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import numpy as np

from mvgen.core.camera import EYE_CENTRE, EYE_DISTANCE
from mvgen.core.errors import ClipError
from mvgen.core.landmarks68 import five_points
from mvgen.core.records import FacePoints, FaceTrack, Floats, Frames, Image
from mvgen.faces.crop import covered, crop_frames, crop_from_points, detection_frames, transform_points
from mvgen.faces.face_mesh_topology import IBUG

# Largest difference between the crops from landmarks and detector: zoom factor, roll in degrees, shift in inter-ocular
# distances. Beyond it the landmarks are not the face's. The detector's own spread is a quarter of it.
_MOST_ZOOM, _MOST_ROLL, _MOST_SHIFT = 1.35, 12.0, 0.3
_LEAST_CONFIDENCE = 0.5  # of the landmarker that a crop shows a face


class Landmarker(Protocol):
    """A detector of the 468 points in face crops: `mvgen.faces.face_mesh.FaceMesh`, or one with known points."""

    def find(self, crops: Image) -> FacePoints:
        """(T, S, S, 3) uint8 canonical crops -> their points."""
        ...


def find_landmarks(frames: Frames, face: FaceTrack, landmarker: Landmarker, onset: int = 0) -> FaceTrack:
    """The face with its landmarks, their median over the frames used, in the crop aligned to them.

    frames : (T, H, W, 3) uint8
    onset : index of the onset frame, which is always used
    Raises ClipError("face") where the landmarker finds no face, or one at another position than the detector.
    """
    found = landmarker.find(crop_frames(frames[detection_frames(len(frames), onset)], face))
    if np.median(found.confidence) < _LEAST_CONFIDENCE:
        raise ClipError("face", "the detector sees a face, the landmarker does not; is it a drawing, or covered?")
    landmarks = np.median(ibug_landmarks(found), axis=0)
    if not _agrees(five_points(landmarks), face.size):
        raise ClipError("face", "the landmarks are not on the face that the detector sees; is it covered?")
    back = np.linalg.inv(np.vstack([face.crop, [0, 0, 1]]))[:2]
    source = transform_points(back, landmarks)
    crop = crop_from_points(five_points(source), face.size)
    placed = transform_points(crop, source)
    return replace(
        face,
        crop=crop,
        points=five_points(placed),
        landmarks=placed,
        inside=covered(crop, face.size, *frames.shape[1:3]),
    )


def ibug_landmarks(found: FacePoints) -> Floats:
    """The 68 landmarks of iBUG among the 468 points: (T, 68, 2) crop pixels."""
    return np.asarray(found.points[:, IBUG, :2], np.float64)


def _agrees(points: Floats, size: int) -> bool:
    """Whether the crop from five points on a crop is nearly that crop."""
    step = crop_from_points(points, size) if np.ptp(points, axis=0).min() > 0 else np.zeros((2, 3))
    zoom, roll = float(np.hypot(step[0, 0], step[1, 0])), float(np.degrees(np.arctan2(step[1, 0], step[0, 0])))
    shift = np.linalg.norm(transform_points(step, np.array(EYE_CENTRE) * size) - np.array(EYE_CENTRE) * size)
    near = 1 / _MOST_ZOOM < zoom < _MOST_ZOOM and abs(roll) < _MOST_ROLL
    return bool(near and shift < _MOST_SHIFT * EYE_DISTANCE * size)
