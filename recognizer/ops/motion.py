"""The motion from onset to apex as a picture of three channels: u to the right, v down, and the strain of the skin.

Convention: u and v are in pixels of a crop 256 wide where the data say so; images that others have stretched tell no
scale, see `readers.flow_images`. Optical strain is the magnitude of the symmetric part of the motion's gradient.
Source: Liong et al., Shallow triple stream three-dimensional CNN (STSTNet), FG 2019, section III-A.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recognizer.ops.clips import expression, resized, resized_flow
from recognizer.records import Sample

Values = NDArray[np.float32]


def strain_of(flow: Values) -> Values:
    """Optical strain (S, S) of a flow (S, S, 2)."""
    (across_y, across_x), (down_y, down_x) = (np.gradient(flow[..., part]) for part in range(2))
    return np.asarray(np.sqrt(across_x**2 + down_y**2 + (across_y + down_x) ** 2 / 2), np.float32)


def motion_of(sample: Sample, size: int) -> Values:
    """(3, size, size) u, v and strain of a sample, which may have one frame.

    The strain is the data's own where they have one, else that of the motion at full size.
    Raises RecogniserError for motion that is not finite.
    """
    face = expression(sample, least=1)
    flow = resized_flow(face.apex_flow[None], size, size)[0]
    strain = strain_of(face.apex_flow) if face.strain is None else face.strain
    strain = resized(strain[None], size, size)[0].astype(np.float32)
    return np.ascontiguousarray(np.concatenate([np.moveaxis(flow, -1, 0), strain[None]]), np.float32)


def stretched(channels: Values) -> Values:
    """Each channel (C, H, W) from its least value to its greatest as [0, 1]; zeros where all are the same."""
    least = channels.min(axis=(1, 2), keepdims=True)
    width = channels.max(axis=(1, 2), keepdims=True) - least
    return np.asarray(np.divide(channels - least, width, out=np.zeros_like(channels), where=width > 0), np.float32)
