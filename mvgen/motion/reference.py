"""Head pose and expression of a face in one frame, measured against a reference frame of the same face.

Texture of the frame is moved back by the pose found so far and compared with the reference's: a least-squares problem
whose matrix depends on the reference alone, so a frame costs little. Its unknowns are the pose, the contrast, and the
facial actions of the face model, which are small by a prior. Shading and light are removed before; the openings of eyes
and mouth, whose appearance does not follow the skin, are not looked at.

Convention: crop pixels; a pose (6,) is that of `mvgen.motion.head_motion`.
Source: Baker and Matthews, Lucas-Kanade 20 Years On, IJCV 2004 (inverse compositional, linear appearance variation).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera, pixel_grid
from mvgen.core.records import FaceFit, Image
from mvgen.morphable.rasterise import face_region, rasterise
from mvgen.morphable.topology import EYE_LEFT, EYE_RIGHT, LIPS
from mvgen.motion.head_motion import POSE, composed, plane_parallax
from mvgen.motion.scene_flow import all_vertices, motion_actions

Floats = NDArray[np.floating]

# Lengths are shares of the crop's side.
_GRAIN, _SHADING = 0.8 / 128, 6.0 / 128  # sigmas of the band of texture that is compared
_LIDS, _LIPS = 3.0 / 128, 1.0 / 128  # margin around the openings of eyes and mouth
_ACTION_DEVIATION = 0.5 / 128  # prior of a facial action's largest motion
_NOISE = 6.0  # grey levels of a pixel; pixels are correlated, so more than the sensor's
_STEPS = 4
_SMALL_STEP = 0.002  # of the crop's side; a smaller step ends the search

# Landmarks whose motion is measured: brows, cheeks, nose, mouth and chin.
_BROWS = (70, 63, 105, 66, 107, 336, 296, 334, 293, 300)
_LOWER = (50, 280, 205, 425, 129, 358, 4, 61, 291, 39, 0, 269, 181, 17, 405, 199)

LOOKED_AT = _BROWS + _LOWER


@dataclass(frozen=True, slots=True)
class Measured:
    """One frame against the reference.

    pose : (6,); places : (K, 2), motion of `LOOKED_AT` by the expression alone, crop pixels
    likeness : correlation of the textures, 1 is equal; eyes : the same within the openings of the eyes
    """

    pose: Floats
    places: Floats
    likeness: float
    eyes: float


class Reference:
    """A frame of a face that others are measured against.

    crop : (S, S, 3) uint8; fit : of its face; camera : of the crop
    """

    def __init__(self, crop: Image, fit: FaceFit, camera: Camera) -> None:
        self._camera, size = camera, camera.size
        vertices = fit.vertices[0]
        known = motion_actions().actions
        moved = fit.scale * known @ fit.rotation[0].T
        values = all_vertices() @ moved.transpose(1, 0, 2).reshape(moved.shape[1], -1)
        drawn = rasterise(camera, vertices, np.column_stack([vertices[:, 2:], values]))
        eyes, mouth = _opening(camera, vertices, (EYE_LEFT, EYE_RIGHT)), _opening(camera, vertices, (LIPS,))
        hidden = _wider(eyes, _LIDS) | _wider(mouth, _LIPS)
        where = face_region(camera, vertices) & np.isfinite(drawn[..., 0]) & ~hidden
        self._where, self._eyes = where, _wider(eyes, _LIPS)
        self._depth = np.nan_to_num(drawn[..., 0], nan=float(np.nanmean(drawn[..., 0]))).astype(np.float32)
        texture = _texture(crop)
        self._texture, self._eye_texture = texture[where], texture[self._eyes]
        down, right = (np.asarray(each)[where] for each in np.gradient(texture))
        turned = camera.scale * np.column_stack([self._points(camera, where), drawn[where][:, 0]])
        actions = drawn[where][:, 1:].reshape(len(turned), -1, 3)[..., :2] * [camera.scale, -camera.scale]
        pose = _pose_jacobian(turned)
        basis = np.concatenate([pose, actions], axis=1)
        matrix = right[:, None] * basis[..., 0] + down[:, None] * basis[..., 1]
        matrix = np.column_stack([matrix, -self._texture])
        prior = np.r_[np.zeros(POSE), np.full(actions.shape[1], (_ACTION_DEVIATION * size) ** -2.0), 1.0]
        normal = matrix.T @ matrix / _NOISE**2 + np.diag(prior + 1e-6)
        self._solve = (np.linalg.solve(normal, matrix.T) / _NOISE**2).astype(np.float32)
        coarse = moved[:, list(LOOKED_AT), :2] * [camera.scale, -camera.scale]
        self._places = coarse.transpose(1, 2, 0).reshape(2 * len(LOOKED_AT), -1)

    @staticmethod
    def _points(camera: Camera, where: NDArray[np.bool_]) -> Floats:
        return np.asarray((pixel_grid(camera.size, camera.size)[where] - camera.centre) * [1, -1] / camera.scale)

    def measure(self, crop: Image, start: Floats) -> Measured:
        """Measure a frame's crop (S, S, 3) uint8. start : (6,), a pose to begin with, such as the frame's before."""
        texture = _texture(crop)
        pose, found, back = start, np.zeros(len(self._solve)), texture
        for _ in range(_STEPS):
            back = self._moved_back(texture, pose)
            found = self._solve @ (self._texture - back[self._where])
            pose = composed(pose, found[:POSE])
            if np.abs(found[:POSE] * self._lengths).max() < _SMALL_STEP * self._camera.size:
                break
        places = (self._places @ found[POSE:-1]).reshape(-1, 2)
        likeness = _correlation(self._texture, back[self._where])
        return Measured(pose, places, likeness, _correlation(self._eye_texture, back[self._eyes]))

    @property
    def _lengths(self) -> Floats:
        """(6,), motion of the face's outline by a unit of each number of a pose, pixels."""
        return np.array([1, 1, *[self._camera.scale] * 4])

    def _moved_back(self, texture: NDArray[np.float32], pose: Floats) -> NDArray[np.float32]:
        """A frame's texture (S, S) where the reference's pixels are in it."""
        import cv2

        homography, parallax = plane_parallax(pose, self._camera)
        at = (_grid(self._camera.size) @ homography[:2, :2].T + homography[:2, 2]).astype(np.float32)
        at += self._depth[..., None] * parallax.astype(np.float32) - np.float32(0.5)
        return np.asarray(cv2.remap(texture, at, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE))  # type: ignore[call-overload]


