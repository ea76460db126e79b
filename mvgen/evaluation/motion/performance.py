"""Performances of the motion benchmark: expressions, their timing, and head motion. No pixels here.

Convention: a head's motion is one row (yaw, pitch, roll, dx, dy, scale) about the eyes of the onset frame: degrees as
in `mvgen.scans.imaging.rotation`, shifts of the eyes in pixels of the frames, v down. A point X of the onset frame's
head, world units from its eyes, moves to scale * R X + shift. The row of the onset frame is (0, 0, 0, 0, 0, 1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvgen.scans.imaging.rotation import rotation

Floats = NDArray[np.floating]

# Name -> groups of FACS action units; a later group comes a little later, as parts of real expressions do.
EXPRESSIONS: dict[str, tuple[tuple[str, ...], ...]] = {
    "smile": (("12",),),
    "dimple L": (("L14",),),
    "brow raise": (("1", "2"),),
    "brow lower": (("4",),),
    "lip corner down": (("15",),),
    "nose wrinkle": (("9",),),
    "jaw": (("26",),),
    "blink": (("45",),),
    "jaw and brows": (("1", "2"), ("26",)),
    "mouth, cheeks, brows": (("12",), ("6",), ("1", "2")),
    "still": (),
}
STILL = "still"
_LAG = 0.2  # delay of each group after the one before, as a share of the rise

# Head motion -> largest turn (degrees) and shift (pixels of a 256-pixel crop) over a clip.
HEADS: dict[str, tuple[float, float]] = {"still": (0.0, 0.0), "drifting": (0.7, 1.0), "turning": (3.0, 4.0)}
# The joint between skull and neck, inter-ocular distances from the eyes.
NECK = np.array([0.0, -1.2, -1.2])
_NEARER = 0.1  # share of a shift along the optical axis, where it changes the scale


@dataclass(frozen=True, slots=True)
class Timing:
    """Timing of an expression. onset, apex, offset : frames; frames : of the clip; fps : frames per second"""

    frames: int
    onset: int
    apex: int
    offset: int
    fps: float

    @classmethod
    def draw(cls, generator: np.random.Generator, frames: int, fps: float) -> Timing:
        """An expression that starts after the first frame and ends before the last."""
        onset = round(frames * generator.uniform(0.12, 0.22))
        apex = onset + max(2, round(frames * generator.uniform(0.27, 0.38)))
        offset = min(frames - 2, apex + max(2, round(frames * generator.uniform(0.3, 0.4))))
        return cls(frames, onset, apex, offset, fps)


def curves(timing: Timing, groups: int) -> Floats:
    """(T, G), strength of each group of an expression: zero up to the onset, one at the apex, zero at the end.

    Later groups start and end later, and are at one at the apex too.
    """
    time = np.arange(timing.frames, dtype=np.float64)
    columns = []
    for number in range(groups):
        lag = _LAG * number * (timing.apex - timing.onset)
        rise = np.clip((time - timing.onset - lag) / (timing.apex - timing.onset - lag), 0, 1)
        end = min(timing.offset + lag, timing.frames - 1)
        fall = np.clip((end - time) / (end - timing.apex), 0, 1)
        part = np.where(time <= timing.apex, rise, fall)
        columns.append(part * part * (3 - 2 * part))
    return np.stack(columns, axis=1) if columns else np.zeros((timing.frames, 0))


def head_path(generator: np.random.Generator, timing: Timing, turn: float, shift: float, eye_pixels: float) -> Floats:
    """(T, 6), head motion; see above.

    turn, shift : largest turn of the head and shift of the neck from the onset frame: degrees and
        pixels of a 256-pixel crop; eye_pixels : inter-ocular distance in the frames, pixels
    """
    unit = eye_pixels / 80.0  # frames' pixels in a pixel of a 256-pixel crop
    turns = _wander(generator, timing, 3) * [1.0, 0.9, 0.5]
    shifts = _wander(generator, timing, 3)
    turns *= turn / max(float(np.linalg.norm(turns, axis=1).max()), 1e-9)
    shifts *= shift * unit / max(float(np.linalg.norm(shifts[:, :2], axis=1).max()), 1e-9)
    scales = 1 + _NEARER * shifts[:, 2] / eye_pixels
    moved = []
    for (yaw, pitch, roll), (right, down, _), scale in zip(turns, shifts, scales, strict=True):
        eyes = NECK - scale * rotation(yaw, pitch, roll) @ NECK
        moved.append((yaw, pitch, roll, right + eyes[0] * eye_pixels, down - eyes[1] * eye_pixels, scale))
    return np.array(moved)


def pose(row: Floats, eye_pixels: float) -> tuple[Floats, Floats]:
    """A row of a path as (3, 3) scale times rotation, and (3,) shift, world units, for points relative to the eyes."""
    turn = row[5] * rotation(*row[:3])
    return turn, np.array([row[3], -row[4], 0.0]) / eye_pixels


def pixel_motion(row: Floats, eye_pixels: float) -> Floats:
    """(2, 4) matrix of a row of a path: pixel (u, v) and depth (world units) of the onset frame -> pixel of the frame.

    u, v are relative to the eyes of the onset frame; the last column is the shift: M @ (u, v, depth, 1).
    """
    turn, _ = pose(row, eye_pixels)
    flip = np.array([1.0, -1.0])
    plane = flip[:, None] * turn[:2, :2] * flip
    return np.column_stack([plane, flip * turn[:2, 2] * eye_pixels, row[3:5]])


def _wander(generator: np.random.Generator, timing: Timing, count: int) -> Floats:
    """(T, count) smooth paths, zero in the onset frame: a constant velocity and two slow waves each."""
    seconds = (np.arange(timing.frames) - timing.onset) / timing.fps
    length = timing.frames / timing.fps
    rate = generator.uniform([0.3, 0.7], [0.7, 1.3], (count, 2)) / length
    phase = generator.uniform(0, 2 * np.pi, (count, 2))
    height = generator.normal(0, [0.6, 0.25], (count, 2))
    waves = (height * np.sin(2 * np.pi * rate * seconds[:, None, None] + phase)).sum(axis=-1)
    paths = seconds[:, None] / length * generator.normal(0, 1, count) + waves
    return np.asarray(paths - paths[timing.onset])
