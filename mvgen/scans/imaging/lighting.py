"""Light on a face: a few lamps at infinity, a sky, and cast shadows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]

# Probability of each kind of harsh light in `Lighting.draw`.
_KINDS = (0.44, 0.16, 0.08, 0.06, 0.14, 0.12)


class Occluder(Protocol):
    """Something that casts shadows."""

    def occluded(self, points: Floats, direction: Floats) -> NDArray[np.bool_]:
        """Whether something is between points (P, 3) and a light at infinity in `direction`."""


@dataclass(frozen=True, slots=True)
class Points:
    """Surface points to be lit.

    position, normal : (P, 3) world; albedo : (P, 3) linear RGB; shine : (P,) strength of the highlight
    ray : (P,) int, index of the ray within its pixel: each samples another point of a lamp's disc, which makes soft
        shadows without randomness
    """

    position: NDArray[np.float32]
    normal: NDArray[np.float32]
    albedo: NDArray[np.float32]
    shine: NDArray[np.float32]
    ray: NDArray[np.integer]


@dataclass(frozen=True)
class Lighting:
    """Lamps and sky, linear RGB.

    directions : (L, 3) unit vectors toward the lamps, world
    colours : (L, 3) irradiance of each lamp
    sky, ground : (3,) ambient light from above and from below
    shadows : whether lamps cast shadows; disc : radius of the lamps, as an angle in radians: how soft shadows are
    """

    directions: Floats
    colours: Floats
    sky: Floats
    ground: Floats
    shadows: bool = True
    disc: float = 0.12

    @classmethod
    def even(cls) -> Lighting:
        """Uniform light from everywhere: the picture shows the albedo."""
        nothing, white = np.zeros((0, 3)), np.ones(3)
        return cls(directions=nothing, colours=nothing, sky=white, ground=white, shadows=False)

    @classmethod
    def draw(cls, generator: np.random.Generator, *, harsh: bool = False) -> Lighting:
        """Draw a set of lamps: a key light from the front, often a fill, sometimes a rim from behind.

        harsh : allow low, strong and coloured light as well as the even light of a laboratory
        """
        lamps = [(generator.normal(0, 0.6 if harsh else 0.3), generator.normal(0.35, 0.4 if harsh else 0.15), 1.0)]
        if generator.random() < 0.7:
            side = -np.sign(lamps[0][0])
            lamps.append((side * generator.uniform(0.3, 1.2), generator.normal(0.2, 0.2), generator.uniform(0.1, 0.6)))
        if harsh and generator.random() < 0.2:
            lamps.append((np.pi * generator.uniform(0.6, 1.4), 0.5, generator.uniform(0.3, 1.5)))
        disc = 0.12
        ambient = generator.uniform(0.15, 0.6 if harsh else 0.8)
        tint = 1 + generator.normal(0, 0.12 if harsh else 0.03, (4, 3))
        if harsh:
            kind = str(generator.choice(["lamps", "window", "colours", "under", "flash", "dim"], p=_KINDS))
            side = generator.choice([-1.0, 1.0])
            if kind == "window":
                lamps, disc = [(side * generator.uniform(0.7, 1.5), generator.uniform(0, 0.4), 1.0)], 0.4
            elif kind == "colours":
                lamps = [
                    (side * generator.uniform(0.4, 1.4), 0.2, 1.0),
                    (-side * generator.uniform(0.4, 1.4), 0.2, 0.9),
                ]
                tint = generator.uniform(0.1, 1.9, (4, 3))
            elif kind == "under":
                lamps = [(generator.normal(0, 0.4), generator.uniform(-1.0, -0.4), 1.0)]
            elif kind == "flash":
                lamps, disc = [(generator.normal(0, 0.06), generator.uniform(0, 0.12), 1.0)], 0.03
                ambient *= 0.5
            elif kind == "dim":
                lamps, ambient = [(side * generator.uniform(0.6, 1.6), generator.uniform(0.1, 0.7), 1.0)], 0.06
            else:
                disc = generator.uniform(0.02, 0.3)
        azimuth, elevation, power = np.array(lamps).T
        directions = np.stack(
            [np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)], axis=1
        )
        total = generator.uniform(0.9, 1.4) * (1 - 0.4 * ambient)
        return cls(
            directions=directions,
            colours=np.clip(tint[: len(lamps)], 0.1, 2) * (total * power / power.sum())[:, None],
            sky=ambient * (1 + generator.normal(0, 0.05, 3)),
            ground=ambient * generator.uniform(0.3, 0.8) * (1 + generator.normal(0, 0.05, 3)),
            shadows=bool(harsh or generator.random() < 0.5), disc=disc,
        )  # fmt: skip

    def shade(self, scene: Occluder, surface: Points, view: NDArray[np.float32]) -> NDArray[np.float32]:
        """Light leaving surface points toward the camera: (P, 3) float32 linear RGB.

        view : (3,) or (P, 3) unit vectors toward the camera
        Diffuse light wraps a little past the terminator, red most, as it does in skin.
        """
        points, normals, albedo, shine = surface.position, surface.normal, surface.albedo, surface.shine
        up = 0.5 + 0.5 * normals[:, 1:2]
        light = _single(self.ground) + up * _single(self.sky - self.ground)
        gloss = np.zeros_like(albedo)
        wrap = np.array([0.22, 0.10, 0.07], dtype=np.float32)
        for direction, colour in zip(_single(self.directions), _single(self.colours), strict=True):
            facing = normals @ direction
            toward = np.flatnonzero(facing > -0.22)
            seen = np.ones(len(toward), dtype=np.float32)
            if self.shadows:
                seen -= np.float32(0.85) * self._shadow(scene, points[toward], direction, surface.ray[toward])
            lit = np.clip((facing[toward, None] + wrap) / (1 + wrap), 0, None)
            light[toward] += colour * lit * seen[:, None]
            half = view + direction
            half = half / np.maximum(np.linalg.norm(half, axis=-1, keepdims=True), 1e-6)
            peak = np.clip((normals[toward] * np.broadcast_to(half, normals.shape)[toward]).sum(axis=1), 0, None)
            peak = peak**8
            broad = peak**3
            gloss[toward] += (
                colour * ((broad + broad * broad * broad * peak) * (0.5 * seen) * (facing[toward] > 0))[:, None]
            )
        return np.asarray(albedo * light + np.float32(0.5) * shine[:, None] * gloss, dtype=np.float32)

    def _shadow(
        self, scene: Occluder, points: Floats, direction: Floats, ray: NDArray[np.integer]
    ) -> NDArray[np.bool_]:
        """Whether the lamp is hidden (P,), tested at one of four points on its disc."""
        side = np.cross(direction, [0.0, 1.0, 0.1])
        side /= np.linalg.norm(side)
        lift = np.cross(side, direction)
        angles = np.array([0.4, 1.97, 3.54, 5.11])
        disc = direction + self.disc * (np.cos(angles)[:, None] * side + np.sin(angles)[:, None] * lift)
        return scene.occluded(points, disc[ray % 4])


def _single(values: Floats) -> NDArray[np.float32]:
    return np.asarray(values, dtype=np.float32)
