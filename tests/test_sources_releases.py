"""Each release's oddities, on trees of a few tiny pictures."""

from __future__ import annotations

import dataclasses
import shutil
from collections import Counter
from pathlib import Path

import pytest
from factories import write_frames, write_stand_in, write_table
from hypothesis import given
from hypothesis import strategies as st

from mvgen.core.config import SourceConfig
from mvgen.core.errors import ClipError, SourceError
from mvgen.core.records import Clip, Frame
from mvgen.sources import SOURCES, Listing, get_source, summarise
from mvgen.sources.base import subject_key
from mvgen.sources.casme2 import Casme2
from mvgen.sources.frames import frame_number, read_frames
from mvgen.sources.labels import action_units
from mvgen.sources.spans import settle_span
from mvgen.synth.layouts import xlsx_bytes
from mvgen.synth.releases import LAYOUTS

CASME_II_HEADER = [
    "Subject",
    "Filename",
    None,
    "OnsetFrame",
    "ApexFrame",
    "OffsetFrame",
    None,
    "Action Units",
    "Estimated Emotion",
]
SAMM_HEADER = ["Subject", "Filename", "Onset Frame", "Apex Frame", "Offset Frame", "Estimated Emotion"]


def write_casme2(root: Path, *rows: tuple[object, ...], tree: str = "selectedpic/selectedpic") -> None:
    """Rows are (subject, clip, onset, apex, offset, emotion); each gets frames 10 .. 14 unless the folder is there."""
    coding = [[*row[:5], "10or11", row[5], "micro-expression", "happyiness"] for row in rows]
    sheets = {
        "CASFEcode_final": coding,
        "naming rule1": [[15, "s15", 1], [19, "s19", 3]],
        "naming rule2": [["0401", "anger1"], [101, "disgust1"]],
    }
    root.mkdir(parents=True, exist_ok=True)
    (root / "CAS(ME)^2code_final.xlsx").write_bytes(xlsx_bytes(sheets))
    for row in rows:
        folder = root / tree / {1: "s15", 3: "s19"}[int(str(row[0]))] / str(row[1])
        if tree and not folder.exists():
            write_frames(folder, [f"img{number}.jpg" for number in range(8, 13)])


def write_casme_ii(
    root: Path, *rows: tuple[object, ...], tree: str = "CASME2_RAW_selected", name: str = "img{}.jpg"
) -> None:
    """Rows are (subject, clip, onset, apex, offset, emotion)."""
    table = [[r[0], r[1], None, r[2], r[3], r[4], None, "4", r[5]] for r in rows]
    write_table(root / "CASME2-coding-20140508.xlsx", [CASME_II_HEADER, *table])
    for row in rows:
        write_frames(root / tree / f"sub{int(str(row[0])):02d}" / str(row[1]), [name.format(n) for n in range(46, 52)])


def reasons(listing: Listing) -> dict[str, str]:
    return {failure.clip.split("__")[-1]: failure.reason for failure in listing.failures}


def comparable(clips: tuple[Clip, ...]) -> list[Clip]:
    """Clips without where their frames lie."""
    return [
        dataclasses.replace(clip, frames=tuple(dataclasses.replace(frame, path=Path()) for frame in clip.frames))
        for clip in clips
    ]


@pytest.mark.parametrize(
    ("cell", "units"),
    [
        ("4+L10 + R12", ("4", "L10", "R12")),
        ("AU4+AU7", ("AU4", "AU7")),
        ("10or11", ("10or11",)),
        ("1 or 2, 12;12", ("1or2", "12")),
        (4.0, ("4",)),
        ("NULL", ()),
        ("?", ()),
        (None, ()),
    ],
)
def test_a_cell_of_action_units_is_read_unit_by_unit(cell: object, units: tuple[str, ...]) -> None:
    assert action_units(cell) == units


