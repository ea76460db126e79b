"""Head pose through a clip, separated from the expression.

The motion of each frame from the onset frame is fitted by six pose parameters together with the facial actions of the
face model; places that neither explains have less weight. A single frame still takes a part of a smile for a nod, so
the poses of all frames are smoothed along one path, in which motion that correlates with the expression counts as
noise: an expression rises and falls, a head moves before, during and after it.

Convention: crop pixels, centres at +0.5. A pose (6,) is a shift (x, y) in crop pixels, a rotation vector (x, y, z) in
radians, in the world axes of `mvgen.core.camera`, about the middle of the eyes, and the logarithm of a scale; the onset
frame's is zero. The camera is weak perspective.
Sources: Geman and McClure, 1987 (weights of outliers); Rasmussen and Williams, Gaussian Processes for Machine Learning,
2006, eq. 2.25 (prediction) and 5.8 (marginal likelihood).
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera, pixel_grid
from mvgen.morphable.fitting import FaceFit
from mvgen.morphable.rasterise import face_region, rasterise
from mvgen.motion.scene_flow import MotionActions, all_vertices, motion_actions

Floats = NDArray[np.floating]

POSE = 6
"""Number of parameters of a pose."""

# Lengths are shares of the crop's side.
_SIDE = 32  # samples along the crop's side
_STEPS = 4  # of a robust fit
_LEAST_RESIDUAL = 0.03 / 256
_ACTION_PENALTY = 400.0  # an action of one unit costs as much as so many places with a residual of one pixel
_LEAKAGE = 0.07  # share of the expression's motion that may be in a frame's head motion
_NOISE = 0.03 / 256  # of a frame's head motion
_AMPLITUDES = tuple(amplitude / 256 for amplitude in (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0))
_LENGTHS = (6.0, 12.0, 24.0, 48.0)  # length scales of the path, frames


class HeadFitter:
    """Fits head poses to the motion of one face.

    fit : of the onset frame; depth : (S, S) world units, of the same frame, known everywhere
    camera : the source camera of the crop; actions : the shipped ones by default
    """

    def __init__(self, fit: FaceFit, depth: Floats, camera: Camera, actions: MotionActions | None = None) -> None:
        self._size, self._scale = camera.size, camera.scale
        self._centre = np.asarray(camera.centre)
        vertices, coarse = fit.vertices[0], _coarse(camera)
        known = (motion_actions() if actions is None else actions).actions
        displacements = fit.scale * known @ fit.rotation[0].T
        values = all_vertices() @ displacements.transpose(1, 0, 2).reshape(displacements.shape[1], -1)
        values = np.column_stack([vertices[:, 2:], values])
        seen = rasterise(coarse, vertices, values)
        where = face_region(coarse, vertices) & np.isfinite(seen[..., 0])
        step = camera.size / _SIDE
        self.places = pixel_grid(_SIDE, _SIDE)[where] * step
        self._points = np.column_stack([self._world(self.places), _sampled(depth.astype(np.float32), self.places)])
        moved = seen[where][:, 1:].reshape(len(self.places), -1, 3)[..., :2] * [camera.scale, -camera.scale]
        self._actions = moved.transpose(0, 2, 1).reshape(2 * len(self.places), -1).astype(np.float32)

    def motions(self, flows: NDArray[np.float32]) -> Floats:
        """Flows (T, S, S, 2), pixels, at the head's places: (T, N, 2)."""
        return np.stack([_sampled(flow, self.places) for flow in flows])

    def path(self, motions: Floats, onset: int, usable: NDArray[np.bool_] | None = None) -> Floats:
        """The head's poses (T, 6) along one smooth path.

        motions : (T, N, 2) pixels, of the head's places from the onset frame to every frame
        usable : (T,) bool, frames that the path is fitted to; None is all
        All zero where a still head explains the motion as well.
        """
        if not len(self.places):
            return np.zeros((len(motions), POSE))
        alone = self._poses(motions, onset)
        others = np.arange(len(motions)) != onset
        return self._smoothed(alone, motions, onset, others if usable is None else others & usable)

    def motion(self, pose: Floats) -> Floats:
        """Displacement of the head's places (N, 2) by a pose: (N, 2) pixels."""
        return self._turned(pose)[:, :2] - self.places

    def _world(self, pixels: Floats) -> Floats:
        return (pixels - self._centre) * [1, -1] / self._scale

    def _turned(self, pose: Floats) -> Floats:
        """(N, 3), the head's points in a pose, projected: pixels, and depth in world units."""
        points = np.exp(pose[5]) * self._points @ rotation_matrix(pose[2:5]).T
        return np.column_stack([self._centre + points[:, :2] * [self._scale, -self._scale] + pose[:2], points[:, 2]])

    def _jacobian(self, pose: Floats) -> Floats:
        """(2 N, 6), derivative of the places by a further shift, rotation and scale."""
        x, y, z = (np.exp(pose[5]) * self._points @ rotation_matrix(pose[2:5]).T * self._scale).T
        none, one = np.zeros_like(x), np.ones_like(x)
        right = [one, none, none, z, -y, x]
        down = [none, one, z, none, -x, -y]
        return np.stack([np.stack(right, axis=-1), np.stack(down, axis=-1)], axis=1).reshape(-1, POSE)

    def _pose(self, motion: Floats, start: Floats) -> Floats:
        """The head's pose from one frame's motion (N, 2): a robust fit, together with the facial actions."""
        pose, weights = start, np.ones(len(motion))
        least = _LEAST_RESIDUAL * self._size
        basis = np.empty((2 * len(motion), POSE + self._actions.shape[1]), np.float32)
        basis[:, POSE:] = self._actions
        # Actions have the size of micro-expressions in every crop: their penalty grows with the picture.
        ridge = np.r_[np.full(POSE, 1e-6), np.full(self._actions.shape[1], _ACTION_PENALTY * (self._size / 256) ** 2)]
        for _ in range(_STEPS):
            basis[:, :POSE] = self._jacobian(pose)
            left = (motion - self.motion(pose)).reshape(-1)
            root = np.repeat(np.sqrt(weights), 2)
            weighted = basis * root[:, None].astype(np.float32)
            normal = (weighted.T @ weighted).astype(np.float64) + np.diag(ridge)
            change = np.linalg.solve(normal, weighted.T @ (root * left))
            pose = composed(pose, change[:POSE])
            residual = np.linalg.norm((left - basis @ change).reshape(-1, 2), axis=1)
            width = 2 * max(1.48 * float(np.median(residual)), least)
            weights = 1 / (1 + (residual / width) ** 2)
        return pose

    def _poses(self, motions: Floats, onset: int) -> Floats:
        """(T, 6), each frame's pose by itself; the fit starts from the pose of its neighbour nearer to the onset."""
        poses = np.zeros((len(motions), POSE))
        for frames in (range(onset + 1, len(motions)), range(onset - 1, -1, -1)):
            nearer = onset
            for frame in frames:
                poses[frame] = self._pose(motions[frame], poses[nearer])
                nearer = frame
        return poses

    def _smoothed(self, alone: Floats, motions: Floats, onset: int, others: NDArray[np.bool_]) -> Floats:
        """Poses (T, 6) of single frames, smoothed by the Gaussian process of the largest marginal likelihood."""
        count = len(alone)
        if not others.any():
            return np.zeros_like(alone)
        head = alone @ self._jacobian(np.zeros(POSE)).T
        expression = (motions - np.stack([self.motion(pose) for pose in alone])).reshape(count, -1)
        both = np.ix_(others, others)
        noise = _LEAKAGE**2 * expression @ expression.T / len(self.places)
        noise = (noise + (_NOISE * self._size) ** 2 * np.eye(count))[both]
        heads = (head @ head.T / len(self.places))[both]
        best, chosen = np.inf, np.zeros((count, int(others.sum())))
        for length, amplitude in product(_LENGTHS, _AMPLITUDES):
            prior = (amplitude * self._size) ** 2 * _path_covariance(np.arange(count, dtype=np.float64) - onset, length)
            covariance = prior[both] + noise
            unlikely = np.trace(np.linalg.solve(covariance, heads)) + POSE * np.linalg.slogdet(covariance)[1]
            if unlikely < best:
                best, chosen = unlikely, np.linalg.solve(covariance, prior[others]).T
        return np.asarray(chosen @ alone[others])


