"""The motion from onset to apex as a picture of three channels: u to the right, v down, and the strain of the skin.

Convention: u and v are in pixels of a crop 256 wide where the data say so; images that others have stretched tell no
scale, see `readers.flow_images`. Strain and stretching are those of `mvgen.dataset.motion_images`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mvgen.dataset.motion_images import strain_of, stretched
from recognizer.ops.clips import expression, resized, resized_flow
from recognizer.records import Sample

__all__ = ["motion_of", "strain_of", "stretched"]

Values = NDArray[np.float32]


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
