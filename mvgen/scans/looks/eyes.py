"""Eyes of one person: lashes, sclera, iris, pupil and the reflection of a lamp."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvgen.scans.looks.paint import Places, blend, ramp, to_linear

Floats = NDArray[np.floating]

_IRIS = np.array([(62, 38, 22), (98, 64, 36), (92, 104, 70), (92, 124, 150), (70, 92, 118), (110, 118, 120)]) / 255
IRIS_RADIUS = 0.098
# Middle of the front of an eyeball on the canonical head.
_MIDDLE_X, _MIDDLE_Y = 0.511, -0.011


@dataclass(frozen=True)
class Eyes:
    """iris : (3,) linear RGB; pupil : radius; gaze : shift of the iris (x, y); lashes, vein : amounts in [0, 1]
    glint : (x, y, strength) of the lamp's reflection, x and y from the middle of the iris
    """

    iris: Floats
    iris_radius: float
    pupil: float
    gaze: tuple[float, float]
    white: float
    veins: float
    lashes: float
    glint: tuple[float, float, float]

    @classmethod
    def draw(cls, generator: np.random.Generator, *, made_up: bool) -> Eyes:
        """Draw eyes; every number comes from `generator`."""
        glint = generator.uniform(0.2, 0.8) if generator.random() < 0.4 else 0.0
        return cls(
            iris=to_linear(_IRIS[generator.choice(len(_IRIS), p=[0.42, 0.24, 0.1, 0.1, 0.08, 0.06])]
                           * generator.uniform(0.7, 1.2)),
            iris_radius=IRIS_RADIUS * generator.uniform(0.93, 1.1), pupil=generator.uniform(0.025, 0.06),
            gaze=(generator.normal(0, 0.02), generator.normal(0, 0.012)),
            white=generator.uniform(0.4, 0.72), veins=generator.uniform(0, 0.25),
            lashes=generator.uniform(0.7, 1.0) if made_up else generator.uniform(0.3, 0.85),
            glint=(generator.uniform(-0.05, 0.05), generator.uniform(0.0, 0.06), glint),
        )  # fmt: skip

    def colour(self, colour: Floats, places: Places, hair: Floats) -> Floats:
        """Eyes over the skin (P, 3): lashes where lid meets eyeball, then sclera, iris with a dark rim, pupil."""
        y, across = places.y, places.away - _MIDDLE_X
        lashes = ramp(places.regions["eye_cavity"], 0.08, 0.4) * (y > -0.3)
        colour = blend(colour, hair * 0.35, lashes * self.lashes)
        # The gaze turns both irises to the same side.
        right = across * np.sign(places.x) - self.gaze[0]
        up = y - _MIDDLE_Y - self.gaze[1]
        radius = np.hypot(right, up)
        white = self.white * np.array([1.0, 0.95, 0.9]) * (1 - 0.4 * ramp(radius, 0.1, 0.26))[:, None]
        white = white * (1 - 0.3 * ramp(up, 0.06, 0.15))[:, None] * (1 + 0.04 * places.blotch[:, :1])
        white = white * (1 - self.veins * ramp(np.abs(across), 0.08, 0.2)[:, None] * np.array([0.0, 0.6, 0.6]))
        spokes = 1 + 0.35 * np.sin(18 * np.arctan2(up, right) + 3 * places.blotch[:, 1])
        rim = 1 - 0.65 * ramp(radius, 0.73 * self.iris_radius, self.iris_radius)
        edge = self.iris_radius + np.array([0.006, -0.006])
        eyeball = blend(white, self.iris * (spokes * rim)[:, None], ramp(radius, edge[0], edge[1]))
        eyeball = blend(eyeball, np.full(3, 0.004), ramp(radius, self.pupil + 0.006, self.pupil - 0.006))
        x, high, strength = self.glint
        eyeball = blend(eyeball, np.full(3, 1.0), strength * ramp(np.hypot(right - x, up - high), 0.04, 0.01))
        return np.where(places.eye[:, None], eyeball, colour)
