"""Points found again in another frame, and the homography that RANSAC finds in them.

Convention: points (N, 2) float64 in crop pixels, centres at +0.5; a homography (3, 3) maps those of a frame to those of
the onset frame.
Source: Rublee et al., ORB, ICCV 2011; Bouguet, Pyramidal Lucas-Kanade, 2001; Barath et al., MAGSAC++, CVPR 2020.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvgen.records import Image, Mask

Floats = NDArray[np.floating]

_INLIER_DISTANCE = 0.6 / 256  # of the image's side, like all lengths below: pixels of a 256-pixel crop over 256
_ROUND_TRIP = 0.3 / 256  # a tracked point must come back to where it started this exactly
FARTHEST = 0.1
"""Longest plausible way of a face point between two frames of a clip."""


@dataclass(frozen=True, slots=True)
class Match:
    """How one frame fits the onset frame, or the reason why it does not."""

    homography: Floats | None
    inliers: int
    residual: float
    reason: str = ""


class Matcher:
    """The onset frame, ready to be found again in other frames.

    onset : (S, S) uint8, grey; mask : (S, S) bool, where it is looked at
    points : (5, 2) crop pixels, MTCNN's
    """

    def __init__(self, onset: Image, mask: Mask, points: Floats) -> None:
        import cv2

        self._onset, self._mask = onset, mask.astype(np.uint8)
        self._start = _textured_points(onset, mask, points)
        self._detector = cv2.ORB.create(nfeatures=400, fastThreshold=7)
        self._keys, self._codes = self._features(onset)

    def match(self, frame: Image, min_inliers: int) -> Match:
        """How a grey frame (S, S) fits the onset frame."""
        pairs = [_tracked(self._onset, frame, self._start), self._matched(frame)]
        there, here = (np.concatenate(side) for side in zip(*pairs, strict=True))
        if len(there) < max(4, min_inliers):
            return Match(None, 0, np.nan, f"{len(there)} matched points, {min_inliers} needed")
        found, used = _fit(here, there, len(pairs[0][0]), len(frame))
        if found is None or used.sum() < min_inliers:
            return Match(None, int(used.sum()), np.nan, f"{used.sum()} inliers, {min_inliers} needed")
        return Match(found, int(used.sum()), rms(transform(found, here[used]) - there[used]))

    def _features(self, image: Image) -> tuple[Floats, Image | None]:
        """ORB features: (N, 2) where they are, and their codes."""
        keys, codes = self._detector.detectAndCompute(image, self._mask)
        places = np.array([key.pt for key in keys]).reshape(-1, 2) + 0.5
        return places, None if codes is None else np.asarray(codes, np.uint8)

    def _matched(self, frame: Image) -> tuple[Floats, Floats]:
        """ORB features that are each other's best match: they catch the larger drift that a tracker loses."""
        import cv2

        keys, codes = self._features(frame)
        if self._codes is None or codes is None:
            return np.zeros((0, 2)), np.zeros((0, 2))
        matches = cv2.BFMatcher(cv2.NORM_HAMMING, crossCheck=True).match(self._codes, codes)
        first = self._keys[np.array([match.queryIdx for match in matches], np.intp)]
        second = keys[np.array([match.trainIdx for match in matches], np.intp)]
        near = np.linalg.norm(first - second, axis=1) < FARTHEST * len(frame)
        return first[near], second[near]


def transform(homography: Floats, points: Floats) -> Floats:
    """Points (..., 2) carried by a homography (3, 3)."""
    carried = points @ homography[:, :2].T + homography[:, 2]
    return carried[..., :2] / carried[..., 2:]


def rms(vectors: Floats) -> float:
    """Root of the mean squared length of vectors (..., 2)."""
    return float(np.sqrt((vectors**2).sum(axis=-1).mean()))


def _textured_points(grey: Image, face: Mask, points: Floats) -> Floats:
    """(N, 2) float64, where a point can be tracked: corners spread over the face, and the five points in it."""
    import cv2

    size = len(grey)
    column, row = np.floor(points).astype(int).clip(0, size - 1).T
    corners = cv2.goodFeaturesToTrack(
        grey, maxCorners=300, qualityLevel=0.005, minDistance=size / 50, mask=face.astype(np.uint8)
    )
    found = np.zeros((0, 2)) if corners is None else corners.reshape(-1, 2) + 0.5
    return np.concatenate([points[face[row, column]], found]).astype(np.float64)


def _tracked(onset: Image, frame: Image, start: Floats) -> tuple[Floats, Floats]:
    """Points of the onset frame and where Lucas-Kanade finds them in another frame, to fractions of a pixel."""
    import cv2

    size = len(onset)
    window = max(9, 2 * round(size / 25) + 1)
    settings = {
        "winSize": (window, window),
        "maxLevel": 3,
        "criteria": (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 50, 0.001),
    }
    begin = (start - 0.5).astype(np.float32).reshape(-1, 1, 2)
    there, ok, _ = cv2.calcOpticalFlowPyrLK(onset, frame, begin, None, **settings)  # type: ignore[call-overload]
    back, ok_back, _ = cv2.calcOpticalFlowPyrLK(frame, onset, there, None, **settings)  # type: ignore[call-overload]
    error = np.linalg.norm((back - begin).reshape(-1, 2), axis=1)
    way = np.linalg.norm((there - begin).reshape(-1, 2), axis=1)
    good = ok.ravel().astype(bool) & ok_back.ravel().astype(bool)
    good &= (error < _ROUND_TRIP * size) & (way < FARTHEST * size)
    return start[good], there.reshape(-1, 2)[good].astype(np.float64) + 0.5


def _fit(frame: Floats, onset: Floats, tracked: int, size: int) -> tuple[Floats | None, Mask]:
    """Homography frame -> onset by RANSAC, and its inliers; the first `tracked` pairs are the tracker's. Seeded."""
    import cv2

    settings = cv2.UsacParams()
    settings.threshold = max(_INLIER_DISTANCE * size, 0.3)
    settings.confidence = 0.999
    settings.maxIterations = 2000
    settings.randomGeneratorState = 0
    settings.score = cv2.SCORE_METHOD_MAGSAC
    settings.sampler = cv2.SAMPLING_UNIFORM
    settings.loMethod = cv2.LOCAL_OPTIM_SIGMA
    settings.loIterations = 10
    settings.loSampleSize = 20
    settings.final_polisher = cv2.MAGSAC
    settings.final_polisher_iterations = 10
    settings.isParallel = False
    found, used = cv2.findHomography(frame, onset, settings)
    if found is None:
        return None, np.zeros(len(frame), bool)
    homography, inliers = np.asarray(found, np.float64), np.asarray(used).ravel().astype(bool)
    # ORB counts in whole pixels, which pulls small motion toward none: it helps to find the inliers, not to place them.
    exact = inliers & (np.arange(len(frame)) < tracked)
    if exact.sum() >= 4 * 4:
        refined, _ = cv2.findHomography(frame[exact], onset[exact], 0)
        homography = homography if refined is None else np.asarray(refined, np.float64)
        error = np.linalg.norm(transform(homography, frame) - onset, axis=1)
        inliers = error < settings.threshold
    return homography / homography[2, 2], np.asarray(inliers)