def test_frame_numbers_are_integers_of_the_stem() -> None:
    names = ["img2977.jpg.jpg", "reg_img46.jpg", "006_05562.jpg", "image17581039.JPG", "sub01-ep1-007.bmp", "cover.png"]
    assert [frame_number(name) for name in names] == [2977, 46, 5562, 17581039, 7, None]


def test_subject_keys_drop_prefix_and_padding() -> None:
    assert [subject_key(name) for name in ("s15", "sub01", "006", "spNO.1", "astronaut", "0")] == [
        *("15", "1", "6", "1", "astronaut", "0")
    ]


def test_frames_come_in_the_order_of_their_numbers_and_strays_are_reported(tmp_path: Path) -> None:
    write_casme2(tmp_path, (1, "anger1_1", 8, 10, 12, "negative"))
    folder = tmp_path / "selectedpic/selectedpic/s15/anger1_1"
    (folder / "img12.jpg").rename(folder / "img12.jpg.JPG")
    write_frames(folder, ["cover.png", "img010.png"])
    (folder / "Thumbs.db").write_bytes(b"x")
    (folder / "._img11.jpg").write_bytes(b"x")
    listing = get_source("casme2").read(tmp_path)
    assert [frame.name for frame in listing.clips[0].frames] == [
        *("img8.jpg", "img9.jpg", "img010.png", "img11.jpg", "img12.jpg.JPG")
    ]
    assert [Path(p.where).name for p in listing.problems] == ["cover.png", "img10.jpg"]
    assert {problem.action for problem in listing.problems} == {"dropped"}


def test_casme2_apex_and_offset_faults_are_repaired_or_refused(tmp_path: Path) -> None:
    write_casme2(
        tmp_path,
        (1, "anger1_1", 8, 0, 12, "negative"),
        (1, "anger1_2", 8, 10, 0, "positive"),
        (1, "anger1_3", 8, 12, 11, "surprise"),
        (1, "disgust1_1", 8, 10, 12, "others"),
        (3, "anger1_1", 30, 31, 32, "negative"),
        (3, "anger1_2", "x", 31, 32, "negative"),
        (3, "anger1_3", 12, 11, 9, "negative"),
        (3, "anger1_4", 6, 9, 14, "bored"),
    )
    listing = get_source("casme2").read(tmp_path)
    found = {(clip.subject, clip.name): clip for clip in listing.clips}
    assert found["s15", "anger1_1"].apex is None
    assert "no apex" in found["s15", "anger1_1"].notes[0]
    assert found["s15", "anger1_2"].offset == 12
    assert "no offset" in found["s15", "anger1_2"].notes[0]
    assert found["s15", "disgust1_1"].label is None
    assert found["s15", "disgust1_1"].emotion == "others"
    moved = found["s19", "anger1_4"]
    assert (moved.onset, moved.offset, moved.label, len(moved.notes)) == (8, 12, None, 2)
    assert any("unknown emotion 'bored'" in problem.reason for problem in listing.problems)
    failures = {failure.clip: failure.reason for failure in listing.failures}
    assert sorted(failures) == [
        "selectedpic__selectedpic__s15__anger1_3",
        "selectedpic__selectedpic__s19__anger1_1",
        "selectedpic__selectedpic__s19__anger1_2",
        "selectedpic__selectedpic__s19__anger1_3",
    ]
    assert "apex outside the clip" in failures["selectedpic__selectedpic__s15__anger1_3"]
    assert "none of the frames 8 .. 12" in failures["selectedpic__selectedpic__s19__anger1_1"]
    assert "'x' is not a frame number" in failures["selectedpic__selectedpic__s19__anger1_2"]
    assert "offset 9 is before onset 12" in failures["selectedpic__selectedpic__s19__anger1_3"]
    assert all("of CAS(ME)^2code_final.xlsx" in reason for reason in failures.values())


