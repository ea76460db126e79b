"""Where the 68 landmarks of the iBUG / Multi-PIE scheme lie on the heads of a corpus.

Order: jaw 0-16 from the subject's right ear to the left one, brows 17-26, nose bridge 27-30, nostrils 31-35, right eye
36-41, left eye 42-47, outer lips 48-59, inner lips 60-67.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Vertices of the ICT face model, as its public repository lists them.
ICT_VERTICES = np.array([
    1225, 1888, 1052, 367, 1719, 1722, 2199, 1447, 966, 3661, 4390, 3927, 3924, 2608, 3272, 4088, 3443,
    268, 493, 1914, 2044, 1401, 3615, 4240, 4114, 2734, 2509, 978, 4527, 4942, 4857, 1140, 2075, 1147,
    4269, 3360, 1507, 1542, 1537, 1528, 1518, 1511, 3742, 3751, 3756, 3721, 3725, 3732, 5708, 5695, 2081,
    0, 4275, 6200, 6213, 6346, 6461, 5518, 5957, 5841, 5702, 5711, 5533, 6216, 6207, 6470, 5517, 5966,
])  # fmt: skip

# Positions on Anny's template in world units: the landmarks of the ICT mean face, carried over by fitting its surface
# to the template's, made symmetric.
CANONICAL = np.array([
    (-1.137, -0.013, -0.900), (-1.124, -0.378, -0.854), (-1.065, -0.672, -0.757), (-0.979, -0.964, -0.670),
    (-0.821, -1.280, -0.534), (-0.602, -1.538, -0.340), (-0.415, -1.642, -0.124), (-0.205, -1.688, 0.056),
    (0.000, -1.722, 0.076), (0.205, -1.688, 0.056), (0.415, -1.642, -0.124), (0.602, -1.538, -0.340),
    (0.821, -1.280, -0.534), (0.979, -0.964, -0.670), (1.065, -0.672, -0.757), (1.124, -0.378, -0.854),
    (1.137, -0.013, -0.900), (-0.928, 0.229, -0.211), (-0.787, 0.353, -0.045), (-0.603, 0.392, 0.092),
    (-0.388, 0.380, 0.178), (-0.198, 0.341, 0.209), (0.198, 0.341, 0.209), (0.388, 0.380, 0.178),
    (0.603, 0.392, 0.092), (0.787, 0.353, -0.045), (0.928, 0.229, -0.211), (0.000, -0.023, 0.161),
    (0.000, -0.244, 0.240), (0.000, -0.428, 0.362), (0.000, -0.608, 0.460), (-0.176, -0.786, 0.225),
    (-0.073, -0.791, 0.289), (0.000, -0.800, 0.302), (0.073, -0.791, 0.289), (0.176, -0.786, 0.225),
    (-0.714, -0.035, -0.079), (-0.619, 0.039, 0.024), (-0.442, 0.045, 0.048), (-0.287, -0.083, 0.002),
    (-0.429, -0.100, 0.020), (-0.620, -0.090, -0.000), (0.287, -0.083, 0.002), (0.442, 0.045, 0.048),
    (0.619, 0.039, 0.024), (0.714, -0.035, -0.079), (0.620, -0.090, -0.000), (0.429, -0.100, 0.020),
    (-0.369, -1.144, 0.106), (-0.240, -1.042, 0.259), (-0.100, -0.978, 0.337), (0.000, -0.986, 0.356),
    (0.100, -0.978, 0.337), (0.240, -1.042, 0.259), (0.369, -1.144, 0.106), (0.250, -1.229, 0.199),
    (0.137, -1.275, 0.258), (0.000, -1.279, 0.283), (-0.137, -1.275, 0.258), (-0.250, -1.229, 0.199),
    (-0.320, -1.143, 0.104), (-0.135, -1.127, 0.232), (0.000, -1.138, 0.255), (0.135, -1.127, 0.232),
    (0.320, -1.143, 0.104), (0.144, -1.136, 0.226), (0.000, -1.147, 0.251), (-0.144, -1.136, 0.226),
])  # fmt: skip

_UPPER_LIP = (*range(49, 54), *range(61, 64))
_LOWER_LIP = (*range(55, 60), *range(65, 68))


def landmark_vertices(
    vertices: NDArray[np.floating], outside: NDArray[np.bool_], opening: NDArray[np.floating]
) -> NDArray[np.int32]:
    """The vertex of a template (N, 3) nearest to each landmark: (68,) int32.

    outside : (N,) bool, on the skin, not in the mouth or the eye sockets
    opening : (N,) how far the vertex moves down when the jaw opens, which tells the lips of a closed mouth apart
    """
    nearest = np.empty(len(CANONICAL), dtype=np.int32)
    lower = opening > 0.5 * opening[outside].max()
    for index, point in enumerate(CANONICAL):
        allowed = outside & ~lower if index in _UPPER_LIP else outside & lower if index in _LOWER_LIP else outside
        candidates = np.flatnonzero(allowed)
        nearest[index] = candidates[np.square(vertices[candidates] - point).sum(axis=1).argmin()]
    return nearest
