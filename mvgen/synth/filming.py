"""Film a performance: the frames that a camera would record, and their ground truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera, pixel_grid
from mvgen.scans.corpora.meshfiles import Mesh
from mvgen.scans.head import HeadModel, Identity
from mvgen.scans.imaging.depth_sensor import DepthSensor
from mvgen.scans.imaging.lighting import Lighting, Points
from mvgen.scans.imaging.rendering import DressedHead, PosedHead, render_colour, render_surface
from mvgen.scans.imaging.sensor import Sensor
from mvgen.scans.looks.appearance import Look
from mvgen.scans.looks.backgrounds import draw_background
from mvgen.scans.looks.baking import atlas
from mvgen.scans.looks.paint import to_srgb
from mvgen.sources.depth import FOCAL
from mvgen.synth.performance import Performance
from mvgen.synth.plan import ClipPlan
from mvgen.synth.releases import get_layout

Floats = NDArray[np.floating]

_FACE_WIDTH, _EYE_HEIGHT = 2.3, 0.38  # of a cropped frame: world units, and the share of its height above the eyes
_CAPTURED = -1.2  # depth in the template, world units, behind which a capture in 3D has no mesh


@dataclass(frozen=True)
class Setup:
    """Camera, light and background with which a clip is filmed.

    height, width : of the frames, pixels
    camera : orthographic; the world origin is midway between the eyes of a head at rest
    """

    height: int
    width: int
    camera: Camera
    lighting: Lighting
    sensor: Sensor
    background: NDArray[np.float32]

    @classmethod
    def of(cls, plan: ClipPlan, width: int, height: int) -> Setup:
        """The setup of a clip: a subject's clips share background, light and camera, but not where the face is."""
        own, generator = (np.random.default_rng([seed, 2]) for seed in (plan.seed, plan.subject_seed))
        scale = get_layout(plan.layout).face_share * min(height, 0.75 * width) * own.uniform(0.95, 1.05)
        centre = (width * own.uniform(0.47, 0.53), height * own.uniform(0.39, 0.43))
        sensor = Sensor(
            exposure=float(generator.uniform(0.85, 1.15)), white=(float(generator.uniform(0.96, 1.05)), 1.0, 0.97),
            blur=0.35, noise=float(generator.uniform(0.8, 1.8)), look="grey" if plan.grey else "colour",
        )  # fmt: skip
        return cls(
            height=height, width=width,
            camera=Camera(size=max(height, width), scale=scale, centre=centre),
            lighting=Lighting.draw(generator), sensor=sensor,
            background=draw_background(generator, height, width, plain=True),
        )  # fmt: skip

    def face_box(self, width: int, height: int) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of the part of a frame that a crop of this shape shows: the face of a clip."""
        wide = _FACE_WIDTH * self.camera.scale
        high = wide * height / width
        left, top = self.camera.centre[0] - wide / 2, self.camera.centre[1] - _EYE_HEIGHT * high
        return round(left), round(top), round(left + wide), round(top + high)


@dataclass(frozen=True)
class TrueView:
    """Ground truth of a clip seen from one angle, in pixels of the source frames.

    colour : (T, H, W, 3) uint8, without noise or compression
    depth : (T, H, W) float32 world units in the view's frame, NaN where no head is
    face : (T, H, W) bool
    flow : (T-1, H, W, 2) float32 pixels (dx, dy), from frame t to t+1, NaN where no head is
    """

    colour: NDArray[np.uint8]
    depth: NDArray[np.float32]
    face: NDArray[np.bool_]
    flow: NDArray[np.float32]


class Film:
    """One clip in its setup, to be rendered from any angle."""

    def __init__(
        self, plan: ClipPlan, model: HeadModel, person: tuple[Identity, Look], performance: Performance, setup: Setup
    ) -> None:
        self._plan, self._model, self._performance, self._setup = plan, model, performance, setup
        self._identity, look = person
        self._dressed = DressedHead(model, look)
        self._pixels = pixel_grid(setup.height, setup.width)

    def _head(self, frame: int) -> PosedHead:
        performed = self._performance
        vertices = self._model.express(self._identity, performed.weights[frame])
        return self._dressed.pose(vertices, performed.turns[frame], performed.shifts[frame])

    def _develop(
        self, head: PosedHead, camera: Camera, sensor: Sensor, generator: np.random.Generator
    ) -> NDArray[np.uint8]:
        linear = self._setup.background.copy()
        window = self._window(head, camera)
        colour, cover = render_colour(head, self._setup.lighting, camera, self._pixels[window])
        linear[window] = colour + (1 - cover[..., None]) * linear[window]
        return sensor.develop(linear, generator)

    def _window(self, head: PosedHead, camera: Camera) -> tuple[slice, slice]:
        """Rows and columns that can show the head: rays elsewhere need not be cast."""
        worn = [garment.vertices for garment in (*head.occluders, *head.glasses)]
        corners = camera.project(np.concatenate([head.vertices, *worn]).astype(np.float64))[:, :2]
        least, most = np.floor(corners.min(axis=0)).astype(int) - 1, np.ceil(corners.max(axis=0)).astype(int) + 1
        # At least one pixel: a head may have left the picture.
        column, row = (slice(min(max(a, 0), side - 1), max(b, 1)) for a, b, side in zip(
            least, most, (self._setup.width, self._setup.height), strict=True))  # fmt: skip
        return row, column

    def frame(self, frame: int) -> NDArray[np.uint8]:
        """The frame as the camera of the release records it, before JPEG: (H, W, 3) uint8."""
        generator = np.random.default_rng([self._plan.seed, 3, frame])
        return self._develop(self._head(frame), self._setup.camera, self._setup.sensor, generator)

    def distance(self, frame: int) -> NDArray[np.uint16]:
        """The frame as a depth sensor beside the camera records it: (H, W) uint16 mm, 0 where nothing is measured."""
        setup, head = self._setup, self._head(frame)
        depth = np.full((setup.height, setup.width), np.nan, np.float32)
        window = self._window(head, setup.camera)
        depth[window] = render_surface(head, setup.camera, self._pixels[window]).depth
        sensor = DepthSensor.before(setup.width, setup.camera.scale, self._identity.metre, FOCAL)
        return sensor.measure(depth, np.random.default_rng([self._plan.seed, 4, frame]))

    def mesh(self, frame: int) -> tuple[Mesh, NDArray[np.uint8]]:
        """The head of a frame as a capture in 3D has it: a mesh, mm, y up, and its texture (H, W, 3).

        It is the front of the head alone, with the relief of its hair, and without glasses.
        """
        model, head = self._model, self._head(frame)
        front = (model.canonical[:, 2] > _CAPTURED) & (model.regions["body"] < 0.5)
        triangles = model.triangles[front[model.triangles].all(axis=1)]
        used, renumbered = np.unique(triangles, return_inverse=True)
        small = np.asarray(renumbered.reshape(-1, 3), np.int32)
        paint = np.clip(self._dressed.paint[used], 0.0, 2.0)
        points = Points(head.vertices[used], head.normals[used], paint[:, :3], paint[:, 3], np.zeros(len(used), int))
        light = self._setup.lighting.shade(head, points, np.array([0, 0, 1], np.float32))
        corner_uv, texture = atlas(small, np.clip(255 * to_srgb(light), 0, 255).round().astype(np.uint8))
        vertices = np.asarray(1000 * self._identity.metre * head.vertices[used], np.float64)
        return Mesh(vertices, small, corner_uv), texture

    @property
    def _clean(self) -> Sensor:
        """The sensor without noise and blur."""
        sensor = self._setup.sensor
        return Sensor(exposure=sensor.exposure, white=sensor.white, look=sensor.look)

    def pictures(self, yaws: Sequence[float]) -> NDArray[np.uint8]:
        """(V, T, H, W, 3) uint8, the clip as cameras at `yaws` degrees would have seen it; the colour of `truth`."""
        views: list[list[NDArray[np.uint8]]] = [[] for _ in yaws]
        for frame in range(len(self._plan.numbers)):
            head = self._head(frame)
            for view, yaw in zip(views, yaws, strict=True):
                view.append(self._develop(head, self._setup.camera.at(yaw), self._clean, np.random.default_rng(0)))
        return np.array(views)

    def truth(self, yaw: float) -> TrueView:
        """The clip as a camera at `yaw` degrees would have seen it, with depth, face mask and flow."""
        camera, setup = self._setup.camera.at(yaw), self._setup
        colour, depth, face, flow = [], [], [], []
        frames = len(self._plan.numbers)
        head = self._head(0)
        for frame in range(frames):
            following = self._head(frame + 1) if frame + 1 < frames else None
            surface = render_surface(head, camera, self._pixels)
            colour.append(self._develop(head, camera, self._clean, np.random.default_rng(0)))
            depth.append(surface.depth)
            face.append(surface.face)
            if following is not None:
                points = surface.hits.where_hit().interpolate(self._model.triangles, following.vertices)
                moved = np.full((setup.height, setup.width, 2), np.nan, dtype=np.float32)
                projected = camera.project(points.astype(np.float64))[:, :2]
                moved[surface.hits.hit] = projected - self._pixels[surface.hits.hit]
                flow.append(moved)
                head = following
        return TrueView(np.stack(colour), np.stack(depth), np.stack(face), np.stack(flow))