def _grid(size: int) -> Floats:
    return pixel_grid(size, size)


def _pose_jacobian(points: Floats) -> Floats:
    """(P, 6, 2), motion of points (P, 3), in pixels from the middle of the eyes with y up, by a pose's numbers."""
    x, y, z = points.T
    none, one = np.zeros_like(x), np.ones_like(x)
    right = np.stack([one, none, none, z, -y, x], axis=1)
    down = np.stack([none, one, z, none, -x, -y], axis=1)
    return np.stack([right, down], axis=-1)


def _texture(crop: Image) -> NDArray[np.float32]:
    import cv2

    size = len(crop)
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY).astype(np.float32)
    fine, coarse = (cv2.GaussianBlur(grey, (0, 0), sigma * size) for sigma in (_GRAIN, _SHADING))
    return np.asarray(fine - coarse, np.float32)


def _correlation(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    one, other = one - one.mean(), other - other.mean()
    return float(one @ other) / max(float(np.linalg.norm(one) * np.linalg.norm(other)), 1e-6)


def _opening(camera: Camera, vertices: Floats, loops: tuple[tuple[int, ...], ...]) -> NDArray[np.uint8]:
    """(S, S) 1 within loops of landmarks, 0 elsewhere."""
    import cv2

    seen = camera.project(vertices)[:, :2]
    mask = np.zeros((camera.size, camera.size), np.uint8)
    for loop in loops:
        cv2.fillPoly(mask, [np.rint(seen[list(loop)] - 0.5).astype(np.int32)], 1)
    return mask


def _wider(mask: NDArray[np.uint8], margin: float) -> NDArray[np.bool_]:
    """A mask (S, S) with a margin, a share of its side."""
    import cv2

    side = 2 * max(1, round(margin * len(mask))) + 1
    return np.asarray(cv2.dilate(mask, np.ones((side, side), np.uint8)) > 0)
