"""Layout of stand-ins of SMIC: its short clips, which have no workbook."""

from __future__ import annotations

from collections import Counter
from pathlib import PurePosixPath

import numpy as np

from mvgen.synth.releases import ClipName, Cropping, Layout, numbered


def _name(subject: str, emotion: str, rng: np.random.Generator, used: Counter[str]) -> ClipName:
    code = {"negative": "ne", "positive": "po", "surprise": "sur"}[emotion]
    used[code] += 1
    name = f"{subject}_{code}_{used[code]:02d}"
    negative = ("disgust", "fear", "sadness", "anger")
    performed = {"positive": "happiness", "negative": negative[rng.integers(4)]}.get(emotion, emotion)
    return ClipName(name, PurePosixPath("SMIC_all_raw", "HS", subject, "micro", emotion, name), performed)


LAYOUT = Layout(
    name="smic",
    frames=24,
    size=(640, 480),
    emotions={"negative": 70, "positive": 51, "surprise": 43},
    subjects=numbered((1, 2, 3, 4, 5, 6, 8, 9, 11, 12, 13, 14, 15, 18, 19, 20), "s{}".format),
    name_clip=_name,
    file_name=lambda _, __, number: f"image{number:06d}.jpg",
    first_number=(1000, 190000),
    cut=True,
    cropping=Cropping(lambda folder, name: PurePosixPath("SMIC_all_cropped", *folder.parts[1:], name)),
)
