"""Builds of stand-ins with the real way of a clip: a photograph whose mouth moves, on a head of known shape."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from factories import astronaut, known_tools
from fake_build import FakeStages

from mvgen.core.camera import pixel_grid
from mvgen.core.config import BuildConfig
from mvgen.core.records import BuiltClip, Clip, Image
from mvgen.core.settings import by_part
from mvgen.core.stopwatch import Stopwatch
from mvgen.pipeline.clip import build_clip
from mvgen.sources import get_source
from mvgen.sources.base import Listing

SIZE = 96
ANGLES = "-40,-15,15,40"


@dataclass(frozen=True)
class PhotographStages(FakeStages):
    """`build.Stages` with a real source and the real pipeline, without networks. depth : digest of their weights"""

    depth: str = "0" * 64

    def read(self, config: BuildConfig) -> Listing:
        source = config.source
        return get_source(source.dataset).read(source.root, annotations=source.annotations, variant=source.variant)

    def weights(self, config: BuildConfig) -> dict[str, str]:
        return {"depth": self.depth}

    def fit_attention(self, observed: Sequence[str], config: BuildConfig) -> bytes:
        return b"an attention head for " + super().fit_attention(observed, config)

    def builder(self, config: BuildConfig, attention: Path) -> Callable[[Clip, Stopwatch], BuiltClip]:
        tools = known_tools()

        def build_one(clip: Clip, clock: Stopwatch) -> BuiltClip:
            apex = clip.position(clip.apex, len(clip.frames) // 2)
            return build_clip(clip, smiling(len(clip.frames), apex, zlib.crc32(clip.id.encode())), config, tools, clock)

        return build_one


def smiling(frames: int, apex: int, seed: int) -> Image:
    """(T, 512, 512, 3), the photograph with fresh noise; its mouth goes up to 5 pixels to the side until the apex."""
    import cv2

    photograph, grid = astronaut(), pixel_grid(512, 512)
    near = np.exp(-((grid - (224, 141)) ** 2).sum(axis=-1) / (2 * 14**2))
    rng = np.random.default_rng(seed)
    clip = np.empty((frames, *photograph.shape), np.uint8)
    for index in range(frames):
        away = 5 * max(0.0, 1 - abs(index - apex) / max(apex, 1))
        at = grid - 0.5 - away * near[..., None] * (1, 0.4)
        moved = cv2.remap(photograph, *np.moveaxis(at.astype(np.float32), -1, 0), cv2.INTER_CUBIC)
        clip[index] = np.clip(moved + rng.normal(0, 1, moved.shape), 0, 255).round()
    return clip


def photograph_config(root: Path, out: Path, **settings: Any) -> BuildConfig:
    """Settings of a small build of a CAS(ME)² stand-in, in this process."""
    free = {"attempts": 1, "clip_timeout": 0}
    values = {"dataset": "casme2", "root": root, "out": out, "angles": ANGLES, "size": SIZE, **free, **settings}
    return BuildConfig.model_validate(by_part(values))
