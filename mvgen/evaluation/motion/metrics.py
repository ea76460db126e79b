"""Error metrics of the motion and the head poses of a built clip. Arrays in, numbers out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import crop_camera, pixel_grid
from mvgen.core.records import Mask, Registration
from mvgen.evaluation.motion.clips import Take
from mvgen.evaluation.motion.heads import EYES, SIDE
from mvgen.evaluation.motion.performance import pixel_motion
from mvgen.evaluation.view_metrics import FlowErrors, flow_errors, relative_error, whole
from mvgen.morphable.rasterise import rasterise

Floats = NDArray[np.floating]

MOVING = 0.15  # pixels of a 256-pixel crop: only skin whose true motion is larger is measured
_RIM = 7  # pixels, side of the square by which the face is dilated before it is rendered
_STEEPEST = 0.06  # world units of depth between neighbouring pixels; more is an occlusion edge


class TrueView(NamedTuple):
    """Ground truth in one view of a crop, for the surface that the frontal onset frame shows.

    face : (S, S) bool, skin of the face; motion : (S, S, 2) float, pixels, NaN where nothing is known
    """

    face: Mask
    motion: Floats


class TrueCrop:
    """Ground truth of a take in a crop that was cut from its frames.

    crop : (2, 3), pixel of the take's frames -> pixel of the crop; size : side of the crop, pixels
    In the world of the crop the true eyes of the onset frame are at depth 0.
    """

    def __init__(self, take: Take, crop: Floats, size: int) -> None:
        self.take, self.crop, self.camera = take, crop, crop_camera(size)
        self.zoom = float(np.hypot(crop[0, 0], crop[1, 0]))
        self.deeper = EYES * self.zoom / self.camera.scale  # world units of the crop in one of the take
        near = cv2.dilate(take.face.astype(np.uint8), np.ones((_RIM, _RIM), np.uint8)) > 0
        self._triangles = _connected(np.where(near, take.depth, np.float32(np.nan)), _STEEPEST)
        self._points = self._world(pixel_grid(*take.depth.shape), np.nan_to_num(take.depth))
        self._front = self._points.reshape(-1, 3)

    def _world(self, pixels: Floats, depth: Floats) -> Floats:
        """Pixels (..., 2) and depth (...) of the take -> world of the crop (..., 3)."""
        seen = pixels @ self.crop[:, :2].T + self.crop[:, 2]
        return self.camera.unproject(np.concatenate([seen, self.deeper * depth[..., None]], axis=-1))

    def view(self, yaw: float, frame: int) -> TrueView:
        """The onset frame from `yaw` degrees, and the motion to another frame without head motion."""
        take, camera = self.take, self.camera.at(yaw)
        motion = np.nan_to_num(take.true_motion(frame))
        after = self._world(pixel_grid(*take.depth.shape) + motion[..., :2], np.nan_to_num(take.depth) + motion[..., 2])
        moved = (camera.project(after) - camera.project(self._points))[..., :2].reshape(-1, 2)
        drawn = rasterise(camera, self._front, np.column_stack([moved, take.face.ravel()]), self._triangles)
        return TrueView(drawn[..., 2] > 0.999, drawn[..., :2])

    def head_motions(self) -> Floats:
        """(T, 2, 4), head motion of points (u, v, depth, 1) of the crop of the onset frame, u, v relative to `eyes`."""
        plane = self.crop[:, :2]
        motions = []
        for row in self.take.head:
            own = pixel_motion(row, EYES)
            turned = plane @ own[:, :2] @ np.linalg.inv(plane)
            motions.append(np.column_stack([turned, plane @ own[:, 2] / self.deeper, plane @ own[:, 3]]))
        return np.stack(motions)

    @property
    def eyes(self) -> Floats:
        """(2,) crop pixel of the middle of the eyes in the onset frame."""
        return self.crop[:, :2] @ self.take.eyes + self.crop[:, 2]

    def face_points(self, every: int = 4) -> tuple[Floats, Floats]:
        """Points on the face: crop pixels (N, 2) and depth (N,), world units of the crop."""
        rows, columns = np.nonzero(self.take.face & np.isfinite(self.take.depth))
        rows, columns = rows[::every], columns[::every]
        points = np.column_stack([columns, rows]) + 0.5
        return points @ self.crop[:, :2].T + self.crop[:, 2], self.deeper * self.take.depth[rows, columns]


def _connected(depth: Floats, steepest: float) -> NDArray[np.int64]:
    """Triangles (M, 3) between neighbouring pixels of a depth map (H, W) on one surface."""
    height, width = depth.shape
    number = np.arange(height * width).reshape(height, width)
    squares = np.stack([number[:-1, :-1], number[:-1, 1:], number[1:, :-1], number[1:, 1:]], axis=-1).reshape(-1, 4)
    corners = depth.ravel()[squares]
    squares = squares[np.ptp(corners, axis=1) < steepest]
    left, right, below, across = squares.T
    return np.concatenate([np.stack([left, below, across], axis=1), np.stack([left, across, right], axis=1)])


def moving_error(flow: Floats, true: TrueView, shown: Mask) -> FlowErrors:
    """The error of a flow (S, S, 2) on skin that moves and is `shown` (S, S), without its rim."""
    least = MOVING * len(flow) / 256
    with np.errstate(invalid="ignore"):
        moving = np.linalg.norm(true.motion, axis=-1) > least
    return flow_errors(flow, true.motion, whole(true.face & shown) & moving)


def mean_length(flow: Floats, where: Mask) -> float:
    """Mean length of a flow (S, S, 2) in a mask, pixels; NaN in an empty one."""
    return float(np.linalg.norm(flow[where], axis=-1).mean()) if where.any() else float("nan")


def class_bias(by_expression: Mapping[str, Sequence[FlowErrors]]) -> float:
    """Largest minus smallest relative error among expressions; NaN where there are fewer than two."""
    errors = [relative_error(errors) for errors in by_expression.values()]
    known = [error for error in errors if np.isfinite(error)]
    return max(known) - min(known) if len(known) > 1 else float("nan")


def largest_jump(flow: Floats, where: Mask) -> float:
    """Largest change of the median motion of a face between a frame and the next, pixels.

    flow : (T-1, S, S, 2), frame t to t+1; where : (S, S) bool
    It is close to zero for smooth head motion and a registration that follows it.
    """
    medians = np.median(flow[:, where], axis=1)
    return float(np.linalg.norm(np.diff(medians, axis=0), axis=-1).max())


def seen_at(registration: Registration, points: Floats, depth: Floats) -> Floats:
    """Points (N, 2) of the crop of the onset frame, at depth (N,) world units, as projected in every frame: (T, N, 2).

    The only function here that depends on how a registration is stored.
    """
    placed = np.column_stack([points, np.ones(len(points))]) @ registration.homography.transpose(0, 2, 1)
    return np.asarray(placed[..., :2] / placed[..., 2:] + depth[:, None] * registration.parallax[:, None])


class PoseErrors(NamedTuple):
    """Errors of a head's motion from the onset frame, for each other frame: pixels (T,) and degrees (T,)."""

    pixels: Floats
    degrees: Floats


