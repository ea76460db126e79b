"""Skin of one person: tone, flush, blemishes, age, lips and make-up, as functions of the canonical position."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvgen.scans.looks.paint import Places, blend, ramp, to_linear

Floats = NDArray[np.floating]

# Skin tones from light to dark, sRGB.
_TONES = (
    np.array([(246, 214, 190), (231, 190, 160), (209, 160, 126), (176, 122, 88), (133, 88, 62), (84, 55, 40)]) / 255
)


@dataclass(frozen=True)
class Skin:
    """Colours are linear RGB; lengths inter-ocular distances; amounts in [0, 1].

    age : strength of wrinkles; relief : how far pores and wrinkles turn the normal
    moles : (K, 4), places x, y on the front of the face, radius, darkness
    made_up : shade on the lids, liner along the lashes, blush on the cheeks
    """

    tone: Floats
    flush: float
    mottle: float
    freckles: float
    blemishes: float
    age: float
    wrinkle_shift: float
    relief: float
    moles: Floats
    lips: Floats
    lip_strength: float
    lid_colour: Floats
    lid_shade: float
    liner: float
    blush: float
    shine: float

    @classmethod
    def draw(cls, generator: np.random.Generator, *, made_up: bool) -> Skin:
        """Draw skin; every number comes from `generator`."""
        place = generator.uniform(0, len(_TONES) - 1)
        index = min(int(place), len(_TONES) - 2)
        tone = to_linear(_TONES[index] + (place - index) * (_TONES[index + 1] - _TONES[index]))
        tone = tone * generator.uniform(0.9, 1.1, 3) * generator.uniform(0.85, 1.15)
        bare_lips = tone * np.array([0.95, 0.55, 0.55]) * generator.uniform(0.7, 1.1, 3)
        bare_lips = bare_lips + generator.uniform(0, 0.8) * (tone - bare_lips) * 0.5
        lipstick = made_up and generator.random() < 0.7
        moles = generator.uniform((-0.95, -1.7, 0.012, 0.3), (0.95, 0.8, 0.035, 0.85), (generator.poisson(2.0), 4))
        bright = generator.random() < 0.35
        return cls(
            tone=tone, flush=generator.uniform(0.1, 0.9), mottle=generator.uniform(0.02, 0.1),
            freckles=generator.uniform(0.2, 0.9) if generator.random() < 0.15 else 0.0,
            blemishes=generator.uniform(0.2, 0.8) if generator.random() < 0.25 else 0.0,
            age=generator.beta(1.1, 1.9), wrinkle_shift=generator.uniform(0, 6),
            relief=generator.uniform(0.02, 0.16), moles=moles,
            lips=to_linear(generator.uniform((0.4, 0.05, 0.1), (0.85, 0.4, 0.42))) if lipstick else bare_lips,
            lip_strength=generator.uniform(0.6, 1.0) if lipstick else generator.uniform(0.25, 0.9),
            lid_colour=to_linear(generator.uniform(0.1, 0.7, 3)) if made_up and bright
            else tone * np.array([0.5, 0.36, 0.36]),
            lid_shade=generator.uniform(0.1, 0.7) if made_up else generator.uniform(0, 0.25),
            liner=generator.uniform(0.4, 1.0) if made_up else 0.0,
            blush=generator.uniform(0.0, 0.8) if made_up else 0.0,
            shine=generator.uniform(0.02, 0.45),
        )  # fmt: skip

    def colour(self, places: Places) -> Floats:
        """Bare and made-up skin with lips: (P, 3) linear RGB."""
        x, y, away, front = places.x, places.y, places.away, places.front
        tone = 1 + self.mottle * (places.blotch[:, :1] + 0.7 * places.pores[:, :1])
        colour: Floats = self.tone * tone
        cheeks = np.exp(-(((away - 0.62) / 0.35) ** 2 + ((y + 0.75) / 0.35) ** 2))
        warm = cheeks + np.exp(-((x / 0.25) ** 2 + ((y + 0.6) / 0.3) ** 2))
        colour = colour * (1 + self.flush * 0.22 * (warm * front)[:, None] * np.array([0.5, -0.8, -0.6]))
        if self.freckles:
            spots = ramp(places.fine(places.points * 13.0)[:, 1], 0.45, 0.7) * np.exp(-(((y + 0.45) / 0.5) ** 2))
            colour = colour * (1 - self.freckles * 0.45 * (spots * front)[:, None] * np.array([0.7, 1.0, 1.1]))
        if self.blemishes:
            spots = ramp(places.fine(places.points * 7.0 + 3.0)[:, 2], 0.6, 0.8) * front
            colour = colour * (1 - self.blemishes * 0.4 * spots[:, None] * np.array([0.15, 1.0, 0.9]))
        for mole_x, mole_y, radius, darkness in self.moles:
            spot = ramp(np.hypot(x - mole_x, y - mole_y), radius + 0.02, 0.5 * radius) * front
            colour = colour * (1 - darkness * spot[:, None] * np.array([0.75, 0.9, 0.95]))
        colour = colour * (1 - 0.45 * self.age * self._wrinkles(places, y)[:, None] * np.array([0.75, 1, 1.05]))
        colour = blend(colour, self.tone * np.array([1.25, 0.55, 0.6]), 0.6 * self.blush * cheeks * front)
        colour = blend(colour, self.lips * (1 + 0.12 * places.strands[:, 1:2]), places.lips * self.lip_strength)
        return self._lids(colour, places)

    def _lids(self, colour: Floats, places: Places) -> Floats:
        """Shade on the lids and up toward the brow, shadow under the eye, liner along the lashes."""
        y, side = places.y, places.away - 0.5
        lids = ramp(places.regions["eyelids"], 0.3, 0.8) * ramp(y, -0.1, 0.02)
        above = np.exp(-((side / 0.27) ** 2 + ((y - 0.13) / 0.1) ** 2)) * places.front
        colour = blend(colour, self.lid_colour, self.lid_shade * np.maximum(lids, 0.7 * above))
        rings = np.exp(-((side / 0.25) ** 2 + ((y + 0.2) / 0.08) ** 2)) * places.front
        colour = colour * (1 - 0.2 * self.age * rings[:, None] * np.array([0.8, 1.0, 0.8]))
        rim = np.exp(-(((np.hypot(side / 1.15, (y + 0.005) * 1.9) - 0.2) / 0.035) ** 2)) * (y > -0.02)
        return blend(colour, np.full(3, 0.01), self.liner * rim * places.front)

    def _wrinkles(self, places: Places, y: Floats) -> Floats:
        """How deep in a wrinkle (P,): forehead lines, frown, crow's feet, fold from nose to mouth, bags under eyes."""
        x, away = places.x, places.away
        lines = ramp(np.sin(26 * y + self.wrinkle_shift + 2.5 * places.blotch[:, 1] + 1.5 * x * x), 0.7, 1.0)
        lines = lines * ramp(y, 0.5, 0.65) * ramp(away, 0.9, 0.5)
        frown = np.exp(-(((away - 0.07) / 0.025) ** 2 + ((y - 0.3) / 0.12) ** 2))
        angle = np.arctan2(y + 0.02, away - 0.7)
        feet = ramp(np.cos(9 * angle + self.wrinkle_shift), 0.5, 1.0) * (away > 0.72)
        feet = feet * ramp(np.hypot(away - 0.7, y + 0.02), 0.3, 0.16)
        fold = np.exp(-(((away - (0.27 - 0.32 * (y + 0.62))) / 0.03) ** 2))
        fold = fold * ramp(y, -0.55, -0.7) * ramp(y, -1.3, -1.05)
        bags = np.exp(-(((y + 0.24 + 0.1 * (away - 0.5) ** 2) / 0.035) ** 2)) * ramp(np.abs(away - 0.5), 0.3, 0.15)
        strong = np.clip(2 * self.age - 0.6, 0, 1)
        return np.clip(lines + strong * (frown + feet) + fold + bags, 0, 1) * places.front

    def turn_normals(self, places: Places) -> NDArray[np.float32]:
        """What pores and wrinkles add to the unit normals of the skin: (P, 3) float32."""
        step = 0.02
        slope = (self._wrinkles(places, places.y + step) - self._wrinkles(places, places.y - step)) / (2 * step)
        turned = self.relief * (places.pores + 0.6 * places.strands[:, [1, 2, 0]])
        turned[:, 1] += np.clip(0.02 * self.age * slope, -0.35, 0.35)
        return (turned * (~places.eye)[:, None]).astype(np.float32)
