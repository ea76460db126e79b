"""Layout of stand-ins of 4DME: grey frames, each with a mesh of the head. Sizes and proportions are assumed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np

from mvgen.synth.plan import ClipPlan
from mvgen.synth.releases import ClipName, Cropping, Layout, Rows, numbered

_PERFORMED = {"negative": "disgust", "positive": "happiness", "surprise": "surprise"}


def _name(subject: str, emotion: str, rng: np.random.Generator, used: Counter[str]) -> ClipName:
    used["clip"] += 1
    name = f"{subject}_1st_{used['clip']:03d}_01"
    return ClipName(name, PurePosixPath("gray_micro", subject, name), _PERFORMED.get(emotion, emotion))


def _sheets(plans: Sequence[ClipPlan]) -> dict[str, Rows]:
    """One sheet."""
    rows: Rows = [["sub_ID", "fold_name", "Onset", "Apex", "Offset", "Emotion", "AUs"]]
    for plan in plans:
        emotion, units = plan.emotion.capitalize(), "+".join(f"AU{unit}" for unit in plan.action_units)
        rows.append([plan.subject_name, plan.name, *plan.span, emotion, units])
    return {"Sheet1": rows}


LAYOUT = Layout(
    name="4dme",
    frames=30,
    size=(640, 480),
    emotions={
        "negative": 127,
        "repression": 30,
        "surprise": 30,
        "positive": 34,
        "others": 46,
    },
    subjects=numbered(range(1, 57), "S{:02d}".format),
    name_clip=_name,
    file_name=lambda _, __, number: f"{number}.jpg",
    first_number=(1, 2000),
    workbook="4DME_Labelling_Micro_release v1.xlsx",
    sheets=_sheets,
    grey=True,
    mesh_file=lambda folder, number: PurePosixPath("DI4D_micro", *folder.parts[1:], f"{number}.obj"),
    cropping=Cropping(lambda folder, name: PurePosixPath("gray_micro_crop", *folder.parts[1:], name)),
)
