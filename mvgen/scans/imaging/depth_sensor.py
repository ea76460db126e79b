"""A stereo depth sensor: what it measures of true depth, with noise, steps and holes.

Numbers are those of an Intel RealSense D415: a baseline of 55 mm, disparities to 1/32 of a pixel, values in whole
millimetres. Noise is a part of a pixel of disparity, smooth over the window that is matched, so that it grows with the
square of the distance. Source: Keselman et al., Intel RealSense stereoscopic depth cameras, CVPRW 2017.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]

_BASELINE = 55.0  # mm
_STEP = 1 / 32  # of disparity, pixels
_NOISE = 0.08  # of disparity, pixels: one standard deviation
_WINDOW = 2.0  # sigma of the smoothness of noise, pixels
_JUMP = 25.0  # mm between neighbours: one of the two cameras does not see the farther side
_SHADOW = 3  # pixels beside a jump that are not measured
_BLOB_SHARE, _BLOB = 0.01, 3.0  # share of pixels without a match, and sigma of such places, pixels


@dataclass(frozen=True, slots=True)
class DepthSensor:
    """A sensor that sees a head midway between whose eyes are `distance` mm away.

    focal : pixels; unit : mm in a world unit; wall : mm, distance of what is behind the head
    """

    focal: float
    distance: float
    unit: float
    wall: float

    @classmethod
    def before(cls, width: int, scale: float, metre: float, focal: float) -> DepthSensor:
        """The sensor that sees a world unit, of `metre` metres, in `scale` pixels. focal : over the width"""
        unit, pixels = 1000 * metre, focal * width
        distance = unit * pixels / scale
        return cls(pixels, distance, unit, distance + 700)

    def measure(self, depth: Floats, generator: np.random.Generator) -> NDArray[np.uint16]:
        """Distance, (H, W) uint16 mm, 0 where nothing is measured. depth : (H, W) world units, NaN off the head"""
        from scipy.ndimage import binary_dilation, gaussian_filter, maximum_filter, minimum_filter

        true = np.where(np.isfinite(depth), self.distance - self.unit * depth, self.wall)
        disparity = self.focal * _BASELINE / true
        noise = gaussian_filter(generator.standard_normal(true.shape), _WINDOW)
        disparity += _NOISE * noise / noise.std()
        measured = self.focal * _BASELINE / (np.round(disparity / _STEP) * _STEP)
        shadow = binary_dilation(maximum_filter(true, 3) - minimum_filter(true, 3) > _JUMP, iterations=_SHADOW)
        blobs = gaussian_filter(generator.standard_normal(true.shape), _BLOB)
        unseen = shadow | (blobs > np.quantile(blobs, 1 - _BLOB_SHARE))
        return np.where(unseen, 0, np.clip(np.rint(measured), 0, 65535)).astype(np.uint16)
