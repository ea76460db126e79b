"""Registration of a clip's frames onto its onset frame: it removes head motion and keeps the expression.

The head's path is estimated for the clip as a whole, and every frame is registered along it. Frames that cannot be
registered, because the head has turned too far or something hides the face, are left out.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera
from mvgen.core.errors import ClipError
from mvgen.core.records import Clip, Image, Mask, Registration
from mvgen.morphable.fitting import FaceFit
from mvgen.morphable.rasterise import face_region
from mvgen.motion.flow.coarse import flows_from
from mvgen.motion.flow.joint import motion_from_onset
from mvgen.motion.head_motion import POSE, HeadFitter, plane_parallax

Floats = NDArray[np.floating]

_LARGEST_TURN = 15.0  # degrees from the onset frame: beyond, a cheek shows what the onset frame did not see
_LEAST_CORRELATION = 0.5  # of a registered frame with the onset frame, in the face
_LONGEST_GAP = 5  # frames without a usable pose of their own, registered along the path of those around them
_SMOOTHING = 2 / 256  # of the crop's side


def register(crops: Image, onset: int, fit: FaceFit, depth: Floats, camera: Camera) -> Registration:
    """Estimate the head's path through a clip.

    crops : (T, S, S, 3) uint8; onset : its position, from 0
    fit : of the onset frame; depth : (S, S) world units, its depth, known everywhere
    camera : the source camera of the crop
    """
    fitter = HeadFitter(fit, depth, camera)
    motions = fitter.motions(flows_from(crops, onset))
    path = fitter.path(motions, onset)
    hidden = _hidden(crops, onset, fitter, path)
    if hidden.any():
        path = fitter.path(motions, onset, ~hidden)
    # The remaining motion is a pixel or less and can be estimated more exactly.
    near = apply(crops, _along(path, fitter, camera, hidden), depth)
    motions = motion_from_onset(near, onset, face_region(camera, fit.vertices[0])).at(fitter.places)
    path = fitter.path(motions + np.stack([fitter.motion(pose) for pose in path]), onset, ~hidden)
    return _along(path, fitter, camera, hidden)


def _along(path: Floats, fitter: HeadFitter, camera: Camera, hidden: Mask) -> Registration:
    """The registration by a head's path (T, 6); hidden : (T,) bool, frames that do not show the face."""
    degrees = np.degrees(np.linalg.norm(path[:, 2:5], axis=1))
    reasons = np.where(degrees > _LARGEST_TURN, "the head turns too far", np.where(hidden, "the face is hidden", ""))
    homography, parallax = (np.stack(part) for part in zip(*(plane_parallax(one, camera) for one in path), strict=True))
    length = np.array([np.linalg.norm(fitter.motion(pose), axis=1).sum() for pose in path]) / max(1, len(fitter.places))
    return Registration(path, homography, parallax, length, tuple(reasons.tolist()))


def leave(count: int) -> Registration:
    """A registration that leaves all of `count` frames as they are."""
    return Registration(
        pose=np.zeros((count, POSE)),
        homography=np.tile(np.eye(3), (count, 1, 1)),
        parallax=np.zeros((count, 2)),
        length=np.zeros(count),
        reasons=("",) * count,
    )


def usable_span(registration: Registration, onset: int) -> slice:
    """The frames around the onset frame that are registered, from the first to the last."""
    good = np.array([not reason for reason in registration.reasons])
    good[onset] = True
    first = last = onset
    for frame in np.flatnonzero(good[onset:]) + onset:
        if frame - last > _LONGEST_GAP + 1:
            break
        last = int(frame)
    for frame in np.flatnonzero(good[: onset + 1])[::-1]:
        if first - frame > _LONGEST_GAP + 1:
            break
        first = int(frame)
    return slice(first, last + 1)


