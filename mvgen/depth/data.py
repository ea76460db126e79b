"""Training data of the depth network: heads as a camera would see them, in the crop that a build would cut.

Source: section III-A of the main paper projects 3D faces to frontal pictures and crops them with MTCNN, so that scans
and datasets share region and size. Here the crop comes from the same `crop_from_points` as in a build, on the known
positions of the detector's five points, with the spread that MTCNN showed around them on these pictures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvgen.camera import EYE_DISTANCE, Camera, pixel_grid
from mvgen.faces import crop_from_points
from mvgen.scans.anny import anny_heads
from mvgen.scans.appearance import Look
from mvgen.scans.head import HeadModel, Identity
from mvgen.scans.lighting import Lighting
from mvgen.scans.rendering import DressedHead, PosedHead, rigid, see_surface, shoot
from mvgen.scans.rotation import rotation
from mvgen.scans.sensor import Sensor, draw_background

Floats = NDArray[np.floating]

# MTCNN against the known points, measured on 40 rendered heads: scale 3.2 %, roll 1 degree, shift 0.026 inter-ocular
# distances.
_SCALE_SPREAD, _ROLL_SPREAD, _SHIFT_SPREAD = 0.035, 1.2, 0.03


@dataclass(frozen=True, slots=True)
class Samples:
    """A batch of training pictures.

    colour : (B, S, S, 3) uint8 RGB
    depth : (B, S, S) float16, world units of the crop (z along the optical axis, zero at the eyes), NaN where no head
        is, and inside the mouth, which reconstruction spans rather than falls into
    face : (B, S, S) bool
    identity : (B,) int64, samples with one number show one person
    """

    colour: NDArray[np.uint8]
    depth: NDArray[np.float16]
    face: NDArray[np.bool_]
    identity: NDArray[np.int64]


def draw_expression(generator: np.random.Generator, names: tuple[str, ...]) -> Floats:
    """Weights (52,) of the facial actions: a quarter neutral, else a few actions, left and right mostly together."""
    weights = np.zeros(len(names))
    if generator.random() < 0.25:
        return weights
    bases = sorted(
        {name.removesuffix("Left").removesuffix("Right") if name[:3] not in ("jaw",) else name for name in names}
    )
    bases.remove("tongueOut")
    for base in generator.choice(bases, size=int(generator.integers(1, 6)), replace=False):
        value = generator.beta(1.2, 1.8)
        if base in ("jawOpen", "mouthClose", "mouthFunnel"):
            value *= 0.7
        sides = [index for index, name in enumerate(names) if name in (base, f"{base}Left", f"{base}Right")]
        lopsided = generator.random() < 0.2
        for index in sides:
            weights[index] = value * (generator.random() if lopsided else 1.0)
    if generator.random() < 0.08:
        for index, name in enumerate(names):
            if name.startswith("eyeBlink"):
                weights[index] = generator.uniform(0.6, 1.0)
    jaw_open, close = names.index("jawOpen"), names.index("mouthClose")
    weights[close] = min(weights[close], 0.8 * weights[jaw_open])  # lips close over an open jaw only
    return weights


def draw_camera(generator: np.random.Generator) -> Camera:
    """A camera in front of a head: half of them orthographic, the others at 8 to 25 inter-ocular distances."""
    camera = Camera(size=256, scale=70.0, centre=(128.0, 110.0))
    if generator.random() < 0.5:
        return camera
    distance = 1 / generator.uniform(1 / 25, 1 / 8)
    return Camera(size=256, scale=70.0, centre=(128.0, 110.0), focal=70.0 * distance, principal=(128.0, 128.0))


def photograph(
    heads: HeadModel, dressed: DressedHead, identity: Identity, generator: np.random.Generator, size: int
) -> tuple[NDArray[np.uint8], NDArray[np.float16], NDArray[np.bool_]]:
    """One picture of a person with expression, pose, light, camera and crop drawn from `generator`.

    Returns colour (S, S, 3) uint8, depth (S, S) float16 in world units of the crop, face (S, S) bool.
    """
    weights = draw_expression(generator, heads.action_names)
    vertices = heads.express(identity, weights)
    yaw, pitch, roll = np.clip(generator.normal(0, (7, 8, 4)), -20, 20)
    turn = rotation(yaw, pitch, roll)
    head: PosedHead = dressed.pose(vertices, turn, np.zeros(3))
    camera = draw_camera(generator)
    five = rigid(heads.five_positions(vertices).astype(np.float64), turn, np.zeros(3))
    crop = jitter_crop(crop_from_points(camera.project(five)[:, :2], size), generator, size)

    full = np.vstack([crop, [0, 0, 1]])
    back = np.linalg.inv(full)[:2]
    pixels = pixel_grid(size, size) @ back[:, :2].T + back[:, 2]
    lighting = Lighting.draw(generator, harsh=bool(generator.random() < 0.5))
    colour, cover = shoot(head, lighting, camera, pixels)
    scene = colour + (1 - cover[..., None]) * draw_background(generator, size, size)
    image = Sensor.draw(generator).develop(scene, generator)

    surface = see_surface(head, camera, pixels)
    zoom = float(np.hypot(crop[0, 0], crop[1, 0]))
    eyes = camera.to_view(five[:2]).mean(axis=0)[2]
    unit = camera.scale * zoom / (EYE_DISTANCE * size)
    depth = np.where(surface.mouth, np.nan, (surface.depth - eyes) * unit)
    return image, depth.astype(np.float16), surface.face


def jitter_crop(crop: Floats, generator: np.random.Generator, size: int) -> Floats:
    """The crop (2, 3) that a detector would have given instead: a little larger, turned and shifted."""
    scale = np.exp(generator.normal(0, _SCALE_SPREAD))
    roll = np.radians(generator.normal(0, _ROLL_SPREAD))
    shift = generator.normal(0, _SHIFT_SPREAD * EYE_DISTANCE * size, 2)
    turn = scale * np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])
    centre = np.array([0.5, 0.5]) * size
    return np.column_stack([turn @ crop[:, :2], turn @ (crop[:, 2] - centre) + centre + shift])


def make_samples(seed: int, first_identity: int, identities: int, per_identity: int, size: int) -> Samples:
    """Draw people and photograph each of them a few times; the same arguments give the same bytes."""
    people_source = anny_heads()
    heads = people_source.model
    generator = np.random.default_rng([seed, first_identity])
    people = people_source.sample_identities(generator, identities, spread=0.33)
    pictures: list[tuple[NDArray, NDArray, NDArray]] = []
    number: list[int] = []
    for index, person in enumerate(people):
        dressed = DressedHead(heads, Look.draw(generator), fine=size > 128)
        for _ in range(per_identity):
            pictures.append(photograph(heads, dressed, person, generator, size))
            number.append(first_identity + index)
    colour, depth, face = (np.stack(arrays) for arrays in zip(*pictures, strict=True))
    return Samples(colour, depth, face, np.array(number, dtype=np.int64))
