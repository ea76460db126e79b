from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from factories import astronaut, noisy_clip, write_frames, write_stand_in, write_video
from PIL import Image

from mvgen.core.errors import ClipError, SourceError
from mvgen.core.records import FaceTrack
from mvgen.core.records import Image as Pixels
from mvgen.faces.crop import crop_frames
from mvgen.sources import get_source
from mvgen.sources.frames import ClipFrames, open_frames, read_frames


def moving(frames: int = 6) -> Pixels:
    """(T, 96, 128, 3): a crop that wanders over the photograph."""
    return np.stack([astronaut()[40 + 2 * t : 136 + 2 * t, 150:278] for t in range(frames)])


def test_a_video_is_read_frame_exact(tmp_path: Path) -> None:
    frames = moving()
    write_video(tmp_path / "anna/talk.mkv", frames, fps=50)
    (clip,) = get_source("folder").read(tmp_path).clips
    assert (clip.directory.as_posix(), clip.subject, clip.name, clip.fps) == ("anna/talk", "anna", "talk", 50.0)
    assert [frame.name for frame in clip.frames] == [f"{number:06d}.png" for number in range(1, 7)]
    assert (clip.onset, clip.apex, clip.offset, clip.label, clip.emotion) == (1, None, 6, None, "none")
    assert clip.redistribution == "gated"
    np.testing.assert_array_equal(read_frames(clip), frames)


def test_part_of_a_video_is_read_by_index(tmp_path: Path) -> None:
    frames = moving()
    write_video(tmp_path / "talk.avi", frames)
    (clip,) = get_source("folder").read(tmp_path).clips
    part = dataclasses.replace(clip, frames=clip.frames[2:5])
    np.testing.assert_array_equal(read_frames(part), frames[2:5])
    (tmp_path / "talk.avi").unlink()
    write_video(tmp_path / "talk.avi", frames[:3])
    with pytest.raises(ClipError, match=r"the video ends before frame 4.*talk\.avi"):
        read_frames(part)


