"""The one camera convention of the project: from points of the face to pixels, and back.

Convention:
    image   pixel centres at +0.5, origin top-left, u right, v down.
    world   right-handed, x right, y up, z toward the camera; origin midway between the eyes; the unit is the
            inter-ocular distance of the frontal face.
    yaw     degrees; positive = the camera moves to the subject's left (image right), so the nose turns to image left.
    pitch   degrees; positive = the camera moves up.
    depth   z along the optical axis (never the length of the ray), in world units, positive toward the camera. A
            view's frame is the world turned about `pivot`, where `pivot` keeps its coordinates; at yaw 0 and pitch 0
            both agree.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]

# Where the canonical face crop puts the eyes, as fractions of its side. The crop is 3.2 inter-ocular distances wide: a
# face from hairline to chin, with room for the nose and far cheek of a view at 45 degrees.
EYE_DISTANCE = 0.3125
EYE_CENTRE = (0.5, 0.39)
# The vertical axis that views turn about is inside the head, so the face stays in the frame.
PIVOT = (0.0, 0.0, -0.9)


@dataclass(frozen=True, slots=True)
class Camera:
    """A camera on the canonical crop, orthographic or pinhole, turned about a pivot.

    size : side of the square image in pixels
    scale : pixels per world unit at depth 0
    centre : (u, v) of the world origin in the source view, pixels
    yaw, pitch : degrees
    pivot : (x, y, z) the point the camera orbits, world units
    focal : focal length in crop pixels; None is the orthographic camera
    principal : (u, v) of the optical axis in crop pixels, for the pinhole camera; None is the image centre
    """

    size: int
    scale: float
    centre: tuple[float, float]
    yaw: float = 0.0
    pitch: float = 0.0
    pivot: tuple[float, float, float] = PIVOT
    focal: float | None = None
    principal: tuple[float, float] | None = None

    @property
    def kind(self) -> Literal["orthographic", "pinhole"]:
        return "orthographic" if self.focal is None else "pinhole"

    @property
    def rotation(self) -> Floats:
        """(3, 3) float64, world directions -> view directions; rows are the view's right, up and backward axes."""
        yaw, pitch = np.radians(self.yaw), np.radians(self.pitch)
        turn = np.array([[np.cos(yaw), 0, -np.sin(yaw)], [0, 1, 0], [np.sin(yaw), 0, np.cos(yaw)]])
        nod = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
        return nod @ turn

    @property
    def position(self) -> Floats:
        """(3,) float64, centre of projection in the view's frame, world units. Orthographic cameras have none."""
        if self.focal is None:
            raise ValueError("an orthographic camera has no centre of projection")
        cu, cv = self.principal or (self.size / 2, self.size / 2)
        distance = self.focal / self.scale
        return np.array(
            [(cu - self.centre[0]) / self.scale, -(cv - self.centre[1]) / self.scale, distance], dtype=np.float64
        )

    def at(self, yaw: float, pitch: float = 0.0) -> Camera:
        """The same camera, moved to another angle."""
        return replace(self, yaw=yaw, pitch=pitch)

    def to_view(self, points: Floats) -> Floats:
        """World points (..., 3) -> the view's frame (..., 3), world units."""
        pivot = np.asarray(self.pivot)
        return (points - pivot) @ self.rotation.T + pivot

    def to_world(self, points: Floats) -> Floats:
        """Points of the view's frame (..., 3) -> world (..., 3), world units."""
        pivot = np.asarray(self.pivot)
        return (points - pivot) @ self.rotation + pivot

    def project(self, points: Floats) -> Floats:
        """World points (..., 3) -> (..., 3): u, v in pixels and depth in world units."""
        view = self.to_view(points)
        x, y, z = view[..., 0], view[..., 1], view[..., 2]
        if self.focal is None:
            u = self.centre[0] + self.scale * x
            v = self.centre[1] - self.scale * y
        else:
            cu, cv = self.principal or (self.size / 2, self.size / 2)
            eye = self.position
            distance = eye[2] - z
            u = cu + self.focal * (x - eye[0]) / distance
            v = cv - self.focal * (y - eye[1]) / distance
        return np.stack([u, v, z], axis=-1)

    def unproject(self, pixels: Floats) -> Floats:
        """Pixels with depth (..., 3), u, v in pixels and depth in world units -> world points (..., 3)."""
        u, v, z = pixels[..., 0], pixels[..., 1], pixels[..., 2]
        if self.focal is None:
            x = (u - self.centre[0]) / self.scale
            y = -(v - self.centre[1]) / self.scale
        else:
            cu, cv = self.principal or (self.size / 2, self.size / 2)
            eye = self.position
            distance = eye[2] - z
            x = eye[0] + (u - cu) * distance / self.focal
            y = eye[1] - (v - cv) * distance / self.focal
        return self.to_world(np.stack([x, y, z], axis=-1))


def crop_camera(size: int, pivot: tuple[float, float, float] = PIVOT) -> Camera:
    """The orthographic camera of the canonical face crop, `size` pixels wide."""
    return Camera(
        size=size, scale=EYE_DISTANCE * size, centre=(EYE_CENTRE[0] * size, EYE_CENTRE[1] * size), pivot=pivot
    )


def pinhole_crop_camera(
    size: int,
    crop: Floats,
    focal: float,
    principal: tuple[float, float],
    pivot: tuple[float, float, float] = PIVOT,
) -> Camera:
    """The pinhole camera of a face crop cut out of an image with known intrinsics.

    crop : (2, 3) float, source pixel -> crop pixel, a similarity
    focal, principal : focal length and principal point of the source image, source pixels
    """
    crop = np.asarray(crop, dtype=np.float64)
    zoom = float(np.hypot(crop[0, 0], crop[1, 0]))
    u, v = crop[:, :2] @ np.asarray(principal) + crop[:, 2]
    return replace(crop_camera(size, pivot), focal=focal * zoom, principal=(float(u), float(v)))


def pixel_grid(height: int, width: int) -> Floats:
    """(H, W, 2) float64: u, v of every pixel centre."""
    v, u = np.mgrid[0:height, 0:width]
    return np.stack([u + 0.5, v + 0.5], axis=-1).astype(np.float64)