def test_clips_without_frames_or_folder_are_failures_and_folders_without_a_row_are_reported(tmp_path: Path) -> None:
    rows = [(1, f"anger1_{clip}", 8, 10, 12, "negative") for clip in range(1, 5)]
    write_casme2(tmp_path, *rows)
    subject = tmp_path / "selectedpic/selectedpic/s15"
    shutil.rmtree(subject / "anger1_1")
    shutil.rmtree(subject / "anger1_2")
    (subject / "anger1_2").mkdir()
    for name in ("img8.jpg", "img9.jpg", "img11.jpg", "img12.jpg"):
        (subject / "anger1_3" / name).unlink()
    write_frames(subject / "happy9_9", ["img1.jpg"])
    listing = get_source("casme2").read(tmp_path)
    assert [clip.name for clip in listing.clips] == ["anger1_4"]
    said = reasons(listing)
    assert "no folder for this clip" in said["anger1_1"]
    assert "no frames" in said["anger1_2"]
    assert "only one frame" in said["anger1_3"]
    assert [problem.where for problem in listing.problems] == ["selectedpic/selectedpic/s15/happy9_9"]


def test_a_hole_in_the_numbers_is_noted(tmp_path: Path) -> None:
    write_casme2(tmp_path, (1, "anger1_1", 8, 10, 12, "negative"))
    (tmp_path / "selectedpic/selectedpic/s15/anger1_1/img10.jpg").unlink()
    (clip,) = get_source("casme2").read(tmp_path).clips
    assert clip.apex == 9
    assert clip.notes == (
        "apex 10 has no frame: the nearest within the clip, 9, is taken",
        "frames missing: 1, between 9 and 11",
    )


def test_casme2_cropped_has_no_s_and_either_tree_can_be_asked_for(tmp_path: Path) -> None:
    write_casme2(tmp_path, (1, "anger1_1", 8, 10, 12, "negative"))
    write_frames(tmp_path / "cropped/15/anger1_1", ["img8.jpg", "img10.jpg", "img12.jpg"])
    source = get_source("casme2")
    raw, cropped = source.read(tmp_path), source.read(tmp_path, variant="cropped")
    assert raw.clips == source.read(tmp_path, variant="raw").clips
    assert raw.clips[0].directory.as_posix() == "selectedpic/selectedpic/s15/anger1_1"
    assert cropped.clips[0].directory.as_posix() == "cropped/15/anger1_1"
    assert (cropped.clips[0].subject, cropped.clips[0].subject_key) == ("s15", "15")
    shutil.rmtree(tmp_path / "cropped")
    with pytest.raises(SourceError, match=r"no cropped frames .* only selectedpic \(raw\)"):
        source.read(tmp_path, variant="cropped")


def test_casme2_long_videos_give_each_clip_its_span_and_its_own_place(tmp_path: Path) -> None:
    rows = [
        (1, "anger1_1", 3, 5, 7, "negative"),
        (1, "anger1_2", 6, 7, 9, "positive"),
        (1, "anger1_3", 6, 7, 0, "positive"),
        (3, "disgust1_1", 2, 3, 4, "negative"),
    ]
    write_casme2(tmp_path, *rows, tree="")
    names = [f"img{number:03d}.jpg" for number in range(1, 12)]
    write_frames(tmp_path / "rawpic/s15/15_0401unnyfarting", names)
    write_frames(tmp_path / "rawpic/s19/19_0101disgustingteeth", names)
    listing = get_source("casme2").read(tmp_path)
    assert [(clip.directory.as_posix(), [f.number for f in clip.frames]) for clip in listing.clips] == [
        ("rawpic/s15/15_0401unnyfarting/anger1_1", [3, 4, 5, 6, 7]),
        ("rawpic/s15/15_0401unnyfarting/anger1_2", [6, 7, 8, 9]),
        ("rawpic/s19/19_0101disgustingteeth", [2, 3, 4]),
    ]
    assert "needs onset and offset" in reasons(listing)["anger1_3"]
    view = tmp_path / "out/views/yaw+15"
    for clip in listing.clips:
        write_frames(view / clip.directory, [frame.name for frame in clip.frames])
    again = get_source("casme2").read(view, annotations=tmp_path)
    assert comparable(again.clips) == comparable(listing.clips)


