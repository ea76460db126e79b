"""Layout of stand-ins of CASME."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np

from mvgen.synth.plan import ClipPlan
from mvgen.synth.releases import ClipName, Cropping, Layout, Rows, numbered

# Subjects whose frame numbers are padded to three digits: those of the second half of the release.
_PADDED_FROM = 9


def _name(subject: str, emotion: str, rng: np.random.Generator, used: Counter[str]) -> ClipName:
    episode = int(rng.integers(1, 13))
    used[str(episode)] += 1
    name = f"EP{episode:02d}_{used[str(episode)]}"
    performed = {"tense": "others"}.get(emotion, emotion)
    return ClipName(name, PurePosixPath("CASME_raw_selected", subject, name), performed)


def _file(subject: str, clip: str, number: int) -> str:
    padded = int(subject.removeprefix("sub")) >= _PADDED_FROM
    return f"{clip}-{number:03d}.jpg" if padded else f"{clip}-{number}.jpg"


def _sheets(plans: Sequence[ClipPlan]) -> dict[str, Rows]:
    """One sheet; two of its columns are empty. The second apex is coded for few clips."""
    header: list[object] = ["Subject", "Filename", None, "OnsetF", "ApexF1", "ApexF2", "OffsetF", None, "AU", "Emotion"]
    rows: Rows = [header]
    for plan in plans:
        onset, apex, offset = plan.span
        second = min(apex + 1, offset) if plan.clip % 4 == 3 else 0
        subject, units = int(plan.subject_name.removeprefix("sub")), "+".join(plan.action_units)
        rows.append([subject, plan.name, None, onset, apex, second, offset, None, units, plan.emotion])
    return {"Sheet1": rows}


LAYOUT = Layout(
    name="casme",
    frames=24,
    size=(640, 480),
    emotions={
        "tense": 69,
        "disgust": 44,
        "repression": 38,
        "surprise": 20,
        "happiness": 9,
        "sadness": 6,
        "fear": 2,
        "contempt": 1,
    },
    subjects=numbered((1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20), "sub{:02d}".format),
    name_clip=_name,
    file_name=_file,
    first_number=(1, 200),
    workbook="casme.xlsx",
    sheets=_sheets,
    cropping=Cropping(lambda folder, name: PurePosixPath("Cropped", *folder.parts[1:], f"reg_{name}")),
)
