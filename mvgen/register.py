"""Bring every frame of a clip onto its onset frame, so that the head's own drift does not pass for expression.

Convention: `homography` (T, 3, 3) maps a crop pixel of frame t to the crop pixel of the onset frame, centres at +0.5.
What a head's turn adds to that depends on depth: the onset frame's pixel p, at depth z, is in frame t at
homography^-1(p) + z parallax.
RANSAC over matched points finds the motion; `mvgen.align` refines it on all pixels of the face; `mvgen.head_path` makes
one path in time of the motions of all frames, which tells the head from an expression that moves the skin around it.
On 26 acted clips of drifting heads, of other seeds than the benchmarks', the error of the head's motion at the apex is
0.27 pixels without registration, 0.17 with each frame refined by itself and 0.04 along the path; by one flow method the
error of the flow from onset to apex, in the front, is then 0.32 of the true motion, and 0.31 with the head's true
motion. A clip is moved only when its head's path is plausible, larger than what noise alone would suggest, and makes
the face agree better.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mvgen.agreement import FacePixels, Flat, change, disagreement, sampled, smooth
from mvgen.align import Aligner, HeadMotion
from mvgen.camera import EYE_DISTANCE, pixel_grid
from mvgen.head_path import path_weights
from mvgen.ibug import EXPRESSIVE, region_mask
from mvgen.matches import FARTHEST, Match, Matcher, rms, transform
from mvgen.records import Image, Mask, Registration

__all__ = ["REFERENCE", "apply", "face_region", "leave", "register", "seen_in_all", "transform"]

Floats = NDArray[np.floating]

REFERENCE = "the onset frame itself"

_BEND = 4 / 256  # of the image's side, like all lengths below: how far a homography may bend the face
_LARGEST_ZOOM = 1.1
_LARGEST_TURN = 10.0  # degrees
_LEAST_MOTION = 0.06 / 256  # motion smaller than this is what sensor noise alone makes a tracker report
_LEAST_REFINED = 0.02 / 256  # the same for all pixels at once
_MATCHED_ERROR = 0.2 / 256  # of the head's motion by RANSAC alone, on acted clips
_SIGNIFICANT = 3.0  # standard deviations that a refined motion must be larger than
_LEAST_GAIN = 0.03  # share of the disagreement that must go
# A homography has more freedom than a head, and lowers the disagreement by following noise and expression with it.
_FOLLOWED_NOISE = 0.1
_EXPRESSION_REACH = 0.2  # inter-ocular distances around brows, eyes and mouth in which skin moves with them
_RIGID_SHARE = 0.25  # of the face; with less left of it, all of it is looked at


@dataclass(frozen=True, slots=True)
class _Move:
    """One frame's motion: see `Registration`; `least` is how large it must be, pixels."""

    homography: Floats
    parallax: Floats
    least: float

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
    seconds: Floats | None = None,
) -> Registration:
    """Find how each frame must be moved to lie on the onset frame.

    crops : (T, S, S, 3) uint8
    reference : index of the onset frame
    points : (5, 2) MTCNN's five points, crop pixels
    min_inliers : with fewer RANSAC inliers the frame keeps the identity
    landmarks : (68, 2) crop pixels; with them, what an expression moves is left out as long as enough matches remain
    refine : refine what RANSAC found on all pixels of the face
    depth : (S, S) world units, of the onset frame, known everywhere; with it a refined head may turn, without it not
    seconds : (T,) when each frame was taken; with it a refined head goes a path in time, without each frame is alone
    """
    import cv2

    count, size = len(crops), crops.shape[1]
    grey = [np.asarray(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), np.uint8) for crop in crops]
    whole = face_region(points, size)
    still = whole if landmarks is None else whole & ~_expressive(landmarks, size)
    masks = [whole] if landmarks is None else [still, whole]
    searched = [Matcher(grey[reference], mask, points) for mask in masks]
    looked_at = still if still.sum() >= _RIGID_SHARE * whole.sum() else whole
    face, rigid = FacePixels.of(whole, depth), FacePixels.of(looked_at, depth)
    matches = {
        index: _plausible_match(searched, grey[index], min_inliers, face)
        for index in range(count)
        if index != reference
    }
    found = {index: match.homography for index, match in matches.items() if match.homography is not None}
    frames = _Frames(grey, smooth(grey[reference]))
    if refine:
        aligner = Aligner(grey[reference], looked_at, depth)
        motions = {index: _refined(aligner, frames, index, found[index], rigid) for index in found}
        if seconds is not None:
            motions = _steadied(motions, frames, face, np.asarray(seconds) - seconds[reference])
        moves = {index: _move(motion, size) for index, motion in motions.items()}
    else:
        moves = {index: _Move(homography, np.zeros(2), _LEAST_MOTION * size) for index, homography in found.items()}
    # Frames along one path are moved all or none: a jump between them would be motion, too.
    together = [moves] if refine and seconds is not None else [{index: move} for index, move in moves.items()]
    compared, gain = (rigid, 0.0) if refine else (face, _LEAST_GAIN)
    pointless = {index: why for group in together for index, why in _pointless(group, frames, compared, gain).items()}
    homography, parallax = np.tile(np.eye(3), (count, 1, 1)), np.zeros((count, 2))
    inliers, residual = np.zeros(count, np.int64), np.full(count, np.nan)
    applied, reasons = np.zeros(count, bool), [REFERENCE] * count
    for index, match in matches.items():
        inliers[index], residual[index] = match.inliers, match.residual
        reasons[index] = match.reason or pointless[index]
        if not reasons[index]:
            homography[index], parallax[index], applied[index] = moves[index].homography, moves[index].parallax, True
    return Registration(homography, inliers, residual, applied, tuple(reasons), parallax)