def test_casme2_workbook_may_be_updated_and_trees_not_doubled(tmp_path: Path) -> None:
    write_casme2(tmp_path, (1, "anger1_1", 8, 10, 12, "negative"), tree="selectedpic")
    book = tmp_path / "CAS(ME)^2code_final.xlsx"
    book.rename(tmp_path / "CAS(ME)^2code_final(Updated).xlsx")
    (tmp_path / "~$CAS(ME)^2code_final(Updated).xlsx").write_bytes(b"lock")
    listing = get_source("casme2").read(tmp_path)
    assert listing.clips[0].directory.as_posix() == "selectedpic/s15/anger1_1"
    assert listing.version == "CAS(ME)^2code_final(Updated).xlsx, raw frames"
    # Unpacked into a folder of its own, or given by its tree.
    inner = tmp_path / "outer" / "inner"
    shutil.copytree(tmp_path / "selectedpic", inner / "selectedpic")
    shutil.copy(listing.annotation_files[0], inner)
    assert get_source("casme2").read(tmp_path / "outer").clips[0].directory.parts[0] == "inner"
    tree = get_source("casme2").read(tmp_path / "selectedpic", annotations=listing.annotation_files[0])
    assert tree.clips[0].directory.as_posix() == "s15/anger1_1"


def test_casme_ii_reads_odd_names_and_slashes(tmp_path: Path) -> None:
    rows = [
        ("01", "EP06_02_01", 46, 48, 51, "happiness"),
        ("01", "EP09f", 46, 48, 51, "others"),
        (4, "EP12_01f", 46, "/", 51, "repression"),
        (4, "EP01_2", 46, 48, 51, "sadness"),
    ]
    write_casme_ii(tmp_path, *rows)
    listing = get_source("casme-ii").read(tmp_path)
    assert [(clip.subject, clip.name, clip.apex, clip.label) for clip in listing.clips] == [
        ("sub01", "EP06_02_01", 48, "positive"),
        ("sub01", "EP09f", 48, None),
        ("sub04", "EP01_2", 48, None),
        ("sub04", "EP12_01f", None, "negative"),
    ]
    assert listing.clips[0].fps == 200


def test_casme_ii_cropped_alone_and_the_newer_workbook_first(tmp_path: Path) -> None:
    write_casme_ii(tmp_path, (1, "EP02_01f", 46, 48, 51, "sadness"), tree="Cropped/Cropped", name="reg_img{}.jpg")
    newer = [
        CASME_II_HEADER,
        [None],
        [1, "EP02_01f", None, 46, 48, 51, None, "1+2", "surprise"],
        [1, "EP02_01f", None, 46],
    ]
    write_table(tmp_path / "CASME2-coding-20190701.xlsx", newer)
    listing = get_source("casme-ii").read(tmp_path)
    assert listing.clips[0].label == "surprise"
    assert listing.clips[0].frames[0].name == "reg_img46.jpg"
    assert [(p.where, p.action) for p in listing.problems] == [
        ("CASME2-coding-20140508.xlsx", "dropped"),
        ("row 4 of CASME2-coding-20190701.xlsx", "dropped"),
    ]


def test_samm_header_below_an_introduction_and_bad_apexes(tmp_path: Path) -> None:
    rows: list[list[object]] = [["notes"]] + [[None]] * 12 + [list(SAMM_HEADER)]
    rows += [["006", "006_1_2", 5562, 5565, 5566, "Other"], [28, "028_4_1", 1100, 1143, 1134, "Anger"]]
    rows += [["032", "032_3_1", 4896, 1930, 4900, "Fear"]]
    write_table(tmp_path / "SAMM_Micro_FACS_Codes_v2.xlsx", rows, sheet="MICRO_ONLY")
    for subject, clip, first in (("006", "006_1_2", 5562), ("028", "028_4_1", 1130), ("032", "032_3_1", 4896)):
        names = [f"{subject}_{number:05d}.jpg" for number in range(first, first + 5)]
        write_frames(tmp_path / "SAMM" / subject / clip, names, grey=True)
    listing = get_source("samm").read(tmp_path)
    (clip,) = listing.clips
    assert (clip.subject, clip.emotion, clip.label, clip.apex) == ("006", "Other", None, 5565)
    assert clip.frames[0].name == "006_05562.jpg"
    assert all("apex outside the clip" in reason for reason in reasons(listing).values())
    assert "apex 1143" in reasons(listing)["028_4_1"]
    pixels = read_frames(clip)
    assert pixels.shape == (5, 32, 32, 3)
    assert (pixels[..., 0] == pixels[..., 2]).all()