def pose_errors(true: TrueCrop, registration: Registration, frames: Sequence[int] | None = None) -> PoseErrors:
    """Errors of the head motion of a registration, on the points of the face.

    frames : (T,) frames of the take that the registration is of; None means all
    Pixels are the mean distance; degrees the angle between the rotations, to first order from parallax and roll.
    """
    points, depth = true.face_points()
    placed = np.column_stack([points - true.eyes, depth, np.ones(len(depth))])
    motions = true.head_motions()
    motions = motions if frames is None else motions[list(frames)]
    there = seen_at(registration, points, depth) - true.eyes
    here = np.einsum("tij,nj->tni", motions, placed)
    # The linear motion closest to the registration, by least squares, as a homography is not linear.
    found = np.stack([np.linalg.lstsq(placed, own, rcond=None)[0].T for own in there])
    differ = found - motions
    roll = (differ[:, 1, 0] - differ[:, 0, 1]) / 2
    turn = np.linalg.norm(differ[..., 2], axis=1) / true.camera.scale
    return PoseErrors(np.linalg.norm(there - here, axis=-1).mean(axis=1), np.degrees(np.hypot(turn, roll)))


def true_crop(take: Take, crop: Floats, size: int) -> TrueCrop:
    """`TrueCrop` of a crop (2, 3) found in frames that were downscaled for a crop of `size` pixels."""
    smaller = (SIDE * size // 256) / SIDE
    return TrueCrop(take, np.column_stack([crop[:, :2] * smaller, crop[:, 2]]), size)
