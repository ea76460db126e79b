"""Hair of one person: on the head, over the forehead, brows and beard, painted and lifted off the skin."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mvgen.scans.looks.paint import Places, blend, ramp, to_linear

Floats = NDArray[np.floating]

_HAIR = np.array([(20, 16, 14), (42, 30, 24), (78, 52, 34), (140, 98, 58), (196, 160, 108), (150, 146, 142),
                  (120, 52, 24), (215, 212, 205)]) / 255  # fmt: skip


@dataclass(frozen=True)
class Hair:
    """colour : (3,) linear RGB; lengths are inter-ocular distances of the canonical head, amounts in [0, 1].

    line : height of the hair line; receding : how far its corners go back; side : depth z where hair starts at the side
    depth : how far it stands off; density : how much of the scalp it hides; curl : of its surface
    fringe : "none", "straight", "swept" or "curtain", down to fringe_line, swept toward fringe_side
    length : height y down to which it falls around the head, None where it ends at the neck
    beard_depth : how far a beard stands off
    """

    colour: Floats
    streaks: float
    bald: bool
    line: float
    receding: float
    side: float
    depth: float
    density: float
    curl: float
    fringe: str
    fringe_line: float
    fringe_side: float
    length: float | None
    brow: Floats
    brow_height: float
    brow_thickness: float
    brow_arch: float
    brow_strength: float
    beard: float
    beard_line: float
    beard_depth: float
    beard_colour: Floats
    moustache: float
    phase: float

    @classmethod
    def draw(cls, generator: np.random.Generator, *, made_up: bool, plain: bool = False) -> Hair:
        """Draw hair; every number comes from `generator`. `plain` hair is short and off the face."""
        weights = [0.31, 0.24, 0.16, 0.1, 0.06, 0.05, 0.04, 0.04]
        natural = to_linear(_HAIR[generator.choice(len(_HAIR), p=weights)]) * generator.uniform(0.6, 1.4)
        dyed = generator.random() < 0.06 and not plain
        colour = to_linear(generator.uniform(0.05, 0.95, 3)) if dyed else natural
        bearded = not made_up and generator.random() < 0.35
        faint, thick = generator.random(2) < 0.15
        long = generator.random() < (0.75 if made_up else 0.2)
        fringed = generator.random() < 0.3
        style = cls(
            colour=colour, streaks=generator.uniform(0.1, 0.6),
            bald=bool(generator.random() < 0.1) and not long, line=generator.uniform(0.75, 1.35),
            receding=generator.uniform(0.1, 0.5) if not made_up and generator.random() < 0.25 else 0.0,
            side=generator.uniform(-1.0, -0.55), depth=generator.uniform(0.03, 0.3),
            density=1.0, curl=generator.uniform(0.5, 2.5),
            fringe=str(generator.choice(["straight", "swept", "curtain"])) if fringed else "none",
            fringe_line=generator.uniform(0.22, 0.62), fringe_side=float(generator.choice([-1, 1])),
            length=generator.uniform(-3.2, -1.2) if long else None,
            brow=natural * generator.uniform(0.5, 1.2), brow_height=generator.uniform(0.31, 0.44),
            brow_thickness=generator.uniform(0.09, 0.14) if thick else generator.uniform(0.03, 0.09),
            brow_arch=generator.uniform(0.0, 0.13),
            brow_strength=generator.uniform(0.03, 0.25) if faint else generator.uniform(0.35, 1.0),
            beard=generator.uniform(0.15, 1.0) if bearded else 0.0, beard_line=generator.uniform(-1.0, -0.55),
            beard_depth=generator.uniform(0.03, 0.22) if generator.random() < 0.4 else 0.0,
            beard_colour=natural * generator.uniform(0.8, 1.6),
            moustache=generator.uniform(0.2, 1.0) if not made_up and generator.random() < (0.7 if bearded else 0.05)
            else 0.0,
            phase=generator.uniform(0, 10),
        )  # fmt: skip
        if plain:
            return replace(style, fringe="none", length=None, beard_depth=0.0)
        if not long and generator.random() < 0.12:  # shaved to millimetres
            return replace(style, depth=0.01, density=generator.uniform(0.25, 0.7), fringe="none")
        if long and generator.random() < 0.4:  # tied back
            return replace(style, length=None, depth=generator.uniform(0.02, 0.1), receding=0.0)
        return style

    @property
    def falls(self) -> bool:
        """Whether the hair falls beside the face and hides the ears."""
        return self.length is not None and not self.bald

    def cover(self, points: Floats, ears: Floats) -> Floats:
        """How far the hair covers canonical points (P, 3): 0 skin, 1 hair."""
        if self.bald:
            return np.zeros(len(points))
        x, y, z = points.T
        away = np.abs(x)
        wobble = 0.05 * np.sin(7 * x + self.phase) + 0.03 * np.sin(17 * x + 2 * self.phase)
        line = self.line + wobble + self.receding * np.exp(-(((away - 0.55) / 0.28) ** 2))
        top = y - line + 0.25 * ramp(away, 0.5, 1.1)
        if self.fringe != "none":
            top = np.maximum(top, np.where(z > -1.2, y - self._fringe(x), top))
        side = np.minimum((self.side + 0.08 * np.sin(9 * y + self.phase)) - z, y + (1.2 if self.falls else 0.35))
        back = np.minimum(-1.9 - z, y + 1.6)
        hidden = ramp(np.maximum(np.maximum(top, side), back), -0.03, 0.06)
        return hidden if self.falls else hidden * (1 - ramp(ears, 0.2, 0.6))

    def _fringe(self, x: Floats) -> Floats:
        """Height down to which strands hang over the forehead, at x (P,)."""
        tips = 0.05 * np.sin(23 * x + self.phase) + 0.03 * np.sin(41 * x + 3 * self.phase)
        if self.fringe == "swept":
            return self.fringe_line + tips + 0.3 * (0.6 + self.fringe_side * x)
        if self.fringe == "curtain":
            return self.fringe_line + tips + 0.9 * np.exp(-(((x - 0.15 * self.fringe_side) / 0.35) ** 2))
        return self.fringe_line + tips + 0.15 * x * x

    def lift(self, places: Places) -> Floats:
        """How far hair and beard stand off the skin: (P,)."""
        lumps = places.fine(places.points * (2.5 + self.curl))[:, 0]
        hair = self.cover(places.points, places.regions["ears"]) * self.depth * (0.8 + 0.4 * lumps)
        if self.fringe != "none":
            hair = hair + 0.05 * self.cover(places.points, places.regions["ears"]) * (places.z > -1.2)
        beard = self.beard_depth * ramp(self.growth(places), 0.1, 0.6) * (0.8 + 0.3 * lumps)
        return hair + beard * ramp(places.regions["mouth_cavity"], 0.3, 0.05)

    def paint_head(self, colour: Floats, places: Places, cover: Floats) -> Floats:
        """Hair on the head over the skin (P, 3); `cover` (P,) is how far it covers."""
        flow = places.fine(places.points * np.array([34.0, 5.0, 9.0]))[:, 1]
        strands = self.colour * np.clip(1 + self.streaks * flow + 0.2 * places.blotch[:, 1], 0.2, None)[:, None]
        return blend(colour, strands, cover * self.density)

    def paint_face(self, colour: Floats, places: Places) -> Floats:
        """Beard, its shadow and dots, and brows over the skin (P, 3)."""
        growth = self.growth(places)
        full = max(self.beard, self.moustache) * np.clip(0.55 + 0.8 * places.strands[:, 0], 0, 1)
        colour = blend(colour, self.beard_colour, growth * (full if not self.beard_depth else np.maximum(full, 0.8)))
        return blend(colour, self.brow, self._brows(places))

    def growth(self, places: Places) -> Floats:
        """Density of beard and moustache (P,); none on the lips."""
        y, away = places.y, places.away
        jaw = ramp(y, self.beard_line + 0.15, self.beard_line - 0.15) * ramp(y, -2.3, -2.0)
        jaw = jaw * ramp(away + 0.35 * (y + 1.0), 0.25, 0.45) + ramp(y, -1.38, -1.5) * ramp(y, -2.2, -1.95)
        above = ramp(y, -0.72, -0.82) * ramp(y, -1.12, -1.02) * ramp(away, 0.5, 0.4)
        grown = np.clip(self.beard * np.clip(jaw, 0, 1) + self.moustache * above, 0, 1)
        return grown * (1 - places.lips) * ramp(places.z, -1.3, -0.9)

    def _brows(self, places: Places) -> Floats:
        """Brows (P,): an arch over each eye that thins outward, made of strands."""
        along = (places.away - 0.16) / 0.78
        middle = self.brow_height + self.brow_arch * np.sin(np.pi * np.clip(along, 0, 1) ** 0.8) - 0.05 * along
        width = self.brow_thickness * (1.1 - 0.6 * np.clip(along, 0, 1)) * (1 + 0.25 * places.strands[:, 2])
        brow = ramp(np.abs(places.y - middle), width, 0.35 * width) * ramp(along, -0.06, 0.08) * ramp(along, 1.05, 0.85)
        hairs = np.clip(0.75 + 0.5 * places.strands[:, 0], 0, 1)
        return brow * self.brow_strength * hairs * ramp(places.z, -0.9, -0.5)
