"""The synthetic performance of a planned clip: facial actions over time, a blink at times, and slow head motion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import EYE_DISTANCE
from mvgen.morphable.action_units import facial_action_weights
from mvgen.scans.head import HeadModel, Identity
from mvgen.scans.imaging.rotation import rotation
from mvgen.synth.plan import ClipPlan

Floats = NDArray[np.floating]

# Largest motion of the face from onset to apex, pixels of a 256-pixel crop: micro-expressions are this small.
MICRO_PIXELS = (0.8, 2.8)
MACRO_PIXELS = (2.0, 3.0)
_CROP = 256
# Yaw, pitch, roll in degrees, and shifts in inter-ocular distances, of a head that drifts by a degree within a clip.
_SWING = (1.0, 1.0, 0.7, 0.016, 0.016)
_BLINK_SHARE, _BLINK_SECONDS = 0.25, 0.2


@dataclass(frozen=True, slots=True)
class Performance:
    """Expression and pose of a head in each frame.

    weights : (T, 52) facial actions; turns : (T, 3, 3) head rotation; shifts : (T, 3) head shift, world units
    apex_pixels : largest motion of the face from onset to apex without head motion, pixels of a 256-pixel crop
    """

    weights: Floats
    turns: Floats
    shifts: Floats
    apex_pixels: float


def expression_curve(frames: int, onset: int, apex: int, offset: int) -> Floats:
    """Intensity (T,) in [0, 1]: zero up to onset, smoothly to one at apex, smoothly back to zero at offset."""
    time = np.arange(frames, dtype=np.float64)
    rise = np.clip((time - onset) / max(apex - onset, 1), 0, 1)
    fall = np.clip((offset - time) / max(offset - apex, 1), 0, 1)
    part = np.where(time <= apex, rise, fall)
    return part * part * (3 - 2 * part)


def perform(plan: ClipPlan, model: HeadModel, identity: Identity, drift: float | None = None) -> Performance:
    """The performance of a clip; everything random comes from the seed of the plan.

    drift : most degrees of yaw and pitch of each of two swings, half a one and a whole one, in the clip, however short
        it is; None lets the head drift as slowly as at rest, which is less the shorter the clip
    """
    generator = np.random.default_rng([plan.seed, 1])
    frames = len(plan.numbers)
    full = facial_action_weights(plan.action_units, model.action_names)
    wanted = generator.uniform(*(MACRO_PIXELS if plan.macro else MICRO_PIXELS))
    moved = model.express(identity, full) - identity.vertices
    # Only skin that is seen from the front counts, not the inside of the mouth or the back of the eyelids.
    seen = (model.regions["face"] > 0.5) & (model.regions["mouth_cavity"] < 0.5) & (model.regions["eye_cavity"] < 0.5)
    largest = float(np.hypot(moved[seen, 0], moved[seen, 1]).max()) * EYE_DISTANCE * _CROP
    strength = min(1.0, wanted / largest)
    curve = expression_curve(frames, plan.onset, plan.apex, plan.offset)
    weights: Floats = curve[:, None] * (full * strength)
    if generator.random() < _BLINK_SHARE:
        weights = _with_blink(weights, plan, model, generator)

    rest = generator.normal(0, (2.5, 2.5, 1.5))
    if drift is None:
        turned = _drift(generator, frames, plan.fps) * 0.25
        shifts = _drift(generator, frames, plan.fps) * np.array([0.004, 0.004, 0.004])
    else:
        path = _swings(generator, frames) * drift
        turned, shifts = path[:, :3], np.column_stack([path[:, 3:], np.zeros(frames)])
    angles = rest + turned
    turns = np.stack([rotation(*angle) for angle in angles])
    return Performance(weights, turns, shifts, apex_pixels=largest * strength)


def _with_blink(weights: Floats, plan: ClipPlan, model: HeadModel, generator: np.random.Generator) -> Floats:
    """A blink somewhere in the clip: lids down and up again in a fifth of a second."""
    middle = generator.uniform(0, len(weights))
    half = max(_BLINK_SECONDS * plan.fps / 2, 1.0)
    closed = np.clip(1 - np.abs(np.arange(len(weights)) - middle) / half, 0, 1)
    weights = weights.copy()
    for name in ("eyeBlinkLeft", "eyeBlinkRight"):
        index = model.action_names.index(name)
        weights[:, index] = np.maximum(weights[:, index], closed)
    return weights


def _drift(generator: np.random.Generator, frames: int, fps: float) -> Floats:
    """(T, 3) slow drift of unit size: three slow waves per axis, zero in the first frame."""
    seconds = np.arange(frames)[:, None, None] / fps
    rate = generator.uniform(0.15, 1.2, (3, 3))
    phase = generator.uniform(0, 2 * np.pi, (3, 3))
    wave = np.sin(2 * np.pi * rate * seconds + phase).sum(axis=1) / np.sqrt(3)
    return wave - wave[:1]


def _swings(generator: np.random.Generator, frames: int) -> Floats:
    """(T, 5) drift over the clip, zero in the first frame: half a swing and a whole one of each.

    Yaw, pitch and roll in degrees, right and up in world units, for a drift of a degree.
    """
    time = np.arange(frames) / frames
    waves = np.column_stack([np.sin(np.pi * time / 2), np.sin(np.pi * time)])
    return waves @ (generator.uniform(-1, 1, (2, 5)) * _SWING)
