"""Layout of stand-ins of DFME: clips side by side, PNG frames from 0. Sizes and proportions are assumed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np

from mvgen.synth.plan import ClipPlan
from mvgen.synth.releases import ClipName, Layout, Rows, numbered


def _name(subject: str, emotion: str, rng: np.random.Generator, used: Counter[str]) -> ClipName:
    used["clip"] += 1
    name = f"{subject}_{used['clip']:02d}"
    return ClipName(name, PurePosixPath("train_data", name), emotion)


def _sheets(plans: Sequence[ClipPlan]) -> dict[str, Rows]:
    """One sheet."""
    rows: Rows = [["Subject", "Filename", "FPS", "OnsetFrame", "ApexFrame", "OffsetFrame", "AUs", "Emotion"]]
    for plan in plans:
        emotion, units = plan.emotion.capitalize(), "+".join(plan.action_units)
        rows.append([plan.subject_name, plan.name, int(plan.fps), *plan.span, units, emotion])
    return {"Sheet1": rows}


LAYOUT = Layout(
    name="dfme",
    frames=100,
    size=(1024, 768),
    emotions={
        "disgust": 25,
        "surprise": 18,
        "happiness": 15,
        "sadness": 15,
        "fear": 14,
        "anger": 8,
        "contempt": 5,
    },
    subjects=numbered(range(1, 657), "sub{:03d}".format),
    name_clip=_name,
    file_name=lambda _, __, number: f"{number:05d}.png",
    first_number=(0, 1),
    workbook="coding.xlsx",
    sheets=_sheets,
)
