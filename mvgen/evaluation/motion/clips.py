"""The clips of the motion benchmark and what is true of them; kept as files, as pictures take longer than a build."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, fields
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mvgen.core.records import Image, Mask
from mvgen.evaluation.motion.acts import ACTS, HEADS, Timing, curves, head_path
from mvgen.evaluation.motion.heads import EYES, SIDE, Casting
from mvgen.scans.imaging.sensor import through_jpeg
from mvgen.scans.looks.paint import to_linear, to_srgb

Floats = NDArray[np.floating]

_VERSION = 2  # of what is kept; kept clips of another are made anew
_FLICKER_HERTZ = (8.0, 14.0)  # what is left of a lamp's flicker in the frames of a fast camera


@dataclass(frozen=True, slots=True)
class Condition:
    """How a clip is filmed.

    head : see `acts.HEADS`; noise : sigma of the sensor, of 255; flicker : share by which light goes up and down
    jpeg : quality, None for none; size : side of the crop that is built, pixels; frames shrink with it
    """

    head: str = "drifting"
    noise: float = 1.5
    flicker: float = 0.0
    jpeg: int | None = None
    size: int = 256


# All but the heads' vary one thing of "drifting".
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
    """A clip without noise, and what is true of it. u, v in pixels of its own frames, `SIDE` wide.

    clean : (T, H, W, 3) uint16, sRGB, 65535 is white
    head : (T, 6), see `acts`; eyes : (2,) pixel of the middle of the eyes in the onset frame
    depth : (H, W) float32, world units from the eyes, at the onset frame's pixels; NaN where no head is
    face : (H, W) bool, pixels of the onset frame that show face
    motion : (G, H, W, 3) float32, what each group of the act adds at full strength: du, dv pixels, and depth
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
        """(H, W, 3), du, dv and depth from the onset frame to another, the head held; NaN where no head is."""
        total = np.where(np.isfinite(self.depth), 0.0, np.nan)[..., None].repeat(3, axis=-1)
        for share, own in zip(self.strength[frame], self.motion, strict=True):
            total = total + share * own
        return total.astype(np.float32)

    def save(self, path: Path) -> None:
        """Write an npz, whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part.npz")
        np.savez(part, version=_VERSION, **{each.name: getattr(self, each.name) for each in fields(self)})
        part.replace(path)

    @classmethod
    def load(cls, path: Path) -> Take | None:
        """Read what `save` wrote; None where there is none, or one of another version."""
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
class Order:
    """Which clip is wanted.

    family, split : see `Casting`; person : from 0; act : of ACTS; head : of HEADS
    pixels : largest motion, of a crop of 256; frames, fps : of the clip
    """

    family: str
    split: str
    person: int
    act: str
    head: str
    pixels: float = 2.5
    frames: int = 24
    fps: float = 60.0

    def path(self, cache: Path) -> Path:
        """Where the clip is kept."""
        name = f"{self.person}_{self.act.replace(', ', '-').replace(' ', '-')}_{self.head}"
        setting = f"{self.split}-{self.pixels:g}px-{self.frames}x{self.fps:g}fps"
        return cache / self.family / setting / f"{name}.npz"


def make(order: Order, casting: Casting) -> Take:
    """Film a clip. A person's acts share one timing and one path of the head, so that they differ in the act alone."""
    generator = np.random.default_rng([hash_of(order.family, order.split), order.person])
    timing = Timing.draw(generator, order.frames, order.fps)
    path = head_path(generator, timing, *HEADS[order.head], EYES)
    groups = ACTS[order.act]
    strength = curves(timing, len(groups))
    acting = casting.head(order.person, groups, order.pixels)
    seen = acting.surface()
    clean = np.stack([acting.frame(each, row) for each, row in zip(strength, path, strict=True)])
    return Take(
        clean=np.asarray(np.rint(clean * 65535), np.uint16), head=path, eyes=acting.eyes, depth=seen.depth,
        face=seen.face, motion=seen.motion, strength=strength, onset=timing.onset, apex=timing.apex, fps=order.fps,
        reached=acting.reached,
    )  # fmt: skip


def take_of(order: Order, castings: dict[tuple[str, str], Casting], cache: Path | None, sources: Sources) -> Take:
    """The clip that is wanted, from the cache where it is there; castings : of this process, filled as needed."""
    kept = None if cache is None else Take.load(order.path(cache))
    if kept is not None:
        return kept
    key = order.family, order.split
    if key not in castings:
        castings[key] = Casting(*key, sources.ict, sources.portraits)
    made = make(order, castings[key])
    if cache is not None:
        made.save(order.path(cache))
    return made


@dataclass(frozen=True, slots=True)
class Sources:
    """Where faces come from: a clone of ICT-FaceKit, a folder of portraits; None where there is none."""

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
    """A seed for words, the same in every process."""
    return zlib.crc32("/".join(words).encode())
