"""The effects of a camera and a file format on light: exposure, colour, blur, noise, scaling, sharpening, JPEG."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvgen.scans.looks.paint import to_srgb

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Sensor:
    """The settings of one camera.

    exposure : gain on linear light; white : (3,) gain per channel; contrast : exponent on the sRGB value
    blur : Gaussian sigma, pixels; noise : standard deviation, of 255; jpeg : quality, None for none
    look : "colour", "grey", or "infrared" (grey with bright, even skin)
    vignette : darkening of the corners; motion : (x, y), path of a motion blur, pixels
    zoom : side of the recorded picture over that of the enlarged result; sharpen, denoise : amounts in [0, 1]
    limited : limited video range, 16 to 235; chroma : shift of the colour against the brightness, pixels
    saturation : 1 leaves colours as they are
    """

    exposure: float = 1.0
    white: tuple[float, float, float] = (1.0, 1.0, 1.0)
    contrast: float = 1.0
    blur: float = 0.0
    noise: float = 0.0
    jpeg: int | None = None
    look: str = "colour"
    vignette: float = 0.0
    motion: tuple[float, float] = (0.0, 0.0)
    zoom: float = 1.0
    sharpen: float = 0.0
    denoise: float = 0.0
    limited: bool = False
    chroma: int = 0
    saturation: float = 1.0

    @classmethod
    def draw(cls, generator: np.random.Generator) -> Sensor:
        """Draw a camera between that of a laboratory and that of a bad telephone."""
        red, blue = np.exp(generator.normal(0, 0.1, 2))

        def sometimes(chance: float, low: float, high: float, otherwise: float = 0.0) -> float:
            value = float(generator.uniform(low, high))
            return value if generator.random() < chance else otherwise

        turn, path = generator.uniform(0, np.pi), sometimes(0.08, 1.0, 4.0)
        return cls(
            exposure=float(np.exp(generator.normal(0, 0.3))),
            white=(float(red), 1.0, float(blue)),
            contrast=float(np.exp(generator.normal(0, 0.15))),
            blur=sometimes(0.5, 0, 1.2),
            noise=float(generator.exponential(2.0)),
            jpeg=int(generator.integers(30, 98)) if generator.random() < 0.5 else None,
            look=str(generator.choice(["colour", "grey", "infrared"], p=[0.76, 0.17, 0.07])),
            vignette=sometimes(0.2, 0.1, 0.5),
            motion=(float(path * np.cos(turn)), float(path * np.sin(turn))),
            zoom=sometimes(0.2, 0.4, 0.9, 1.0),
            sharpen=sometimes(0.2, 0.2, 1.0),
            denoise=sometimes(0.12, 0.3, 1.0),
            limited=bool(generator.random() < 0.06),
            chroma=int(generator.integers(-2, 3)) if generator.random() < 0.1 else 0,
            saturation=float(np.exp(generator.normal(0, 0.2))),
        )

    def develop(self, linear: Floats, generator: np.random.Generator) -> NDArray[np.uint8]:
        """Linear light (H, W, 3) -> the recorded picture, (H, W, 3) uint8 sRGB."""
        import cv2

        light: Floats = self._expose(np.asarray(linear, dtype=np.float32))
        height, width = light.shape[:2]
        if self.zoom < 1:
            small = (max(round(width * self.zoom), 8), max(round(height * self.zoom), 8))
            light = np.asarray(cv2.resize(light, small, interpolation=cv2.INTER_AREA), dtype=np.float32)
        signal = np.asarray(to_srgb(np.clip(light, 0, 1)) ** self.contrast * 255, dtype=np.float32)
        channels = 3 if self.look == "colour" else 1
        if self.noise:
            signal = signal + generator.normal(0, self.noise, (*signal.shape[:2], channels)).astype(np.float32)
        if self.denoise:
            strength = 10 + 40 * self.denoise
            signal = np.asarray(cv2.bilateralFilter(np.clip(signal, 0, 255), 5, strength, 2.0), dtype=np.float32)
        if self.sharpen:
            signal = signal + self.sharpen * (signal - np.asarray(cv2.GaussianBlur(signal, (0, 0), 1.2)))
        if self.zoom < 1:
            signal = np.asarray(cv2.resize(signal, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.float32)
        if self.look == "colour":
            signal = self._video_colour(signal)
        if self.limited:
            signal = 16 + signal * (219 / 255)
        image = np.clip(np.rint(signal), 0, 255).astype(np.uint8)
        return image if self.jpeg is None else through_jpeg(image, self.jpeg)

    def _expose(self, light: NDArray[np.float32]) -> NDArray[np.float32]:
        """Filter, lens and gain, on linear light (H, W, 3)."""
        import cv2

        if self.look == "infrared":
            # In infrared all skin is pale and lips are hardly darker; the lamp at the camera leaves corners dark.
            light = np.repeat(np.sqrt(np.clip(light[..., :1], 0, None)) * 0.7, 3, axis=2)
        elif self.look == "grey":
            light = np.repeat((light @ np.array([0.2126, 0.7152, 0.0722], np.float32))[..., None], 3, axis=2)
        if self.blur:
            light = np.asarray(cv2.GaussianBlur(light, (0, 0), self.blur), dtype=np.float32)
        if any(self.motion):
            light = np.asarray(cv2.filter2D(light, -1, _streak(*self.motion)), dtype=np.float32)
        if self.vignette:
            height, width = light.shape[:2]
            v, u = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
            light = light * (1 - self.vignette * 0.5 * (u * u + v * v))[..., None].astype(np.float32)
        tint = np.ones(3) if self.look != "colour" else np.array(self.white)
        return np.asarray(light * (self.exposure * tint), dtype=np.float32)

    def _video_colour(self, signal: NDArray[np.float32]) -> NDArray[np.float32]:
        """Saturation, and colour shifted against brightness."""
        if self.saturation == 1 and not self.chroma:
            return signal
        grey = (signal @ np.array([0.299, 0.587, 0.114], np.float32))[..., None]
        difference = signal - grey
        if self.chroma:
            shifted = np.pad(difference, ((0, 0), (2, 2), (0, 0)), mode="edge")
            difference = shifted[:, 2 - self.chroma : 2 - self.chroma + signal.shape[1]]
        return np.asarray(grey + np.float32(self.saturation) * difference, dtype=np.float32)


def _streak(x: float, y: float) -> NDArray[np.float32]:
    """A motion blur's kernel (9, 9): the path from (-x/2, -y/2) to (x/2, y/2)."""
    kernel = np.zeros((9, 9), dtype=np.float32)
    along = np.linspace(-0.5, 0.5, 41)
    np.add.at(kernel, (np.rint(4 + along * y).astype(int), np.rint(4 + along * x).astype(int)), 1 / len(along))
    return kernel


def through_jpeg(image: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """An image after JPEG with the usual 4:2:0 chroma subsampling, as from phones and video frames."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer).convert("RGB"))
