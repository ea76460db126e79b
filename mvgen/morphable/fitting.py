"""The face model fitted to the landmarks of a clip: one person and size, a head pose and facial actions per frame.

Maximum a posteriori by Gauss-Newton steps. Priors: identity weights are standard normal; action weights are normal
about zero with deviation `ACTION_DEVIATION`, within 0 and 1. Landmarks are weighted by the landmarker's error on
rendered heads, and less the worse they fit (Geman and McClure's weights), so that hidden and wrong landmarks have
little influence. The landmarker's depth is a measurement too, with an unknown offset per frame.
Source: Blanz and Vetter, "Face recognition based on fitting a 3D morphable model", PAMI 2003, section 3; Geman and
McClure, "Statistical methods for tomographic image reconstruction", 1987.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera
from mvgen.core.records import FaceFit
from mvgen.morphable.model import FaceModel
from mvgen.morphable.topology import EYE_LEFT, EYE_RIGHT, LANDMARKS

Floats = NDArray[np.floating]

__all__ = ["FaceFit", "fit_face", "pupils"]

ACTION_DEVIATION = 0.25
_STEPS = 8
_CORRELATED = 12.0  # errors of landmarks are correlated: so many count as one measurement
_BIAS_SHARE = 0.5  # the landmarker pitches faces too far back, on photographs less than on the rendered heads measured
_OUTLIER = 3.0  # deviations at which a landmark's weight is a quarter


def fit_face(points: Floats, camera: Camera, model: FaceModel) -> FaceFit:
    """Fit the model to the landmarks of T frames.

    points : (T, 468, 3) crop pixels, depth of any origin, positive toward the camera
    camera : the source camera of the crop
    """
    count = len(points)
    landmarks = _Landmarks(points, camera, model)
    identity, actions = np.zeros(len(model.identity)), np.zeros((count, len(model.actions)))
    pose = [landmarks.first_pose(frame) for frame in range(count)]
    scale = float(np.exp(np.mean([np.log(one[2]) for one in pose])))
    rotation, shift = np.stack([one[0] for one in pose]), np.stack([one[1] for one in pose])
    basis = np.concatenate([model.identity[:, :LANDMARKS], model.actions[:, :LANDMARKS]]).astype(np.float64)
    own = 6 + len(model.actions)
    shared = len(model.identity) + 1
    for _ in range(_STEPS):
        # A pinhole shows near faces larger: the pupils are the origin of depth at every step, not just at the end.
        shift[:, 2] -= pupils(_posed(model, identity, actions, rotation, shift, scale))[:, 2]
        # Block arrow matrix: each frame has unknowns of its own, and all frames share identity and size.
        total, right = np.zeros((shared, shared)), np.zeros(shared)
        total[:-1, :-1] += np.eye(shared - 1)
        right[:-1] -= identity
        frames = []
        for frame in range(count):
            jacobian, residual, weight = landmarks.linearised(
                frame, basis, identity, actions[frame], rotation[frame], shift[frame], scale
            )
            weighted = jacobian * weight[:, None]
            normal, descent = weighted.T @ jacobian, -weighted.T @ residual
            a, b, c = normal[:own, :own], normal[:own, own:], normal[own:, own:]
            a[np.arange(own), np.arange(own)] += np.r_[np.full(6, 1e-6), np.full(own - 6, ACTION_DEVIATION**-2)]
            descent[6:own] -= actions[frame] * ACTION_DEVIATION**-2
            solved = np.linalg.solve(a, np.column_stack([b, descent[:own]]))
            total += c - b.T @ solved[:, :-1]
            right += descent[own:] - b.T @ solved[:, -1]
            frames.append(solved)
        step = np.linalg.solve(total + 1e-9 * np.eye(shared), right)
        identity = identity + step[:-1]
        scale *= float(np.exp(np.clip(step[-1], -0.2, 0.2)))
        for frame, solved in enumerate(frames):
            change = solved[:, -1] - solved[:, :-1] @ step
            rotation[frame] = _rotation_matrix(change[:3]) @ rotation[frame]
            shift[frame] += [*change[3:5], 0.0]
            actions[frame] = np.clip(actions[frame] + change[6:], 0, 1)
    vertices = _posed(model, identity, actions, rotation, shift, scale)
    lift = pupils(vertices)[:, None, 2:]
    vertices[..., 2:] -= lift
    shift[:, 2:] -= lift[:, 0]
    errors = camera.project(vertices[:, :LANDMARKS])[..., :2] - points[..., :2]
    residual = np.median(np.linalg.norm(errors, axis=-1), axis=1) / camera.scale
    return FaceFit(vertices, identity, actions, rotation, shift, scale, residual)


def _posed(  # noqa: PLR0917
    model: FaceModel, identity: Floats, actions: Floats, rotation: Floats, shift: Floats, scale: float
) -> Floats:
    """(T, N, 3) world, the faces of T frames in their head poses; see `FaceFit`."""
    return scale * model.vertices(identity, actions) @ rotation.transpose(0, 2, 1) + shift[:, None]


def pupils(vertices: Floats) -> Floats:
    """The middle of the two eyes of faces (..., N, 3): (..., 3)."""
    return np.stack([vertices[..., list(loop), :].mean(axis=-2) for loop in (EYE_LEFT, EYE_RIGHT)]).mean(axis=0)


class _Landmarks:
    """The measurements of a fit: image positions and the landmarker's depth, in world units.

    The unknowns of a frame are a rotation (3), a shift (2), the offset of the landmarker's depth, and the actions.
    """

    def __init__(self, points: Floats, camera: Camera, model: FaceModel) -> None:
        self._points, self._camera, self._model = np.asarray(points, np.float64), camera, model
        self._deviation = np.maximum(model.point_deviation.astype(np.float64), 1e-3)

    def first_pose(self, frame: int) -> tuple[Floats, Floats, float]:
        """Rotation, shift and scale from the mean face to the landmarks with the landmarker's depth (Umeyama 1991)."""
        depth = self._depth(frame)
        target = self._camera.unproject(np.column_stack([self._points[frame, :, :2], depth - depth.mean()]))
        source = self._model.mean[:LANDMARKS].astype(np.float64)
        weight = 1 / np.square(self._deviation).sum(axis=1, keepdims=True)
        weight = weight / weight.sum()
        middle, goal = (weight * source).sum(axis=0), (weight * target).sum(axis=0)
        left, spread, right = np.linalg.svd((weight * (target - goal)).T @ (source - middle))
        sign = np.array([1, 1, np.sign(np.linalg.det(left @ right))])
        rotation = (left * sign) @ right
        scale = float((spread * sign).sum() / (weight * np.square(source - middle)).sum())
        return rotation, goal - scale * rotation @ middle, scale

    def linearised(  # noqa: PLR0917
        self,
        frame: int,
        basis: Floats,
        identity: Floats,
        actions: Floats,
        rotation: Floats,
        shift: Floats,
        scale: float,
    ) -> tuple[Floats, Floats, Floats]:
        """Jacobian (3 L, own + shared), residuals (3 L,) in deviations, and weights (3 L,) of one frame."""
        mean = self._model.mean[:LANDMARKS].astype(np.float64)
        shape = mean + np.tensordot(np.r_[identity, actions], basis, axes=1)
        turned = scale * shape @ rotation.T
        moved = turned + shift
        depth = self._depth(frame)
        robust = np.square(self._deviation).mean(axis=1)
        offset = float(np.average(moved[:, 2] - depth, weights=1 / robust))
        seen = self._camera.project(moved)
        residual = np.column_stack(
            [(seen[:, :2] - self._points[frame, :, :2]) / self._camera.scale, moved[:, 2] - depth - offset]
        )
        residual[:, 1] *= -1

        zero = np.zeros(LANDMARKS)
        x, y, z = turned.T
        turn = np.stack(
            [np.column_stack([zero, -z, y]), np.column_stack([z, zero, -x]), np.column_stack([-y, x, zero])]
        )
        move = np.zeros((3, LANDMARKS, 3))
        move[0, :, 0] = move[1, :, 1] = move[2, :, 2] = 1
        turned_basis = scale * basis @ rotation.T
        split = len(identity)
        columns = np.concatenate([turn, move, turned_basis[split:], turned_basis[:split], turned[None]])
        columns = self._in_perspective(columns, moved)
        # The third shift is the offset of the landmarker's depth; distance from a pinhole is part of the size.
        columns[5] = [0, 0, 1]
        jacobian = (columns / self._deviation).transpose(1, 2, 0).reshape(3 * LANDMARKS, -1)
        error = residual / self._deviation
        distance = np.square(error).mean(axis=1)
        weight = 1 / np.square(1 + distance / _OUTLIER**2) / _CORRELATED
        return jacobian, error.reshape(-1), np.repeat(weight, 3)

    def _depth(self, frame: int) -> Floats:
        """The landmarker's depth, world units, of any origin."""
        return np.asarray(self._points[frame, :, 2] / self._camera.scale - _BIAS_SHARE * self._model.depth_bias)

    def _in_perspective(self, columns: Floats, moved: Floats) -> Floats:
        """Changes of world points (C, L, 3) as changes of image position, world units, and of depth."""
        if self._camera.focal is None:
            return columns
        eye = self._camera.position
        away = eye[2] - moved[:, 2]
        zoom = self._camera.focal / (self._camera.scale * away)
        result = columns.copy()
        for axis in (0, 1):
            result[..., axis] = zoom * (columns[..., axis] + (moved[:, axis] - eye[axis]) / away * columns[..., 2])
        return result


def _rotation_matrix(vector: Floats) -> Floats:
    """The rotation matrix (3, 3) of a rotation vector (3,), radians (Rodrigues)."""
    import cv2

    return np.asarray(cv2.Rodrigues(np.asarray(vector, np.float64))[0])
