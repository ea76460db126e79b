"""A picture of a head: rays, paint, light. Used for training data and for stand-ins with ground truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvgen.camera import Camera
from mvgen.scans.appearance import Look
from mvgen.scans.head import HeadModel
from mvgen.scans.lighting import Lighting, Points
from mvgen.scans.raycast import Hits, RayScene, vertex_normals

Floats = NDArray[np.floating]

# Heads turn about a point between the ears, below the eyes.
TURN_CENTRE = np.array([0.0, -0.3, -0.9])


class DressedHead:
    """The look of one person, painted once on the points of the head's surface, and the lift of the hair.

    paint : (N + E, 6) float32, at vertices and edge middles: albedo (linear RGB), shine, face cover, inside of mouth
    """

    def __init__(self, heads: HeadModel, look: Look, *, fine: bool = True) -> None:
        """Paint the head; `fine` paints edge middles too, which pictures of 128 pixels cannot show."""
        self.heads = heads
        self.look = look
        points, regions = heads.canonical_nodes if fine else (heads.canonical, heads.regions)
        albedo, shine = look.paint(points, regions)
        covers = look.face_cover(points, regions), np.maximum(regions["mouth_cavity"], regions["tongue"])
        paint = np.column_stack([albedo, shine, *covers]).astype(np.float32)
        self.paint: NDArray[np.float32] = paint if fine else heads.at_nodes(paint)
        self._lift = look.hair_lift(heads.canonical, heads.regions["ears"])

    def pose(self, vertices: Floats, rotation: Floats, shift: Floats) -> PosedHead:
        """Move a bare head (N, 3) with its hair on rigidly.

        rotation : (3, 3), turns about TURN_CENTRE; shift : (3,) world units
        """
        normals = vertex_normals(vertices, self.heads.triangles)
        posed = (rigid(vertices + self._lift[:, None] * normals, rotation, shift)).astype(np.float32)
        return PosedHead(
            self, posed, vertex_normals(posed, self.heads.triangles), RayScene(posed, self.heads.triangles)
        )


@dataclass(frozen=True)
class PosedHead:
    """A dressed head in front of the camera, ready for rays.

    vertices : (N, 3) float32 world, with hair, expression and pose; normals : (N, 3) float32 world
    """

    dressed: DressedHead
    vertices: NDArray[np.float32]
    normals: NDArray[np.float32]
    scene: RayScene


@dataclass(frozen=True)
class Surface:
    """What a camera sees of a head at pixel centres.

    hits : (H, W) rays; depth : (H, W) float32 world units in the view's frame, NaN where nothing is hit
    face : (H, W) bool, the pixel shows face: no hair, ears, neck or clothes
    mouth : (H, W) bool, the pixel shows the inside of the mouth, which is part of the face
    """

    hits: Hits
    depth: NDArray[np.float32]
    face: NDArray[np.bool_]
    mouth: NDArray[np.bool_]


def rigid(points: Floats, rotation: Floats, shift: Floats) -> Floats:
    """Turn points (..., 3) about TURN_CENTRE and shift them."""
    return (points - TURN_CENTRE) @ rotation.T + TURN_CENTRE + shift


def see_surface(head: PosedHead, camera: Camera, pixels: Floats) -> Surface:
    """Depth and face mask at the pixel centres (H, W, 2) of an image, in pixels of `camera`."""
    hits = head.scene.cast(camera, pixels)
    seen = hits.where_hit()
    heads = head.dressed.heads
    depth = np.full(hits.hit.shape, np.nan, dtype=np.float32)
    points = seen.interpolate(heads.triangles, head.vertices).astype(np.float64)
    depth[hits.hit] = camera.to_view(points)[..., 2]
    covers = np.zeros((*hits.hit.shape, 2), dtype=bool)
    covers[hits.hit] = seen.interpolate_quadratic(heads.six_nodes, head.dressed.paint[:, 4:]) > 0.5
    face, mouth = covers[..., 0] | covers[..., 1], covers[..., 1]
    return Surface(hits, depth, face, mouth)


def shoot(
    head: PosedHead, lighting: Lighting, camera: Camera, pixels: Floats, samples: int = 2
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A picture in linear light.

    pixels : (H, W, 2) pixel centres of the picture in pixels of `camera`, evenly spaced
    samples : rays per pixel along each axis
    Returns colour (H, W, 3) float32, premultiplied, and coverage (H, W) float32 in [0, 1].
    """
    offsets = (np.arange(samples) + 0.5) / samples - 0.5
    right, down = pixels[0, 1] - pixels[0, 0], pixels[1, 0] - pixels[0, 0]
    spread = offsets[None, :, None] * right + offsets[:, None, None] * down
    hits = head.scene.cast(camera, pixels[:, :, None, None, :] + spread)
    colour = np.zeros((*hits.hit.shape, 3), dtype=np.float32)
    if hits.hit.any():
        seen = hits.where_hit()
        heads = head.dressed.heads
        placed = seen.interpolate(heads.triangles, np.column_stack([head.vertices, head.normals]))
        points, normals = placed[:, :3], placed[:, 3:]
        normals = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
        paint = np.clip(seen.interpolate_quadratic(heads.six_nodes, head.dressed.paint[:, :4]), 0.0, 2.0)
        ray = np.broadcast_to(np.arange(samples**2).reshape(samples, samples), hits.hit.shape)[hits.hit]
        view = camera.rotation[2].astype(np.float32)
        colour[hits.hit] = lighting.shade(head.scene, Points(points, normals, paint[:, :3], paint[:, 3], ray), view)
    return colour.mean(axis=(2, 3)), hits.hit.mean(axis=(2, 3), dtype=np.float32)
