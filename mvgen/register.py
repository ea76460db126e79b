"""Bring every frame of a clip onto its onset frame, so that the head's own drift does not pass for expression.

Convention: `homography` (T, 3, 3) maps a crop pixel of frame t to the crop pixel of the onset frame, centres at +0.5.
What a head's turn adds to that depends on depth: the onset frame's pixel p, at depth z, is in frame t at
homography^-1(p) + z parallax.
RANSAC over matched points finds the motion; `mvgen.align` refines it on all pixels of the face. On four acted clips of
drifting heads the error of the head's motion is 0.32 pixels without registration, 0.19 with RANSAC alone, 0.13 refined
as a similarity and 0.08 with the turn that depth lets see; that of the flow from onset to apex 1.10, 0.87, 0.65 and
0.57 of the true motion, by one flow method for all four, which has changed since. A frame is moved only when that is
plausible, larger than what noise alone would suggest, and makes the face agree better. That keeps a clip from getting
worse but where an expression moves most of the skin that is looked at: on one acted clip, of both cheeks,
it was taken for the head's motion.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvgen.agreement import FacePixels, Flat, disagreement, sampled, smooth
from mvgen.align import Aligner
from mvgen.camera import EYE_DISTANCE, pixel_grid
from mvgen.ibug import EXPRESSIVE, region_mask
from mvgen.matches import FARTHEST, Matcher, rms, transform
from mvgen.records import Image, Mask, Registration

__all__ = ["REFERENCE", "apply", "face_region", "leave", "register", "seen_in_all", "transform"]

Floats = NDArray[np.floating]

REFERENCE = "the onset frame itself"

_BEND = 4 / 256  # of the image's side, like all lengths below: how far a homography may bend the face
_LARGEST_ZOOM = 1.1
_LARGEST_TURN = 10.0  # degrees
_LEAST_MOTION = 0.06 / 256  # motion smaller than this is what sensor noise alone makes a tracker report
_LEAST_REFINED = 0.02 / 256  # the same for all pixels at once
_SIGNIFICANT = 3.0  # standard deviations that a refined motion must be larger than
_LEAST_GAIN = 0.03  # share of the disagreement that must go
# A homography has more freedom than a head, and lowers the disagreement by following noise and expression with it.
_FOLLOWED_NOISE = 0.1
_EXPRESSION_REACH = 0.2  # inter-ocular distances around brows, eyes and mouth in which skin moves with them
_RIGID_SHARE = 0.25  # of the face; with less left of it, all of it is looked at


@dataclass(frozen=True, slots=True)
class _Move:
    """One frame's motion: see `Registration`; `least` is how large it must be, pixels, `gain` what it must bring."""

    homography: Floats
    parallax: Floats
    least: float
    gain: float

    def seen_at(self, face: FacePixels) -> Floats:
        """Where the frame shows some of the onset frame's pixels: (N, 2)."""
        return _seen_at(self.homography, self.parallax, face.points, face.depth)


def register(
    crops: Image,
    reference: int,
    points: Floats,
    min_inliers: int = 12,
    *,
    landmarks: Floats | None = None,
    refine: bool = True,
    depth: Floats | None = None,
) -> Registration:
    """Find how each frame must be moved to lie on the onset frame.

    crops : (T, S, S, 3) uint8
    reference : index of the onset frame
    points : (5, 2) MTCNN's five points, crop pixels
    min_inliers : with fewer RANSAC inliers the frame keeps the identity
    landmarks : (68, 2) crop pixels; with them, what an expression moves is left out as long as enough matches remain
    refine : refine what RANSAC found on all pixels of the face
    depth : (S, S) world units, of the onset frame, known everywhere; with it a refined head may turn, without it not
    """
    import cv2

    count, size = len(crops), crops.shape[1]
    grey = [np.asarray(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), np.uint8) for crop in crops]
    whole = face_region(points, size)
    still = whole if landmarks is None else whole & ~_expressive(landmarks, size)
    masks = [whole] if landmarks is None else [still, whole]
    searched = [Matcher(grey[reference], mask, points) for mask in masks]
    looked_at = still if still.sum() >= _RIGID_SHARE * whole.sum() else whole
    aligner = Aligner(grey[reference], looked_at, depth) if refine else None
    face, rigid = FacePixels.of(whole, depth), FacePixels.of(looked_at, depth)
    onset = smooth(grey[reference])
    homography = np.tile(np.eye(3), (count, 1, 1))
    parallax = np.zeros((count, 2))
    inliers, residual = np.zeros(count, np.int64), np.full(count, np.nan)
    applied, reasons = np.zeros(count, bool), [REFERENCE] * count
    for index in range(count):
        if index == reference:
            continue
        for matcher in searched:
            found = matcher.match(grey[index], min_inliers)
            if not found.reason:
                break
        inliers[index], residual[index], reasons[index] = found.inliers, found.residual, found.reason
        if found.homography is None:
            continue
        move = _Move(found.homography, np.zeros(2), _LEAST_MOTION * size, _LEAST_GAIN)
        reasons[index] = _implausible(move, face)
        if reasons[index]:
            continue
        frames = onset, smooth(grey[index])
        refined = None if aligner is None else _refined(aligner, grey[index], move, face)
        if refined and _after(refined, frames, rigid) <= (1 + _FOLLOWED_NOISE) * _after(move, frames, rigid):
            move = refined
        reasons[index] = _pointless(move, frames, face if move is not refined else rigid)
        if not reasons[index]:
            homography[index], parallax[index], applied[index] = move.homography, move.parallax, True
    return Registration(homography, inliers, residual, applied, tuple(reasons), parallax)


