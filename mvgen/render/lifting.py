"""Frames of a view moved by what skin gains in depth: an expression bulges, and from the side that is motion."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mvgen.camera import pixel_grid
from mvgen.records import Image, ViewGeometry

_LEAST = 0.02  # pixels; a frame whose skin is lifted by less stays as it is


def lift_skin(colour: Image, lift: NDArray[np.float16], view: ViewGeometry) -> None:
    """Move the frames of a view (T, S, S, 3), in place, as their skin is nearer to the camera or farther.

    lift : (T, s, s) float16, world units along the source's optical axis, on a grid over the source's pixels; what it
        is at a pixel of the view moves that pixel, as far as the view turns away from the source
    """
    import cv2

    camera, size, few = view.camera, colour.shape[1], lift.shape[1]
    # Beyond the face the nearest skin tells, so that outlines do not tear.
    source = _filled(view.source) * np.float32(few / size) - np.float32(0.5)
    step = max(1, size // few)
    coarse = np.ascontiguousarray(source[step // 2 :: step, step // 2 :: step])
    # How far a pixel moves in the view when its skin comes nearer by one world unit.
    across, down = (camera.rotation[:2, 2] * [camera.scale, -camera.scale]).astype(np.float32)
    places = (pixel_grid(size, size) - 0.5).astype(np.float32)
    for picture, near in zip(colour, lift.astype(np.float32), strict=True):
        seen = cv2.remap(near, coarse[..., 0], coarse[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        if max(abs(across), abs(down)) * float(np.abs(seen).max()) < _LEAST:
            continue
        seen = np.asarray(cv2.resize(seen, (size, size), interpolation=cv2.INTER_LINEAR), np.float32)
        picture[:] = cv2.remap(
            picture, places[..., 0] - across * seen, places[..., 1] - down * seen,
            cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip


def _filled(source: NDArray[np.float32]) -> NDArray[np.float32]:
    """(S, S, 2), with the nearest known pixel's value where there is none."""
    from scipy.ndimage import distance_transform_edt

    unknown = np.isnan(source[..., 0])
    if unknown.all():
        return np.zeros_like(source)
    nearest = distance_transform_edt(unknown, return_distances=False, return_indices=True)
    return np.asarray(source[tuple(nearest)])
