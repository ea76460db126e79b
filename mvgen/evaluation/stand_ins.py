"""Synthetic performances with ground truth in the crop that a build cuts, for benchmarks of whole clips."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera, crop_camera, pixel_grid
from mvgen.core.records import Clip, DepthMap, Frame, Image, Label, Mask
from mvgen.render.rays import RayScene
from mvgen.render.surface import facing, source_normals, source_points
from mvgen.scans.head import HeadModel, Identity
from mvgen.scans.imaging.rendering import DressedHead, PosedGarment, PosedHead, render_colour, render_surface, rigid
from mvgen.scans.looks.appearance import Look
from mvgen.synth.filming import Setup
from mvgen.synth.performance import perform
from mvgen.synth.plan import ClipPlan
from mvgen.synth.releases import get_layout

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Take:
    """One filmed clip, and its heads with all frames in the pose of the onset frame.

    frames : (T, H, W, 3) uint8; plan : fps, onset, apex
    dressed : the look; camera : of the frames, orthographic
    vertices : (T, N, 3) float32, bare upright head with the expression of each frame
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
    apex: float | None = None,
) -> Take:
    """Perform and film a planned clip.

    size : (width, height) of the frames, pixels; noise : sigma of the sensor, of 255
    moves : whether the head drifts, or keeps the pose of the onset frame
    full : perform at full strength, not as weakly as a micro-expression
    apex : largest motion from onset to apex, pixels of a 256-pixel crop, limited by full strength; None keeps that of
        the performance
    """
    identity, look = person
    setup, performance, dressed = Setup.of(plan, *size), perform(plan, model, identity), DressedHead(model, look)
    sensor, pixels = replace(setup.sensor, noise=noise), pixel_grid(setup.height, setup.width)
    weights = performance.weights / performance.weights.max() if full else performance.weights
    if apex is not None:
        weights = np.minimum(performance.weights * apex / performance.apex_pixels, 1.0)
    expressed = [model.express(identity, actions) for actions in weights]
    frames = []
    for index, vertices in enumerate(expressed):
        pose = index if moves else plan.onset
        head = dressed.pose(vertices, performance.turns[pose], performance.shifts[pose])
        colour, cover = render_colour(head, setup.lighting, setup.camera, pixels)
        generator = np.random.default_rng([plan.seed, 3, index])
        frames.append(sensor.develop(colour + (1 - cover[..., None]) * setup.background, generator))
    turn, shift = performance.turns[plan.onset], performance.shifts[plan.onset]
    return Take(np.stack(frames), plan, dressed, setup.camera, np.stack(expressed), turn, shift)


@dataclass(frozen=True, slots=True)
class TrueFrame:
    """Ground truth of one frame in the pixels of a view of the crop.

    depth : (S, S) float32, world units of the crop in the view's frame, NaN where no head is
    face : (S, S) bool, face without the inside of the mouth
    motion : (S, S, 2) float32, pixels, from this frame to the other one; NaN where no head is
    """

    depth: NDArray[np.float32]
    face: Mask
    motion: NDArray[np.float32]


