"""Find the landmarks of a clip's face.

The detector's five points start the crop; the depth network, which wants a crop, finds the 68 landmarks in it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import numpy as np

from mvgen.camera import EYE_CENTRE, EYE_DISTANCE
from mvgen.faces.crop import crop_frames, crop_from_points, looked_at, transform_points
from mvgen.ibug import five_points
from mvgen.records import FacePrediction, FaceTrack, Floats, Image

# Landmarks that ask for a crop further away than this from the detector's are not the face's; size as a factor, roll in
# degrees, shift in inter-ocular distances. The detector's own spread is a quarter of it.
_MOST_ZOOM, _MOST_ROLL, _MOST_SHIFT = 1.2, 8.0, 0.2


class Landmarker(Protocol):
    """Whatever finds landmarks in face crops: the depth network, or a stand-in."""

    def predict(self, crops: Image) -> FacePrediction:
        """(T, S, S, 3) uint8 canonical crops -> what is seen in them."""
        ...


def find_landmarks(frames: Image, face: FaceTrack, landmarker: Landmarker, onset: int = 0) -> FaceTrack:
    """The same face with its landmarks: the median over the frames that `track_face` looks at.

    frames : (T, H, W, 3) uint8
    onset : index of the onset frame, which is always looked at
    Landmarks that do not lie where the detector's five points say the face is are left out.
    """
    seen = landmarker.predict(crop_frames(frames[looked_at(len(frames), onset)], face))
    found = _with_landmarks(face, seen)
    return found if _agrees(five_points(np.median(seen.landmarks, axis=0)), face.size) else face


def settle_landmarks(face: FaceTrack, seen: FacePrediction) -> FaceTrack:
    """The same face with its landmarks as registered frames show them: where the onset frame has them.

    seen : in the registered crops; a face whose landmarks were not found stays without
    """
    return face if face.landmarks is None else _with_landmarks(face, seen)


def _with_landmarks(face: FaceTrack, seen: FacePrediction) -> FaceTrack:
    landmarks, visible = (np.median(values.astype(np.float64), axis=0) for values in (seen.landmarks, seen.visible))
    return replace(face, landmarks=landmarks, visible=visible)


def _agrees(points: Floats, size: int) -> bool:
    """Whether five points on a crop ask for nearly that crop."""
    step = crop_from_points(points, size) if np.ptp(points, axis=0).min() > 0 else np.zeros((2, 3))
    zoom, roll = float(np.hypot(step[0, 0], step[1, 0])), float(np.degrees(np.arctan2(step[1, 0], step[0, 0])))
    shift = np.linalg.norm(transform_points(step, np.array(EYE_CENTRE) * size) - np.array(EYE_CENTRE) * size)
    near = 1 / _MOST_ZOOM < zoom < _MOST_ZOOM and abs(roll) < _MOST_ROLL
    return bool(near and shift < _MOST_SHIFT * EYE_DISTANCE * size)
