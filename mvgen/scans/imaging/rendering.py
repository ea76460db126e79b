"""Ray-cast pictures of painted, lit heads: for training data, and for stand-ins with ground truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera
from mvgen.render.rays import Hits, RayScene, vertex_normals
from mvgen.scans.head import HeadModel
from mvgen.scans.imaging.lighting import Lighting, Points
from mvgen.scans.looks.appearance import Look
from mvgen.scans.looks.garments import Garment

Floats = NDArray[np.floating]

# Heads turn about a point between the ears, below the eyes.
TURN_CENTRE = np.array([0.0, -0.3, -0.9])


class DressedHead:
    """The head of one person with its look: painted once on the points of its surface, and what is worn.

    paint : (N + E, 6) float32, at vertices and edge middles: albedo (linear RGB), shine, face cover, inside of mouth
    """

    def __init__(self, heads: HeadModel, look: Look, *, fine: bool = True) -> None:
        """Paint the head; `fine` paints edge middles too, which are too fine for pictures of 128 pixels."""
        self.heads = heads
        self.look: Look | None = look
        points, regions = heads.canonical_nodes if fine else (heads.canonical, heads.regions)
        places = look.places(points, regions)
        albedo, shine = look.paint(places)
        covers = look.face_cover(points, regions), np.maximum(regions["mouth_cavity"], regions["tongue"])
        paint = np.column_stack([albedo, shine, *covers]).astype(np.float32)
        self.paint: NDArray[np.float32] = paint if fine else heads.at_nodes(paint)
        # Heads are alike enough to lift the hair of all of them along the normals of the template.
        at_vertices = look.places(heads.canonical, heads.regions) if fine else places
        self._fine = fine
        self._offset = look.offset(at_vertices, vertex_normals(heads.canonical, heads.triangles))
        self._relief = look.relief(at_vertices)

    @classmethod
    def painted(cls, heads: HeadModel, paint: NDArray[np.float32]) -> DressedHead:
        """A head with given paint (N + E, 6), such as a scan's own texture; its hair is part of its surface."""
        dressed = cls.__new__(cls)
        dressed.heads = heads
        dressed.look = None
        dressed.paint = paint
        dressed._fine = True
        dressed._offset = dressed._relief = np.zeros((len(heads.canonical), 3), dtype=np.float32)
        return dressed

    def paint_at(self, hits: Hits) -> NDArray[np.float32]:
        """The paint at points hit (P,): (P, 6) float32."""
        if self._fine:
            return hits.interpolate_quadratic(self.heads.six_nodes, self.paint)
        # Edge middles are the means of their ends, and a quadratic through such points is a line.
        return hits.interpolate(self.heads.triangles, self.paint)

    def pose(self, vertices: Floats, rotation: Floats, shift: Floats) -> PosedHead:
        """Move a bare head (N, 3) rigidly, with its hair and what it wears.

        rotation : (3, 3), turns about TURN_CENTRE; shift : (3,) world units
        """
        turn = np.asarray(rotation, dtype=np.float32)

        def place(points: Floats) -> NDArray[np.float32]:
            return rigid(points, rotation, shift).astype(np.float32)

        def wear(garment: Garment) -> PosedGarment:
            moved = place(garment.vertices)
            normals = vertex_normals(moved, garment.triangles)
            return PosedGarment(garment, moved, normals, RayScene(moved, garment.triangles))

        clothed = vertices + self._offset
        upright = vertex_normals(clothed, self.heads.triangles) + self._relief
        normals = np.asarray(upright @ turn.T, dtype=np.float32)
        posed = place(clothed)
        occluders: tuple[PosedGarment, ...] = ()
        glasses: tuple[PosedGarment, ...] = ()
        if self.look is not None:
            worn = self.look.worn(self.heads, vertices)
            occluders = () if worn is None else (wear(worn),)
            if self.look.glasses is not None:
                frame, lens = self.look.glasses.fit(self.heads, vertices)
                glasses = (wear(frame), wear(lens))
        return PosedHead(self, posed, normals, RayScene(posed, self.heads.triangles), occluders, glasses)