def plane_parallax(pose: Floats, camera: Camera) -> tuple[Floats, Floats]:
    """A pose as a map from the onset frame's pixels to a frame's: homography (3, 3), plus depth times parallax (2,).

    camera : the source camera of the crop; depth in world units
    """
    flip = np.array([1.0, -1.0])
    grown = np.exp(pose[5]) * rotation_matrix(pose[2:5])
    linear = grown[:2, :2] * flip * flip[:, None]
    centre = np.asarray(camera.centre)
    affine = np.column_stack([linear, centre - linear @ centre + pose[:2]])
    return np.vstack([affine, [0, 0, 1]]), camera.scale * flip * grown[:2, 2]


def rotation_matrix(vector: Floats) -> Floats:
    """The rotation matrix (3, 3) of a rotation vector (3,), radians (Rodrigues)."""
    import cv2

    return np.asarray(cv2.Rodrigues(np.asarray(vector, np.float64))[0])


def composed(pose: Floats, change: Floats) -> Floats:
    """A pose with a small change applied."""
    import cv2

    both = rotation_matrix(change[2:5]) @ rotation_matrix(pose[2:5])
    return np.r_[pose[:2] + change[:2], cv2.Rodrigues(both)[0][:, 0], pose[5] + change[5]]


def _path_covariance(frames: Floats, length: float) -> Floats:
    """(T, T), covariance of a smooth path of unit amplitude that is zero at frame 0."""
    covariance = np.exp(-0.5 * (np.subtract.outer(frames, frames) / length) ** 2)
    first = np.exp(-0.5 * (frames / length) ** 2)
    return np.asarray(covariance - first[:, None] - first + 1)


def _coarse(camera: Camera) -> Camera:
    """The orthographic camera whose pixels are the samples of a crop."""
    share = _SIDE / camera.size
    centre = (camera.centre[0] * share, camera.centre[1] * share)
    return replace(camera, size=_SIDE, scale=camera.scale * share, centre=centre, focal=None, principal=None)


def _sampled(image: NDArray[np.float32], places: Floats) -> Floats:
    """An image (S, S, ...) at places (N, 2), pixels: (N, ...)."""
    import cv2

    at = (places - 0.5).astype(np.float32)[:, None]
    return np.asarray(cv2.remap(image, at[..., 0], at[..., 1], cv2.INTER_LINEAR), np.float64)[:, 0]