class TrueClip:
    """Ground truth of a take in the crop of a build: its heads in the pose of the onset frame, and their light.

    crop : (2, 3) float, frame pixel -> crop pixel of the build; size : side of the crop, pixels
    Views turn about the same axis as in a build: in its world the true eyes of the onset frame are at depth 0.
    """

    def __init__(self, take: Take, crop: Floats, size: int) -> None:
        self.take, self.crop, self.size = take, crop, size
        self._pixels = pixel_grid(size, size)
        self._heads: dict[int, PosedHead] = {}
        self._light: dict[tuple[int, float], NDArray[np.float32]] = {}

    def head(self, frame: int) -> PosedHead:
        """The head of a frame in the world of the crop."""
        if frame not in self._heads:
            self._heads[frame] = _in_crop(self.take, frame, self.crop, self.size)
        return self._heads[frame]

    def see(self, frame: int, *, yaw: float = 0.0, other: int | None = None) -> TrueFrame:
        """One frame from `yaw` degrees; `other` is the frame to which its motion goes, the frame itself if None."""
        camera, head = crop_camera(self.size).at(yaw), self.head(frame)
        after = head if other is None else self.head(other)
        surface = render_surface(head, camera, self._pixels)
        motion = np.full((self.size, self.size, 2), np.nan, np.float32)
        moved = surface.hits.where_hit().interpolate(self.take.dressed.heads.triangles, after.vertices)
        hit = surface.hits.hit
        motion[hit] = camera.project(moved.astype(np.float64))[:, :2] - self._pixels[hit]
        return TrueFrame(surface.depth, surface.face & ~surface.mouth, motion)

    def picture(self, frame: int, *, yaw: float = 0.0, noise: float = 0.0) -> Image:
        """One frame as the camera of the take would record it from `yaw`: (S, S, 3) uint8, black beside the head.

        noise : sigma of the sensor, of 255
        Lamps turn with the crop; the gradient of the sky does not.
        """
        height, width = self.take.frames.shape[1:3]
        setup = Setup.of(self.take.plan, width, height)
        if (frame, yaw) not in self._light:
            lamps = setup.lighting.directions @ _turn_of(self.crop).T
            camera, lighting = crop_camera(self.size).at(yaw), replace(setup.lighting, directions=lamps)
            self._light[frame, yaw], _ = render_colour(self.head(frame), lighting, camera, self._pixels)
        sensor = replace(setup.sensor, blur=0.0, noise=noise)
        generator = np.random.default_rng([self.take.plan.seed, 4, frame, round(yaw) % 360])
        return sensor.develop(self._light[frame, yaw], generator)

    def visible(self, frame: int, yaw: float, grazing: float) -> Mask:
        """(S, S) bool, pixels of the frontal crop whose surface a camera at `yaw` sees at less than `grazing` degrees.

        Found by rays from the surface to that camera: nothing is between, and the point is inside the picture.
        """
        source = crop_camera(self.size)
        camera, head = source.at(yaw), self.head(frame)
        surface = DepthMap(self.see(frame).depth, np.ones((self.size, self.size), np.float32), source)
        known = np.isfinite(surface.depth)
        points, normals = source_points(surface)[known], source_normals(surface)[known]
        seen = facing(points, normals, camera) > np.cos(np.radians(grazing))
        seen &= ~head.occluded(points, camera.rotation[2])
        projected = camera.project(points)[:, :2]
        visible = np.zeros((self.size, self.size), bool)
        visible[known] = seen & ((projected >= 0) & (projected < self.size)).all(axis=-1)
        return visible

    def landmarks(self, frame: int) -> Floats:
        """(68, 2) float64, crop pixels of the landmarks, hidden ones too; NaN where the model does not have them."""
        heads = self.take.dressed.heads
        points = crop_camera(self.size).project(self.head(frame).vertices[heads.landmarks].astype(np.float64))[:, :2]
        points[heads.landmarks < 0] = np.nan
        return points


def truth(take: Take, crop: Floats, size: int, frame: int, *, yaw: float = 0.0, other: int | None = None) -> TrueFrame:
    """Ground truth of one frame of a take; see `TrueClip`."""
    return TrueClip(take, crop, size).see(frame, yaw=yaw, other=other)


def record(plan: ClipPlan, frames: int) -> Clip:
    """The record of a planned clip, as from a source."""
    numbers = range(1, frames + 1)
    return Clip(
        dataset="benchmark", subject=plan.subject_name, subject_key=plan.subject_name, name=plan.name,
        emotion=plan.emotion, label=cast(Label | None, get_layout(plan.layout).labels.get(plan.emotion)),
        onset=plan.onset + 1, apex=plan.apex + 1, offset=plan.offset + 1,
        fps=plan.fps, directory=plan.directory, licence="CC0-1.0", redistribution="open",
        frames=tuple(Frame(Path(f"{number}.png"), number, f"{number}.png") for number in numbers),
    )  # fmt: skip


def _turn_of(crop: Floats) -> Floats:
    """(3, 3), directions in the world of a take -> in that of the crop; v of images is down, y of worlds is up."""
    turn, flip = np.eye(3), np.diag([1.0, -1.0])
    turn[:2, :2] = flip @ crop[:, :2] @ flip / np.hypot(crop[0, 0], crop[1, 0])
    return turn


def _in_crop(take: Take, frame: int, crop: Floats, size: int) -> PosedHead:
    """The head of a frame, in the pose of the onset frame, in the world of the crop."""
    turn = _turn_of(crop).astype(np.float32)

    def place(vertices: Floats) -> NDArray[np.float32]:
        return into_crop(vertices, take, crop, size)

    def wear(worn: PosedGarment) -> PosedGarment:
        moved = place(worn.vertices)
        return PosedGarment(worn.garment, moved, worn.normals @ turn.T, RayScene(moved, worn.garment.triangles))

    head = take.dressed.pose(take.vertices[frame], take.turn, take.shift)
    vertices, triangles = place(head.vertices), take.dressed.heads.triangles
    occluders, glasses = tuple(map(wear, head.occluders)), tuple(map(wear, head.glasses))
    # The normals of the head include pores and wrinkles, which its vertices do not.
    return PosedHead(take.dressed, vertices, head.normals @ turn.T, RayScene(vertices, triangles), occluders, glasses)


def into_crop(vertices: Floats, take: Take, crop: Floats, size: int) -> NDArray[np.float32]:
    """Vertices (N, 3), world of a take -> world of the crop, where the eyes of the onset frame have depth zero."""
    seen = take.camera.project(np.asarray(vertices, np.float64))
    target = crop_camera(size)
    pixels = seen[:, :2] @ crop[:, :2].T + crop[:, 2]
    zoom = float(np.hypot(crop[0, 0], crop[1, 0]))
    depth = (seen[:, 2] - take.eyes) * take.camera.scale * zoom / target.scale
    return target.unproject(np.column_stack([pixels, depth])).astype(np.float32)
