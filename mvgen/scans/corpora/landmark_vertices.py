"""The vertices of the 68 landmarks of the iBUG / Multi-PIE scheme on the heads of a corpus.

Order: jaw 0-16 from the subject's right ear to the left one, brows 17-26, nose bridge 27-30, nostrils 31-35, right eye
36-41, left eye 42-47, outer lips 48-59, inner lips 60-67.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mvgen.core.landmarks68 import CANONICAL

# Vertices of the ICT face model, as its public repository lists them.
ICT_VERTICES = np.array([
    1225, 1888, 1052, 367, 1719, 1722, 2199, 1447, 966, 3661, 4390, 3927, 3924, 2608, 3272, 4088, 3443,
    268, 493, 1914, 2044, 1401, 3615, 4240, 4114, 2734, 2509, 978, 4527, 4942, 4857, 1140, 2075, 1147,
    4269, 3360, 1507, 1542, 1537, 1528, 1518, 1511, 3742, 3751, 3756, 3721, 3725, 3732, 5708, 5695, 2081,
    0, 4275, 6200, 6213, 6346, 6461, 5518, 5957, 5841, 5702, 5711, 5533, 6216, 6207, 6470, 5517, 5966,
])  # fmt: skip

_UPPER_LIP = (*range(49, 54), *range(61, 64))
_LOWER_LIP = (*range(55, 60), *range(65, 68))


def landmark_vertices(
    vertices: NDArray[np.floating], outside: NDArray[np.bool_], opening: NDArray[np.floating]
) -> NDArray[np.int32]:
    """The vertex of a template (N, 3) nearest to each landmark: (68,) int32.

    outside : (N,) bool, on the skin, not in the mouth or the eye sockets
    opening : (N,) how far the vertex moves down when the jaw opens, which separates the lips of a closed mouth
    """
    nearest = np.empty(len(CANONICAL), dtype=np.int32)
    lower = opening > 0.5 * opening[outside].max()
    for index, point in enumerate(CANONICAL):
        allowed = outside & ~lower if index in _UPPER_LIP else outside & lower if index in _LOWER_LIP else outside
        candidates = np.flatnonzero(allowed)
        nearest[index] = candidates[np.square(vertices[candidates] - point).sum(axis=1).argmin()]
    return nearest