def test_short_trees_of_several_cameras_need_no_workbook_and_each_camera_has_its_rate(tmp_path: Path) -> None:
    names = [f"image{number:06d}.bmp" for number in (172002, 172003, 172004)]
    write_frames(tmp_path / "SMIC_all_raw/HS/s1/micro/negative/s1_ne_01", names)
    write_frames(tmp_path / "SMIC_all_raw/HS/s1/non_micro/s1_nonmicro_01", names)
    write_frames(tmp_path / "SMIC_all_raw/VIS/s11/micro/surprise/s11_sur_01", names)
    write_frames(tmp_path / "SMIC_all_cropped/HS/s1/micro/negative/s1_ne_01", names)
    assert [clip.fps for clip in get_source("smic").read(tmp_path).clips] == [100.0]
    listing = get_source("smic", SourceConfig(cameras="vis, HS")).read(tmp_path)
    assert [(clip.directory.as_posix(), clip.fps, clip.label) for clip in listing.clips] == [
        ("SMIC_all_raw/HS/s1/micro/negative/s1_ne_01", 100.0, "negative"),
        ("SMIC_all_raw/VIS/s11/micro/surprise/s11_sur_01", 25.0, "surprise"),
    ]
    clip = listing.clips[0]
    assert (clip.onset, clip.apex, clip.offset) == (172002, None, 172004)
    assert "largest change from onset" in clip.notes[0]
    assert [(problem.where, problem.action) for problem in listing.problems] == [("all clips", "repaired")]
    cropped = get_source("smic").read(tmp_path, variant="cropped")
    assert [clip.directory.parts[0] for clip in cropped.clips] == ["SMIC_all_cropped"]


def test_clips_of_one_expression_by_several_cameras_say_so(tmp_path: Path) -> None:
    for camera, name in (("HS", "s11_ne_01"), ("VIS", "s11_ne_01"), ("NIR", "s11_ne_01"), ("HS", "s11_ne_02")):
        write_frames(tmp_path / f"SMIC_all_raw/{camera}/s11/micro/negative/{name}", ["image1.bmp", "image2.bmp"])
    clips = get_source("smic", SourceConfig(cameras="HS,VIS,NIR")).read(tmp_path).clips
    assert Counter(clip.expression for clip in clips) == {"s11__s11_ne_01": 3, "s11__s11_ne_02": 1}
    shutil.rmtree(tmp_path / "SMIC_all_raw/HS")
    with pytest.raises(SourceError, match="holds no HS clips of SMIC; give --cameras NIR,VIS"):
        get_source("smic").read(tmp_path)


def test_macro_or_micro_expressions_can_be_left_out(tmp_path: Path) -> None:
    plans = write_stand_in(tmp_path, "casme2", subjects=4, clips=5, frames=40)
    for kind in ("micro", "macro"):
        listing = get_source("casme2", SourceConfig(kind=kind)).read(tmp_path)
        assert {clip.name for clip in listing.clips if clip.subject == "s15"} == {
            plan.name for plan in plans if plan.macro == (kind == "macro") and plan.subject == 0
        }
        assert {clip.kind for clip in listing.clips} == {kind}
        assert all(problem.action == "repaired" for problem in listing.problems)
    write_stand_in(tmp_path / "samm", "samm")
    with pytest.raises(SourceError, match="SAMM has no clip that is called macro; leave out --kind"):
        get_source("samm", SourceConfig(kind="macro")).read(tmp_path / "samm")
    with pytest.raises(SourceError, match="samm has no --cameras to choose"):
        get_source("samm", SourceConfig(cameras="VIS")).read(tmp_path / "samm")


