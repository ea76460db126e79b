"""Bring every frame of a clip onto its onset frame, so that the head's own drift does not pass for expression.

Convention: `homography` (T, 3, 3) maps a crop pixel of frame t to the crop pixel of the onset frame, centres at +0.5.
A frame is moved only when that is plausible, larger than what noise alone would suggest, and makes the face agree
better: registration must never make a clip worse.
Source: Rublee et al., ORB, ICCV 2011; Bouguet, Pyramidal Lucas-Kanade, 2001; Barath et al., MAGSAC++, CVPR 2020.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvgen.camera import pixel_grid
from mvgen.ibug import EXPRESSIVE, region_mask
from mvgen.records import Image, Mask, Registration

Floats = NDArray[np.floating]

REFERENCE = "the onset frame itself"

_INLIER_DISTANCE = 0.6 / 256  # of the image's side, like all lengths below: pixels of a 256-pixel crop over 256
_ROUND_TRIP = 0.3 / 256  # a tracked point must come back to where it started this exactly
_FARTHEST = 0.1  # longest plausible way of a face point between two frames of a clip
_BEND = 4 / 256  # how far a homography may bend the face away from a similarity
_LARGEST_ZOOM = 1.1
_LARGEST_TURN = 10.0  # degrees
_LEAST_MOTION = 0.06 / 256  # motion smaller than this is what sensor noise alone makes a tracker report
_LEAST_GAIN = 0.03  # share of the disagreement that must go
_EXPRESSION_REACH = 0.2  # inter-ocular distances around brows, eyes and mouth in which skin moves with them
_SMOOTHING = 1.5 / 256  # interpolation lowers noise; frames are compared below the frequencies where it does


def register(
    crops: Image, reference: int, points: Floats, min_inliers: int = 12, *, landmarks: Floats | None = None
) -> Registration:
    """Find how each frame must be moved to lie on the onset frame.

    crops : (T, S, S, 3) uint8
    reference : index of the onset frame
    points : (5, 2) MTCNN's five points, crop pixels
    min_inliers : with fewer RANSAC inliers the frame keeps the identity
    landmarks : (68, 2) crop pixels; with them, what an expression moves is left out as long as enough matches remain
    """
    import cv2

    count, size = len(crops), crops.shape[1]
    grey = [cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY) for crop in crops]
    whole = face_region(points, size)
    masks = [whole] if landmarks is None else [whole & ~_expressive(landmarks, size), whole]
    searched = [(mask, _textured_points(grey[reference], mask, points)) for mask in masks]
    homography = np.tile(np.eye(3), (count, 1, 1))
    inliers, residual = np.zeros(count, np.int64), np.full(count, np.nan)
    applied, reasons = np.zeros(count, bool), [REFERENCE] * count
    for index in range(count):
        if index == reference:
            continue
        for mask, start in searched:
            match = _match(grey[reference], grey[index], mask, start, min_inliers)
            if not match.reason:
                break
        inliers[index], residual[index], reasons[index] = match.inliers, match.residual, match.reason
        if match.homography is None:
            continue
        reasons[index] = _implausible(match.homography, whole) or _pointless(
            match.homography, grey[reference], grey[index], whole
        )
        if not reasons[index]:
            homography[index], applied[index] = match.homography, True
    return Registration(homography, inliers, residual, applied, tuple(reasons))


def _expressive(landmarks: Floats, size: int) -> Mask:
    """(S, S) bool, skin that brows, lids and lips move.

    On a photograph with acted brows, lids, lips and chin, leaving it out halves the error of the head's motion.
    """
    return region_mask(landmarks, size, EXPRESSIVE, _EXPRESSION_REACH)


@dataclass(frozen=True, slots=True)
class _Match:
    """How one frame fits the onset frame, or the reason why it does not."""

    homography: Floats | None
    inliers: int
    residual: float
    reason: str = ""


def _match(onset: Image, frame: Image, mask: Mask, start: Floats, min_inliers: int) -> _Match:
    pairs = [_tracked(onset, frame, start), _matched(onset, frame, mask)]
    there, here = (np.concatenate(side) for side in zip(*pairs, strict=True))
    if len(there) < max(4, min_inliers):
        return _Match(None, 0, np.nan, f"{len(there)} matched points, {min_inliers} needed")
    found, used = _fit(here, there, len(pairs[0][0]), len(onset))
    if found is None or used.sum() < min_inliers:
        return _Match(None, int(used.sum()), np.nan, f"{used.sum()} inliers, {min_inliers} needed")
    return _Match(found, int(used.sum()), _rms(transform(found, here[used]) - there[used]))


def leave(count: int, reason: str) -> Registration:
    """A registration that moves nothing, for `count` frames."""
    return Registration(
        homography=np.tile(np.eye(3), (count, 1, 1)),
        inliers=np.zeros(count, np.int64),
        residual=np.full(count, np.nan),
        applied=np.zeros(count, bool),
        reasons=(reason,) * count,
    )


def apply(crops: Image, registration: Registration) -> Image:
    """Move the frames onto the onset frame.

    crops : (T, S, S, 3) uint8
    Returns (T, S, S, 3) uint8. Frames that keep the identity come back bit for bit; others are interpolated once.
    """
    import cv2

    size = crops.shape[1]
    moved = crops.copy()
    for index in np.flatnonzero(registration.applied):
        moved[index] = cv2.warpPerspective(
            crops[index], _opencv(registration.homography[index]), (size, size),
            flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip
    return moved


def seen_in_all(inside: Mask, registration: Registration) -> Mask:
    """Pixels of the onset frame that every registered frame covers: (S, S) bool, from the crop's own cover `inside`."""
    import cv2

    size = inside.shape[0]
    seen = inside.copy()
    for index in np.flatnonzero(registration.applied):
        moved = cv2.warpPerspective(
            inside.astype(np.uint8), _opencv(registration.homography[index]), (size, size),
            flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=0,
        )  # fmt: skip
        seen &= moved.astype(bool)
    return seen


