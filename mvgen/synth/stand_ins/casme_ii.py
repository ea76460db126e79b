"""Layout of stand-ins of CASME II."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np

from mvgen.synth.emotions import objective_class
from mvgen.synth.plan import ClipPlan
from mvgen.synth.releases import ClipName, Cropping, Layout, Rows, numbered


def _name(subject: str, emotion: str, rng: np.random.Generator, used: Counter[str]) -> ClipName:
    episode = int(rng.integers(1, 20))
    used[str(episode)] += 1
    name = f"EP{episode:02d}_{used[str(episode)]:02d}{'f' if rng.random() < 0.5 else ''}"
    return ClipName(name, PurePosixPath("CASME2_RAW_selected", subject, name), emotion)


def _sheets(plans: Sequence[ClipPlan]) -> dict[str, Rows]:
    """One sheet; two of its columns are empty."""
    rows: Rows = [
        [
            *("Subject", "Filename", None, "OnsetFrame", "ApexFrame", "OffsetFrame", None, "Action Units"),
            *("Estimated Emotion", "Objective Classes"),
        ]
    ]
    for plan in plans:
        units, objective = "+".join(plan.action_units), objective_class(plan.emotion)
        subject = plan.subject_name.removeprefix("sub")
        rows.append([subject, plan.name, None, *plan.span, None, units, plan.emotion, objective])
    return {"Sheet1": rows}


LAYOUT = Layout(
    name="casme-ii",
    frames=40,
    size=(640, 480),
    emotions={
        "others": 99,
        "disgust": 63,
        "happiness": 32,
        "repression": 27,
        "surprise": 25,
        "sadness": 7,
        "fear": 2,
    },
    subjects=numbered(range(1, 27), "sub{:02d}".format),
    name_clip=_name,
    file_name=lambda _, __, number: f"img{number}.jpg",
    first_number=(1, 300),
    workbook="CASME2-coding-20140508.xlsx",
    sheets=_sheets,
    cropping=Cropping(lambda folder, name: PurePosixPath("Cropped", *folder.parts[1:], f"reg_{name}")),
)