def test_frames_around_an_expression_come_from_its_long_video(tmp_path: Path) -> None:
    rows = [(1, "anger1_1", 3, 4, 6, "negative"), (1, "anger1_2", 50, 52, 55, "negative")]
    write_casme2(tmp_path, *rows, tree="")
    write_frames(tmp_path / "rawpic/s15/15_0401girlcrashing", [f"img{n:03d}.jpg" for n in range(1, 61)])
    source = get_source("casme2", SourceConfig(video_frames=20))
    first, second = source.read(tmp_path).clips
    assert [frame.number for frame in first.frames] == list(range(1, 21))
    assert [frame.number for frame in second.frames] == list(range(41, 61))
    assert (second.onset, second.apex, second.offset) == (50, 52, 55)
    assert first.id != second.id
    assert first.expression == second.expression == "rawpic__s15__15_0401girlcrashing"
    view = tmp_path / "store/views/source"
    for clip in (first, second):
        (view / clip.directory).mkdir(parents=True)
        for frame in clip.frames:
            shutil.copy(frame.path, view / clip.directory)
    stored = source.read(view, annotations=tmp_path).clips
    assert comparable(stored) == comparable((first, second))
    whole = get_source("casme2", SourceConfig(video_frames=96)).read(tmp_path).clips
    assert [len(clip.frames) for clip in whole] == [60, 60]
    shutil.move(tmp_path / "rawpic", tmp_path / "selectedpic")
    with pytest.raises(SourceError, match="holds no long videos of CAS"):
        source.read(tmp_path)
    with pytest.raises(SourceError, match="folder has no --video-frames to choose"):
        get_source("folder", SourceConfig(video_frames=96)).read(tmp_path)


def test_long_videos_of_several_cameras_read_their_workbook_and_its_text_rows(tmp_path: Path) -> None:
    base = tmp_path / "SMIC-E_raw image/HS_long"
    rows = [
        ["Subject", "Filename", "OnsetF", "OffsetF", "Emotion", "FirstF"],
        [20, "s20_ne_01", 17581041, 17581043, "negative", 17581039],
        [1, "s1_po_01", 17581040, 17581042, None, 17581039],
        [1, "s1_po_01", 17581043, 17581045, None, 17581039],
        [None, "Note: frames are counted by the camera", None, None, None, None],
    ]
    write_table(base / "SMIC-HS-E_annotation.xlsx", rows)
    names = [f"image{number}.jpg" for number in range(17581039, 17581047)]
    write_frames(base / "SMIC-HS-E/s20/s20_ne_01", names)
    write_frames(base / "SMIC-HS-E/s01/s01_po_01", names)
    listing = get_source("smic").read(tmp_path)
    folder = "SMIC-E_raw image/HS_long/SMIC-HS-E"
    assert [(c.directory.as_posix(), c.name, c.label, len(c.frames)) for c in listing.clips] == [
        (f"{folder}/s01/s01_po_01/s1_po_01", "s1_po_01", "positive", 3),
        (f"{folder}/s01/s01_po_01/s1_po_01_2", "s1_po_01_2", "positive", 3),
        (f"{folder}/s20/s20_ne_01", "s20_ne_01", "negative", 3),
    ]
    assert [p.where for p in listing.problems] == ["all clips", "row 5 of SMIC-HS-E_annotation.xlsx"]
    (base / "SMIC-HS-E_annotation.xlsx").unlink()
    with pytest.raises(SourceError, match=r"no workbook such as\s+SMIC-HS-E_annotation\.xlsx"):
        get_source("smic").read(tmp_path)


