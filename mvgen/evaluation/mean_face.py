"""Baseline for the depth network: a mean face, posed onto landmarks."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from mvgen.core.camera import crop_camera, pixel_grid
from mvgen.morphable.model import FaceModel
from mvgen.render.rays import RayScene
from mvgen.scans.head import HeadModel
from mvgen.scans.imaging.rotation import rotation

Floats = NDArray[np.floating]
Mask = NDArray[np.bool_]

# Standard deviation of landmarks from those of the mean face, inter-ocular distances, and of head angles, degrees.
_POINT_SPREAD, _ANGLE_SPREAD = 0.05, (8, 8, 4)


@dataclass(frozen=True, slots=True)
class Pose:
    """A similarity of the world seen by an orthographic camera.

    angles : (3,) yaw, pitch, roll, degrees, as in `mvgen.scans.imaging.rotation`; scale : factor
    shift : (2,) world units
    """

    angles: Floats
    scale: float
    shift: Floats

    def place(self, vertices: Floats) -> Floats:
        """Transformed vertices (N, 3); the shift along the optical axis cannot be seen and is zero."""
        moved = self.scale * np.asarray(vertices, np.float64) @ rotation(*self.angles).T
        return moved + np.array([*self.shift, 0.0])


def fit_pose(template: Floats, points: Floats) -> Pose:
    """The most likely pose of template points (L, 3) that are seen at points (L, 2), both world units.

    Least squares over the points, with a prior on the head angles.
    Raises ValueError for fewer than three points, which do not determine a pose.
    """
    if len(points) < 3:
        raise ValueError(f"{len(points)} landmarks do not determine a pose, 3 are needed")

    def pose(values: Floats) -> Pose:
        return Pose(values[:3], float(np.exp(values[3])), values[4:])

    def errors(values: Floats) -> Floats:
        away = pose(values).place(template)[:, :2] - points
        return np.concatenate([away.ravel() / _POINT_SPREAD, values[:3] / _ANGLE_SPREAD])

    return pose(least_squares(errors, np.zeros(6), x_scale=[5, 5, 5, 0.1, 0.1, 0.1]).x)


def mean_alone(model: FaceModel) -> FaceModel:
    """A face model without components and actions: fitted to landmarks it is the posed mean face."""
    return replace(model, identity=model.identity[:0], actions=model.actions[:0], action_names=())


def posed_mean(model: HeadModel, points: Floats, size: int) -> NDArray[np.float32]:
    """Depth (S, S) of the template head posed onto 68 landmarks, world units, zero at its eyes, NaN off the head.

    points : (68, 2) pixels of a crop of side `size`, NaN for those to ignore
    """
    camera = crop_camera(size)
    used = np.isfinite(points).all(axis=1) & (model.landmarks >= 0)
    target = np.column_stack([points[used, 0] - camera.centre[0], camera.centre[1] - points[used, 1]]) / camera.scale
    pose = fit_pose(model.canonical[model.landmarks[used]].astype(np.float64), target)
    vertices = pose.place(model.canonical)
    vertices[:, 2] -= model.five_positions(vertices)[:2, 2].mean()
    hits = RayScene(vertices, model.triangles).cast(camera, pixel_grid(size, size))
    return np.where(hits.hit, hits.interpolate(model.triangles, vertices)[..., 2], np.nan).astype(np.float32)
