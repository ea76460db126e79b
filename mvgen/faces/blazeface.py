"""BlazeFace, MediaPipe's detector of faces of a sixth of the picture's longer side or more: fast, and one network.

Source: Bazarevsky, Kartynnik, Vakunov, Raveendran and Grundmann, BlazeFace: sub-millisecond neural face detection on
mobile GPUs, 2019, and the model card of its short-range variant; the network's file is MediaPipe's own, see NOTICE.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mvgen.core.device import resolved_device
from mvgen.core.files import blazeface_weights
from mvgen.core.records import Image
from mvgen.faces.detection import Faces, Floats
from mvgen.faces.network_backends import get_backend

_SIDE = 128  # of the input, pixels
_LEAST = 0.5  # confidence of a face
_ROOM = 2.0  # side of the second picture, sides of the box
_SAME = 0.3  # intersection over union of two boxes of one face
_EYES, _NOSE, _MOUTH = (0, 1), 2, 3  # of its six points: the eye at image left, that at image right, ...
# The corners of the mouth from its centre, along the eyes' line and across it, inter-ocular distances: between those of
# a resting mouth (0.42 and 0, `mvgen.faces.crop.five_point_template`) and the smiles that MTCNN sees on portraits (0.48
# and 0.12 upward).
_MOUTH_CORNERS = ((-0.45, -0.06), (0.45, -0.06))


class BlazeFace:
    """The short-range network, ready for pictures. It is deterministic."""

    def __init__(self, device: str = "cpu") -> None:
        self.device = resolved_device(device)
        self._backend = get_backend(blazeface_weights(), self.device)
        self._anchors = anchors()

    def detect(self, image: Image) -> Faces:
        """The faces of one (H, W, 3) uint8 image, in its pixels.

        A small one is looked at again in a picture of its own: in the whole one, its points are coarse.
        """
        found, confidence = self._look(image)
        for index, face in enumerate(found):
            corner, side = _around(face[:2])
            if side > max(image.shape[:2]) / 2:
                continue
            near, sure = self._look(_cut(image, corner, side))
            near = near + corner
            same = _overlap(face[:2], near[:, :2])
            if len(near) and same.max() > _SAME:
                found[index], confidence[index] = near[same.argmax()], max(confidence[index], sure[same.argmax()])
        return Faces(found[:, :2].reshape(-1, 4), confidence, _five(found[:, 2:]))

    def _look(self, image: Image) -> tuple[Floats, NDArray[np.float64]]:
        """(N, 8, 2), two corners of the box and six points of each face in a picture, its pixels; (N,) confidence."""
        side = max(image.shape[:2])
        boxes, logits = self._backend(_framed(image)[None])
        # Beyond 30 the probability is 0 or 1 in float32, and the exponential must not overflow.
        confidence = 1 / (1 + np.exp(-logits.reshape(-1).astype(np.float64).clip(-30, 30)))
        likely = np.flatnonzero(confidence >= _LEAST)
        decoded = _decoded(boxes[0, likely].astype(np.float64), self._anchors[likely]) * side
        return merged(decoded, confidence[likely])


def anchors() -> Floats:
    """(896, 2) float64, the centres of the network's anchors as shares of the input.

    Two on each cell of a grid of 16 x 16 cells, then six on each of 8 x 8.
    """
    grids = []
    for cells, each in ((16, 2), (8, 6)):
        steps = (np.arange(cells) + 0.5) / cells
        grid = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
        grids.append(np.repeat(grid, each, axis=0))
    return np.concatenate(grids)


def merged(found: Floats, confidence: NDArray[np.float64]) -> tuple[Floats, NDArray[np.float64]]:
    """Weighted non-maximum suppression: the mean of the boxes of each face, and of its points, by their confidence.

    found : (N, P, 2), two corners of a box, then points; confidence : (N,)
    Returns (M, P, 2) and the highest confidence of each face, in falling order.
    """
    left = np.argsort(-confidence, kind="stable")
    faces, scores = [], []
    while len(left):
        same = _overlap(found[left[0], :2], found[left, :2]) > _SAME
        same[0] = True
        group, left = left[same], left[~same]
        faces.append(np.average(found[group], axis=0, weights=confidence[group]))
        scores.append(confidence[group[0]])
    return np.array(faces).reshape(-1, *found.shape[1:]), np.array(scores)


def _overlap(box: Floats, boxes: Floats) -> Floats:
    """Intersection over union of one box (2, 2) with boxes (N, 2, 2)."""
    sides = np.minimum(box[1], boxes[:, 1]) - np.maximum(box[0], boxes[:, 0])
    common = sides.clip(0).prod(axis=1)
    areas = (boxes[:, 1] - boxes[:, 0]).clip(0).prod(axis=1)
    return common / np.maximum(areas + (box[1] - box[0]).clip(0).prod() - common, 1e-12)


def _around(box: Floats) -> tuple[NDArray[np.int64], int]:
    """The corner (left, top) and the side of a square around a box (2, 2), with room around the face."""
    side = max(8, int(_ROOM * (box[1] - box[0]).max()))
    return np.round(box.mean(axis=0) - side / 2).astype(np.int64), side


def _cut(image: Image, corner: NDArray[np.int64], side: int) -> Image:
    """A square of a picture, (side, side, 3); black where it leaves the picture."""
    cut = np.zeros((side, side, 3), np.uint8)
    (left, top), (right, bottom) = corner.clip(0), np.clip(corner + side, 0, image.shape[1::-1])
    inside = image[top:bottom, left:right]
    cut[top - corner[1] :, left - corner[0] :][: len(inside), : inside.shape[1]] = inside
    return cut


def _framed(image: Image) -> NDArray[np.float32]:
    """The network's input, (128, 128, 3) float32 in [-1, 1]: the picture, with black at its right or below it."""
    import cv2

    height, width = image.shape[:2]
    scale = _SIDE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR))
    framed = np.zeros((_SIDE, _SIDE, 3), np.float32)
    framed[: size[1], : size[0]] = small
    return framed / np.float32(127.5) - 1


def _decoded(raw: Floats, anchors: Floats) -> Floats:
    """(N, 8, 2) of (N, 16): two corners of the box and six points, shares of the input's side."""
    values = raw.reshape(-1, 8, 2) / _SIDE
    centre, half = values[:, 0] + anchors, values[:, 1] / 2
    return np.concatenate([np.stack([centre - half, centre + half], axis=1), values[:, 2:] + anchors[:, None]], axis=1)


def _five(six: Floats) -> Floats:
    """MTCNN's five points (N, 5, 2) of BlazeFace's six (N, 6, 2): it has the centre of the mouth, not its corners."""
    along = six[:, _EYES[1]] - six[:, _EYES[0]]
    across = along[:, ::-1] * (-1, 1)

    corners = (six[:, _MOUTH] + right * along + down * across for right, down in _MOUTH_CORNERS)
    return np.stack([six[:, _EYES[0]], six[:, _EYES[1]], six[:, _NOSE], *corners], axis=1)
