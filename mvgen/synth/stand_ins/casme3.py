"""Layout of stand-ins of CAS(ME)³, part A: frames of colour and of depth, one expression a video."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np

from mvgen.synth.emotions import objective_class
from mvgen.synth.plan import ClipPlan
from mvgen.synth.releases import ClipName, Layout, Rows, numbered

_LETTERS = "abcdefghijklm"


def _name(subject: str, emotion: str, rng: np.random.Generator, used: Counter[str]) -> ClipName:
    index = used["video"]
    used["video"] += 1
    name = _LETTERS[index % len(_LETTERS)] * (index // len(_LETTERS) + 1)
    performed = {"happy": "happiness", "sad": "sadness"}.get(emotion, emotion)
    return ClipName(name, PurePosixPath("part_A", subject, name, "color"), performed)


def _sheets(plans: Sequence[ClipPlan]) -> dict[str, Rows]:
    """One sheet. Some file names and some emotions are capitals, as in the release."""
    rows: Rows = [["Subject", "Filename", "Onset", "Apex", "Offset", "AU", "Objective class", "emotion"]]
    for plan in plans:
        odd = plan.clip % 3 == 2
        name = plan.name.upper() if odd else plan.name
        emotion = "Others" if odd and plan.emotion == "others" else plan.emotion
        performed = {"happy": "happiness", "sad": "sadness"}.get(plan.emotion, plan.emotion)
        units = "+".join(plan.action_units)
        rows.append([plan.subject_name, name, *plan.span, units, objective_class(performed), emotion])
    return {"label": rows}


LAYOUT = Layout(
    name="casme3",
    frames=20,
    size=(1280, 720),
    emotions={
        "disgust": 250,
        "surprise": 187,
        "others": 161,
        "fear": 86,
        "anger": 64,
        "sad": 57,
        "happy": 55,
    },
    subjects=numbered(range(1, 218), "spNO.{}".format),
    name_clip=_name,
    file_name=lambda _, __, number: f"{number}.jpg",
    first_number=(1, 3000),
    workbook="cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx",
    sheets=_sheets,
    depth_file=lambda folder, number: folder.parent / "depth" / f"{number}.png",
)
