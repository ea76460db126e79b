"""The face detectors by name, see `mvgen.core.config.FaceConfig`."""

from __future__ import annotations

from typing import Literal

from mvgen.faces.detection import Detector, FaceDetector


def get_detector(name: Literal["mtcnn", "blazeface"], device: str) -> Detector:
    """The detector of that name, ready for pictures. device : "auto", "cpu" or "cuda" """
    if name == "mtcnn":
        return FaceDetector(device)
    from mvgen.faces.blazeface import BlazeFace

    return BlazeFace(device)
