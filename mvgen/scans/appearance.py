"""Looks painted on a head: skin, lips, brows, eyes, hair, beard, clothes, all as functions of the canonical position.

A look is drawn once per person and sticks to the skin, so that a moving face carries its own texture. Lengths are in
inter-ocular distances of the canonical head: eyes at (+-0.5, 0), x right, y up, z toward the camera.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvgen.scans.noise import SolidNoise

Floats = NDArray[np.floating]

# Skin tones from light to dark, sRGB.
_TONES = (
    np.array([(246, 214, 190), (231, 190, 160), (209, 160, 126), (176, 122, 88), (133, 88, 62), (84, 55, 40)]) / 255
)
_HAIR = np.array([(20, 16, 14), (42, 30, 24), (78, 52, 34), (140, 98, 58), (196, 160, 108), (150, 146, 142)]) / 255
_IRIS = np.array([(62, 38, 22), (98, 64, 36), (92, 104, 70), (92, 124, 150), (70, 92, 118)]) / 255
IRIS_RADIUS = 0.098


def to_linear(srgb: Floats) -> Floats:
    """sRGB in [0, 1] -> linear light (IEC 61966-2-1)."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((np.maximum(srgb, 0) + 0.055) / 1.055) ** 2.4)


def to_srgb(linear: Floats) -> Floats:
    """Linear light -> sRGB in [0, 1] (IEC 61966-2-1)."""
    linear = np.clip(linear, 0, None)
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)


def ramp(values: Floats, low: float, high: float) -> Floats:
    """Smooth step from 0 at `low` to 1 at `high`; `low` may be the larger one."""
    part = np.clip((values - low) / (high - low), 0, 1)
    return part * part * (3 - 2 * part)


def _lay(colour: Floats, layer: Floats, amount: Floats) -> Floats:
    """A layer (3,) or (P, 3) over a colour (P, 3), covering it by `amount` (P,)."""
    return colour + amount[:, None] * (layer - colour)


