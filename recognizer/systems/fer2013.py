"""FER2013, the faces on which the static stream of TSCNN is pretrained.

Source: Goodfellow et al., Challenges in Representation Learning, ICONIP 2013. One csv file: emotion (0 to 6), pixels
(48 x 48 grey values between spaces), Usage.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recognizer.errors import RecogniserError
from recognizer.ops.clips import resized

EXPRESSIONS = 7
_SIDE = 48
_COLUMNS = ("emotion", "pixels", "Usage")


def read_fer2013(path: Path, size: int = _SIDE) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images (N, size, size) uint8 and labels (N,) of its training part.

    Raises RecogniserError for a missing or invalid file, with the line of the error.
    """
    if not path.is_file():
        raise RecogniserError(f"{path} does not exist; set pretrain to the csv file of FER2013")
    pictures, labels = [], []
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        if not set(_COLUMNS) <= set(reader.fieldnames or ()):
            raise RecogniserError(f"{path} has no columns {', '.join(_COLUMNS)}; it is not the csv file of FER2013")
        for row in reader:
            if row["Usage"] != "Training":
                continue
            try:
                picture, label = np.array(row["pixels"].split(), np.uint8), int(row["emotion"])
            except (ValueError, OverflowError):
                picture, label = np.zeros(0, np.uint8), -1
            if len(picture) != _SIDE**2 or not 0 <= label < EXPRESSIONS:
                raise RecogniserError(f"{path}, line {reader.line_num}: no 48 x 48 grey values with an emotion 0 to 6")
            pictures.append(picture.reshape(_SIDE, _SIDE))
            labels.append(label)
    if not pictures:
        raise RecogniserError(f"{path} has no rows for training")
    return resized(np.stack(pictures), size, size).astype(np.uint8), np.array(labels, np.int64)