@pytest.mark.parametrize("filmed", [True, False])
def test_a_long_clip_gives_the_same_frames_without_all_of_them_in_memory(
    filmed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = moving()
    if filmed:
        write_video(tmp_path / "talk.mkv", frames)
    else:
        (tmp_path / "talk").mkdir()
        for index, frame in enumerate(frames):
            Image.fromarray(frame).save(tmp_path / f"talk/img{index}.png")
    (clip,) = get_source("folder").read(tmp_path).clips
    clip = dataclasses.replace(clip, frames=clip.frames[1:])
    assert isinstance(open_frames(clip), np.ndarray)
    monkeypatch.setattr("mvgen.sources.frames._AT_ONCE", 1000)
    long = open_frames(clip)
    assert isinstance(long, ClipFrames)
    assert (len(long), long.shape) == (5, (5, 96, 128, 3))
    np.testing.assert_array_equal(long[[4, 0, 2]], frames[[5, 1, 3]])
    np.testing.assert_array_equal(np.stack(list(long)), frames[1:])
    face = FaceTrack(np.eye(3)[:2], 64, np.zeros((5, 2)), 0.9, 1, np.ones((64, 64), bool))
    np.testing.assert_array_equal(crop_frames(long, face), crop_frames(frames[1:], face))
    for frame in clip.frames:
        frame.path.unlink(missing_ok=True)
    with pytest.raises(ClipError, match=r"missing|No such file"):
        list(open_frames(clip))


def test_lossy_video_of_a_still_face_stays_close_to_the_photograph(tmp_path: Path) -> None:
    face = noisy_clip(astronaut()[40:168, 150:278], 4, 2.0)
    write_video(tmp_path / "still.mp4", face)
    (clip,) = get_source("folder").read(tmp_path).clips
    assert np.abs(read_frames(clip).astype(int) - face).mean() < 12


def test_frame_folders_and_videos_of_one_name_stay_apart(tmp_path: Path) -> None:
    write_frames(tmp_path / "a/b", ["f10.jpg", "f9.jpg"])
    write_video(tmp_path / "a/b.mkv", moving(3))
    write_video(tmp_path / "a/c.mkv", moving(3))
    write_video(tmp_path / "a/c.avi", moving(3))
    write_frames(tmp_path / ".hidden", ["f1.jpg", "f2.jpg"])
    clips = get_source("folder").read(tmp_path).clips
    assert [clip.directory.as_posix() for clip in clips] == ["a/b", "a/b.mkv", "a/c", "a/c.mkv"]
    assert [frame.name for frame in clips[0].frames] == ["f9.jpg", "f10.jpg"]
    assert (clips[0].fps, "no frame rate" in clips[0].notes[-1]) == (30.0, True)


def test_a_folder_of_frames_may_be_the_root_itself(tmp_path: Path) -> None:
    write_frames(tmp_path / "smile", ["x1.png", "x2.png"])
    (clip,) = get_source("folder").read(tmp_path / "smile").clips
    assert (clip.directory.as_posix(), clip.subject) == ("smile", "smile")


def test_the_table_gives_labels_and_frames(tmp_path: Path) -> None:
    write_video(tmp_path / "v/one.mkv", moving())
    write_frames(tmp_path / "v/two", [f"img{number}.jpg" for number in range(5, 10)])
    write_frames(tmp_path / "v/three", ["img1.jpg", "img2.jpg"])
    (tmp_path / "labels.csv").write_text(
        "clip,subject,emotion,label,onset,apex,offset,fps\n"
        "v/one.mkv,P1,Happiness,,2,3,5,\n"
        "v/two,P2,tense,negative,5,,0,120\n"
        "v/gone,P3,,,,,,\n",
        encoding="utf-8-sig",
    )
    listing = get_source("folder").read(tmp_path)
    found = {clip.name: clip for clip in listing.clips}
    one, two = found["one"], found["two"]
    assert (one.subject, one.emotion, one.label, one.onset, one.apex, one.offset) == (
        *("P1", "Happiness", "positive", 2, 3, 5),
    )
    assert (two.subject, two.label, two.apex, two.offset, two.fps) == ("P2", "negative", None, 9, 120.0)
    assert found["three"].label is None
    assert [(p.where, p.action) for p in listing.problems] == [("v/three", "repaired")]
    assert [(f.clip, "row 4 of labels.csv" in f.reason) for f in listing.failures] == [("v__gone", True)]
    assert listing.annotation_files == (tmp_path / "labels.csv",)


def test_usual_words_for_emotions_have_a_class_and_are_listed(tmp_path: Path) -> None:
    classes = {
        **{"happy": "positive", "Joy": "positive", "surprised": "surprise", "Surprise": "surprise"},
        **{"sad": "negative", "angry": "negative", "afraid": "negative", "disgusted": "negative"},
        **{"repression": "negative", "others": None, "confusion": None},
    }
    for number in range(len(classes)):
        write_frames(tmp_path / f"c{number}", ["1.jpg", "2.jpg"])
    lines = [f"c{number},{word}" for number, word in enumerate(classes)]
    (tmp_path / "labels.csv").write_text("\n".join(["clip,emotion", *lines]))
    listing = get_source("folder").read(tmp_path)
    assert {clip.emotion: clip.label for clip in listing.clips} == classes
    said = " ".join(problem.reason for problem in listing.problems)
    assert [word for word in classes if repr(word) in said] == [
        *("happy", "Joy", "surprised", "sad", "angry", "afraid", "disgusted", "confusion"),
    ]
    assert "'happy' is read as happiness, the class positive" in said
    (unknown,) = [clip for clip in listing.clips if clip.emotion == "confusion"]
    assert "unknown emotion 'confusion'" in unknown.notes[-1]


def test_a_table_that_classes_nothing_is_said_to(tmp_path: Path) -> None:
    write_frames(tmp_path / "a", ["1.jpg", "2.jpg"])
    (tmp_path / "labels.csv").write_text("clip,emotion\na,3\n")
    last = get_source("folder").read(tmp_path).problems[-1]
    assert (last.where, last.reason) == ("labels.csv", "its emotions and labels class no clip")


def test_an_offset_beyond_the_frames_is_listed_as_repaired(tmp_path: Path) -> None:
    write_frames(tmp_path / "a", [f"{number}.jpg" for number in range(1, 12)])
    (tmp_path / "labels.csv").write_text("clip,emotion,onset,apex,offset\na,fear,1,5,600\n")
    listing = get_source("folder").read(tmp_path)
    (problem,) = listing.problems
    assert "offset 600 has no frame: the nearest within the clip, 11, is taken" in problem.reason
    assert problem.where == "row 2 of labels.csv"
    assert "offset 600" in listing.clips[0].notes[0]


def test_a_view_of_a_store_drops_in_for_videos(tmp_path: Path) -> None:
    write_video(tmp_path / "root/v/one.mkv", moving(), fps=30)
    (tmp_path / "out/annotations").mkdir(parents=True)
    table = tmp_path / "out/annotations/labels.csv"
    table.write_text("clip;subject;emotion;fps\nv/one.mkv;P1;fear;30\n")
    listing = get_source("folder").read(tmp_path / "root", annotations=table)
    view = tmp_path / "out/views/yaw+15"
    write_frames(view / "v/one", [frame.name for frame in listing.clips[0].frames])
    seen, built = get_source("folder").read(view).clips[0], listing.clips[0]
    assert [frame.name for frame in seen.frames] == [frame.name for frame in built.frames]
    assert dataclasses.replace(seen, frames=()) == dataclasses.replace(built, frames=())


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("clip,emotoin\na,x\n", r"unknown column 'emotoin'; did you mean 'emotion'\?"),
        ("subject,emotion\na,x\n", "no column 'clip'"),
        ("clip,clip\na,x\n", "same column twice"),
        ("clip,onset\na,soon\n", r"line 2: 'soon' is not a frame number"),
        ("clip,fps\na,-3\n", "line 2: fps -3 is out of range"),
        ("clip,label\na,happy\n", "unknown label 'happy'; known: negative, positive, surprise"),
        ("clip,label\na,\na,\n", "line 3: clip 'a' is already in row 2 of labels.csv"),
        ("clip,label\n,positive\n", "line 2: the clip is missing"),
        ("clip,label\n", "no row below its header"),
        ("", "is empty"),
    ],
)
def test_bad_tables_are_refused_with_the_line(tmp_path: Path, table: str, message: str) -> None:
    write_frames(tmp_path / "a", ["1.jpg", "2.jpg"])
    (tmp_path / "labels.csv").write_text(table)
    with pytest.raises(SourceError, match=message) as caught:
        get_source("folder").read(tmp_path)
    assert "labels.csv" in str(caught.value)