@dataclass(frozen=True)
class PosedGarment:
    """A garment in front of the camera; vertices, normals : (K, 3) float32 world."""

    garment: Garment
    vertices: NDArray[np.float32]
    normals: NDArray[np.float32]
    scene: RayScene

    def depth(self, camera: Camera, pixels: Floats) -> NDArray[np.float32]:
        """Depth along the optical axis at pixels (..., 2), -inf where the garment is not."""
        return _depth_of(self.scene.cast(camera, pixels), self.garment.triangles, self.vertices, camera)


@dataclass(frozen=True)
class PosedHead:
    """A dressed head in front of the camera, ready for rays.

    vertices : (N, 3) float32 world, with hair, expression and pose; normals : (N, 3) float32 world
    scene : the head without garments
    occluders : loose hair and brims, which hide the face; glasses : frame and lenses, behind which is still face
    """

    dressed: DressedHead
    vertices: NDArray[np.float32]
    normals: NDArray[np.float32]
    scene: RayScene
    occluders: tuple[PosedGarment, ...] = ()
    glasses: tuple[PosedGarment, ...] = ()

    def occluded(self, points: Floats, direction: Floats) -> NDArray[np.bool_]:
        """Whether head or garments are between points (P, 3) and a light at infinity in `direction`."""
        dark = self.scene.occluded(points, direction)
        for worn in (*self.occluders, *self.glasses):
            if worn.garment.opacity.mean() > 0.5:
                dark = dark | worn.scene.occluded(points, direction)
        return dark


@dataclass(frozen=True)
class Surface:
    """The surface of a head that a camera sees at pixel centres, without glasses.

    hits : (H, W) hits of the bare head; depth : (H, W) float32 world units in the view's frame, NaN where no head is
    face : (H, W) bool, the pixel shows face: no hair, hat, ears, neck or clothes
    mouth : (H, W) bool, the pixel shows the inside of the mouth, which is part of the face
    """

    hits: Hits
    depth: NDArray[np.float32]
    face: NDArray[np.bool_]
    mouth: NDArray[np.bool_]


def rigid(points: Floats, rotation: Floats, shift: Floats) -> Floats:
    """Turn points (..., 3) about TURN_CENTRE and shift them."""
    return (points - TURN_CENTRE) @ rotation.T + TURN_CENTRE + shift


def _depth_of(hits: Hits, triangles: NDArray[np.integer], vertices: Floats, camera: Camera) -> NDArray[np.float32]:
    """Depth along the optical axis where rays (...,) hit, -inf where they miss."""
    depth = np.full(hits.hit.shape, -np.inf, dtype=np.float32)
    points = hits.where_hit().interpolate(triangles, vertices).astype(np.float64)
    depth[hits.hit] = camera.to_view(points)[..., 2]
    return depth


def render_surface(head: PosedHead, camera: Camera, pixels: Floats) -> Surface:
    """Depth and face mask at the pixel centres (H, W, 2) of an image, in pixels of `camera`."""
    hits = head.scene.cast(camera, pixels)
    heads = head.dressed.heads
    depth = _depth_of(hits, heads.triangles, head.vertices, camera)
    covers = np.zeros((*hits.hit.shape, 2), dtype=bool)
    covers[hits.hit] = head.dressed.paint_at(hits.where_hit())[:, 4:] > 0.5
    face, mouth = covers[..., 0] | covers[..., 1], covers[..., 1]
    for worn in head.occluders:
        nearer = worn.depth(camera, pixels)
        hidden = nearer > depth
        face, mouth = face & ~hidden, mouth & ~hidden
        depth = np.maximum(depth, nearer)
    return Surface(hits, np.where(np.isfinite(depth), depth, np.float32(np.nan)), face, mouth)


