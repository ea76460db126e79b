"""Topology of MediaPipe's face mesh of 468 points: its triangles, mirror images, oval and the 68 landmarks.

Convention: left and right are the image's, not the person's. `face_mesh_topology.npz` holds the long tables;
`scripts/face_mesh_topology.py` made it from the files of MediaPipe's wheel.
Source: `face_mesh_connections.py` of mediapipe 0.10.21; for the 68 landmarks, the commonly used mapping, with the jaw,
the outer ends of the brows and the inner lips moved to the points nearest to the depth network's landmarks on three
faces.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from mvgen.core.files import face_mesh_tables

POINTS: Final = 468


def _frozen(values: NDArray[np.integer] | tuple[int, ...], kind: type[np.integer]) -> NDArray[np.integer]:
    table = np.asarray(values, kind)
    table.setflags(write=False)
    return table


with np.load(face_mesh_tables(), allow_pickle=False) as _tables:
    # (852, 3) int32, counter-clockwise seen from the front. The eyes and the mouth are holes. They are not quite
    # symmetric: 12 of them, six quads, are cut along the other diagonal in the mirror image.
    TRIANGLES: Final = _frozen(_tables["triangles"], np.int32)
    # (468,) int64. MIRROR[i] is the point that point i becomes in the mirror image: points[..., MIRROR, :], x turned.
    MIRROR: Final = _frozen(_tables["mirror"], np.int64)

# (36,) int64, the edge of the mesh, clockwise seen from the front, from the middle of the forehead.
OVAL: Final = _frozen(
    (
        10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
        152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
    ),
    np.int64,
)  # fmt: skip

# (68,) int64, the point at each landmark of `mvgen.core.landmarks68`.
IBUG: Final = _frozen(
    (
        127, 234, 132, 58, 172, 150, 149, 148, 152, 377, 378, 379, 397, 288, 361, 454, 356,  # jaw
        70, 63, 105, 66, 107,  # brow left
        336, 296, 334, 293, 300,  # brow right
        168, 197, 5, 4, 75, 97, 2, 326, 305,  # nose
        33, 160, 158, 133, 153, 144,  # eye left
        362, 385, 387, 263, 373, 380,  # eye right
        61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181,  # outer edge of the lips
        78, 81, 13, 311, 308, 402, 14, 178,  # inner edge of the lips
    ),
    np.int64,
)  # fmt: skip
