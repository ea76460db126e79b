"""Layout of stand-ins of SAMM."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np

from mvgen.synth.emotions import objective_class
from mvgen.synth.plan import ClipPlan
from mvgen.synth.releases import ClipName, Cropping, Layout, Rows, numbered

_HEADER_ROW = 14


def _name(subject: str, emotion: str, rng: np.random.Generator, used: Counter[str]) -> ClipName:
    inducement = int(rng.integers(1, 8))
    used[str(inducement)] += 1
    name = f"{subject}_{inducement}_{used[str(inducement)]}"
    performed = {"other": "others"}.get(emotion.lower(), emotion.lower())
    return ClipName(name, PurePosixPath("SAMM", subject, name), performed)


def _sheets(plans: Sequence[ClipPlan]) -> dict[str, Rows]:
    """One sheet; thirteen rows about the coding precede the header."""
    introduction: Rows = [
        ["Micro-movement coding"],
        ["Frames count from the start of the recording, at 200 frames per second."],
        ["Onset, apex and offset were coded by hand; action units follow FACS."],
    ]
    introduction += [[None]] * (_HEADER_ROW - 1 - len(introduction))
    header: list[object] = [
        *("Subject", "Filename", "Inducement Code", "Onset Frame", "Apex Frame", "Offset Frame", "Duration", "Micro"),
        *("Action Units", "Estimated Emotion", "Objective Classes", "Notes"),
    ]
    rows: Rows = []
    for plan in plans:
        onset, apex, offset = plan.span
        units = "+".join(f"AU{unit}" if unit.isdigit() else f"{unit[0]}AU{unit[1:]}" for unit in plan.action_units)
        objective = objective_class(plan.emotion)
        inducement = int(plan.name.split("_")[1])
        timing = [onset, apex, offset, offset - onset + 1, "Micro - 1/2"]
        rows.append([plan.subject_name, plan.name, inducement, *timing, units, plan.emotion, objective, None])
    return {"MICRO_ONLY": [*introduction, header, *rows]}


LAYOUT = Layout(
    name="samm",
    frames=40,
    size=(960, 650),
    emotions={
        "Anger": 57,
        "Happiness": 26,
        "Other": 26,
        "Surprise": 15,
        "Contempt": 12,
        "Disgust": 9,
        "Fear": 8,
        "Sadness": 6,
    },
    subjects=numbered((6, 7, *range(9, 27), 28, *range(30, 38)), "{:03d}".format),
    name_clip=_name,
    file_name=lambda subject, _, number: f"{subject}_{number:05d}.jpg",
    first_number=(20, 8000),
    workbook="SAMM_Micro_FACS_Codes_v2.xlsx",
    sheets=_sheets,
    grey=True,
    cropping=Cropping(lambda folder, name: PurePosixPath("SAMM_CROP", *folder.parts[1:], name)),
)
