from __future__ import annotations

import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from factories import write_stand_in
from hypothesis import given, settings
from hypothesis import strategies as st

from mvgen.core.errors import ConfigError
from mvgen.sources import Listing, get_source
from mvgen.sources.frames import read_frames
from mvgen.sources.workbook import read_sheets, text
from mvgen.synth.emotions import ACTION_UNITS, one_sided
from mvgen.synth.filming import Setup
from mvgen.synth.layouts import frame_path, write_workbook
from mvgen.synth.plan import plan_release
from mvgen.synth.releases import LAYOUTS, get_layout

FIRST_ROWS = {
    "casme2": [],
    "casme-ii": ["Subject", "Filename", "", "OnsetFrame", "ApexFrame", "OffsetFrame", "", "Action Units"],
    "samm": [
        "Subject",
        "Filename",
        "Inducement Code",
        "Onset Frame",
        "Apex Frame",
        "Offset Frame",
        "Duration",
        "Micro",
    ],
    "casme": ["Subject", "Filename", "", "OnsetF", "ApexF1", "ApexF2", "OffsetF", "", "AU", "Emotion"],
    "mmew": ["Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Action Units", "Estimated Emotion"],
    "casme3": ["Subject", "Filename", "Onset", "Apex", "Offset", "AU", "Objective class", "emotion"],
    "4dme": ["sub_ID", "fold_name", "Onset", "Apex", "Offset", "Emotion", "AUs"],
    "dfme": ["Subject", "Filename", "FPS", "OnsetFrame", "ApexFrame", "OffsetFrame", "AUs", "Emotion"],
    "samm-lv": ["Subject", "Filename", "Inducement Code", "Onset", "Apex", "Offset", "Duration", "Type"],
}
# Rows above the header.
INTRODUCTIONS = {"samm": 13, "samm-lv": 9}


@pytest.mark.parametrize("layout", LAYOUTS.built_in)
def test_the_adapter_lists_exactly_what_was_planned(tmp_path: Path, layout: str) -> None:
    plans = write_stand_in(tmp_path, layout)
    listing = get_source(layout).read(tmp_path)
    assert listing.failures == ()
    found = [
        (c.directory, c.subject, c.name, c.emotion, c.onset, c.apex, c.offset, c.fps, tuple(f.name for f in c.frames))
        for c in listing.clips
    ]
    planned = [
        (
            *(plan.directory, plan.subject_name, plan.name, plan.emotion, plan.numbers[plan.onset]),
            *(None if layout == "smic" else plan.numbers[plan.apex], plan.numbers[plan.offset], plan.fps, plan.names),
        )
        for plan in plans
    ]
    assert found == sorted(planned)
    by_folder = {plan.directory: plan for plan in plans}
    for clip in listing.clips:
        plan = by_folder[clip.directory]
        numbers = {re.sub(r"AU", "", unit) for unit in clip.action_units}
        none = layout == "smic" or (layout == "casme2" and plan.emotion == "others")
        assert numbers == (set() if none else set(plan.action_units))
        assert (clip.objective_class is not None) == (layout in ("casme-ii", "samm", "casme3"))
        assert clip.kind == ("macro" if plan.macro else "micro")
        assert clip.expression == (f"{clip.subject}__{clip.name}" if layout == "smic" else clip.id)
    labels = set() if layout == "samm-lv" else {"negative", "positive", "surprise"}
    assert {clip.label for clip in listing.clips} >= labels
    assert read_frames(listing.clips[0]).shape == (6, 32, 32, 3)


@pytest.mark.parametrize("layout", LAYOUTS.built_in)
def test_problems_are_only_reported_where_the_release_has_them_too(tmp_path: Path, layout: str) -> None:
    write_stand_in(tmp_path, layout)
    problems = get_source(layout).read(tmp_path).problems
    assert [problem.where for problem in problems] == (["all clips"] if layout == "smic" else [])


def test_macro_clips_that_run_to_the_last_frame_have_offset_zero_and_read_back(tmp_path: Path) -> None:
    plans = write_stand_in(tmp_path, "casme2", subjects=4, clips=5, frames=40)
    assert {plan.macro for plan in plans} == {True, False}
    coding = read_sheets(tmp_path / "CAS(ME)^2code_final.xlsx")[0].rows
    zeros = [plan.name for plan, row in zip(plans, coding, strict=True) if row[4] == 0]
    assert zeros == [plan.name for plan in plans if plan.macro and plan.offset == 39]
    assert zeros
    offsets = {clip.directory: clip.offset for clip in get_source("casme2").read(tmp_path).clips}
    assert offsets == {plan.directory: plan.numbers[plan.offset] for plan in plans}


@pytest.mark.parametrize("layout", FIRST_ROWS)
def test_workbooks_have_the_header_of_the_release_and_the_same_bytes_every_time(tmp_path: Path, layout: str) -> None:
    plans = plan_release(layout, 2, 3, seed=5)
    path = write_workbook(layout, plans, tmp_path / "a")
    again = write_workbook(layout, plans, tmp_path / "b")
    assert path is not None
    assert again is not None
    assert path.read_bytes() == again.read_bytes()
    with zipfile.ZipFile(path) as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(2000, 1, 1, 0, 0, 0)}
        stamps = re.findall(rb">(\d{4}-[^<]*)<", archive.read("docProps/core.xml"))
        assert set(stamps) == {b"2000-01-01T00:00:00Z"}
    rows = read_sheets(path)[0].rows
    line = INTRODUCTIONS.get(layout, 0)
    header = [text(cell) for cell in rows[line]]
    assert header[: len(FIRST_ROWS[layout])] == FIRST_ROWS[layout]
    assert len(rows) == len(plans) + (line + 1 if FIRST_ROWS[layout] else 0)


