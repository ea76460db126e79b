"""Track the face of a clip and cut one stable crop out of all its frames.

Convention: `crop` (2, 3) maps a source pixel to a crop pixel, pixel centres at +0.5 on both sides. The five points are
those of `mvgen.faces.detection`.
Source: Umeyama, Least-squares estimation of transformation parameters between two point patterns, 1991.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import EYE_CENTRE, EYE_DISTANCE, pixel_grid
from mvgen.core.errors import ClipError
from mvgen.core.records import FaceTrack, Frames, Image, Mask
from mvgen.faces.detection import Detector, Faces

Floats = NDArray[np.floating]

# On nine clips the crop from three frames differs from that of all frames by 0.5 % in size and 0.8 % of the
# inter-ocular distance in position, from five by 0.4 % and 0.7 %; the depth network was trained with 3.5 % and 3 %.
_DETECTION_FRAMES = 3
_LONGEST_SIDE = 640  # larger frames are shrunk for the detector; a face of 20 pixels is enough for it
_SHORTEST_SIDE = 256  # smaller frames are enlarged on the second attempt
_CONFIDENT = 0.9  # a face of less confidence is taken only when there is no other
_SAME_FACE = 0.3  # intersection over union of the boxes of one face in two frames


def five_point_template() -> Floats:
    """(5, 2) float64, the five points of a mean frontal face: inter-ocular distances from the eye midpoint, y down."""
    return np.array([[-0.5, 0.0], [0.5, 0.0], [0.0, 0.57], [-0.415, 1.156], [0.415, 1.156]])


def crop_from_points(points: Floats, size: int) -> Floats:
    """Least-squares similarity from five points of a face to the canonical crop of `mvgen.core.camera`.

    points : (..., 5, 2) source pixels
    size : side of the crop, pixels
    Returns (..., 2, 3) float64, source pixel -> crop pixel: rotation, one scale and a shift, never a reflection.
    Raises ValueError when the five points are equal.
    Source: Umeyama 1991; in the plane its solution is one complex number.
    """
    target = five_point_template() * (EYE_DISTANCE * size) + np.array(EYE_CENTRE) * size
    points = np.asarray(points, dtype=np.float64)
    source = points[..., 0] + 1j * points[..., 1]
    goal = target[:, 0] + 1j * target[:, 1]
    centre = source.mean(axis=-1)
    spread = source - centre[..., None]
    power = (np.abs(spread) ** 2).sum(axis=-1)
    if not np.all(power > 0):
        raise ValueError("five equal points do not define a face crop")
    turn = (spread.conj() * (goal - goal.mean())).sum(axis=-1) / power
    shift = goal.mean() - turn * centre
    rows = [np.stack([turn.real, -turn.imag, shift.real], -1), np.stack([turn.imag, turn.real, shift.imag], -1)]
    return np.stack(rows, axis=-2)


def transform_points(matrix: Floats, points: Floats) -> Floats:
    """Points (..., 2) transformed by an affine matrix (2, 3)."""
    return points @ matrix[:, :2].T + matrix[:, 2]


def _find(image: Image, detector: Detector, scale: float, border: float) -> Faces:
    """Faces of an image that is scaled and padded before detection, in the original image's pixels."""
    import cv2

    height, width = image.shape[:2]
    if scale != 1:
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        image = np.asarray(
            cv2.resize(image, (round(width * scale), round(height * scale)), interpolation=how), np.uint8
        )
    stretch = np.array([image.shape[1] / width, image.shape[0] / height])
    pad = round(border * max(image.shape[:2]))
    if pad:
        image = np.asarray(cv2.copyMakeBorder(image, pad, pad, pad, pad, cv2.BORDER_REPLICATE), np.uint8)
    found = detector.detect(image)
    return Faces((found.boxes - pad) / np.tile(stretch, 2), found.confidence, (found.points - pad) / stretch)


def _detect(frames: Frames, detector: Detector) -> list[Faces]:
    """Faces of every frame; where none is found or one leaves the frame, with a border and small frames enlarged.

    The detector stretches the visible part of a box that leaves the picture, which moves the points: faces that fill
    the picture need a border.
    """
    height, width = frames.shape[1:3]
    scale = min(1.0, _LONGEST_SIDE / max(height, width))
    found = [_find(frame, detector, scale, border=0.0) for frame in frames]
    confident = [faces.boxes[faces.confidence >= _CONFIDENT] for faces in found]
    if not any(len(boxes) for boxes in confident) or any(_leaves_picture(boxes, height, width) for boxes in confident):
        larger = max(scale, min(4.0, _SHORTEST_SIDE / min(height, width)))
        second = [_find(frame, detector, larger, border=0.3) for frame in frames]
        best = [max(faces.confidence.max(initial=0) for faces in attempt) for attempt in (found, second)]
        found = second if best[1] >= min(best[0], _CONFIDENT) else found
    return found


