"""Registration of the paper: landmarks and ORB matches, from which RANSAC gives a homography onto the onset frame.

Every frame is matched by itself, and a smile counts as head motion. It is kept for comparison; see
`mvgen.motion.registration` for the default.
Sources: main paper, section III-A; Rublee et al., ORB: an efficient alternative to SIFT or SURF, ICCV 2011; Fischler
and Bolles, Random sample consensus, 1981.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import pixel_grid
from mvgen.core.records import Image, Mask, Registration
from mvgen.motion.head_motion import POSE

Floats = NDArray[np.floating]

_FEATURES = 400
_INLIER_DISTANCE = 1.0 / 256  # of the crop's side, like the next
_FARTHEST = 0.1  # largest displacement of a point of the face


def register_by_homography(crops: Image, onset: int, landmarks: Floats, face: Mask, min_inliers: int) -> Registration:
    """Estimate the homography of every frame; frames without one are interpolated from their neighbours.

    crops : (T, S, S, 3) uint8; landmarks : (T, 68, 2) crop pixels; face : (S, S) bool, where ORB features are detected
    min_inliers : with fewer inliers of RANSAC a frame has no homography
    """
    import cv2

    detector = cv2.ORB.create(nfeatures=_FEATURES, fastThreshold=7)
    seen = [detector.detectAndCompute(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), face.astype(np.uint8)) for crop in crops]
    count, size = len(crops), crops.shape[1]
    known, found = [onset], [np.eye(3)]
    for frame in range(count):
        here, there = _matches(seen[onset], seen[frame], _FARTHEST * size)
        here, there = np.concatenate([landmarks[onset], here]), np.concatenate([landmarks[frame], there])
        if len(here) < min_inliers:
            continue
        cv2.setRNGSeed(0)
        matrix, used = cv2.findHomography(here, there, cv2.RANSAC, max(_INLIER_DISTANCE * size, 0.5))
        if frame != onset and matrix is not None and used.sum() >= min_inliers:
            known.append(frame)
            found.append(matrix / matrix[2, 2])
    order = np.argsort(known)
    frames, matrices = np.array(known)[order], np.stack(found)[order].reshape(-1, 9)
    homography = np.stack([np.interp(np.arange(count), frames, entry) for entry in matrices.T], axis=-1)
    homography = homography.reshape(count, 3, 3)
    places = pixel_grid(size, size)[face]
    moved = np.stack([_transformed(matrix, places) - places for matrix in homography])
    return Registration(
        pose=np.full((count, POSE), np.nan),
        homography=homography,
        parallax=np.zeros((count, 2)),
        length=np.linalg.norm(moved, axis=-1).sum(axis=1) / max(1, len(places)),
        reasons=("",) * count,
    )


def _matches(first: tuple, second: tuple, farthest: float) -> tuple[Floats, Floats]:
    """ORB features of two frames that are each other's best match: (N, 2) each, pixels."""
    import cv2

    if first[1] is None or second[1] is None:
        return np.zeros((0, 2)), np.zeros((0, 2))
    matches = cv2.BFMatcher(cv2.NORM_HAMMING, crossCheck=True).match(first[1], second[1])
    here = np.array([first[0][match.queryIdx].pt for match in matches]).reshape(-1, 2) + 0.5
    there = np.array([second[0][match.trainIdx].pt for match in matches]).reshape(-1, 2) + 0.5
    near = np.linalg.norm(here - there, axis=1) < farthest
    return here[near], there[near]


def _transformed(homography: Floats, points: Floats) -> Floats:
    """Apply a homography (3, 3) to points (N, 2)."""
    transformed = points @ homography[:, :2].T + homography[:, 2]
    return np.asarray(transformed[:, :2] / transformed[:, 2:])
