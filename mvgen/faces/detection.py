"""Detection of faces and their five points in one image.

Convention: pixel centres at +0.5. The five points are MTCNN's: the eye at image left, the eye at image right, the nose,
the mouth corners at image left and right.
Source: Zhang et al., Joint Face Detection and Alignment using Multitask Cascaded Convolutional Networks, 2016.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mvgen.core.device import resolved_device
from mvgen.core.records import Image

Floats = NDArray[np.floating]

_SMALLEST_SHARE = 16  # the smallest face that is searched for, as a fraction 1 / 16 of the frame's shorter side


@dataclass(frozen=True, slots=True)
class Faces:
    """The faces found in one image.

    boxes : (N, 4) float64, left, top, right, bottom in pixels
    confidence : (N,) float64 in [0, 1]
    points : (N, 5, 2) float64, pixels
    """

    boxes: Floats
    confidence: Floats
    points: Floats


class Detector(Protocol):
    """A detector of faces with five points: see `mvgen.faces.detectors`, or one that returns known faces."""

    def detect(self, image: Image) -> Faces:
        """The faces of one (H, W, 3) image."""
        ...


class FaceDetector:
    """MTCNN with the weights that come with facenet-pytorch. It is deterministic."""

    def __init__(self, device: str = "cpu") -> None:
        import torch
        from facenet_pytorch import MTCNN

        self.device = resolved_device(device)
        self._network = MTCNN(keep_all=True, post_process=False, device=torch.device(self.device)).eval()

    def detect(self, image: Image) -> Faces:
        """The faces of one (H, W, 3) uint8 image, in its pixels."""
        self._network.min_face_size = max(20, min(image.shape[:2]) / _SMALLEST_SHARE)
        try:
            boxes, confidence, points = self._network.detect(image, landmarks=True)
        except RuntimeError as error:
            # The network's first stage found boxes, but none of them inside the image: it then stacks an empty list.
            if "non-empty" not in str(error):
                raise
            boxes = None
        if boxes is None:
            return Faces(np.zeros((0, 4)), np.zeros(0), np.zeros((0, 5, 2)))
        # MTCNN has pixel centres at whole numbers.
        return Faces(
            np.asarray(boxes, np.float64) + 0.5,
            np.asarray(confidence, np.float64),
            np.asarray(points, np.float64) + 0.5,
        )
