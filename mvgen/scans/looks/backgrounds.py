"""Backgrounds behind a head: walls, rooms and photographs."""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mvgen.scans.looks.paint import to_linear

Floats = NDArray[np.floating]

# Photographs inside the package of scikit-image, so nothing is downloaded. None with faces: those are for testing.
PHOTOGRAPHS = (
    "brick.png", "camera.png", "chelsea.png", "coffee.png", "coins.png", "grass.png", "gravel.png",
    "hubble_deep_field.jpg", "motorcycle_left.png", "retina.jpg", "rocket.jpg",
)  # fmt: skip


def photograph_path(name: str) -> Path:
    """Where scikit-image keeps one of PHOTOGRAPHS."""
    spec = find_spec("skimage")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "data" / name


@lru_cache(maxsize=len(PHOTOGRAPHS))
def _photograph(name: str) -> NDArray[np.uint8]:
    """A photograph (H, W, 3) uint8, at most 400 pixels high and wide."""
    from PIL import Image

    with Image.open(photograph_path(name)) as picture:
        small = picture.convert("RGB")
        small.thumbnail((400, 400))
        return np.asarray(small)


def draw_background(
    generator: np.random.Generator, height: int, width: int, *, plain: bool = False
) -> NDArray[np.float32]:
    """A wall, a gradient, a blurred room, stripes or a photograph: (H, W, 3) float32 linear light.

    plain : no photographs
    """
    import cv2

    vivid = generator.random() < 0.4
    base = generator.uniform(0.02, 0.7, 3) ** generator.uniform(0.7, 1.6)
    if not vivid:  # rooms and laboratories are mostly dull
        base = base.mean() * (1 + 0.15 * (base - base.mean()))
    kind = generator.choice(["flat", "gradient", "room", "stripes", "photograph"], p=[0.27, 0.27, 0.18, 0.03, 0.25])
    if plain and kind == "photograph":
        kind = "room"
    v, u = np.mgrid[0:height, 0:width] / max(height, width)
    if kind == "gradient":
        angle = generator.uniform(0, 2 * np.pi)
        slope = generator.uniform(-0.8, 0.8) * (np.cos(angle) * u + np.sin(angle) * v)
        return np.clip(base * (1 + slope[..., None]), 0, 1).astype(np.float32)
    if kind == "room":
        cells = generator.integers(3, 14, 2)
        coarse = generator.uniform(0.0, 0.8, (*cells, 3)).astype(np.float32)
        if not vivid:
            coarse = np.asarray(
                coarse.mean(axis=2, keepdims=True) + 0.2 * (coarse - coarse.mean(axis=2, keepdims=True))
            )
        how = [cv2.INTER_CUBIC, cv2.INTER_NEAREST][int(generator.random() < 0.4)]
        picture = cv2.resize(coarse, (width, height), interpolation=how)
        return np.clip(cv2.GaussianBlur(picture, (0, 0), generator.uniform(0.3, 0.03 * width)), 0, 1)
    if kind == "stripes":
        angle, pitch = generator.uniform(0, np.pi), generator.uniform(8, 40)
        wave = 0.5 + 0.5 * np.sign(np.sin(pitch * (np.cos(angle) * u + np.sin(angle) * v)))
        other = generator.uniform(0.02, 0.7, 3)
        return (base + wave[..., None] * (other - base)).astype(np.float32)
    if kind == "photograph":
        return _crop_photograph(generator, height, width)
    return np.broadcast_to(base, (height, width, 3)).astype(np.float32)


def _crop_photograph(generator: np.random.Generator, height: int, width: int) -> NDArray[np.float32]:
    """Part of a photograph, flipped, darker or lighter, often out of focus."""
    import cv2

    picture = _photograph(PHOTOGRAPHS[generator.integers(len(PHOTOGRAPHS))])
    rows, columns = picture.shape[:2]
    side = generator.uniform(0.3, 1.0) * min(rows / height, columns / width)
    tall, wide = max(int(side * height), 8), max(int(side * width), 8)
    top, left = generator.integers(rows - tall + 1), generator.integers(columns - wide + 1)
    part = picture[top : top + tall, left : left + wide]
    part = part[:, :: -1 if generator.random() < 0.5 else 1]
    part = part[:: -1 if generator.random() < 0.2 else 1]
    shown = cv2.resize(np.ascontiguousarray(part), (width, height), interpolation=cv2.INTER_AREA)
    light = to_linear(shown.astype(np.float32) / np.float32(255)).astype(np.float32)
    light = light * np.float32(generator.uniform(0.3, 1.2))
    if generator.random() < 0.7:
        light = np.asarray(cv2.GaussianBlur(light, (0, 0), generator.uniform(0.3, 0.04 * width)), dtype=np.float32)
    return np.clip(light, 0, 1).astype(np.float32)
