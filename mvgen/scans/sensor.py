"""What a camera and a file format do to light: exposure, colour, blur, noise, JPEG; and what stands behind a head."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvgen.scans.appearance import to_srgb

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Sensor:
    """One camera's way of seeing.

    exposure : gain on linear light; white : (3,) gain per channel; contrast : exponent on the sRGB value
    blur : Gaussian sigma, pixels; noise : standard deviation, of 255; jpeg : quality, None for none
    look : "colour", "grey", or "infrared" (grey with bright, even skin)
    """

    exposure: float = 1.0
    white: tuple[float, float, float] = (1.0, 1.0, 1.0)
    contrast: float = 1.0
    blur: float = 0.0
    noise: float = 0.0
    jpeg: int | None = None
    look: str = "colour"

    @classmethod
    def draw(cls, generator: np.random.Generator) -> Sensor:
        """Draw a camera between a laboratory's and a bad telephone's."""
        red, blue = np.exp(generator.normal(0, 0.1, 2))
        return cls(
            exposure=float(np.exp(generator.normal(0, 0.25))),
            white=(float(red), 1.0, float(blue)),
            contrast=float(np.exp(generator.normal(0, 0.12))),
            blur=float(generator.uniform(0, 1.2)) if generator.random() < 0.5 else 0.0,
            noise=float(generator.exponential(2.5)),
            jpeg=int(generator.integers(40, 98)) if generator.random() < 0.5 else None,
            look=str(generator.choice(["colour", "grey", "infrared"], p=[0.8, 0.14, 0.06])),
        )

    def develop(self, linear: Floats, generator: np.random.Generator) -> NDArray[np.uint8]:
        """Linear light (H, W, 3) -> what the file holds, (H, W, 3) uint8 sRGB."""
        import cv2

        light: Floats = np.asarray(linear, dtype=np.float32)
        if self.look == "infrared":
            light = np.repeat(np.sqrt(np.clip(light[..., :1], 0, None)) * 0.7, 3, axis=2)
        elif self.look == "grey":
            light = np.repeat((light @ np.array([0.2126, 0.7152, 0.0722], np.float32))[..., None], 3, axis=2)
        if self.blur:
            light = np.asarray(cv2.GaussianBlur(light, (0, 0), self.blur), dtype=np.float32)
        tint = np.ones(3) if self.look != "colour" else np.array(self.white)
        signal = to_srgb(np.clip(light * (self.exposure * tint), 0, 1)) ** self.contrast * 255
        if self.noise:
            channels = 3 if self.look == "colour" else 1
            signal = signal + generator.normal(0, self.noise, (*signal.shape[:2], channels))
        image = np.clip(np.rint(signal), 0, 255).astype(np.uint8)
        return image if self.jpeg is None else through_jpeg(image, self.jpeg)


def through_jpeg(image: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """An image after JPEG at the usual 4:2:0, as phones and video frames have it."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer).convert("RGB"))


def draw_background(generator: np.random.Generator, height: int, width: int) -> NDArray[np.float32]:
    """A wall, a gradient, a blurred room or stripes: (H, W, 3) float32 linear light."""
    import cv2

    base = generator.uniform(0.02, 0.7, 3) ** generator.uniform(0.7, 1.6)
    kind = generator.choice(["flat", "gradient", "room", "stripes"], p=[0.3, 0.3, 0.3, 0.1])
    v, u = np.mgrid[0:height, 0:width] / max(height, width)
    if kind == "gradient":
        angle = generator.uniform(0, 2 * np.pi)
        slope = generator.uniform(-0.8, 0.8) * (np.cos(angle) * u + np.sin(angle) * v)
        return np.clip(base * (1 + slope[..., None]), 0, 1).astype(np.float32)
    if kind == "room":
        cells = generator.integers(3, 14, 2)
        coarse = generator.uniform(0.0, 0.8, (*cells, 3)).astype(np.float32)
        how = [cv2.INTER_CUBIC, cv2.INTER_NEAREST][int(generator.random() < 0.4)]
        picture = cv2.resize(coarse, (width, height), interpolation=how)
        return np.clip(cv2.GaussianBlur(picture, (0, 0), generator.uniform(0.3, 0.03 * width)), 0, 1)
    if kind == "stripes":
        angle, pitch = generator.uniform(0, np.pi), generator.uniform(8, 40)
        wave = 0.5 + 0.5 * np.sign(np.sin(pitch * (np.cos(angle) * u + np.sin(angle) * v)))
        other = generator.uniform(0.02, 0.7, 3)
        return (base + wave[..., None] * (other - base)).astype(np.float32)
    return np.broadcast_to(base, (height, width, 3)).astype(np.float32)