def transform(homography: Floats, points: Floats) -> Floats:
    """Points (..., 2) carried by a homography (3, 3)."""
    carried = points @ homography[:, :2].T + homography[:, 2]
    return carried[..., :2] / carried[..., 2:]


def _opencv(homography: Floats) -> Floats:
    """The same homography between pixel centres at whole numbers, as OpenCV counts them."""
    shift = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    return np.linalg.inv(shift) @ homography @ shift


def face_region(points: Floats, size: int) -> Mask:
    """(S, S) bool, an ellipse over brows, cheeks and chin around the five points."""
    eyes, mouth = points[:2].mean(axis=0), points[3:].mean(axis=0)
    down = mouth - eyes
    height = max(float(np.linalg.norm(down)), 1.0)
    across = np.array([-down[1], down[0]]) / height
    away = pixel_grid(size, size) - (eyes + 0.45 * down)
    along = away @ (down / height) / (1.25 * height)
    return np.asarray(along**2 + (away @ across / (1.0 * height)) ** 2 <= 1)


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
    good &= (error < _ROUND_TRIP * size) & (way < _FARTHEST * size)
    return start[good], there.reshape(-1, 2)[good].astype(np.float64) + 0.5


def _matched(onset: Image, frame: Image, face: Mask) -> tuple[Floats, Floats]:
    """ORB features that are each other's best match: they catch the larger drift that a tracker loses."""
    import cv2

    detector = cv2.ORB.create(nfeatures=400, fastThreshold=7)
    mask = face.astype(np.uint8)
    (keys, codes), (other_keys, other_codes) = (detector.detectAndCompute(image, mask) for image in (onset, frame))
    if codes is None or other_codes is None:
        return np.zeros((0, 2)), np.zeros((0, 2))
    matches = cv2.BFMatcher(cv2.NORM_HAMMING, crossCheck=True).match(codes, other_codes)
    first = np.array([keys[match.queryIdx].pt for match in matches]).reshape(-1, 2) + 0.5
    second = np.array([other_keys[match.trainIdx].pt for match in matches]).reshape(-1, 2) + 0.5
    near = np.linalg.norm(first - second, axis=1) < _FARTHEST * len(onset)
    return first[near], second[near]


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


def _rms(vectors: Floats) -> float:
    return float(np.sqrt((vectors**2).sum(axis=-1).mean()))


def _implausible(homography: Floats, face: Mask) -> str:
    """Why no head moves like this between frames of a clip, or nothing."""
    size = len(face)
    before = pixel_grid(size, size)[face]
    after = transform(homography, before)
    # Best similarity before -> after; in the plane it is one complex number and a shift.
    source, goal = (side[:, 0] + 1j * side[:, 1] for side in (before, after))
    away = source - source.mean()
    turn = (away.conj() * (goal - goal.mean())).sum() / (np.abs(away) ** 2).sum()
    bend = float(np.abs(goal - goal.mean() - turn * away).max())
    if not np.isfinite(bend) or bend > _BEND * size:
        return f"implausible: bends the face by {bend:.1f} pixels"
    if not 1 / _LARGEST_ZOOM < abs(turn) < _LARGEST_ZOOM or abs(np.degrees(np.angle(turn))) > _LARGEST_TURN:
        return f"implausible: zooms by {abs(turn):.2f} and turns by {np.degrees(np.angle(turn)):.0f} degrees"
    shift = abs(goal.mean() - source.mean())
    return f"implausible: shifts the face by {shift:.0f} pixels" if shift > _FARTHEST * size else ""


def _pointless(homography: Floats, onset: Image, frame: Image, face: Mask) -> str:
    """Why the frame is better left where it is, or nothing."""
    import cv2

    size = len(face)
    grid = pixel_grid(size, size)[face]
    motion = _rms(transform(homography, grid) - grid)
    if motion < _LEAST_MOTION * size:
        return f"moves by {motion:.3f} pixels only"
    smooth = [
        cv2.GaussianBlur(image.astype(np.float32), (0, 0), max(_SMOOTHING * size, 1.0)) for image in (onset, frame)
    ]
    moved = cv2.warpPerspective(
        smooth[1], _opencv(homography), (size, size), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    before, after = (_disagreement(np.asarray(other - smooth[0])[face]) for other in (smooth[1], moved))
    if after > (1 - _LEAST_GAIN) * before:
        return f"does not make the face agree better ({before:.2f} -> {after:.2f} grey levels)"
    return ""


def _disagreement(difference: Floats) -> float:
    """Mean absolute difference without a change of light, and without the tenth that differs most: the expression."""
    away = np.sort(np.abs(difference - np.median(difference)))
    return float(away[: max(1, int(0.9 * len(away)))].mean())