def test_casme2_subjects_follow_the_naming_sheet(tmp_path: Path) -> None:
    plans = plan_release("casme2", 22, 1)
    names = [plan.subject_name for plan in plans]
    assert names[:3] == ["s15", "s16", "s19"]
    assert names[-1] == "s40"
    sheets = read_sheets(write_workbook("casme2", plans, tmp_path) or tmp_path)
    assert [sheet.name for sheet in sheets] == ["CASFEcode_final", "naming rule1", "naming rule2"]
    assert [(row[1], row[2]) for row in sheets[1].rows][:2] == [("s15", 1), ("s16", 2)]
    assert ("0401", "anger1") in sheets[2].rows


def test_samm_files_are_named_after_the_subject() -> None:
    plan = plan_release("samm", 1, 1)[0]
    assert plan.grey
    assert frame_path(plan, 0).as_posix() == f"SAMM/006/{plan.name}/006_{plan.numbers[0]:05d}.jpg"


@settings(max_examples=60)
@given(
    st.sampled_from(sorted(LAYOUTS)), st.integers(1, 6), st.integers(1, 8), st.integers(3, 120), st.integers(0, 2**32)
)
def test_every_plan_is_ordered_unique_and_of_real_duration(
    layout: str, subjects: int, clips: int, frames: int, seed: int
) -> None:
    plans = plan_release(layout, subjects, clips, frames, seed)
    assert plans == plan_release(layout, subjects, clips, frames, seed)
    assert [(plan.subject, plan.clip) for plan in plans] == [(s, c) for s in range(subjects) for c in range(clips)]
    assert len({plan.directory for plan in plans}) == len(plans) == len({plan.seed for plan in plans})
    labels = get_layout(layout).labels
    if len(plans) >= 3 and labels:
        assert {labels[plan.emotion] for plan in plans if plan.emotion in labels} == {
            "negative",
            "positive",
            "surprise",
        }
    for plan in plans:
        assert 0 <= plan.onset < plan.apex < plan.offset < frames == len(plan.numbers) == len(plan.names)
        assert {unit.lstrip("LR") for unit in plan.action_units} <= {
            u for c in ACTION_UNITS.values() for cc in c for u in cc
        }
        if not plan.macro and layout != "smic":
            assert (plan.offset - plan.onset) / plan.fps <= 0.5


def test_emotions_follow_the_release_and_a_quarter_is_one_sided() -> None:
    plans = plan_release("samm", 29, 10)
    counts = {word: sum(plan.emotion == word for plan in plans) for word in get_layout("samm").emotions}
    total = sum(get_layout("samm").emotions.values())
    for word, count in get_layout("samm").emotions.items():
        assert abs(counts[word] - count * len(plans) / total) <= 1
    sided = sum(any(unit[0] in "LR" for unit in plan.action_units) for plan in plans) / len(plans)
    assert 0.15 < sided < 0.35


def test_units_on_the_middle_line_take_no_side() -> None:
    assert one_sided(("14", "17"), "L") == ("L14", "17")
    with pytest.raises(ValueError, match="neither"):
        one_sided(("14",), "left")


def test_counts_that_leave_nothing_to_show_are_refused() -> None:
    with pytest.raises(ConfigError, match="at least 3 frames"):
        plan_release("casme2", 1, 1, 2)
    with pytest.raises(ConfigError, match="at least one subject"):
        plan_release("casme2", 0, 1)
    with pytest.raises(ConfigError, match=r"unknown layout 'casmee2'; did you mean 'casme2'\? Known: casme2"):
        plan_release("casmee2", 1, 1)


CROPPED = [layout for layout in LAYOUTS.built_in if get_layout(layout).cropping is not None]


@pytest.mark.parametrize("layout", CROPPED)
def test_cropped_frames_lie_where_the_release_has_them(tmp_path: Path, layout: str) -> None:
    cropping = get_layout(layout).cropping
    assert cropping is not None
    plans = write_stand_in(tmp_path, layout)
    raw = get_source(layout).read(tmp_path)
    for plan in plans:
        for name in plan.names:
            place = tmp_path / cropping.place(plan.directory, name)
            place.parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / plan.directory / name).rename(place)
        (tmp_path / plan.directory).rmdir()
    cropped = get_source(layout).read(tmp_path, variant="cropped")
    assert not cropped.failures

    def told(listing: Listing) -> list[tuple[object, ...]]:
        return sorted((c.subject_key, c.name, c.onset, [f.number for f in c.frames]) for c in listing.clips)

    assert told(cropped) == told(raw)
    assert all("raw" not in clip.directory.parts[0].lower() for clip in cropped.clips)


def test_a_crop_shows_the_face_from_forehead_to_chin_in_the_shape_of_the_release() -> None:
    (plan,) = plan_release("casme-ii", 1, 1)
    setup = Setup.of(plan, 640, 480)
    left, top, right, bottom = setup.face_box(280, 340)
    assert (right - left) / (bottom - top) == pytest.approx(280 / 340, abs=0.01)
    eyes, chin = setup.camera.project(np.array([[0.0, 0.0, 0.0], [0.0, -1.6, 0.0]]))[:, :2]
    assert left < eyes[0] < right
    assert top < eyes[1] - 0.6 * setup.camera.scale
    assert chin[1] < bottom < 480