def _plausible_match(searched: Sequence[Matcher], frame: Image, min_inliers: int, face: FacePixels) -> Match:
    """The match of the first matcher that finds one; without its homography when no head moves like this."""
    for matcher in searched:
        match = matcher.match(frame, min_inliers)
        if match.homography is not None:
            reason = _implausible(match.homography, face)
            return replace(match, homography=None, reason=reason) if reason else match
    return match


@dataclass(frozen=True, slots=True)
class _Frames:
    """The grey frames of a clip and its onset frame, `smooth`; the others are smoothed when they are looked at.

    A clip may be long, and smooth frames are four times larger.
    """

    grey: Sequence[Image]
    onset: Flat

    def disagreements(self, index: int, face: FacePixels, *seen_at: Floats | None) -> list[float]:
        """How much a frame and the onset frame differ in the face, for each of the places where it may be seen."""
        frame = smooth(self.grey[index])
        return [disagreement(self.onset, frame, face, there) for there in seen_at]

    def changes(self, face: FacePixels, seen_at: Mapping[int, Floats]) -> Floats:
        """How much every pixel of the face has changed (T, N), as the motion that would change it as much, pixels."""
        here = self.onset[face.rows, face.columns]
        steepness = np.hypot(*np.gradient(self.onset))[face.rows, face.columns]
        there = np.stack([sampled(smooth(self.grey[index]), at[:, None])[:, 0] for index, at in seen_at.items()])
        return np.asarray(change(here, there) / max(float(np.sqrt(np.square(steepness).mean())), 1e-6))


def _refined(aligner: Aligner, frames: _Frames, index: int, homography: Floats, rigid: FacePixels) -> HeadMotion:
    """What all pixels of the face say of the motion that RANSAC found; where that is not plausible, RANSAC's own."""
    size = rigid.size
    there = transform(np.linalg.inv(homography), rigid.points)
    matched = HeadMotion(_similarity(rigid.points, there), np.zeros(2), _MATCHED_ERROR * size)
    found = aligner.find(frames.grey[index], matched.matrix)
    if found is None or np.linalg.norm(found.parallax) > np.radians(_LARGEST_TURN) * EYE_DISTANCE * size:
        return matched
    before, after = _move(matched, size), _move(found, size)
    if _implausible(after.homography, rigid):
        return matched
    differ = frames.disagreements(index, rigid, before.seen_at(rigid), after.seen_at(rigid))
    return found if differ[1] <= (1 + _FOLLOWED_NOISE) * differ[0] else matched


def _steadied(
    motions: Mapping[int, HeadMotion], frames: _Frames, face: FacePixels, seconds: Floats
) -> dict[int, HeadMotion]:
    """The motions along the path that the head took through the clip. seconds : (T,) since the onset frame"""
    if not motions:
        return {}
    seen_at = {index: _move(motion, face.size).seen_at(face) for index, motion in motions.items()}
    ways = np.stack([there - face.points for there in seen_at.values()])
    changes = frames.changes(face, seen_at)
    noise = np.array([motion.uncertainty for motion in motions.values()])
    weights = path_weights(
        np.einsum("tnc,snc->ts", ways, ways, optimize=True) / len(face.points),
        changes @ changes.T / len(face.points),
        noise,
        seconds[list(motions)],
        size=face.size,
        freedom=4 if face.depth is None else 6,
    )
    still = np.eye(2, 3)
    matrices = still + np.tensordot(weights, [motion.matrix - still for motion in motions.values()], axes=1)
    parallaxes = weights @ [motion.parallax for motion in motions.values()]
    noises = np.sqrt(weights**2 @ noise**2)
    settled = map(HeadMotion, matrices, parallaxes, noises.tolist())
    return dict(zip(motions, settled, strict=True))


def _move(motion: HeadMotion, size: int) -> _Move:
    """The same as a homography, which leads the other way."""
    homography = np.linalg.inv(np.vstack([motion.matrix, [0, 0, 1]]))
    return _Move(homography, motion.parallax, max(_LEAST_REFINED * size, _SIGNIFICANT * motion.uncertainty))


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


def _implausible(homography: Floats, face: FacePixels) -> str:
    """Why no head moves like this between frames of a clip, or nothing."""
    size, before = face.size, face.points
    after = transform(homography, before)
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


def _pointless(moves: Mapping[int, _Move], frames: _Frames, face: FacePixels, gain: float) -> dict[int, str]:
    """Why frames that move together are better left where they are, or nothing.

    gain : share of the disagreement with the onset frame that must go
    """
    seen_at = {index: move.seen_at(face) for index, move in moves.items()}
    motions = {index: rms(there - face.points) for index, there in seen_at.items()}
    if all(motions[index] < move.least for index, move in moves.items()):
        return {index: f"moves by {motion:.3f} pixels only" for index, motion in motions.items()}
    differ = [frames.disagreements(index, face, None, there) for index, there in seen_at.items()]
    before, after = np.mean(differ, axis=0)
    better = after < (1 - gain) * before
    reason = "" if better else f"does not make the face agree better ({before:.2f} -> {after:.2f} grey levels)"
    return dict.fromkeys(moves, reason)
