"""Acted clips whose truth is known in the crop that a build cuts: what benchmarks of whole clips measure against."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mvgen.camera import Camera, crop_camera, pixel_grid
from mvgen.records import Image, Mask
from mvgen.scans.appearance import Look
from mvgen.scans.head import HeadModel, Identity
from mvgen.scans.raycast import RayScene, vertex_normals
from mvgen.scans.rendering import DressedHead, PosedGarment, PosedHead, rigid, see_surface, shoot
from mvgen.synth.filming import Stage
from mvgen.synth.performance import perform
from mvgen.synth.plan import ClipPlan

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Take:
    """One clip as filmed, and its heads as they would have been had the person held the pose of the onset frame.

    frames : (T, H, W, 3) uint8; plan : fps, onset, apex
    dressed : the look; camera : of the frames, orthographic
    vertices : (T, N, 3) float32, bare upright head with the expression of every frame
    turn, shift : (3, 3) and (3,), pose of the head in the onset frame
    """

    frames: Image
    plan: ClipPlan
    dressed: DressedHead
    camera: Camera
    vertices: NDArray[np.float32]
    turn: Floats
    shift: Floats

    @property
    def eyes(self) -> float:
        """Depth of the eyes of the onset frame, world of `camera`."""
        five = self.dressed.heads.five_positions(self.vertices[self.plan.onset])
        return float(rigid(five[:2], self.turn, self.shift)[:, 2].mean())


def film(
    plan: ClipPlan,
    model: HeadModel,
    person: tuple[Identity, Look],
    size: tuple[int, int],
    noise: float,
    *,
    moves: bool,
    full: bool = False,
) -> Take:
    """Act and film a planned clip.

    size : (width, height) of the frames, pixels; noise : sigma of the sensor, of 255
    moves : whether the head drifts, or keeps the pose of the onset frame
    full : act at full strength, not as weakly as a micro-expression
    """
    identity, look = person
    stage, act, dressed = Stage.of(plan, *size), perform(plan, model, identity), DressedHead(model, look)
    sensor, pixels = replace(stage.sensor, noise=noise), pixel_grid(stage.height, stage.width)
    weights = act.weights / act.weights.max() if full else act.weights
    expressed = [model.express(identity, actions) for actions in weights]
    frames = []
    for index, vertices in enumerate(expressed):
        pose = index if moves else plan.onset
        head = dressed.pose(vertices, act.turns[pose], act.shifts[pose])
        colour, cover = shoot(head, stage.lighting, stage.camera, pixels)
        generator = np.random.default_rng([plan.seed, 3, index])
        frames.append(sensor.develop(colour + (1 - cover[..., None]) * stage.background, generator))
    turn, shift = act.turns[plan.onset], act.shifts[plan.onset]
    return Take(np.stack(frames), plan, dressed, stage.camera, np.stack(expressed), turn, shift)


@dataclass(frozen=True, slots=True)
class TrueFrame:
    """What is true of one frame in the pixels of a view of the crop.

    depth : (S, S) float32, world units of the crop in the view's frame, NaN where no head is
    face : (S, S) bool, face without the inside of the mouth
    motion : (S, S, 2) float32, pixels, from this frame to the other that was asked for; NaN where no head is
    """

    depth: NDArray[np.float32]
    face: Mask
    motion: NDArray[np.float32]


def truth(take: Take, crop: Floats, size: int, frame: int, *, yaw: float = 0.0, other: int | None = None) -> TrueFrame:
    """One frame of a take, head in the pose of the onset frame, as a perfect build would show it.

    crop : (2, 3) float, frame pixel -> crop pixel of the build; size : side of the crop, pixels
    yaw : of the view, degrees; other : the frame that `motion` leads to, this one if None
    """
    camera = crop_camera(size).at(yaw)
    model = take.dressed.heads
    head = _in_crop(take, frame, crop, size)
    after = head if other is None else _in_crop(take, other, crop, size)
    pixels = pixel_grid(size, size)
    surface = see_surface(head, camera, pixels)
    motion = np.full((size, size, 2), np.nan, np.float32)
    landed = surface.hits.where_hit().interpolate(model.triangles, after.vertices)
    hit = surface.hits.hit
    motion[hit] = camera.project(landed.astype(np.float64))[:, :2] - pixels[hit]
    return TrueFrame(surface.depth, surface.face & ~surface.mouth, motion)


def _in_crop(take: Take, frame: int, crop: Floats, size: int) -> PosedHead:
    """The head of a frame, in the pose of the onset frame, in the world of the crop."""

    def place(vertices: Floats) -> NDArray[np.float32]:
        return into_crop(vertices, take, crop, size)

    def scene(vertices: Floats, triangles: NDArray[np.integer]) -> tuple[NDArray[np.float32], RayScene]:
        return vertex_normals(vertices, triangles), RayScene(vertices, triangles)

    head = take.dressed.pose(take.vertices[frame], take.turn, take.shift)
    vertices = place(head.vertices)
    hides = tuple(
        PosedGarment(worn.garment, moved, *scene(moved, worn.garment.triangles))
        for worn in head.hides
        for moved in [place(worn.vertices)]
    )
    return PosedHead(take.dressed, vertices, *scene(vertices, take.dressed.heads.triangles), hides)


def into_crop(vertices: Floats, take: Take, crop: Floats, size: int) -> NDArray[np.float32]:
    """Vertices (N, 3) of a take's world -> world of the crop, whose depth is zero at the eyes of the onset frame."""
    seen = take.camera.project(np.asarray(vertices, np.float64))
    target = crop_camera(size)
    pixels = seen[:, :2] @ crop[:, :2].T + crop[:, 2]
    zoom = float(np.hypot(crop[0, 0], crop[1, 0]))
    depth = (seen[:, 2] - take.eyes) * take.camera.scale * zoom / target.scale
    return target.unproject(np.column_stack([pixels, depth])).astype(np.float32)