def render_colour(
    head: PosedHead, lighting: Lighting, camera: Camera, pixels: Floats, samples: int = 2
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Colour of a head in linear light.

    pixels : (H, W, 2) pixel centres of the picture in pixels of `camera`, evenly spaced
    samples : rays per pixel along each axis
    Returns colour (H, W, 3) float32, premultiplied, and coverage (H, W) float32 in [0, 1].
    """
    offsets = (np.arange(samples) + 0.5) / samples - 0.5
    right, down = pixels[0, 1] - pixels[0, 0], pixels[1, 0] - pixels[0, 0]
    spread = offsets[None, :, None] * right + offsets[:, None, None] * down
    rays = pixels[:, :, None, None, :] + spread
    hits = head.scene.cast(camera, rays)
    ray = np.broadcast_to(np.arange(samples**2).reshape(samples, samples), hits.hit.shape)
    colour = np.zeros((*hits.hit.shape, 3), dtype=np.float32)
    view = camera.rotation[2].astype(np.float32)
    if hits.hit.any():
        seen = hits.where_hit()
        heads = head.dressed.heads
        placed = seen.interpolate(heads.triangles, np.column_stack([head.vertices, head.normals]))
        paint = np.clip(head.dressed.paint_at(seen)[:, :4], 0.0, 2.0)
        points = Points(placed[:, :3], _unit(placed[:, 3:]), paint[:, :3], paint[:, 3], ray[hits.hit])
        colour[hits.hit] = lighting.shade(head, points, view)
    cover = hits.hit.astype(np.float32)
    if head.occluders or head.glasses:
        depth = _depth_of(hits, head.dressed.heads.triangles, head.vertices, camera)
        canvas = _Canvas(rays, ray, colour, cover, depth)
        for worn in (*head.occluders, *head.glasses):
            _add_garment(canvas, worn, head, lighting, camera)
    return colour.mean(axis=(2, 3)), cover.mean(axis=(2, 3), dtype=np.float32)


@dataclass(frozen=True)
class _Canvas:
    """Colour of rays (...,) so far; garments are blended over it in place.

    rays : (..., 2) pixels; ray : (...,) index of the ray within its pixel; colour : (..., 3); cover, depth : (...,)
    """

    rays: Floats
    ray: NDArray[np.integer]
    colour: NDArray[np.float32]
    cover: NDArray[np.float32]
    depth: NDArray[np.float32]


def _add_garment(canvas: _Canvas, worn: PosedGarment, head: PosedHead, lighting: Lighting, camera: Camera) -> None:
    """Blend a garment over the canvas where it is nearer to the camera."""
    rays, depth = canvas.rays, canvas.depth
    garment = worn.garment
    # Rays that pass its bounding box need not be cast.
    corners = camera.project(worn.vertices.astype(np.float64))[:, :2]
    near = np.all((rays >= corners.min(axis=0)) & (rays <= corners.max(axis=0)), axis=-1)
    where = np.flatnonzero(near)
    hits = worn.scene.cast(camera, rays.reshape(-1, 2)[where])
    where, seen = where[hits.hit], hits.where_hit()
    paint = np.column_stack([worn.vertices, worn.normals, garment.albedo, garment.shine, garment.opacity])
    placed = seen.interpolate(garment.triangles, paint)
    nearness = camera.to_view(placed[:, :3].astype(np.float64))[:, 2].astype(np.float32)
    front = nearness > depth.reshape(-1)[where]
    where, placed, nearness = where[front], placed[front], nearness[front]
    if not len(where):
        return
    view = camera.rotation[2].astype(np.float32)
    normals = _unit(placed[:, 3:6])
    # Sheets have two sides.
    normals = np.where((normals @ view < 0)[:, None], -normals, normals)
    points = Points(placed[:, :3], normals, placed[:, 6:9], placed[:, 9], canvas.ray.reshape(-1)[where])
    own = lighting.shade(head, points, view)
    opacity = placed[:, 10]
    flat_colour, flat_cover = canvas.colour.reshape(-1, 3), canvas.cover.reshape(-1)
    flat_colour[where] += opacity[:, None] * (own - flat_colour[where])
    flat_cover[where] += opacity * (1 - flat_cover[where])
    solid = opacity > 0.5
    depth.reshape(-1)[where[solid]] = nearness[solid]


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
