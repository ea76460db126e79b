"""The motion from onset to apex as the images that published networks read: u to the right, v down, optical strain.

Optical strain is the magnitude of the symmetric part of the motion's gradient.
Source: Liong et al., Shallow triple stream three-dimensional CNN (STSTNet), FG 2019, section III-A.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float32]


def strain_of(flow: Values) -> Values:
    """Optical strain (S, S) of a flow (S, S, 2)."""
    (across_y, across_x), (down_y, down_x) = (np.gradient(flow[..., part]) for part in range(2))
    return np.asarray(np.sqrt(across_x**2 + down_y**2 + (across_y + down_x) ** 2 / 2), np.float32)


def stretched(channels: Values) -> Values:
    """Each channel (C, H, W) from its least value to its greatest as [0, 1]; zeros where all are the same."""
    least = channels.min(axis=(1, 2), keepdims=True)
    width = channels.max(axis=(1, 2), keepdims=True) - least
    return np.asarray(np.divide(channels - least, width, out=np.zeros_like(channels), where=width > 0), np.float32)


def motion_channels(flow: Values, size: int) -> Values:
    """(3, size, size) u, v and strain of a flow (S, S, 2); the strain is that at full size. Units are those of flow."""
    import cv2

    channels = np.concatenate([flow, strain_of(flow)[..., None]], axis=-1)
    method = cv2.INTER_AREA if size <= len(flow) else cv2.INTER_LINEAR
    return np.ascontiguousarray(np.moveaxis(cv2.resize(channels, (size, size), interpolation=method), -1, 0))


def grey_levels(channels: Values) -> NDArray[np.uint8]:
    """(S, S, 3) uint8 of channels (3, S, S), each from its least value to its greatest as 0 to 255."""
    return np.moveaxis(np.rint(stretched(channels) * 255), 0, -1).astype(np.uint8)
