"""Shared tools for painting a head: colour spaces, smooth steps, layers, and the points to be painted.

Lengths are in inter-ocular distances of the canonical head: eyes at (+-0.5, 0), x right, y up, z toward the camera.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvgen.scans.looks.noise import SolidNoise

Floats = NDArray[np.floating]


def to_linear(srgb: Floats) -> Floats:
    """sRGB in [0, 1] -> linear light (IEC 61966-2-1)."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((np.maximum(srgb, 0) + 0.055) / 1.055) ** 2.4)


def to_srgb(linear: Floats) -> Floats:
    """Linear light -> sRGB in [0, 1] (IEC 61966-2-1)."""
    linear = np.clip(linear, 0, None)
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)


def ramp(values: Floats, low: float | Floats, high: float | Floats) -> Floats:
    """Smooth step from 0 at `low` to 1 at `high`; `low` may be the larger one."""
    part = np.clip((values - low) / (high - low), 0, 1)
    return part * part * (3 - 2 * part)


def blend(colour: Floats, layer: Floats, amount: Floats) -> Floats:
    """A layer (3,) or (P, 3) over a colour (P, 3), with opacity `amount` (P,)."""
    return colour + amount[:, None] * (layer - colour)


@dataclass(frozen=True)
class Places:
    """The points to be painted, with values that several layers use.

    points : (P, 3) canonical; x, y, z, away = |x| : (P,); front : (P,) 1 on the face, 0 behind the ears
    blotch (P, 2), pores (P, 3), strands (P, 3) : noise from coarse to fine; fine : gives more of the finest
    lips : (P,) in [0, 1]; eye : (P,) bool, on an eyeball
    """

    points: Floats
    regions: dict[str, Floats]
    x: Floats
    y: Floats
    z: Floats
    away: Floats
    front: Floats
    blotch: Floats
    pores: Floats
    strands: Floats
    fine: SolidNoise
    lips: Floats
    eye: NDArray[np.bool_]

    @classmethod
    def at(cls, points: Floats, regions: dict[str, Floats], seed: int) -> Places:
        """Places at canonical points (P, 3) with the weights (P,) of `HeadModel.regions`."""
        generator = np.random.default_rng(seed)
        coarse, fine = SolidNoise(generator, 2), SolidNoise(generator, 3)
        x, y, z = points.T
        pores = fine(points * 22.0)
        return cls(
            points=points, regions=regions, x=x, y=y, z=z, away=np.abs(x), front=ramp(z, -1.2, -0.6),
            blotch=coarse(points * 3.0), pores=pores, strands=fine(points * np.array([60.0, 14.0, 14.0])), fine=fine,
            lips=ramp(regions["lips"] + 0.06 * pores[:, 1], 0.35, 0.65),
            eye=np.maximum(regions["eye_left"], regions["eye_right"]) > 0.5,
        )  # fmt: skip
