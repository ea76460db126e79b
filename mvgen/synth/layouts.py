"""Workbooks of stand-ins, with the releases' sheets, headers and oddities. The same plans give the same bytes."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path, PurePosixPath

from mvgen.core.errors import ConfigError
from mvgen.synth.plan import ClipPlan
from mvgen.synth.releases import get_layout

Rows = list[list[object]]

# A workbook states when it was made; stand-ins all say the same, so that their bytes do not depend on the day.
_DATE = datetime(2000, 1, 1)
_SAMM_HEADER_ROW = 14
# Videos that were watched, by the code in their folders' names (CAS(ME)², sheet naming rule2).
_CASME2_VIDEOS = {
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
# Objective classes by action units come out as these for the acted emotions (Davison et al. 2018b, arXiv:1708.07549).
_OBJECTIVE = {"happiness": "I", "surprise": "II", "anger": "III", "disgust": "IV", "sadness": "V", "fear": "VI"}


def frame_path(plan: ClipPlan, index: int) -> PurePosixPath:
    """Where a frame of a clip lies, relative to the stand-in's root."""
    return plan.directory / plan.names[index]


def write_workbook(layout: str, plans: Sequence[ClipPlan], out: Path) -> Path | None:
    """Write a release's workbook into `out`. Returns its path, None for SMIC, whose short clips have none.

    Raises ConfigError for an unknown layout or plans of another one.
    """
    get_layout(layout)
    if other := next((plan.layout for plan in plans if plan.layout != layout), None):
        raise ConfigError(f"plans are for layout {other!r}, not {layout!r}")
    if layout == "smic":
        return None
    writers: dict[str, tuple[str, Callable[[Sequence[ClipPlan]], dict[str, Rows]]]] = {
        "casme2": ("CAS(ME)^2code_final.xlsx", _casme2),
        "casme-ii": ("CASME2-coding-20140508.xlsx", _casme_ii),
        "samm": ("SAMM_Micro_FACS_Codes_v2.xlsx", _samm),
    }
    name, sheets = writers[layout]
    out.mkdir(parents=True, exist_ok=True)
    (out / name).write_bytes(xlsx_bytes(sheets(plans)))
    return out / name


def xlsx_bytes(sheets: dict[str, Rows]) -> bytes:
    """An .xlsx file that depends on its cells only: no dates of the day in its properties or its archive."""
    from openpyxl import Workbook

    book = Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for line, row in enumerate(rows, start=1):
            for column, value in enumerate(row, start=1):
                if value is not None:
                    sheet.cell(line, column, value)
    book.properties.created = _DATE
    written = io.BytesIO()
    book.save(written)
    fixed = io.BytesIO()
    with zipfile.ZipFile(written) as source, zipfile.ZipFile(fixed, "w", zipfile.ZIP_DEFLATED) as target:
        for name in sorted(source.namelist()):
            content = source.read(name)
            if name == "docProps/core.xml":
                stamp = f"{_DATE:%Y-%m-%dT%H:%M:%SZ}".encode()
                content = re.sub(rb"(<dcterms:modified[^>]*>)[^<]*", rb"\g<1>" + stamp, content)
            entry = zipfile.ZipInfo(name, date_time=_DATE.timetuple()[:6])
            entry.compress_type = zipfile.ZIP_DEFLATED
            target.writestr(entry, content, compresslevel=9)
    return fixed.getvalue()


def _numbers(plan: ClipPlan) -> tuple[int, int, int]:
    return plan.numbers[plan.onset], plan.numbers[plan.apex], plan.numbers[plan.offset]


def _casme2(plans: Sequence[ClipPlan]) -> dict[str, Rows]:
    """No header row; sheets go by position. Macro clips that run to their last frame have offset 0."""
    coding: Rows = []
    for plan in plans:
        onset, apex, offset = _numbers(plan)
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
        "naming rule2": [[code, video] for code, video in _CASME2_VIDEOS.items()],
    }


def _casme_ii(plans: Sequence[ClipPlan]) -> dict[str, Rows]:
    """Two columns without a name or a cell."""
    rows: Rows = [
        [
            *("Subject", "Filename", None, "OnsetFrame", "ApexFrame", "OffsetFrame", None, "Action Units"),
            *("Estimated Emotion", "Objective Classes"),
        ]
    ]
    for plan in plans:
        units, objective = "+".join(plan.action_units), _OBJECTIVE.get(plan.emotion, "VII")
        subject = plan.subject_name.removeprefix("sub")
        rows.append([subject, plan.name, None, *_numbers(plan), None, units, plan.emotion, objective])
    return {"Sheet1": rows}


def _samm(plans: Sequence[ClipPlan]) -> dict[str, Rows]:
    """Thirteen rows about the coding come before the header."""
    introduction: Rows = [
        ["Micro-movement coding"],
        ["Frames count from the start of the recording, at 200 frames per second."],
        ["Onset, apex and offset were coded by hand; action units follow FACS."],
    ]
    introduction += [[None]] * (_SAMM_HEADER_ROW - 1 - len(introduction))
    header: list[object] = [
        *("Subject", "Filename", "Inducement Code", "Onset Frame", "Apex Frame", "Offset Frame", "Duration", "Micro"),
        *("Action Units", "Estimated Emotion", "Objective Classes", "Notes"),
    ]
    rows: Rows = []
    for plan in plans:
        onset, apex, offset = _numbers(plan)
        units = "+".join(f"AU{unit}" if unit.isdigit() else f"{unit[0]}AU{unit[1:]}" for unit in plan.action_units)
        objective = _OBJECTIVE.get(plan.emotion.lower(), "VII")
        inducement = int(plan.name.split("_")[1])
        timing = [onset, apex, offset, offset - onset + 1, "Micro - 1/2"]
        rows.append([plan.subject_name, plan.name, inducement, *timing, units, plan.emotion, objective, None])
    return {"MICRO_ONLY": [*introduction, header, *rows]}