@dataclass(frozen=True)
class _Skin:
    """The points to be painted, with what every painter asks about them.

    points : (P, 3) canonical; x, y, z, away = |x| : (P,); front : (P,) 1 on the face, 0 behind the ears
    blotch (P, 2), pores (P, 3), strands (P, 3) : noises from coarse to fine; fine : more of the finest
    lips, cloth : (P,) in [0, 1]; eye : (P,) bool, on an eyeball
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
    cloth: Floats
    eye: NDArray[np.bool_]

    @classmethod
    def at(cls, points: Floats, regions: dict[str, Floats], seed: int) -> _Skin:
        generator = np.random.default_rng(seed)
        coarse, fine = SolidNoise(generator, 2), SolidNoise(generator, 3)
        x, y, z = points.T
        pores = fine(points * 22.0)
        return cls(
            points=points, regions=regions, x=x, y=y, z=z, away=np.abs(x), front=ramp(z, -1.2, -0.6),
            blotch=coarse(points * 3.0), pores=pores, strands=fine(points * np.array([60.0, 14.0, 14.0])), fine=fine,
            lips=ramp(regions["lips"] + 0.06 * pores[:, 1], 0.35, 0.65),
            cloth=ramp(y + 0.25 * np.exp(-((x / 0.9) ** 2)), -2.75, -2.85),
            eye=np.maximum(regions["eye_left"], regions["eye_right"]) > 0.5,
        )  # fmt: skip


@dataclass(frozen=True)
class Look:
    """How one person looks. Colours are linear RGB; lengths inter-ocular distances; amounts in [0, 1]."""

    skin: Floats
    flush: float
    mottle: float
    freckles: float
    creases: float
    lips: Floats
    lip_strength: float
    hair: Floats
    hair_line: float
    hair_side: float
    hair_depth: float
    bald: bool
    brow_height: float
    brow_thickness: float
    brow_arch: float
    brow_strength: float
    beard: float
    beard_line: float
    moustache: float
    lid_shade: float
    iris: Floats
    pupil: float
    gaze: tuple[float, float]
    shine: float
    shirt: Floats
    shirt_pattern: float
    seed: int

    @classmethod
    def draw(cls, generator: np.random.Generator) -> Look:
        """Draw a look; every number comes from `generator`."""
        tone = generator.uniform(0, len(_TONES) - 1)
        index = min(int(tone), len(_TONES) - 2)
        skin = to_linear(_TONES[index] + (tone - index) * (_TONES[index + 1] - _TONES[index]))
        skin = skin * generator.uniform(0.9, 1.1, 3) * generator.uniform(0.85, 1.15)
        hair = to_linear(_HAIR[generator.choice(len(_HAIR), p=[0.34, 0.26, 0.18, 0.1, 0.06, 0.06])])
        bearded = generator.random() < 0.3
        make_up = generator.random() < 0.3
        return cls(
            skin=skin, flush=generator.uniform(0.1, 0.9), mottle=generator.uniform(0.02, 0.09),
            freckles=generator.uniform(0.2, 0.8) if generator.random() < 0.2 else 0.0,
            creases=generator.beta(1.2, 2.5),
            lips=skin * np.array([0.95, 0.55, 0.55]) * generator.uniform(0.7, 1.1, 3) if not make_up
            else to_linear(generator.uniform((0.45, 0.05, 0.1), (0.85, 0.35, 0.4))),
            lip_strength=generator.uniform(0.35, 0.8) if not make_up else generator.uniform(0.7, 1.0),
            hair=hair * generator.uniform(0.6, 1.4), hair_line=generator.uniform(0.75, 1.35),
            hair_side=generator.uniform(-1.0, -0.55), hair_depth=generator.uniform(0.03, 0.3),
            bald=bool(generator.random() < 0.12),
            brow_height=generator.uniform(0.33, 0.43), brow_thickness=generator.uniform(0.04, 0.09),
            brow_arch=generator.uniform(0.02, 0.12), brow_strength=generator.uniform(0.35, 0.95),
            beard=generator.uniform(0.15, 0.95) if bearded else 0.0, beard_line=generator.uniform(-1.0, -0.55),
            moustache=generator.uniform(0.2, 0.95) if bearded and generator.random() < 0.7 else 0.0,
            lid_shade=generator.uniform(0.0, 0.5 if make_up else 0.15),
            iris=to_linear(_IRIS[generator.choice(len(_IRIS), p=[0.4, 0.25, 0.12, 0.13, 0.1])]
                           * generator.uniform(0.7, 1.2)),
            pupil=generator.uniform(0.03, 0.055), gaze=(generator.normal(0, 0.02), generator.normal(0, 0.012)),
            shine=generator.uniform(0.02, 0.35), shirt=to_linear(generator.uniform(0.05, 0.95, 3)),
            shirt_pattern=generator.uniform(0, 0.5), seed=int(generator.integers(2**31)),
        )  # fmt: skip

    def hair_cover(self, points: Floats, ears: Floats) -> Floats:
        """How far canonical points (P, 3) lie under the hair: 0 skin, 1 hair."""
        if self.bald:
            return np.zeros(len(points))
        x, y, z = points.T
        wobble = 0.05 * np.sin(7 * x + self.seed % 7) + 0.03 * np.sin(17 * x + self.seed % 11)
        top = y - (self.hair_line + wobble) + 0.25 * ramp(np.abs(x), 0.5, 1.1)
        side = np.minimum((self.hair_side + 0.08 * np.sin(9 * y + self.seed % 5)) - z, y + 0.35)
        back = np.minimum(-1.9 - z, y + 1.6)
        return ramp(np.maximum(np.maximum(top, side), back), -0.03, 0.06) * (1 - ramp(ears, 0.2, 0.6))

    def hair_lift(self, points: Floats, ears: Floats) -> NDArray[np.float32]:
        """How far the hair stands off the scalp at canonical points (P, 3): (P,) float32."""
        lumps = SolidNoise(np.random.default_rng(self.seed))(points * 4)[:, 0]
        return (self.hair_cover(points, ears) * self.hair_depth * (0.8 + 0.4 * lumps)).astype(np.float32)

    def paint(self, points: Floats, regions: dict[str, Floats]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Colour of surface points.

        points : (P, 3) canonical; regions : name -> (P,) weights of `HeadModel.regions`
        Returns albedo (P, 3) float32 linear RGB, and shine (P,) float32, strength of the highlight.
        """
        skin = _Skin.at(points, regions, self.seed)
        cover = self.hair_cover(points, regions["ears"])
        growth = self._growth(skin)
        colour = self._skin_colour(skin)
        colour = self._lips_and_lids(colour, skin)
        colour = _lay(colour, self.hair * 1.3, growth * np.clip(0.65 + 0.6 * skin.strands[:, 0], 0, 1))
        colour = _lay(colour, self.hair, self._brows(skin))
        flow = skin.fine(points * np.array([34.0, 5.0, 9.0]))[:, 1]
        colour = _lay(colour, self.hair * (1 + 0.45 * flow[:, None] + 0.2 * skin.blotch[:, 1:2]), cover)
        colour = self._eyes(colour, skin)
        colour = self._mouth_and_shirt(colour, skin)

        cloth, mouth = skin.cloth, ramp(regions["mouth_cavity"], 0.5, 0.9)
        shine = self.shine * (1 + 0.5 * skin.blotch[:, 0]) * (1 - cover) * (1 - cloth) * (1 - growth) * (1 - mouth)
        shine = np.where(skin.eye, 1.2, shine * (1 + 0.8 * skin.lips))
        return np.clip(colour, 0.001, 1).astype(np.float32), np.clip(shine, 0, 2).astype(np.float32)

    def _skin_colour(self, skin: _Skin) -> Floats:
        """Bare skin: tone, blotches and pores, flush, freckles, creases."""
        x, y, away, front = skin.x, skin.y, skin.away, skin.front
        tone = 1 + self.mottle * (skin.blotch[:, :1] + 0.7 * skin.pores[:, :1])
        colour: Floats = np.broadcast_to(self.skin, (len(x), 3)) * tone
        cheeks = np.exp(-(((away - 0.62) / 0.35) ** 2 + ((y + 0.75) / 0.35) ** 2))
        cheeks = cheeks + np.exp(-((x / 0.25) ** 2 + ((y + 0.6) / 0.3) ** 2))
        colour = colour * (1 + self.flush * 0.22 * (cheeks * front)[:, None] * np.array([0.5, -0.8, -0.6]))
        if self.freckles:
            spots = ramp(skin.fine(skin.points * 13.0)[:, 1], 0.45, 0.7) * np.exp(-(((y + 0.45) / 0.5) ** 2)) * front
            colour = colour * (1 - self.freckles * 0.45 * spots[:, None] * np.array([0.7, 1.0, 1.1]))
        # Creases: forehead lines, the fold from nose to mouth, lines under the eyes.
        lines = ramp(np.sin(26 * y + 2.5 * skin.blotch[:, 1] + 1.5 * x * x), 0.8, 1.0)
        lines = lines * ramp(y, 0.5, 0.65) * ramp(away, 0.9, 0.5)
        fold = np.exp(-(((away - (0.27 - 0.32 * (y + 0.62))) / 0.03) ** 2))
        fold = fold * ramp(y, -0.55, -0.7) * ramp(y, -1.25, -1.0)
        bags = np.exp(-(((y + 0.24 + 0.1 * (away - 0.5) ** 2) / 0.035) ** 2)) * ramp(np.abs(away - 0.5), 0.3, 0.15)
        creases = self.creases * 0.4 * ((lines + fold + bags) * front)[:, None]
        return colour * (1 - creases * np.array([0.7, 1, 1.05]))

    def _lips_and_lids(self, colour: Floats, skin: _Skin) -> Floats:
        colour = _lay(colour, self.lips * (1 + 0.12 * skin.strands[:, 1:2]), skin.lips * self.lip_strength)
        lids = self.lid_shade * ramp(skin.regions["eyelids"], 0.3, 0.8)
        return colour * (1 - lids[:, None] * np.array([0.8, 1.0, 0.9]))

    def _growth(self, skin: _Skin) -> Floats:
        """Beard and moustache (P,); they keep clear of the lips."""
        y, away = skin.y, skin.away
        jaw = ramp(y, self.beard_line + 0.15, self.beard_line - 0.15) * ramp(y, -2.3, -2.0)
        jaw = jaw * ramp(away + 0.35 * (y + 1.0), 0.25, 0.45) + ramp(y, -1.38, -1.5) * ramp(y, -2.2, -1.95)
        above = ramp(y, -0.72, -0.82) * ramp(y, -1.12, -1.02) * ramp(away, 0.5, 0.4)
        grown = np.clip(self.beard * np.clip(jaw, 0, 1) + self.moustache * above, 0, 1)
        return grown * (1 - skin.lips) * ramp(skin.z, -1.3, -0.9)

    def _brows(self, skin: _Skin) -> Floats:
        """Brows (P,): an arch over each eye that thins outward, made of strands."""
        along = (skin.away - 0.16) / 0.78
        middle = self.brow_height + self.brow_arch * np.sin(np.pi * np.clip(along, 0, 1) ** 0.8) - 0.05 * along
        width = self.brow_thickness * (1.1 - 0.6 * np.clip(along, 0, 1)) * (1 + 0.25 * skin.strands[:, 2])
        brow = ramp(np.abs(skin.y - middle), width, 0.35 * width) * ramp(along, -0.06, 0.08) * ramp(along, 1.05, 0.85)
        hairs = np.clip(0.75 + 0.5 * skin.strands[:, 0], 0, 1)
        return brow * self.brow_strength * hairs * ramp(skin.z, -0.9, -0.5)

    def _eyes(self, colour: Floats, skin: _Skin) -> Floats:
        """Lashes where lid meets eyeball, then sclera, iris with a dark rim, pupil."""
        x, y, away = skin.x, skin.y, skin.away
        lashes = ramp(skin.regions["eye_cavity"], 0.08, 0.4) * (y > -0.3)
        colour = _lay(colour, self.hair * 0.4, lashes * 0.75)
        radius = np.hypot(away - 0.511 - np.sign(x) * self.gaze[0], y + 0.011 - self.gaze[1])
        white = np.array([0.62, 0.58, 0.55]) * (1 - 0.25 * ramp(radius, 0.1, 0.26))[:, None]
        white = white * (1 + 0.04 * skin.blotch[:, :1])
        spokes = 1 + 0.35 * np.sin(18 * np.arctan2(y + 0.011, away - 0.511) + 3 * skin.blotch[:, 1])
        iris = self.iris * spokes[:, None] * (1 - 0.65 * ramp(radius, 0.072, IRIS_RADIUS))[:, None]
        eyeball = _lay(white, iris, ramp(radius, IRIS_RADIUS + 0.006, IRIS_RADIUS - 0.006))
        eyeball = _lay(eyeball, np.full(3, 0.004), ramp(radius, self.pupil + 0.006, self.pupil - 0.006))
        return np.where(skin.eye[:, None], eyeball, colour)

    def _mouth_and_shirt(self, colour: Floats, skin: _Skin) -> Floats:
        colour = _lay(colour, np.array([0.10, 0.025, 0.025]), ramp(skin.regions["mouth_cavity"], 0.5, 0.9))
        tongue = np.array([0.3, 0.1, 0.1]) * (1 + 0.1 * skin.pores[:, :1])
        colour = np.where((skin.regions["tongue"] > 0.5)[:, None], tongue, colour)
        stripes = 1 + self.shirt_pattern * np.sign(np.sin(9 * skin.y + 4 * np.sin(3 * skin.x)))
        return _lay(colour, self.shirt * stripes[:, None], skin.cloth)

    def face_cover(self, points: Floats, regions: dict[str, Floats]) -> NDArray[np.bool_]:
        """Which canonical points (P, 3) are face: skin, lips and eyes from hair line to jaw; no ears, hair or neck."""
        _, y, z = points.T
        # The jaw line runs from the chin back and up to the ear.
        jaw = -1.92 + 0.9 * np.clip(-0.35 - z, 0, 2.0)
        inside = (z > -1.32) & (y > jaw) & (regions["ears"] < 0.35) & (regions["body"] < 0.5)
        return inside & (self.hair_cover(points, regions["ears"]) < 0.5)
