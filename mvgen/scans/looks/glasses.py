"""Glasses of one person, fitted to the eyes, the bridge of the nose and the sides of the head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvgen.scans.head import HeadModel
from mvgen.scans.looks.garments import Garment, garment, join, tube
from mvgen.scans.looks.paint import to_linear

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Glasses:
    """Lengths are inter-ocular distances.

    width, height : half axes of a lens; square : exponent of its outline, 2 an ellipse; droop : lower outer corner
    rim, rim_depth : half thickness of the frame; half_rim : only the upper half has a rim
    frame, lens : (3,) linear RGB; opacity : of the lens; glare : strength of a reflected window, at glare_place
    slide : how far they sit down the nose
    """

    width: float
    height: float
    square: float
    droop: float
    rim: float
    rim_depth: float
    half_rim: bool
    frame: Floats
    frame_shine: float
    lens: Floats
    opacity: float
    glare: float
    glare_place: float
    slide: float

    @classmethod
    def draw(cls, generator: np.random.Generator) -> Glasses:
        """Draw thin metal or thick plastic, round to square, clear or, one time in eight, sunglasses."""
        thick, dark = generator.random() < 0.55, generator.random() < 0.12
        frame = to_linear(
            generator.uniform(0.02, 0.18, 3) if generator.random() < 0.6 else generator.uniform(0, 0.9, 3)
        )
        metal = to_linear(np.array([(0.75, 0.72, 0.68), (0.8, 0.66, 0.4), (0.12, 0.12, 0.13)])[generator.integers(3)])
        height = generator.uniform(0.24, 0.4) if not dark else generator.uniform(0.32, 0.42)
        return cls(
            width=generator.uniform(0.34, 0.42), height=height, square=generator.uniform(1.9, 5.0),
            droop=generator.uniform(-0.04, 0.06), rim=generator.uniform(0.022, 0.05) if thick else
            generator.uniform(0.009, 0.018), rim_depth=generator.uniform(0.02, 0.04) if thick else 0.012,
            half_rim=bool(generator.random() < 0.15), frame=frame if thick else metal,
            frame_shine=generator.uniform(0.1, 0.8),
            lens=generator.uniform(0.01, 0.06, 3) if dark else generator.uniform(0.5, 1.0, 3),
            opacity=generator.uniform(0.8, 0.97) if dark else generator.uniform(0.0, 0.09),
            glare=generator.uniform(0.1, 0.6) if generator.random() < 0.35 else 0.0,
            glare_place=generator.uniform(-1.2, 1.2), slide=generator.uniform(-0.02, 0.1),
        )  # fmt: skip

    @property
    def dark(self) -> bool:
        """Whether the lenses hide the eyes and cast a shadow."""
        return self.opacity > 0.5

    def fit(self, heads: HeadModel, vertices: Floats) -> tuple[Garment, Garment]:
        """Frame and lenses for a head (N, 3) that is neither turned nor shifted.

        Eyes, bridge and temples hardly move with an expression, so the glasses stay still on a moving face.
        """
        canonical = heads.canonical
        away, up = np.abs(canonical[:, 0]), canonical[:, 1]
        right, left = heads.five_positions(vertices)[:2].astype(np.float64)
        middle, reach = (right + left) / 2, np.linalg.norm(left - right)
        drop = middle[1] - self.slide - 0.05
        front = canonical[:, 2] > -0.45
        ridge = front & (away < 0.1) & (np.abs(up + self.slide + 0.05) < 0.12)
        bridge = vertices[ridge, 2].max(initial=middle[2] + 0.05)
        # Lenses are in front of everything behind them (brow bone, cheek, lashes) but the side of the nose.
        behind = (
            front & (away > 0.3) & (away < 0.85) & (up < 0.4 * self.height) & (up > -0.9 * self.height - self.slide)
        )
        plane = max(_high(vertices[behind, 2], middle[2], 0.97) + 0.05, middle[2] + 0.12, bridge - 0.1)
        side = (np.abs(up - 0.05) < 0.15) & (np.abs(canonical[:, 2] + 1.1) < 0.25) & (heads.regions["ears"] < 0.2)
        half = np.abs(vertices[side, 0]).max(initial=0.5 * reach + 0.4) + 0.02
        ear = vertices[heads.regions["ears"] > 0.3]
        hook, top = _high(ear[:, 2], -1.4, 0.6), _high(ear[:, 1], 0.05, 0.9) - 0.05

        frames, lenses = [], []
        gap = max(float(0.5 * reach) - self.width, 0.13)
        for sign in (-1.0, 1.0):
            centre = np.array([middle[0] + sign * (gap + self.width), drop, plane])
            rim = self._outline(sign) * [self.width, self.height, 1.0] + centre
            rim[:, 2] -= 0.18 * np.clip(np.abs(rim[:, 0] - middle[0]) - 0.3, 0, None) ** 2
            frames.append(self._rim(rim))
            lenses.append(self._lens(rim, centre))
            outer = rim[np.argmax(sign * rim[:, 0] + 0.3 * rim[:, 1])]
            hinge = np.array([outer[0] + sign * 0.06, outer[1], outer[2] - 0.08])
            ends = np.array(
                [
                    outer, hinge,
                    [sign * (half + 0.03), 0.3 * hinge[1] + 0.7 * top, hook + 0.35],
                    [sign * half, top, hook + 0.1],
                    [sign * (half - 0.02), top - 0.12, hook - 0.1],
                ]
            )  # fmt: skip
            frames.append(tube(ends, 1.1 * self.rim, 0.8 * self.rim_depth, self.frame, self.frame_shine))
        inner = middle[0] + np.linspace(-gap, gap, 7)
        arch = np.cos(np.linspace(-np.pi / 2, np.pi / 2, 7))
        height = np.full(7, drop + 0.35 * self.height) + 0.04 * arch
        frames.append(
            tube(np.stack([inner, height, np.maximum(plane, bridge + 0.03) * arch + plane * (1 - arch)], 1),
                 self.rim, self.rim_depth, self.frame, self.frame_shine)
        )  # fmt: skip
        frame, lens = join(frames), join(lenses)
        assert frame is not None
        assert lens is not None
        return frame, lens

    def _outline(self, sign: float, count: int = 36) -> Floats:
        """A superellipse (count, 3) of half axes 1, sagging outward by `droop`."""
        angle = 2 * np.pi * np.arange(count) / count
        cosine, sine = np.cos(angle), np.sin(angle)
        radius = (np.abs(cosine) ** self.square + np.abs(sine) ** self.square) ** (-1 / self.square)
        x, y = radius * cosine, radius * sine
        # The lower inner corner makes room for the nose.
        x = x + 0.12 * np.clip(-y, 0, 1) * (sign * x < 0) * sign
        return np.stack([x, y - self.droop * np.abs(x), np.zeros(count)], axis=1)

    def _rim(self, rim: Floats) -> Garment:
        if not self.half_rim:
            return tube(rim, self.rim, self.rim_depth, self.frame, self.frame_shine, closed=True)
        upper = rim[: len(rim) // 2 + 1]
        return tube(upper, self.rim, self.rim_depth, self.frame, self.frame_shine)

    def _lens(self, rim: Floats, centre: Floats) -> Garment:
        """A slightly convex lens, with the reflection of a window or lamp as a band."""
        rings = np.linspace(0, 1, 7)[:, None, None]
        grid = centre + rings * (rim - centre)[None]
        grid[..., 2] += 0.05 * (1 - rings[..., 0] ** 2)
        across = (grid[..., 0] - centre[0]) / self.width + 0.7 * (grid[..., 1] - centre[1]) / self.height
        band = np.exp(-(((across - self.glare_place) / 0.35) ** 2)) * self.glare * (1.0 if not self.dark else 0.2)
        opacity = np.clip(self.opacity + band, 0, 1)
        colour = self.lens + (band / np.maximum(opacity, 1e-6))[..., None] * (0.9 - self.lens)
        return garment(grid, colour, 0.5, opacity, closed=True)


def _high(values: Floats, otherwise: float, quantile: float) -> float:
    """A quantile of values (K,), or `otherwise` where there are none."""
    return float(np.quantile(values, quantile)) if len(values) else float(otherwise)
