from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from factories import astronaut, write_frames, write_video

from mvgen.core.config import BuildConfig
from mvgen.core.errors import ConfigError, SourceError
from mvgen.core.settings import by_part, load_config
from mvgen.pipeline.stages import PipelineStages
from mvgen.sources import get_source
from mvgen.sources.base import Listing
from mvgen.sources.frames import read_frames, stream_frames
from mvgen.sources.parts import MARGIN

HEADER = "file,onset,apex,offset,onset_seconds,apex_seconds,offset_seconds,kind,score\n"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`a/talk.mkv` and the frames `b`, 40 frames each."""
    folder = tmp_path_factory.mktemp("recordings")
    frames = np.stack([astronaut()[40 + t : 104 + t, 150:214] for t in range(40)])
    write_video(folder / "a/talk.mkv", frames, fps=50)
    write_frames(folder / "b", [f"img{number:03d}.png" for number in range(100, 140)])
    return folder


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "clips.csv"
    rows = "a/talk.mkv,10,12,15,0,0,0,micro,3.1\na/talk.mkv,30,33,38,0,0,0,macro,5\nb,103,105,110,0,0,0,micro,4\n"
    path.write_text(HEADER + rows)
    return path


def read(root: Path, **flags: object) -> Listing:
    return PipelineStages().read(load_config(None, by_part({"dataset": "folder", "root": root, **flags})))


def test_each_spotted_expression_is_a_clip_with_a_margin(root: Path, table: Path) -> None:
    first, second, third = read(root, clips=table).clips
    assert [clip.directory.as_posix() for clip in (first, second, third)] == [
        "a/talk/000010", "a/talk/000030", "b/000103",
    ]  # fmt: skip
    assert (first.onset, first.apex, first.offset, first.fps, first.subject) == (10, 12, 15, 50.0, "a")
    assert [frame.number for frame in first.frames] == list(range(10 - MARGIN, 15 + MARGIN + 1))
    assert [frame.number for frame in second.frames] == list(range(30 - MARGIN, 41))
    assert [frame.number for frame in third.frames] == list(range(100, 110 + MARGIN + 1))
    whole = list(stream_frames(root / "a/talk.mkv").frames)
    assert [number for number, _ in whole] == list(range(1, 41))
    np.testing.assert_array_equal(read_frames(first), [whole[frame.number - 1][1] for frame in first.frames])


def test_a_store_of_spotted_expressions_reads_as_its_source(root: Path, table: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    (store / "annotations").mkdir(parents=True)
    (store / "annotations" / "clips.csv").write_text(table.read_text())
    clips = read(root, clips=table).clips
    for clip in clips:
        write_frames(store / "views" / "source" / clip.directory, [frame.name for frame in clip.frames])
    again = get_source("folder").read(store / "views" / "source")
    assert not again.failures
    for clip, copy in zip(clips, again.clips, strict=True):
        for name in ("id", "onset", "apex", "offset", "name"):
            assert getattr(copy, name) == getattr(clip, name)
        assert [frame.name for frame in copy.frames] == [frame.name for frame in clip.frames]


def test_a_label_table_cuts_clips_too_and_one_without_offset_does_not(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("clip,emotion,onset,apex,offset\na/talk.mkv,happiness,20,22,25\nb,anger,120,,\n")
    talk, folder = get_source("folder").read(root, annotations=path).clips
    assert [frame.number for frame in talk.frames] == list(range(20 - MARGIN, 25 + MARGIN + 1))
    assert (talk.label, len(folder.frames)) == ("positive", 40)


def test_a_recording_without_a_spotted_expression_is_left_out_and_said(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "clips.csv"
    path.write_text(HEADER + "b,103,105,110,0,0,0,micro,4\ngone.mp4,1,2,3,0,0,0,micro,4\n")
    listing = read(root, clips=path)
    assert [clip.id for clip in listing.clips] == ["b__000103"]
    assert ("a/talk", "no part of it is in the table") in [(one.where, one.reason) for one in listing.problems]
    assert [failure.clip for failure in listing.failures] == ["gone.mp4__000001"]


@pytest.mark.parametrize("row", ["b,x,105,110,0,0,0,micro,4", "b,,105,110,0,0,0,micro,4", ",103,105,110,0,0,0,micro,4"])
def test_a_broken_row_is_named(root: Path, tmp_path: Path, row: str) -> None:
    path = tmp_path / "clips.csv"
    path.write_text(HEADER + row + "\n")
    with pytest.raises(SourceError, match=r"clips\.csv, line 2"):
        read(root, clips=path)


def test_frames_are_left_out_by_from_to_and_every(root: Path) -> None:
    talk = read(root, from_=5, to=24, every=4)
    assert [frame.number for frame in talk.clips[0].frames] == [5, 9, 13, 17, 21]
    assert (talk.clips[0].fps, talk.clips[0].onset, talk.clips[0].offset) == (12.5, 5, 21)
    assert [(failure.clip, "leave 0 of its 40 frames" in failure.reason) for failure in talk.failures] == [("b", True)]


def test_parts_are_for_a_folder_only(root: Path, table: Path) -> None:
    with pytest.raises(ConfigError, match="are for --dataset folder, not for casme2"):
        PipelineStages().read(BuildConfig().changed(source={"dataset": "casme2", "root": root, "every": 2}))
    with pytest.raises(ConfigError, match="does not exist; `mvgen spot` writes it"):
        read(root, clips=table.with_name("gone.csv"))
