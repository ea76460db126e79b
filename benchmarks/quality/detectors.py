"""Faces that the two detectors find in a folder of portraits, and how well they agree.

    python benchmarks/quality/detectors.py --photos PORTRAITS --out detectors.json

Per detector: pictures in which it finds a face, and in which the landmarker finds the same face in its crop;
milliseconds for the crop of a picture. Between the two: overlap of their boxes (intersection over union), and RMS
distance of their crops, pixels of a 256-pixel crop, before and after the crop is aligned to landmarks. Prints Markdown
tables with hardware and commit.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.common import Report, command_line, run_script
from benchmarks.quality.crops import distance
from mvgen.core.config import FaceConfig
from mvgen.core.errors import ClipError, ConfigError
from mvgen.core.records import Image
from mvgen.faces.crop import track_face
from mvgen.faces.detection import Detector
from mvgen.faces.detectors import get_detector
from mvgen.faces.face_mesh import FaceMesh
from mvgen.faces.landmarks import Landmarker, find_landmarks
from mvgen.pipeline.reconstruct import read_photograph

Floats = NDArray[np.floating]

SIZE = 256
DETECTORS = get_args(FaceConfig.model_fields["detector"].annotation)


class Seen:
    """One picture through one detector; None where there is no face. crops : from its points, and from landmarks"""

    def __init__(self, image: Image, detector: Detector, landmarker: Landmarker) -> None:
        faces = detector.detect(image)
        areas = (faces.boxes[:, 2:] - faces.boxes[:, :2]).prod(axis=1)
        self.box = faces.boxes[areas.argmax()] if len(areas) else None
        self.crops: list[Floats | None] = [None, None]
        start = time.perf_counter()
        try:
            face = track_face(image[None], SIZE, detector)
            self.seconds = time.perf_counter() - start
            self.crops[0] = face.crop
            self.crops[1] = find_landmarks(image[None], face, landmarker).crop
        except ClipError:
            self.seconds = time.perf_counter() - start


def overlap(one: Floats, other: Floats) -> float:
    """Intersection over union of two boxes (4,)."""
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    common = sides.clip(0).prod()
    return float(common / ((one[2:] - one[:2]).prod() + (other[2:] - other[:2]).prod() - common))


def summary(values: list[float]) -> list[float]:
    """Median, and the worse end of 95 in 100 for distances."""
    return np.percentile(values, [50, 95]).tolist() if values else [float("nan")] * 2


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--photos", type=Path, required=True, help="folder of pictures with one face each")
    parser.add_argument("--every", type=int, default=1, help="read one of every N pictures")
    chosen = parser.parse_args()
    files = sorted(path for path in chosen.photos.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    if not files:
        raise ConfigError(f"--photos {chosen.photos} holds no .jpg or .png pictures")
    torch.set_num_threads(1)
    mesh = FaceMesh("cpu")
    tools = {name: get_detector(name, "cpu") for name in DETECTORS}
    pictures = [
        {name: Seen(image, tool, mesh) for name, tool in tools.items()}
        for image in map(read_photograph, files[:: chosen.every])
    ]
    report = Report(__file__, chosen, f"{len(pictures)} pictures, one thread")
    rows = []
    for name in DETECTORS:
        seen = [picture[name] for picture in pictures]
        shares = [100 * float(np.mean([one.crops[step] is not None for one in seen])) for step in (0, 1)]
        rows.append([name, *shares, 1000 * float(np.mean([one.seconds for one in seen]))])
    report.section("Each")
    report.table(["detector", "face found, %", "with landmarks, %", "ms a picture"], rows)
    pairs = [[picture[name] for name in DETECTORS] for picture in pictures]
    boxes = [overlap(a.box, b.box) for a, b in pairs if a.box is not None and b.box is not None]
    report.section("Between the two")
    rows = [["overlap of boxes", len(boxes), *np.percentile(boxes, [50, 5]).tolist()]] if boxes else []
    for step, name in enumerate(("crops from points, pixels", "crops from landmarks, pixels")):
        crops = [[each.crops[step] for each in pair] for pair in pairs]
        away = [distance(one, other) for one, other in crops if one is not None and other is not None]
        rows.append([name, len(away), *summary(away)])
    report.table(["of", "pictures", "median", "worst of 95 in 100"], rows)


if __name__ == "__main__":
    run_script(main)
