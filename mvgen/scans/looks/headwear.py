"""Hats, caps and scarves of one person, and hair beside the face: paint lifted off the head, and loose meshes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvgen.scans.head import HeadModel
from mvgen.scans.looks.garments import Garment, garment
from mvgen.scans.looks.hair import Hair
from mvgen.scans.looks.noise import SolidNoise
from mvgen.scans.looks.paint import Places, blend, ramp, to_linear

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Headwear:
    """kind : "none", "beanie", "cap", "hat" or "scarf"; lengths are inter-ocular distances of the canonical head.

    edge : height of the lower edge in the middle of the forehead; tilt : how far it drops toward the back
    depth : how far the cloth stands off; brim : length of peak or brim; colour, second : (3,) linear RGB
    """

    kind: str
    edge: float
    tilt: float
    depth: float
    brim: float
    brim_drop: float
    colour: Floats
    second: Floats
    pattern: float
    pitch: float

    @classmethod
    def draw(cls, generator: np.random.Generator) -> Headwear:
        """Headwear for one person in fourteen; every number comes from `generator`."""
        kind = str(generator.choice(["none", "beanie", "cap", "hat", "scarf"], p=[0.93, 0.02, 0.02, 0.01, 0.02]))
        colour, second = to_linear(generator.uniform(0.03, 0.95, (2, 3)))
        return cls(
            kind=kind, edge=generator.uniform(0.5, 0.9), tilt=generator.uniform(0.1, 0.35),
            depth=generator.uniform(0.1, 0.22), brim=generator.uniform(0.6, 0.95) if kind == "cap"
            else generator.uniform(0.35, 0.7), brim_drop=generator.uniform(0.0, 0.3), colour=colour, second=second,
            pattern=generator.uniform(0, 0.8) if generator.random() < 0.4 else 0.0, pitch=generator.uniform(5, 40),
        )  # fmt: skip

    @property
    def hides_ears(self) -> bool:
        """Whether the ears are flat under the cloth."""
        return self.kind in ("beanie", "scarf")

    def cover(self, points: Floats) -> Floats:
        """How far the cloth covers canonical points (P, 3): 0 bare, 1 covered."""
        x, y, z = points.T
        if self.kind == "none":
            return np.zeros(len(points))
        if self.kind == "scarf":
            oval = np.sqrt((x / 1.02) ** 2 + ((y + 0.5) / (0.5 + self.edge)) ** 2)
            oval = np.where(y < -0.5, np.sqrt((x / 1.02) ** 2 + ((y + 0.5) / 1.36) ** 2), oval)
            return np.maximum(ramp(oval, 1.0, 1.07), ramp(z, -0.8, -0.9))
        return ramp(y - (self.edge + self.tilt * np.minimum(z, 0.0)), -0.02, 0.05)

    def lift(self, places: Places) -> Floats:
        """How far the cloth stands off: (P,)."""
        cover = self.cover(places.points)
        folds = 0.25 * self.depth * places.blotch[:, 0] if self.kind in ("beanie", "scarf") else 0.0
        band = 0.05 * ramp(places.y, self.edge + 0.45, self.edge + 0.35) if self.kind == "beanie" else 0.0
        return cover * (self.depth + folds + band)

    def paint(self, colour: Floats, places: Places) -> Floats:
        """Cloth over what is below it (P, 3)."""
        if self.kind == "none":
            return colour
        stripes = 0.5 + 0.5 * np.sin(self.pitch * (places.x if self.kind == "beanie" else places.y + places.x))
        cloth = self.colour * (1 + 0.12 * places.strands[:, :1]) + 0.0
        cloth = cloth + (self.pattern * stripes)[:, None] * (self.second - cloth)
        return blend(colour, cloth, self.cover(places.points))

    def brim_of(self, heads: HeadModel, vertices: Floats) -> Garment | None:
        """The peak of a cap or the brim of a hat for a head (N, 3) that is neither turned nor shifted."""
        if self.kind not in ("cap", "hat"):
            return None
        canonical = heads.canonical
        level = np.abs(canonical[:, 1] - self.edge - self.tilt * np.minimum(canonical[:, 2], 0)) < 0.12
        level &= (heads.regions["body"] < 0.5) & (heads.regions["ears"] < 0.3)
        ring = vertices[level].astype(np.float64)
        if not len(ring):  # a mask without a skull
            return None
        middle_z, half_x = (ring[:, 2].max() + ring[:, 2].min()) / 2, np.abs(ring[:, 0]).max()
        half_z = ring[:, 2].max() - middle_z
        middle_x, front = ring[:, 0].mean(), ring[ring[:, 2] > middle_z + 0.8 * half_z, 1].mean()
        reach = np.pi if self.kind == "hat" else 1.25
        angle = np.linspace(-reach, reach, 61 if self.kind == "hat" else 31)
        out = np.linspace(0, 1, 8)[:, None]
        length = self.brim * (np.cos(angle * np.pi / 2 / reach) ** 0.5 if self.kind == "cap" else np.ones_like(angle))
        # Forward like a tongue, or outward like a ring.
        side = np.sin(angle) * (half_x + self.depth + (out * length * (0.1 if self.kind == "cap" else 1.0)))
        ahead = np.cos(angle) * (half_z + self.depth + out * length)
        drop = out**2 * self.brim_drop + 0.18 * np.sin(angle) ** 2 * out * (self.kind == "cap")
        z = middle_z + ahead
        y = front + 0.06 + self.tilt * (z - ring[:, 2].max()) * (z < ring[:, 2].max()) - drop
        grid = np.stack([middle_x + side, y, z], axis=-1)
        return garment(grid, self.second if self.pattern else 0.85 * self.colour)


def locks(hair: Hair, heads: HeadModel, vertices: Floats, seed: int) -> Garment | None:
    """Hair that falls around the head down to `hair.length`: a wavy sheet, open toward the face; None if it does not.

    vertices : (N, 3), neither turned nor shifted
    """
    if not hair.falls:
        return None
    assert hair.length is not None
    canonical = heads.canonical
    skull = (heads.regions["body"] < 0.5) & (heads.regions["ears"] < 0.1) & (np.abs(canonical[:, 1] - 0.3) < 0.5)
    points = vertices[skull & (canonical[:, 2] < -0.6)].astype(np.float64)
    if not len(points):  # a mask without a skull
        return None
    middle_x = (points[:, 0].max() + points[:, 0].min()) / 2
    half = (points[:, 0].max() - points[:, 0].min()) / 2 + 0.05 + 0.6 * hair.depth
    back = points[:, 2].min()
    centre = -1.15
    # From one cheek around the back to the other; the front edges bend in toward the face.
    open_to = float(np.clip(np.arccos(np.clip((hair.side + 0.35 - centre) / 1.3, -1, 1)), 0.3, 1.5))
    angle = np.linspace(open_to, 2 * np.pi - open_to, 73)
    y = np.linspace(1.15, hair.length, 34)[:, None]
    noise = SolidNoise(np.random.default_rng([seed, 1]), 2)
    rows, columns = np.broadcast_arrays(y, angle)
    waves = noise(np.stack([rows * 0.8 * hair.curl, np.cos(columns) * 3, np.sin(columns) * 3], -1).reshape(-1, 3))
    strands = noise(np.stack([rows * 0.9, np.cos(columns) * 18, np.sin(columns) * 18], -1).reshape(-1, 3))
    waves, strands = waves.reshape(*rows.shape, 2), strands.reshape(*rows.shape, 2)
    # Close to the head over the crown, wider over the shoulders.
    swell = np.interp(rows, [-3.2, -2.4, -1.2, 0.2, 0.7, 1.15], [1.25, 1.08, 1.0, 1.0, 0.95, 0.72])
    swell = swell + 0.05 * hair.curl * waves[..., 0] + 0.03 * strands[..., 1]
    rows = rows + 0.25 * strands[..., 0] * (rows - 1.15) / (hair.length - 1.15)
    depth = np.where(np.cos(columns) > 0, 1.3, centre - back + 0.1 + 0.6 * hair.depth)
    grid = np.stack(
        [middle_x + half * swell * np.sin(columns), rows, centre + depth * swell * np.cos(columns)], axis=-1
    )
    shade = np.clip(1 + hair.streaks * strands[..., 1] + 0.2 * waves[..., 1], 0.2, None)
    return garment(grid, hair.colour * shade[..., None], 0.15)