def test_files_that_are_no_video_and_short_clips_fail_alone(tmp_path: Path) -> None:
    write_frames(tmp_path / "good", ["1.jpg", "2.jpg"])
    write_frames(tmp_path / "short", ["1.jpg"])
    (tmp_path / "text.mp4").write_text("no video at all")
    (tmp_path / "empty.mov").write_bytes(b"")
    (tmp_path / "labels.csv").write_text("clip,onset,apex,offset\ngood,1,2,2\nshort,1,1,1\n")
    listing = get_source("folder").read(tmp_path)
    assert [clip.name for clip in listing.clips] == ["good"]
    reasons = {failure.clip: failure.reason for failure in listing.failures}
    assert "unreadable video" in reasons["text"]
    assert "unreadable video" in reasons["empty"]
    assert reasons["short"] == "the clip has only one frame; motion needs two (row 3 of labels.csv)"


def test_grey_and_16_bit_pictures_become_8_bit_rgb(tmp_path: Path) -> None:
    from PIL import Image as PillowImage

    grey = astronaut()[:40, :50, 0]
    folder = tmp_path / "wide"
    folder.mkdir()
    for number in (1, 2):
        PillowImage.fromarray(grey.astype(np.uint16) * 257).save(folder / f"{number}.png")
    write_frames(tmp_path / "grey", ["1.png", "2.png"], grey=True)
    clips = {clip.name: clip for clip in get_source("folder").read(tmp_path).clips}
    np.testing.assert_array_equal(read_frames(clips["wide"])[0], np.repeat(grey[..., None], 3, axis=2))
    np.testing.assert_array_equal(np.ptp(read_frames(clips["grey"]), axis=-1), 0)


def test_the_demo_joins_a_stand_in_and_a_photograph(tmp_path: Path) -> None:
    write_stand_in(tmp_path / "casme2", "casme2", subjects=1, clips=3)
    write_frames(tmp_path / "astronaut", [f"img{number}.jpg" for number in range(1, 11)])
    listing = get_source("demo").read(tmp_path)
    assert [clip.directory.parts[0] for clip in listing.clips] == ["astronaut", "casme2", "casme2", "casme2"]
    still = listing.clips[0]
    assert (still.id, still.subject, still.emotion, still.label) == ("astronaut", "astronaut", "none", None)
    assert [frame.number for frame in still.frames] == list(range(1, 11))
    assert {clip.dataset for clip in listing.clips} == {"demo"}
    assert listing.redistribution == "open"
    assert listing.annotation_files == (tmp_path / "casme2/CAS(ME)^2code_final.xlsx",)


def test_the_demo_is_read_where_one_of_its_parts_was_left_out(tmp_path: Path) -> None:
    write_frames(tmp_path / "photograph/astronaut", [f"img{number}.jpg" for number in range(1, 3)])
    assert [clip.id for clip in get_source("demo").read(tmp_path / "photograph").clips] == ["astronaut"]
    write_stand_in(tmp_path / "acted/casme2", "casme2", subjects=1, clips=3)
    assert len(get_source("demo").read(tmp_path / "acted").clips) == 3
    (tmp_path / "neither").mkdir()
    with pytest.raises(SourceError, match="casme2 does not exist"):
        get_source("demo").read(tmp_path / "neither")


def test_a_table_may_give_action_units_objective_class_and_kind(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_frames(tmp_path / "s1" / name, ["f1.jpg", "f2.jpg"])
    table = tmp_path / "labels.csv"
    table.write_text("clip,emotion,action_units,objective_class,kind\ns1/a,happy,6+L12,II,Micro\ns1/b,sad,,,\n")
    first, second = get_source("folder").read(tmp_path).clips
    assert (first.action_units, first.objective_class, first.kind) == (("6", "L12"), "II", "micro")
    assert (second.action_units, second.objective_class, second.kind) == ((), None, None)
    table.write_text("clip,kind\ns1/a,mini\n")
    with pytest.raises(SourceError, match=r"labels\.csv, line 2: unknown kind 'mini'; known: micro, macro"):
        get_source("folder").read(tmp_path)
