"""The appearance of one person: skin, eyes, hair and clothes, painted as functions of the canonical position.

It is drawn once per person and fixed to the skin, so that it moves with the face. Lengths are in inter-ocular
distances of the canonical head: eyes at (+-0.5, 0), x right, y up, z toward the camera.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvgen.scans.head import HeadModel
from mvgen.scans.looks.eyes import Eyes
from mvgen.scans.looks.garments import Garment, join
from mvgen.scans.looks.glasses import Glasses
from mvgen.scans.looks.hair import Hair
from mvgen.scans.looks.headwear import Headwear, locks
from mvgen.scans.looks.paint import Places, blend, ramp, to_linear
from mvgen.scans.looks.skin import Skin

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Look:
    """The appearance of one person.

    shirt : (3,) linear RGB; teeth : brightness of the band of teeth in an open mouth; seed : of all noise patterns
    """

    skin: Skin
    eyes: Eyes
    hair: Hair
    headwear: Headwear
    glasses: Glasses | None
    shirt: Floats
    shirt_pattern: float
    teeth: float
    seed: int

    @classmethod
    def draw(cls, generator: np.random.Generator, *, plain: bool = False) -> Look:
        """Draw a look; every number comes from `generator`. `plain` : no hats, no glasses, no hair over the face."""
        made_up = bool(generator.random() < 0.35)
        skin, eyes = Skin.draw(generator, made_up=made_up), Eyes.draw(generator, made_up=made_up)
        hair = Hair.draw(generator, made_up=made_up, plain=plain)
        headwear, glasses = Headwear.draw(generator), Glasses.draw(generator)
        bespectacled = generator.random() < 0.15
        if plain:
            headwear = NO_HEADWEAR
        return cls(
            skin=skin, eyes=eyes, hair=hair, headwear=headwear,
            glasses=glasses if bespectacled and not plain else None,
            shirt=to_linear(generator.uniform(0.05, 0.95, 3)), shirt_pattern=generator.uniform(0, 0.5),
            teeth=generator.uniform(0.3, 0.65), seed=int(generator.integers(2**31)),
        )  # fmt: skip

    def hair_cover(self, points: Floats, ears: Floats) -> Floats:
        """How far hair or cloth covers canonical points (P, 3): 0 skin, 1 covered."""
        return np.maximum(self.hair.cover(points, ears), self.headwear.cover(points))

    def offset(self, places: Places, normals: Floats) -> NDArray[np.float32]:
        """Offset of hair, beard and cloth along the unit `normals` (P, 3), covered ears tucked in: (P, 3) float32."""
        lift = self.headwear.lift(places)
        # Cloth presses the hair down.
        hair = self.hair.lift(places) * (1 - 0.8 * self.headwear.cover(places.points))
        moved = np.asarray((hair + lift)[:, None] * normals, dtype=np.float32)
        if self.hair.falls or self.headwear.hides_ears:
            inward = np.clip(places.away - 1.14, 0, None) * ramp(places.regions["ears"], 0.05, 0.4)
            moved[:, 0] -= (np.sign(places.x) * inward).astype(np.float32)
        return moved

    def relief(self, places: Places) -> NDArray[np.float32]:
        """What pores and wrinkles add to the normals of the bare face: (P, 3) float32."""
        bare = 1 - np.maximum(self.hair_cover(places.points, places.regions["ears"]), ramp(places.y, -2.6, -2.8))
        return (self.skin.turn_normals(places) * bare[:, None]).astype(np.float32)

    def places(self, points: Floats, regions: dict[str, Floats]) -> Places:
        """The places at canonical points (P, 3) with weights (P,) of `HeadModel.regions`, for this look's paint."""
        return Places.at(points, regions, self.seed)

    def paint(self, places: Places) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Colour of places: albedo (P, 3) float32 linear RGB, and shine (P,) float32, strength of the highlight."""
        regions = places.regions
        cover = self.hair.cover(places.points, regions["ears"])
        cloth = ramp(places.y + 0.25 * np.exp(-((places.x / 0.9) ** 2)), -2.75, -2.85)
        colour = self.hair.paint_face(self.skin.colour(places), places)
        colour = self.hair.paint_head(colour, places, cover)
        colour = self.eyes.colour(colour, places, self.hair.brow)
        colour = self._mouth(colour, places)
        stripes = 1 + self.shirt_pattern * np.sign(np.sin(9 * places.y + 4 * np.sin(3 * places.x)))
        colour = blend(colour, self.shirt * stripes[:, None], cloth)
        colour = self.headwear.paint(colour, places)

        dull = np.maximum.reduce(
            [0.8 * cover, self.headwear.cover(places.points), cloth, self.hair.growth(places),
             ramp(regions["mouth_cavity"], 0.5, 0.9)]
        )  # fmt: skip
        # Forehead, nose and cheekbones shine most.
        oily = 0.7 + 0.6 * np.exp(-((places.x / 0.35) ** 2)) * (places.y > -0.9) + 0.5 * places.blotch[:, 0]
        shine = self.skin.shine * oily * (1 - dull) * (1 + 0.8 * places.lips)
        shine = np.where(places.eye, 1.2, shine)
        return np.clip(colour, 0.001, 1).astype(np.float32), np.clip(shine, 0, 2).astype(np.float32)

    def _mouth(self, colour: Floats, places: Places) -> Floats:
        """The inside of the mouth: dark, with a band of teeth behind the lips and a tongue."""
        regions = places.regions
        colour = blend(colour, np.array([0.10, 0.025, 0.025]), ramp(regions["mouth_cavity"], 0.5, 0.9))
        if "teeth" in regions:
            teeth = ramp(regions["teeth"], 0.3, 0.7)
        else:
            # Behind the upper lip, where a model has gums without teeth.
            teeth = ramp(regions["mouth_cavity"], 0.5, 0.9) * ramp(places.z, -0.25, -0.1) * ramp(places.y, -1.19, -1.15)
            teeth = teeth * ramp(places.y, -0.98, -1.02)
        gaps = 0.8 + 0.2 * np.abs(np.sin(28 * places.x))
        colour = blend(colour, self.teeth * np.array([1.0, 0.94, 0.82]) * gaps[:, None], teeth)
        tongue = np.array([0.3, 0.1, 0.1]) * (1 + 0.1 * places.pores[:, :1])
        return np.where((regions["tongue"] > 0.5)[:, None], tongue, colour)

    def face_cover(self, points: Floats, regions: dict[str, Floats]) -> NDArray[np.bool_]:
        """Which canonical points (P, 3) are face: skin, lips and eyes from hair line to jaw; no ears, hair or neck."""
        inside = above_jaw(points) & (regions["ears"] < 0.35) & (regions["body"] < 0.5)
        return inside & (self.hair_cover(points, regions["ears"]) < 0.5)

    def worn(self, heads: HeadModel, vertices: Floats) -> Garment | None:
        """Loose hair, peak or brim in front of a head (N, 3) that is neither turned nor shifted; None without any."""
        loose = locks(self.hair, heads, vertices, self.seed) if self.headwear.kind != "scarf" else None
        return join([part for part in (loose, self.headwear.brim_of(heads, vertices)) if part is not None])


def above_jaw(points: Floats) -> NDArray[np.bool_]:
    """Which canonical points (P, 3) are in front of the ears and above the jaw line, which goes from chin to ear."""
    _, y, z = points.T
    return (z > -1.32) & (y > -1.92 + 0.9 * np.clip(-0.35 - z, 0, 2.0))


NO_HEADWEAR = Headwear(
    kind="none", edge=1.0, tilt=0.0, depth=0.0, brim=0.0, brim_drop=0.0, colour=np.zeros(3), second=np.zeros(3),
    pattern=0.0, pitch=1.0,
)  # fmt: skip
