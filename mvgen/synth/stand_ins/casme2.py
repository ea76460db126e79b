"""Layout of stand-ins of CAS(ME)²."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np

from mvgen.synth.plan import ClipPlan
from mvgen.synth.releases import ClipName, Cropping, Layout, Rows, numbered

# A clip is named after the video that the subject watched: emotion -> videos that may have evoked it.
_WATCHED = {
    "negative": ("anger1", "disgust1", "anger2", "disgust2"),
    "positive": ("happy1", "happy2", "happy3", "happy4", "happy5"),
    "surprise": ("happy2", "disgust2", "happy5", "anger1"),
    "others": ("anger1", "happy1", "disgust1", "happy4"),
}
# Code in folder names -> video (sheet naming rule2).
_VIDEOS = {
    "0101": "disgust1",
    "0102": "disgust2",
    "0401": "anger1",
    "0402": "anger2",
    "0502": "happy1",
    "0503": "happy2",
    "0505": "happy3",
    "0507": "happy4",
    "0508": "happy5",
}


def _name(subject: str, emotion: str, rng: np.random.Generator, used: Counter[str]) -> ClipName:
    videos = _WATCHED[emotion]
    video = videos[rng.integers(len(videos))]
    used[video] += 1
    name = f"{video}_{used[video]}"
    performed = {"positive": "happiness", "negative": video[:-1]}.get(emotion, emotion)
    return ClipName(name, PurePosixPath("selectedpic", "selectedpic", subject, name), performed)


def _sheets(plans: Sequence[ClipPlan]) -> dict[str, Rows]:
    """No header row, and sheets are identified by position. Macro clips that end at their last frame have offset 0."""
    coding: Rows = []
    for plan in plans:
        onset, apex, offset = plan.span
        if plan.macro and plan.offset == len(plan.numbers) - 1:
            offset = 0
        units = "NULL" if plan.emotion == "others" else "+".join(plan.action_units)
        kind = "macro-expression" if plan.macro else "micro-expression"
        video = plan.name.split("_")[0][:-1]
        felt = "happyiness" if video == "happy" and plan.clip == 0 else {"happy": "happiness"}.get(video, video)
        coding.append([plan.subject + 1, plan.name, onset, apex, offset, units, plan.emotion, kind, felt])
    names = dict(sorted({plan.subject + 1: plan.subject_name for plan in plans}.items()))
    return {
        "CASFEcode_final": coding,
        "naming rule1": [[int(name[1:]), name, number] for number, name in names.items()],
        "naming rule2": [[code, video] for code, video in _VIDEOS.items()],
    }


LAYOUT = Layout(
    name="casme2",
    frames=14,
    size=(640, 480),
    emotions={"negative": 21, "others": 19, "surprise": 9, "positive": 8},
    subjects=numbered([number for number in range(15, 41) if number not in (17, 18, 28, 39)], "s{}".format),
    name_clip=_name,
    file_name=lambda _, __, number: f"img{number}.jpg",
    first_number=(40, 2600),
    workbook="CAS(ME)^2code_final.xlsx",
    sheets=_sheets,
    macros=True,
    doubled_suffix=True,  # img2977.jpg.jpg
    cropping=Cropping(
        lambda folder, name: PurePosixPath("cropped", "cropped", folder.parts[2].removeprefix("s"), folder.name, name)
    ),
)
