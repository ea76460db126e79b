"""Whether landmarks give a better crop of a clip than the five points of the detector.

    python benchmarks/quality/crops.py --heads 24 --out crops.json

`truth`: distance of the crop from that of the true five points, on pictures of heads that are in no training data.
`repeat`: distance between crops of one photograph that is shifted, turned, scaled, darkened and made noisy.
Both are RMS distances over the crop, pixels of a 256-pixel crop. Prints a Markdown table with hardware and commit.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.common import Report, command_line, run_script
from mvgen.core.camera import pixel_grid
from mvgen.core.errors import ClipError
from mvgen.core.records import Image
from mvgen.faces.crop import crop_from_points, track_face, transform_points
from mvgen.faces.detection import Detector, FaceDetector
from mvgen.faces.face_mesh import FaceMesh
from mvgen.faces.landmarks import Landmarker, find_landmarks

Floats = NDArray[np.floating]

SEED, SIZE, FRAME = 750_001, 256, 384
WAYS = ("detector", "landmarks")


def crops(frame: Image, detector: Detector, landmarker: Landmarker) -> list[Floats]:
    """The crop (2, 3) of one frame in each of WAYS."""
    face = track_face(frame[None], SIZE, detector)
    return [face.crop, find_landmarks(frame[None], face, landmarker).crop]


def distance(crop: Floats, other: Floats) -> float:
    """RMS distance over the crop between two crops (2, 3) of one frame, pixels of the crop."""
    step = np.vstack([crop, [0, 0, 1]]) @ np.linalg.inv(np.vstack([other, [0, 0, 1]]))
    grid = pixel_grid(SIZE, SIZE).reshape(-1, 2)
    return float(np.sqrt(np.square(grid @ step[:2, :2].T + step[:2, 2] - grid).sum(axis=1).mean()))


def from_truth(count: int, detector: Detector, landmarker: Landmarker) -> Floats:
    """(N, 3), distance of the crops of N rendered heads from the true ones; undetected heads are left out."""
    from mvgen.scans import open_corpus
    from mvgen.scans.imaging.rendering import rigid
    from mvgen.training.depth_data import Setting, fitter, photograph

    generator = np.random.default_rng(SEED)
    away = []
    for subject in open_corpus("anny").draw(generator, 0, count):
        sitter = subject.sit(generator)
        setting = Setting.draw(sitter, generator, FRAME)
        picture = photograph(sitter, setting, generator, fitter())
        heads = sitter.dressed.heads
        five = rigid(heads.five_positions(sitter.vertices).astype(np.float64), setting.turn, np.zeros(3))
        wanted = crop_from_points(transform_points(setting.crop, setting.camera.project(five)[:, :2]), SIZE)
        try:
            away.append([distance(crop, wanted) for crop in crops(picture.colour, detector, landmarker)])
        except ClipError:
            continue
    return np.reshape(away, (-1, len(WAYS)))


def from_each_other(detector: Detector, landmarker: Landmarker, count: int = 12) -> Floats:
    """(N, 3), distance of the crops of N versions of a photograph, transformed back, from their mean."""
    from skimage.data import astronaut

    picture, generator = np.asarray(astronaut(), np.uint8), np.random.default_rng(SEED)
    back = []
    for _ in range(count):
        turn, zoom = generator.normal(0, 5), np.exp(generator.normal(0, 0.1))
        motion = cv2.getRotationMatrix2D((225, 130), turn, zoom)
        motion[:, 2] += generator.normal(0, 8, 2)
        moved = cv2.warpAffine(picture, motion, picture.shape[1::-1], flags=cv2.INTER_CUBIC)
        dark = moved * generator.uniform(0.5, 1.1) + generator.normal(0, 5, picture.shape)
        frame = np.clip(dark, 0, 255).astype(np.uint8)
        # In OpenCV pixel centres are at whole numbers.
        motion[:, 2] += 0.5 - motion[:, :2] @ [0.5, 0.5]
        back.append([crop @ np.vstack([motion, [0, 0, 1]]) for crop in crops(frame, detector, landmarker)])
    middle = np.mean(back, axis=0)
    return np.array([[distance(one, other) for one, other in zip(some, middle, strict=True)] for some in back])


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--heads", type=int, default=24)
    chosen = parser.parse_args()
    tools = FaceDetector("cpu"), FaceMesh("cpu")
    measured = {"truth": from_truth(chosen.heads, *tools), "repeat": from_each_other(*tools)}
    rows = [[name, len(away), *np.sqrt(np.square(away).mean(axis=0))] for name, away in measured.items() if len(away)]
    Report(__file__, chosen).table(["pictures", "count", *WAYS], rows)


if __name__ == "__main__":
    run_script(main)
