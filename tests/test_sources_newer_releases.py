"""CASME, MMEW, CAS(ME)³, SAMM Long Videos and DFME as they are distributed, quirks included."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from factories import write_frames, write_table

from mvgen.core.errors import SourceError
from mvgen.sources import Listing, get_source

SAMM_HEADER = ["Subject", "Filename", "Onset Frame", "Apex Frame", "Offset Frame", "Estimated Emotion"]


def reasons(listing: Listing) -> dict[str, str]:
    return {failure.clip.split("__")[-1]: failure.reason for failure in listing.failures}


def test_casme_frames_are_called_after_their_clip_and_padded_in_later_ones(tmp_path: Path) -> None:
    header = ["Subject", "Filename", None, "OnsetF", "ApexF1", "ApexF2", "OffsetF", None, "AU", "Emotion"]
    rows = [
        [1, "EP01_12", None, 8, 10, 11, 12, None, "4+L10", "tense"],
        [13, "EP02_8", None, 8, 10, 0, 12, None, "12", "Happiness"],
        [13, "EP02_9", None, 8, 20, 0, 12, None, "12", "happiness"],
    ]
    write_table(tmp_path / "casme.xlsx", [header, *rows])
    for folder, name in (("sub01/EP01_12", "EP01_12-{}.jpg"), ("sub13/EP02_8", "EP02_8-{:03d}.jpg")):
        write_frames(tmp_path / "CASME_raw_selected" / folder, [name.format(number) for number in range(8, 13)])
        write_frames(tmp_path / "Cropped" / folder, [f"reg_{name.format(number)}" for number in range(8, 13)])
    write_frames(tmp_path / "CASME_raw_selected/sub13/EP02_9", [f"EP02_9-{number:03d}.jpg" for number in range(8, 13)])
    raw = get_source("casme").read(tmp_path)
    assert [(clip.subject, clip.name, clip.apex, clip.label, clip.action_units) for clip in raw.clips] == [
        ("sub01", "EP01_12", 10, None, ("4", "L10")),
        ("sub13", "EP02_8", 10, "positive", ("12",)),
    ]
    assert "apex outside the clip" in reasons(raw)["EP02_9"]
    cropped = get_source("casme").read(tmp_path, variant="cropped")
    assert [[frame.number for frame in clip.frames] for clip in cropped.clips] == [[8, 9, 10, 11, 12]] * 2
    assert cropped.clips[1].frames[0].name == "reg_EP02_8-008.jpg"


def test_mmew_clips_lie_in_folders_of_emotions_and_a_wrong_apex_is_a_failure(tmp_path: Path) -> None:
    header = ["Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Action Units", "Estimated Emotion"]
    rows = [
        [13, "S13-07-001", 1, 3, 5, "4+7", "anger", None],
        [13, "S13-07-002", 1, 300, 5, "4", "anger", None],
        [2, "S02-06-001", 1, 2, 400, "14", "others", None],
    ]
    write_table(tmp_path / "MMEW_Micro_Exp.xlsx", [[*header, "remarks"], *rows])
    for folder in ("anger/S13-07-001", "anger/S13-07-002", "others/S02-06-001"):
        write_frames(tmp_path / "MMEW_Final/Micro_Expression" / folder, [f"{number}.jpg" for number in range(1, 12)])
    listing = get_source("mmew").read(tmp_path)
    assert [(clip.subject, clip.name, clip.apex, clip.offset, clip.label) for clip in listing.clips] == [
        ("13", "S13-07-001", 3, 5, "negative"),
        ("2", "S02-06-001", 2, 11, None),
    ]
    assert "offset 400 has no frame" in listing.clips[1].notes[0]
    assert "apex outside the clip" in reasons(listing)["S13-07-002"]
    inner = get_source("mmew").read(tmp_path / "MMEW_Final", annotations=tmp_path)
    assert inner.clips[0].directory.as_posix() == "Micro_Expression/anger/S13-07-001"


def test_casme3_clips_are_spans_of_a_video_whatever_the_case_of_its_name(tmp_path: Path) -> None:
    header = ["Subject", "Filename", "Onset", "Apex", "Offset", "AU", "Objective class", "emotion"]
    rows = [
        ["spNO.1", "a", 3, 4, 6, "4", 7, "others"],
        ["spNO.1", "A", 7, 8, 9, "12", 1, "Others"],
        ["spNO.1", "a", 8, 9, 0, "12", 1, "happy"],
        ["spNO.10", "B", 2, 3, 4, "1+2", 2, "surprise"],
        ["spNO.10", "k", 2, 3, 4, "1+2", 2, "surprise"],
    ]
    write_table(tmp_path / "annotation/cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx", [header, *rows], sheet="label")
    for video in ("spNO.1/a", "spNO.10/b"):
        write_frames(tmp_path / "part_A" / video / "color", [f"{number}.jpg" for number in range(1, 12)])
        write_frames(tmp_path / "part_A" / video / "depth", [f"{number}.png" for number in range(1, 12)])
    listing = get_source("casme3").read(tmp_path)
    found = [(c.directory.as_posix(), c.emotion, c.label, [frame.name for frame in c.frames]) for c in listing.clips]
    assert found == [
        ("part_A/spNO.1/a/color/a_3", "others", None, ["3.jpg", "4.jpg", "5.jpg", "6.jpg"]),
        ("part_A/spNO.1/a/color/a_7", "others", None, ["7.jpg", "8.jpg", "9.jpg"]),
        ("part_A/spNO.10/b/color", "surprise", "surprise", ["2.jpg", "3.jpg", "4.jpg"]),
    ]
    assert (listing.clips[2].subject_key, listing.clips[2].objective_class) == ("10", "2")
    assert "needs onset and offset" in reasons(listing)["a_8"]
    assert "no folder for this clip" in reasons(listing)["color"]
    # The clips that the authors cut lie in folders of their own.
    for clip, last in (("spNO.1_a_3", 6), ("spNO.1_A_8", 10)):
        numbers = range(int(clip.rpartition("_")[2]), last + 1)
        write_frames(tmp_path / "Part_A_ME_clip/frame" / clip, [f"{number}.jpg" for number in numbers])
    shutil.rmtree(tmp_path / "part_A")
    cut = get_source("casme3").read(tmp_path)
    assert [(clip.directory.as_posix(), clip.name, clip.offset) for clip in cut.clips] == [
        ("Part_A_ME_clip/frame/spNO.1_A_8", "a_8", 10),
        ("Part_A_ME_clip/frame/spNO.1_a_3", "a_3", 6),
    ]
    assert cut.failures[0].clip == "Part_A_ME_clip__frame__spNO.10_b_2"


def test_casme3_part_c_has_a_video_a_subject_and_no_apex(tmp_path: Path) -> None:
    rows = [
        ["sub", "count", "onset", "offset", "au", "emotion"],
        [1, 1, 9, 11, "4，7", "negative"],
        [1, 2, 12, 14, "12", "positive"],
        [2, 1, 9, 12, "1", "surprise"],
    ]
    write_table(tmp_path / "CAS(ME)3_part_C_ME.xlsx", rows, sheet="mockCrimeME")
    for subject in ("01", "02"):
        write_frames(tmp_path / "part_C/part_C" / subject / "a/color", [f"{number}.jpg" for number in range(8, 16)])
    listing = get_source("casme3-c").read(tmp_path)
    assert [(clip.directory.as_posix(), clip.name, clip.apex, clip.label) for clip in listing.clips] == [
        ("part_C/part_C/01/a/color/1", "1", None, "negative"),
        ("part_C/part_C/01/a/color/2", "2", None, "positive"),
        ("part_C/part_C/02/a/color", "1", None, "surprise"),
    ]
    assert listing.clips[0].action_units == ("4", "7")
    assert listing.problems == ()
    with pytest.raises(SourceError, match="Use --dataset casme3-c"):
        get_source("casme3").read(tmp_path)


def test_samm_long_videos_take_emotions_from_the_workbook_of_samm_beside(tmp_path: Path) -> None:
    header = ["Subject", "Filename", "Inducement Code", "Onset", "Apex", "Offset", "Duration", "Type", "Action Units"]
    rows: list[list[object]] = [["notes"]] + [[None]] * 8 + [[*header, "Notes"]]
    rows += [[6, "006_1_1", 1, 2, 3, 5, 4, "Macro", "AU12"], [6, "006_1_2", 1, 6, 7, 9, 4, "Micro - 1/2", "AU4"]]
    rows += [[7, "007_3_1", 3, 2, 3, 0, 0, "Macro", "AU1"]]
    write_table(tmp_path / "SAMM_LongVideos_V3_Release.xlsx", rows)
    for video in ("006_1", "007_3"):
        write_frames(tmp_path / "SAMM_longvideos" / video, [f"{video}_{number:04d}.jpg" for number in range(1, 12)])
    clips = get_source("samm-lv").read(tmp_path).clips
    assert [(clip.directory.name, clip.kind, clip.emotion, len(clip.frames)) for clip in clips] == [
        ("006_1_1", "macro", "none", 4),
        ("006_1_2", "micro", "none", 4),
    ]
    samm = write_table(
        tmp_path / "SAMM_Micro_FACS_Codes_v2.xlsx", [SAMM_HEADER, ["006", "006_1_2", 6, 7, 9, "Anger"]], "MICRO_ONLY"
    )
    listing = get_source("samm-lv").read(tmp_path)
    assert [(clip.emotion, clip.label) for clip in listing.clips] == [("none", None), ("Anger", "negative")]
    assert listing.annotation_files[-1] == samm
    assert "needs onset and offset" in reasons(listing)["007_3"]


def test_dfme_clips_lie_side_by_side_and_each_may_have_a_frame_rate(tmp_path: Path) -> None:
    header = ["Subject", "Filename", "FPS", "OnsetFrame", "ApexFrame", "OffsetFrame", "AUs", "Emotion"]
    rows = [
        ["sub001", "sub001_01", 500, 0, 3, 5, "4+L10", "Disgust"],
        [2, "b2", "300fps", 1, 3, 5, "14", "contempt"],
        [2, "b3", None, 1, 3, 5, None, "happiness"],
        [2, "b4", 90, 1, 3, 5, "1+2", "Surprise"],
        [3, "b5", 200, 1, 3, 5, "1+2", "Surprise"],
    ]
    write_table(tmp_path / "train_data/coding.xlsx", [header, *rows])
    for name in ("sub001_01", "B2", "b3", "b4", "b6"):
        write_frames(tmp_path / "train_data" / name, [f"{number:05d}.png" for number in range(6)])
    listing = get_source("dfme").read(tmp_path)
    assert [(c.subject, c.name, c.fps, c.onset, c.apex, c.offset, c.label, c.emotion) for c in listing.clips] == [
        ("2", "b2", 300.0, 1, 3, 5, "negative", "contempt"),
        ("2", "b3", 200.0, 1, 3, 5, "positive", "happiness"),
        ("2", "b4", 200.0, 1, 3, 5, "surprise", "surprise"),
        ("sub001", "sub001_01", 500.0, 0, 3, 5, "negative", "disgust"),
    ]
    assert listing.clips[3].action_units == ("4", "L10")
    assert reasons(listing) == {"b5": "no folder for this clip in train_data (row 6 of coding.xlsx)"}
    said = " ".join(problem.reason for problem in listing.problems)
    assert "the frame rate '90' is not one of the release" in said
    assert "do not mention this folder" in said


def test_dfme_without_offsets_and_units_is_read_too(tmp_path: Path) -> None:
    header, rows = ["Subject", "Filename", "OnsetFrame", "ApexFrame", "Emotion"], [["sub7", "sub7_1", 0, 2, "fear"]]
    write_table(tmp_path / "coding.xlsx", [header, *rows])
    write_frames(tmp_path / "train_data/sub7_1", [f"{number:05d}.png" for number in range(6)])
    (clip,) = get_source("dfme").read(tmp_path).clips
    assert (clip.onset, clip.apex, clip.offset, clip.action_units) == (0, 2, 5, ())
    assert any("no offset in the annotations" in note for note in clip.notes)
