"""The 68 landmarks of a face in the order of iBUG: what they belong to, their mirror images, and what they enclose.

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
# Pupils lie above the line through the corners of their eye, inter-ocular distances; mean of 24 heads, deviation 0.01.
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


def _mirror() -> NDArray[np.int64]:
    """Left and right swapped, region by region; what lies in the middle is its own mirror image."""
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


# MIRROR[i] is the landmark that landmark i becomes in the mirror image: mirrored = points[..., MIRROR, :], x turned.
MIRROR: Final = _mirror()


def five_points(landmarks: Floats) -> Floats:
    """A face detector's five points, (..., 5, 2): pupils, tip of the nose, corners of the mouth.

    landmarks : (..., 68, 2) pixels, y down
    The pupils come from the corners of the eyes, which blinks leave where they are.
    """
    left, right = (landmarks[..., corners, :].mean(axis=-2) for corners in _EYE_CORNERS)
    across = right - left
    up = _PUPIL_ABOVE_CORNERS * np.stack([across[..., 1], -across[..., 0]], axis=-1)
    others = [landmarks[..., index, :] for index in (_NOSE_TIP, *_MOUTH_CORNERS)]
    return np.stack([left + up, right + up, *others], axis=-2)


def region_mask(landmarks: Floats, size: int, regions: tuple[str, ...], margin: float) -> NDArray[np.bool_]:
    """(S, S) bool, the pixels of a canonical crop that lie in some regions.

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