@pytest.mark.parametrize("layout", LAYOUTS.built_in)
def test_a_view_of_a_store_drops_in_for_the_release(tmp_path: Path, layout: str) -> None:
    write_stand_in(tmp_path / "root", layout)
    source = get_source(layout)
    listing = source.read(tmp_path / "root")
    view = tmp_path / "out/views/yaw+15"
    for clip in listing.clips:
        write_frames(view / clip.directory, [frame.name for frame in clip.frames], size=(64, 64))
    (tmp_path / "out/annotations").mkdir()
    for file in listing.annotation_files:
        shutil.copy(file, tmp_path / "out/annotations")
    found = source.read(view)
    assert comparable(found.clips) == comparable(listing.clips)
    assert source.read(view, annotations=tmp_path / "out/annotations").clips == found.clips
    # A clip that was not built is one line, not a crash.
    shutil.rmtree(view / listing.clips[0].directory)
    partial = source.read(view)
    assert comparable(partial.clips) == comparable(listing.clips[1:])
    assert [failure.clip for failure in partial.failures] == ([] if layout == "smic" else [listing.clips[0].id])


def test_summary_counts_classes_and_subjects(tmp_path: Path) -> None:
    write_casme_ii(
        tmp_path,
        (10, "EP01_01", 46, 48, 51, "happiness"),
        (2, "EP01_01", 46, 48, 51, "others"),
        (2, "EP01_02", 46, 48, 51, "disgust"),
    )
    summary = summarise(get_source("casme-ii").read(tmp_path))
    assert (summary.clips, summary.frames) == (3, 18)
    assert summary.labels == {"negative": 1, "none": 1, "positive": 1}
    assert list(summary.subjects.items()) == [("sub02", {"negative": 1, "none": 1}), ("sub10", {"positive": 1})]


def test_two_sources_of_one_name_are_refused() -> None:
    with pytest.raises(SourceError, match=r"dataset 'casme2' is registered twice: mvgen.sources.casme2:Casme2 and "):
        SOURCES.add("casme2", Casme2)


def test_a_truncated_frame_and_a_frame_of_another_size_name_their_file(tmp_path: Path) -> None:
    write_casme2(tmp_path, (1, "anger1_1", 8, 10, 12, "negative"))
    (clip,) = get_source("casme2").read(tmp_path).clips
    whole = clip.frames[2].path.read_bytes()
    for broken in (whole[: len(whole) // 2], b"", b"no picture"):
        clip.frames[2].path.write_bytes(broken)
        with pytest.raises(ClipError, match=r"unreadable frame.*img10\.jpg") as caught:
            read_frames(clip)
        assert caught.value.path == clip.frames[2].path
    write_frames(clip.frames[2].path.parent, ["img10.jpg"], size=(48, 32))
    with pytest.raises(ClipError, match="frame 10 is 48x32, but the first frame is 32x32"):
        read_frames(clip)
    clip.frames[2].path.unlink()
    with pytest.raises(ClipError, match="frame is missing"):
        read_frames(clip)


@given(
    st.lists(st.integers(1, 60), min_size=2, max_size=12, unique=True),
    *[st.one_of(st.none(), st.integers(0, 60)) for _ in range(3)],
)
def test_a_settled_span_is_ordered_and_made_of_frames_that_exist(
    numbers: list[int], onset: int | None, apex: int | None, offset: int | None
) -> None:
    frames = [Frame(Path(f"{number}.jpg"), number, f"{number}.jpg") for number in sorted(numbers)]
    try:
        span = settle_span(onset, apex, offset, frames)
    except ClipError:
        assert (onset or offset or apex) is not None
        return
    assert {span.onset, span.offset} <= set(numbers)
    assert span.onset <= span.offset
    assert (span.apex is None) == (not apex)
    assert span.apex is None or (span.apex in numbers and span.onset <= span.apex <= span.offset)
    annotated = zip((onset, apex, offset), (span.onset, span.apex, span.offset), strict=True)
    assert len(span.notes) == sum(was != now or was is None for was, now in annotated)