def _refined(aligner: Aligner, frame: Image, move: _Move, face: FacePixels) -> _Move | None:
    """What all pixels of the face say of the motion that RANSAC found, or None where they say nothing plausible."""
    size = face.size
    there = transform(np.linalg.inv(move.homography), face.points)
    found = aligner.find(frame, _similarity(face.points, there))
    if found is None or np.linalg.norm(found.parallax) > np.radians(_LARGEST_TURN) * EYE_DISTANCE * size:
        return None
    homography = np.linalg.inv(np.vstack([found.matrix, [0, 0, 1]]))
    least = max(_LEAST_REFINED * size, _SIGNIFICANT * found.uncertainty)
    refined = _Move(homography, found.parallax, least, 0.0)
    return None if _implausible(refined, face) else refined


def _similarity(before: Floats, after: Floats) -> Floats:
    """(2, 3), the similarity that brings points (N, 2) nearest to others: in the plane a complex number and a shift."""
    source, goal = (side[:, 0] + 1j * side[:, 1] for side in (before, after))
    away = source - source.mean()
    turn = (away.conj() * (goal - goal.mean())).sum() / (np.abs(away) ** 2).sum()
    shift = goal.mean() - turn * source.mean()
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


def _expressive(landmarks: Floats, size: int) -> Mask:
    """(S, S) bool, skin that brows, lids and lips move.

    On a photograph with acted brows, lids, lips and chin, leaving it out halves the error of the head's motion.
    """
    return region_mask(landmarks, size, EXPRESSIVE, _EXPRESSION_REACH)


def leave(count: int, reason: str) -> Registration:
    """A registration that moves nothing, for `count` frames."""
    return Registration(
        homography=np.tile(np.eye(3), (count, 1, 1)),
        inliers=np.zeros(count, np.int64),
        residual=np.full(count, np.nan),
        applied=np.zeros(count, bool),
        reasons=(reason,) * count,
        parallax=np.zeros((count, 2)),
    )


def apply(crops: Image, registration: Registration, depth: Floats | None = None) -> Image:
    """Move the frames onto the onset frame.

    crops : (T, S, S, 3) uint8
    depth : (S, S) world units, what `register` was given
    Returns (T, S, S, 3) uint8. Frames that keep the identity come back bit for bit; others are interpolated once.
    """
    moved = crops.copy()
    parallax = np.zeros((len(crops), 2)) if registration.parallax is None else registration.parallax
    for index in np.flatnonzero(registration.applied):
        at = _all_seen_at(registration.homography[index], parallax[index], crops.shape[1], depth)
        moved[index] = sampled(crops[index], at)
    return moved


def _all_seen_at(homography: Floats, parallax: Floats, size: int, depth: Floats | None) -> NDArray[np.float32]:
    """Where a frame shows every pixel of the onset frame: (S, S, 2); see `_seen_at`, which is slower for so many."""
    inverse, step = np.linalg.inv(homography), np.arange(size) + 0.5
    x, y, w = (right * step + (down * step[:, None] + shift) for right, down, shift in inverse)
    away = np.zeros((size, size)) if depth is None else depth
    return np.stack([x / w + away * parallax[0], y / w + away * parallax[1]], axis=-1, dtype=np.float32)


def _seen_at(homography: Floats, parallax: Floats, points: Floats, depth: Floats | None) -> Floats:
    there = transform(np.linalg.inv(homography), points)
    return there if depth is None else there + depth[..., None] * parallax


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


def _implausible(move: _Move, face: FacePixels) -> str:
    """Why no head moves like this between frames of a clip, or nothing."""
    size, before = face.size, face.points
    after = transform(move.homography, before)
    if not np.isfinite(after).all():
        return "implausible: has no inverse"
    similarity = _similarity(before, after)
    bend = float(np.abs(after - before @ similarity[:, :2].T - similarity[:, 2]).max())
    if bend > _BEND * size:
        return f"implausible: bends the face by {bend:.1f} pixels"
    zoom = float(np.hypot(similarity[0, 0], similarity[1, 0]))
    turn = float(np.degrees(np.arctan2(similarity[1, 0], similarity[0, 0])))
    if not 1 / _LARGEST_ZOOM < zoom < _LARGEST_ZOOM or abs(turn) > _LARGEST_TURN:
        return f"implausible: zooms by {zoom:.2f} and turns by {turn:.0f} degrees"
    shift = float(np.linalg.norm(after.mean(axis=0) - before.mean(axis=0)))
    return f"implausible: shifts the face by {shift:.0f} pixels" if shift > FARTHEST * size else ""


def _after(move: _Move, frames: tuple[Flat, Flat], face: FacePixels) -> float:
    """How much the onset frame and another differ once that is moved."""
    return disagreement(*frames, face, move.seen_at(face))


def _pointless(move: _Move, frames: tuple[Flat, Flat], face: FacePixels) -> str:
    """Why the frame is better left where it is, or nothing. frames : the onset frame and this one, `smooth`"""
    motion = rms(move.seen_at(face) - face.points)
    if motion < move.least:
        return f"moves by {motion:.3f} pixels only"
    before, after = disagreement(*frames, face), _after(move, frames, face)
    if after >= (1 - move.gain) * before:
        return f"does not make the face agree better ({before:.2f} -> {after:.2f} grey levels)"
    return ""
