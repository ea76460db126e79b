"""Detection of the 468 points of MediaPipe's face mesh in face crops.

Convention: points are in crop pixels, pixel centres at +0.5; z is in crop pixels too, positive toward the camera.
Source: Kartynnik, Ablavatski, Grishchenko and Grundmann, Real-time facial surface geometry from monocular video on
mobile GPUs, 2019; the network's file is MediaPipe's own, see NOTICE.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mvgen.core.device import resolved_device
from mvgen.core.files import face_mesh_weights
from mvgen.core.records import FacePoints, Image
from mvgen.faces.face_mesh_topology import MIRROR, POINTS
from mvgen.faces.network_backends import get_backend

Arrays = NDArray[np.float32]

INPUT_SIZE = 192

# Position of the crop in the input, pixels: its side, left and top; its border is replicated. Points are more precise
# when the face is a little smaller and higher than in the canonical crop. On 11 pictures (two rendered real heads,
# turned by up to 25 degrees, and the astronaut) points jitter 11 % less when the crop moves a little, on 8 less;
# on the two heads' frontal pictures they differ a third less from the points that the same network finds in a crop of
# its own choice. The position was chosen on these pictures.
_SIDE, _LEFT, _TOP = 176, 8, -2
# Added to the network's points for pixel centres at +0.5. Faces and their mirror images agree best with 0.23 to 0.36
# horizontally (0 and 0.5 are the two usual conventions); vertically it cannot be measured and is taken to be the same.
_CENTRE = 0.25
# Crops per batch; each is run twice. A CPU gains nothing by more.
_BATCH = {"cuda": 64, "cpu": 4}


class FaceMesh:
    """MediaPipe's face landmark network, ready for crops. Points are means over a crop and its mirror image."""

    def __init__(self, device: str = "auto") -> None:
        self.device = resolved_device(device)
        self._backend = get_backend(face_mesh_weights(), self.device)

    def find(self, crops: Image) -> FacePoints:
        """The points of canonical crops.

        crops : (T, S, S, 3) uint8
        Raises ValueError for another shape or type.
        """
        if crops.ndim != 4 or crops.shape[1] != crops.shape[2] or crops.shape[3] != 3 or crops.dtype != np.uint8:
            raise ValueError(f"crops are (T, S, S, 3) uint8, not {crops.shape} {crops.dtype}")
        points = np.empty((len(crops), POINTS, 3), np.float32)
        confidence = np.empty(len(crops), np.float32)
        step = _BATCH[self.device]
        for first in range(0, len(crops), step):
            part = slice(first, first + step)
            points[part], confidence[part] = self._read(crops[part])
        scale = np.float32(crops.shape[1] / _SIDE)
        points = (points - np.array([_LEFT, _TOP, 0], np.float32)) * np.array([scale, scale, -scale], np.float32)
        return FacePoints(points, confidence)

    def _read(self, crops: Image) -> tuple[Arrays, Arrays]:
        """(B, 468, 3) points in input pixels, pixel centres at +0.5 and z away from the camera; (B,) confidence."""
        images = np.stack([_framed(crop) for crop in crops]).astype(np.float32) / 255
        # Points in input pixels, and the log-odds of a face.
        raw, logits = self._backend(np.concatenate([images, images[:, :, ::-1]]))
        straight, turned = raw.reshape(2, len(crops), POINTS, 3) + np.array([_CENTRE, _CENTRE, 0], np.float32)
        turned = turned[:, MIRROR]
        turned[..., 0] = INPUT_SIZE - turned[..., 0]
        # Beyond 30 the probability is 0 or 1 in float32, and the exponential must not overflow.
        shown = 1 / (1 + np.exp(-logits.clip(-30, 30)))
        return (straight + turned) / 2, shown.reshape(2, -1).mean(axis=0)


def _framed(crop: Image) -> Image:
    """The network's input, (192, 192, 3) uint8: the crop, scaled without aliasing and placed as the network expects."""
    import cv2

    if len(crop) != _SIDE:
        how = cv2.INTER_AREA if len(crop) > _SIDE else cv2.INTER_CUBIC
        crop = np.asarray(cv2.resize(crop, (_SIDE, _SIDE), interpolation=how), np.uint8)
    below, right = INPUT_SIZE - _SIDE - _TOP, INPUT_SIZE - _SIDE - _LEFT
    return np.asarray(cv2.copyMakeBorder(crop[-_TOP:], 0, below, _LEFT, right, cv2.BORDER_REPLICATE), np.uint8)