def _leaves_picture(boxes: Floats, height: int, width: int) -> bool:
    """Whether the largest box, squared as in the detector, leaves the picture."""
    if not len(boxes):
        return False
    box = boxes[np.argmax(_area(boxes))]
    centre, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]).max() / 2
    return bool((centre < half).any() or (centre + half > [width, height]).any())


def _overlap(box: Floats, boxes: Floats) -> Floats:
    """Intersection over union of one box (4,) with boxes (N, 4)."""
    corner = np.maximum(box[:2], boxes[:, :2])
    sides = np.clip(np.minimum(box[2:], boxes[:, 2:]) - corner, 0, None)
    common = sides.prod(axis=1)
    return common / np.maximum(_area(box[None]) + _area(boxes) - common, 1e-9)


def _area(boxes: Floats) -> Floats:
    return np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(axis=1)


def track_face(frames: Frames, size: int, detector: Detector, onset: int = 0) -> FaceTrack:
    """One stable crop for a whole clip: a detector's jitter between frames exceeds a micro-expression.

    frames : (T, H, W, 3) uint8
    size : side of the crop, pixels
    onset : index of the onset frame, which is always used
    Uses three frames at most, the largest face, and the median of its points over the frames that show it.
    Raises ClipError("face") when no frame shows a face.
    """
    chosen = detection_frames(len(frames), onset)
    found = _detect(frames[chosen], detector)
    if not any(len(faces.boxes) for faces in found):
        raise ClipError("face", f"no face found in {len(chosen)} frames")
    least = _CONFIDENT if any((faces.confidence >= _CONFIDENT).any() for faces in found) else 0.0
    confident = [
        Faces(faces.boxes[keep], faces.confidence[keep], faces.points[keep])
        for faces in found
        for keep in [faces.confidence >= least]
    ]
    boxes = np.concatenate([faces.boxes for faces in confident])
    largest = boxes[np.argmax(_area(boxes))]
    points, confidence = [], []
    for faces in confident:
        overlap = _overlap(largest, faces.boxes)
        if len(overlap) and overlap.max() > _SAME_FACE:
            points.append(faces.points[overlap.argmax()])
            confidence.append(faces.confidence[overlap.argmax()])
    median = np.median(points, axis=0)
    crop = crop_from_points(median, size)
    return FaceTrack(
        crop=crop,
        size=size,
        points=transform_points(crop, median),
        confidence=float(np.median(confidence)),
        faces=max(len(faces.boxes) for faces in confident),
        inside=covered(crop, size, frames.shape[1], frames.shape[2]),
    )


def detection_frames(count: int, onset: int) -> list[int]:
    """Indices of the frames that a clip's face is detected in: the onset frame, then others spread over the clip."""
    spread = np.linspace(0, count - 1, min(_DETECTION_FRAMES, count)).round().astype(int)
    return list(dict.fromkeys([onset, *spread.tolist()]))[:_DETECTION_FRAMES]


def covered(crop: Floats, size: int, height: int, width: int) -> Mask:
    """(S, S) bool, crop pixels whose centre is in the source image."""
    linear = np.linalg.inv(crop[:, :2])
    source = (pixel_grid(size, size) - crop[:, 2]) @ linear.T
    return np.asarray(((source >= 0) & (source <= [width, height])).all(axis=-1))


def crop_frames(frames: Frames, face: FaceTrack) -> Image:
    """Cut the clip's one crop out of every frame.

    frames : (T, H, W, 3) uint8
    Returns (T, S, S, 3) uint8; black outside the source image. Cubic interpolation; where the crop is much smaller than
    its source the frames are low-passed first, so that skin texture does not alias into motion.
    """
    import cv2

    height, width = frames.shape[1:3]
    shrink = 1 / np.hypot(face.crop[0, 0], face.crop[1, 0])
    sigma = (shrink - 1) / 2 if shrink > 1.5 else 0.0
    # Only the part of the frame under the crop is processed.
    linear = np.linalg.inv(face.crop[:, :2])
    corners = (np.array([[0, 0], [1, 0], [0, 1], [1, 1]]) * face.size - face.crop[:, 2]) @ linear.T
    margin = 4 + int(np.ceil(4 * sigma + 2 * shrink))
    left, top = np.clip(np.floor(corners.min(axis=0)).astype(int) - margin, 0, [width - 1, height - 1])
    right, bottom = np.clip(np.ceil(corners.max(axis=0)).astype(int) + margin, [left + 1, top + 1], [width, height])
    # OpenCV has pixel centres at whole numbers.
    matrix = face.crop.copy()
    matrix[:, 2] += face.crop[:, :2] @ [left + 0.5, top + 0.5] - 0.5
    crops = np.empty((len(frames), face.size, face.size, 3), np.uint8)
    for index, frame in enumerate(frames):
        part = frame[top:bottom, left:right]
        smooth = cv2.GaussianBlur(part, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE) if sigma else part
        crops[index] = cv2.warpAffine(
            smooth, matrix, (face.size, face.size), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
        )
    crops[:, ~face.inside] = 0
    return crops
