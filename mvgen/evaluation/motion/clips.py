"""The clips of the motion benchmark with their ground truth, cached in files: rendering is slower than a build."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, fields
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mvgen.core.records import Image, Mask
from mvgen.evaluation.motion.heads import EYES, SIDE, Performers
from mvgen.evaluation.motion.performance import EXPRESSIONS, HEADS, Timing, curves, head_path
from mvgen.scans.imaging.sensor import through_jpeg
from mvgen.scans.looks.paint import to_linear, to_srgb

Floats = NDArray[np.floating]

_VERSION = 2  # of cached clips; those of another version are made again
_FLICKER_HERTZ = (8.0, 14.0)  # residual lamp flicker in the frames of a fast camera


@dataclass(frozen=True, slots=True)
class Condition:
    """How a clip is filmed.

    head : a key of `performance.HEADS`; noise : sigma of the sensor, of 255; flicker : relative amplitude of the light
    jpeg : quality, None for none; size : side of the crop that is built, pixels; frames shrink with it
    """

    head: str = "drifting"
    noise: float = 1.5
    flicker: float = 0.0
    jpeg: int | None = None
    size: int = 256


# All but "still" and "turning" change one thing of "drifting".
CONDITIONS: dict[str, Condition] = {
    "still": Condition("still"),
    "drifting": Condition(),
    "turning": Condition("turning"),
    "flicker": Condition(flicker=0.02),
    "noise 4": Condition(noise=4.0),
    "jpeg 90": Condition(jpeg=90),
    "128 px": Condition(size=128),
}


@dataclass(frozen=True, slots=True)
class Take:
    """A clip without noise, with its ground truth. u, v in pixels of its frames, `SIDE` wide.

    clean : (T, H, W, 3) uint16, sRGB, 65535 is white
    head : (T, 6), see `performance`; eyes : (2,) pixel of the middle of the eyes in the onset frame
    depth : (H, W) float32, world units from the eyes, at the onset frame's pixels; NaN where no head is
    face : (H, W) bool, pixels of the onset frame that show face
    motion : (G, H, W, 3) float32, offsets of each group at full strength: du, dv pixels, and depth
    strength : (T, G), of the groups; zero in the onset frame
    onset, apex, fps : of the clip; reached : largest motion at the apex, pixels
    """

    clean: NDArray[np.uint16]
    head: Floats
    eyes: Floats
    depth: NDArray[np.float32]
    face: Mask
    motion: NDArray[np.float32]
    strength: Floats
    onset: int
    apex: int
    fps: float
    reached: float

    def true_motion(self, frame: int) -> NDArray[np.float32]:
        """(H, W, 3), du, dv and depth from the onset frame to another, without head motion; NaN where no head is."""
        total = np.where(np.isfinite(self.depth), 0.0, np.nan)[..., None].repeat(3, axis=-1)
        for share, own in zip(self.strength[frame], self.motion, strict=True):
            total = total + share * own
        return total.astype(np.float32)

    def save(self, path: Path) -> None:
        """Write an npz atomically."""
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part.npz")
        np.savez(part, version=_VERSION, **{each.name: getattr(self, each.name) for each in fields(self)})
        part.replace(path)

    @classmethod
    def load(cls, path: Path) -> Take | None:
        """Read an npz of `save`; None where there is none, or one of another version."""
        if not path.is_file():
            return None
        with np.load(path) as kept:
            if int(kept["version"]) != _VERSION:
                return None
            values = {each.name: kept[each.name] for each in fields(cls)}
        for name, kind in (("onset", int), ("apex", int), ("fps", float), ("reached", float)):
            values[name] = kind(values[name])
        return cls(**values)


@dataclass(frozen=True, slots=True)
class ClipSpec:
    """Everything that determines a clip.

    family, split : see `Performers`; person : from 0; expression : a key of EXPRESSIONS; head : a key of HEADS
    pixels : largest motion, of a crop of 256; frames, fps : of the clip
    """

    family: str
    split: str
    person: int
    expression: str
    head: str
    pixels: float = 2.5
    frames: int = 24
    fps: float = 60.0

    def path(self, cache: Path) -> Path:
        """The file of the clip in a cache."""
        name = f"{self.person}_{self.expression.replace(', ', '-').replace(' ', '-')}_{self.head}"
        setting = f"{self.split}-{self.pixels:g}px-{self.frames}x{self.fps:g}fps"
        return cache / self.family / setting / f"{name}.npz"


def make(spec: ClipSpec, performers: Performers) -> Take:
    """Film a clip. All expressions of a person have the same timing and head motion, so that only they differ."""
    generator = np.random.default_rng([hash_of(spec.family, spec.split), spec.person])
    timing = Timing.draw(generator, spec.frames, spec.fps)
    path = head_path(generator, timing, *HEADS[spec.head], EYES)
    groups = EXPRESSIONS[spec.expression]
    strength = curves(timing, len(groups))
    performer = performers.head(spec.person, groups, spec.pixels)
    seen = performer.surface()
    clean = np.stack([performer.frame(each, row) for each, row in zip(strength, path, strict=True)])
    return Take(
        clean=np.asarray(np.rint(clean * 65535), np.uint16), head=path, eyes=performer.eyes, depth=seen.depth,
        face=seen.face, motion=seen.motion, strength=strength, onset=timing.onset, apex=timing.apex, fps=spec.fps,
        reached=performer.reached,
    )  # fmt: skip


def load_or_film(spec: ClipSpec, cast: dict[tuple[str, str], Performers], cache: Path | None, sources: Sources) -> Take:
    """A clip, from the cache if it is there; cast : performers of this process, to which missing ones are added."""
    kept = None if cache is None else Take.load(spec.path(cache))
    if kept is not None:
        return kept
    key = spec.family, spec.split
    if key not in cast:
        cast[key] = Performers(*key, sources.ict, sources.portraits)
    made = make(spec, cast[key])
    if cache is not None:
        made.save(spec.path(cache))
    return made


@dataclass(frozen=True, slots=True)
class Sources:
    """Data for faces: a clone of ICT-FaceKit, a folder of portraits; None where there is none."""

    ict: Path | None = None
    portraits: Path | None = None


def developed(take: Take, condition: Condition, seed: int) -> Image:
    """The frames (T, H, W, 3) uint8 as a camera records them; their side is `SIDE` at 256, less for smaller crops."""
    generator = np.random.default_rng(seed)
    side = SIDE * condition.size // 256
    phase, hertz = generator.uniform(0, 2 * np.pi), generator.uniform(*_FLICKER_HERTZ)
    frames = []
    for number, clean in enumerate(take.clean):
        signal: Floats = clean.astype(np.float32) / 65535
        if side != SIDE:
            signal = np.asarray(cv2.resize(signal, (side, side), interpolation=cv2.INTER_AREA), np.float32)
        if condition.flicker:
            gain = 1 + condition.flicker * np.sin(phase + 2 * np.pi * hertz * number / take.fps)
            signal = to_srgb(to_linear(signal) * gain)
        noisy = 255 * signal + generator.normal(0, condition.noise, signal.shape)
        frame = np.asarray(np.rint(noisy).clip(0, 255), np.uint8)
        frames.append(frame if condition.jpeg is None else through_jpeg(frame, condition.jpeg))
    return np.stack(frames)


def hash_of(*words: str) -> int:
    """A seed from words, the same in every process."""
    return zlib.crc32("/".join(words).encode())