def only_usable(clip: Clip, span: slice, registration: Registration) -> Clip:
    """The clip without the frames that are not registered.

    Raises ClipError("register") where the marked apex is one of them, or the onset frame is alone.
    """
    count = len(clip.frames)
    if (span.start, span.stop) == (0, count):
        return clip
    after, before = (registration.reasons[frame] for frame in (min(span.stop, count - 1), max(span.start - 1, 0)))
    why = (after if span.stop < count else before) or before
    if clip.apex is not None and not span.start <= clip.position(clip.apex, 0) < span.stop:
        raise ClipError("register", f"the apex frame {clip.apex} cannot be brought onto the onset frame: {why}")
    if span.stop - span.start < 2:
        raise ClipError("register", f"no frame can be brought onto the onset frame: {why}")
    first, last = clip.frames[span.start].number, clip.frames[span.stop - 1].number
    left = count - (span.stop - span.start)
    note = f"{left} of {count} frames cannot be registered and are left out, {first} to {last} stay: {why}"
    return replace(clip, frames=clip.frames[span], notes=(*clip.notes, note))


def apply(crops: Image, registration: Registration, depth: Floats) -> Image:
    """Move the frames onto the onset frame.

    crops : (T, S, S, 3) uint8; depth : (S, S) world units, of the onset frame, known everywhere
    Returns (T, S, S, 3) uint8. Frames whose head has not moved are unchanged; others are interpolated once.
    """
    import cv2

    moved = crops.copy()
    for index in np.flatnonzero(registration.applied):
        at = pixel_map(registration.homography[index], registration.parallax[index], depth)
        moved[index] = cv2.remap(crops[index], at[..., 0], at[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return moved


def seen_in_all(inside: Mask, registration: Registration) -> Mask:
    """Pixels of the onset frame that every registered frame covers: (S, S) bool; inside : where crops have pixels.

    Those next to the others are left out: cubic interpolation mixes them with the black outside.
    """
    import cv2
    from scipy.ndimage import binary_erosion

    seen = inside.copy()
    if inside.all() and not registration.applied.any():
        return seen
    flat = np.zeros(inside.shape)
    for index in np.flatnonzero(registration.applied):
        at = pixel_map(registration.homography[index], registration.parallax[index], flat)
        there = cv2.remap(
            inside.astype(np.uint8), at[..., 0], at[..., 1], cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT
        )
        seen &= there.astype(bool)
    return np.asarray(binary_erosion(seen, np.ones((5, 5), bool), border_value=1))


def pixel_map(homography: Floats, parallax: Floats, depth: Floats) -> NDArray[np.float32]:
    """Position in a frame of every pixel of the onset frame, in OpenCV's pixel coordinates: (S, S, 2) float32."""
    step = np.arange(len(depth)) + 0.5
    x, y, w = (right * step + (down * step[:, None] + shift) for right, down, shift in homography)
    at = np.empty((*depth.shape, 2), np.float32)
    at[..., 0], at[..., 1] = x / w + depth * parallax[0] - 0.5, y / w + depth * parallax[1] - 0.5
    return at


def _hidden(crops: Image, onset: int, fitter: HeadFitter, path: Floats) -> NDArray[np.bool_]:
    """(T,) bool, frames that do not show the face where the path expects it."""
    import cv2

    if len(fitter.places) < 2:
        return np.zeros(len(crops), bool)
    sigma = max(_SMOOTHING * crops.shape[1], 0.5)

    def read(index: int, places: Floats) -> Floats:
        grey = cv2.GaussianBlur(cv2.cvtColor(crops[index], cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), sigma)
        at = (places - 0.5).astype(np.float32)[:, None]
        values = cv2.remap(grey, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[:, 0]
        return np.asarray((values - values.mean()) / max(float(values.std()), 1e-6))

    first = read(onset, fitter.places)
    seen = [read(index, fitter.places + fitter.motion(pose)) for index, pose in enumerate(path)]
    return np.array([float((first * one).mean()) < _LEAST_CORRELATION for one in seen])
