"""Layout of stand-ins of SAMM Long Videos: one expression a video, and no emotions, which its workbook has not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np

from mvgen.synth.plan import ClipPlan
from mvgen.synth.releases import ClipName, Layout, Rows
from mvgen.synth.stand_ins.samm import LAYOUT as SAMM

_HEADER_ROW = 10
_PERFORMED = ("anger", "happiness", "others", "surprise", "contempt", "disgust", "fear", "sadness")


def _name(subject: str, emotion: str, rng: np.random.Generator, used: Counter[str]) -> ClipName:
    used["video"] += 1
    video = f"{subject}_{used['video']}"
    performed = _PERFORMED[rng.integers(len(_PERFORMED))]
    return ClipName(f"{video}_1", PurePosixPath("SAMM_longvideos", video), performed)


def _sheets(plans: Sequence[ClipPlan]) -> dict[str, Rows]:
    """One sheet; nine rows about the coding precede the header."""
    rows: Rows = [["Macro- and micro-movement coding of the long videos"]]
    rows += [[None]] * (_HEADER_ROW - 1 - len(rows))
    header: list[object] = ["Subject", "Filename", "Inducement Code", "Onset", "Apex", "Offset", "Duration", "Type"]
    rows.append([*header, "Action Units", "Notes"])
    for plan in plans:
        onset, apex, offset = plan.span
        video = int(plan.name.split("_")[1])
        timing = [onset, apex, offset, offset - onset + 1, "Macro" if plan.macro else "Micro - 1/2"]
        rows.append([int(plan.subject_name), plan.name, video, *timing, "+".join(plan.action_units), None])
    return {"Sheet1": rows}


LAYOUT = Layout(
    name="samm-lv",
    frames=60,
    size=(2040, 1088),
    emotions={"none": 1},
    subjects=SAMM.subjects,
    name_clip=_name,
    file_name=lambda _, clip, number: f"{clip.rpartition('_')[0]}_{number:04d}.jpg",
    first_number=(1, 2),
    workbook="SAMM_LongVideos_V3_Release.xlsx",
    sheets=_sheets,
    grey=True,
    macros=True,
)
