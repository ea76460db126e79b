"""Displacement of skin in depth, called lift: seen from the side, skin that an expression raises moves."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import pixel_grid
from mvgen.core.records import Image, ViewGeometry

_LEAST = 0.02  # pixels; a frame that would move by less is not changed


def lift_skin(colour: Image, lift: NDArray[np.float16], view: ViewGeometry) -> None:
    """Warp the frames of a view (T, S, S, 3), in place, by the displacement of their skin in depth.

    lift : (T, s, s) float16, world units along the source's optical axis, positive toward the camera, on a grid over
        the source's pixels; the displacement in the view grows with the angle between view and source
    """
    import cv2

    camera, size, side = view.camera, colour.shape[1], lift.shape[1]
    rows, columns = (np.flatnonzero(np.isfinite(view.source[..., 0]).any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return
    shown = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    # Pixels beyond the face move with the nearest skin, so that outlines do not tear.
    source = _filled(view.source[shown]) * np.float32(side / size) - np.float32(0.5)
    height, width = source.shape[:2]
    step = max(1, size // side)
    coarse = np.asarray(cv2.resize(source, (-(-width // step), -(-height // step)), interpolation=cv2.INTER_AREA))
    # Displacement in the view, pixels, of skin that comes nearer by one world unit.
    across, down = (camera.rotation[:2, 2] * [camera.scale, -camera.scale]).tolist()
    right, below = np.ascontiguousarray(np.moveaxis(pixel_grid(height, width) - 0.5, -1, 0), np.float32)
    for picture, near in zip(colour, lift.astype(np.float32), strict=True):
        seen = cv2.remap(near, coarse[..., 0], coarse[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        if max(abs(across), abs(down)) * float(np.abs(seen).max()) < _LEAST:
            continue
        seen = cv2.resize(seen, (width, height), interpolation=cv2.INTER_LINEAR)
        x = cv2.scaleAdd(seen, -across, right)
        y = cv2.scaleAdd(seen, -down, below) if down else below
        picture[shown] = cv2.remap(picture[shown], x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def _filled(source: NDArray[np.float32]) -> NDArray[np.float32]:
    """(S, S, 2), unknown pixels filled with the value of the nearest known one."""
    from scipy.ndimage import distance_transform_edt

    unknown = np.isnan(source[..., 0])
    if unknown.all():
        return np.zeros_like(source)
    nearest = distance_transform_edt(unknown, return_distances=False, return_indices=True)
    return np.asarray(source[tuple(nearest)])
