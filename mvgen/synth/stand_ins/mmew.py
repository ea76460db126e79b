"""Layout of stand-ins of MMEW: its micro-expressions, cropped to the face."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np

from mvgen.synth.plan import ClipPlan
from mvgen.synth.releases import ClipName, Layout, Rows, numbered

# Emotion -> its number in clip names. Assumed, but for that of anger.
_CODES = {"happiness": 1, "surprise": 2, "disgust": 3, "fear": 4, "sadness": 5, "others": 6, "anger": 7}


def _name(subject: str, emotion: str, rng: np.random.Generator, used: Counter[str]) -> ClipName:
    used[emotion] += 1
    name = f"S{int(subject):02d}-{_CODES[emotion]:02d}-{used[emotion]:03d}"
    return ClipName(name, PurePosixPath("MMEW_Final", "Micro_Expression", emotion, name), emotion)


def _sheets(plans: Sequence[ClipPlan]) -> dict[str, Rows]:
    """One sheet."""
    header: list[object] = ["Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Action Units"]
    rows: Rows = [[*header, "Estimated Emotion", "remarks"]]
    for plan in plans:
        units = "+".join(plan.action_units)
        rows.append([int(plan.subject_name), plan.name, *plan.span, units, plan.emotion, None])
    return {"Sheet1": rows}


LAYOUT = Layout(
    name="mmew",
    frames=30,
    size=(231, 231),
    emotions={
        "surprise": 89,
        "disgust": 72,
        "others": 66,
        "happiness": 36,
        "fear": 16,
        "sadness": 13,
        "anger": 8,
    },
    subjects=numbered(range(1, 31), str),
    name_clip=_name,
    file_name=lambda _, __, number: f"{number}.jpg",
    first_number=(1, 2),
    workbook="MMEW_Micro_Exp.xlsx",
    sheets=_sheets,
    face_share=0.36,
)
