"""Settings, folders and words that nobody means well with: a clear error, soon."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from factories import write_frames, write_stand_in
from fake_build import FakeStages, make_config, make_source
from PIL import Image

from mvgen.building.build import build
from mvgen.core.angles import parse_angles
from mvgen.core.errors import AnglesError, ClipError, ConfigError, LicenceError, SourceError, StoreError
from mvgen.core.settings import load_config
from mvgen.publish.licence import check_permission
from mvgen.publish.targets.folder import Folder
from mvgen.sources import get_source
from mvgen.sources.frames import read_frames
from mvgen.store import layout
from mvgen.training.depth import load_training_config
from recognizer.config import load_bench

BOMB = "a0: &a0 [x]\n" + "".join(f"a{n + 1}: &a{n + 1} [{', '.join([f'*a{n}'] * 9)}]\n" for n in range(12))


@pytest.mark.parametrize("text", [BOMB, "a: " + "[" * 5000, "a: " + "[" * 5000 + "]" * 5000, "a: " + "9" * 5000])
@pytest.mark.parametrize("load", [lambda path: load_config(path, {}), load_bench, load_training_config])
def test_yaml_that_would_hang_or_fall_is_an_error(tmp_path: Path, text: str, load) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"a\.yaml"):
        load(tmp_path / "a.yaml")


def test_a_list_asks_for_no_more_angles_than_a_sweep_may() -> None:
    with pytest.raises(AnglesError, match="ask for over 3600 views"):
        parse_angles(",".join(f"{angle / 1000}" for angle in range(90_000)))


@pytest.mark.parametrize("place", ["file/sub", "file/sub/sub", "/proc/mvgen"])
def test_a_place_where_no_folder_can_be_is_an_error(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("")
    root = make_source(tmp_path / "root", subjects=1, clips=1)
    with pytest.raises(StoreError, match="choose another --out"):
        build(make_config(root, tmp_path / place), FakeStages(root))


def test_a_place_whose_name_is_too_long_is_an_error(tmp_path: Path) -> None:
    for root, workbook in ((tmp_path / ("n" * 300), None), (tmp_path, Path("n" * 300))):
        with pytest.raises(SourceError, match="not exist"):
            get_source("folder").read(root, annotations=workbook)


def test_a_clip_in_a_folder_that_is_called_as_the_arrays_of_another_is_a_failure(tmp_path: Path) -> None:
    write_frames(tmp_path / "x", ["1.png", "2.png"])
    write_frames(tmp_path / "x.npz/y", ["1.png", "2.png"])
    listing = get_source("folder").read(tmp_path)
    assert [clip.id for clip in listing.clips] == ["x"]
    (failure,) = listing.failures
    assert failure.clip == "x.npz__y"
    assert failure.reason == "its folder 'x.npz' is called as the arrays of clip 'x'; rename it"


def test_linked_folders_and_pictures_that_are_not_read_are_told(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    write_frames(root / "clip", ["1.png", "2.png"])
    write_frames(elsewhere, ["1.png", "2.png"])
    (root / "linked").symlink_to(elsewhere)
    (root / "scans").mkdir()
    (root / "scans/1.gif").write_bytes(b"")
    listing = get_source("folder").read(root)
    assert [clip.id for clip in listing.clips] == ["clip"]
    told = {problem.where: problem.reason for problem in listing.problems}
    assert "is not followed" in told["linked"]
    assert "1.gif are not read; convert them to .png" in told["scans"]


def test_a_clip_of_a_release_in_pictures_that_are_not_read_is_told(tmp_path: Path) -> None:
    write_stand_in(tmp_path / "root", "casme-ii", subjects=1, clips=1, frames=3)
    for frame in sorted((tmp_path / "root").rglob("img*.jpg")):
        frame.rename(frame.with_suffix(".gif"))
    listing = get_source("casme-ii").read(tmp_path / "root")
    said = " ".join([*(problem.reason for problem in listing.problems), *(one.reason for one in listing.failures)])
    assert ".gif are not read; convert them to .png" in said


@pytest.mark.parametrize("suffix", [".tif", ".tiff", ".webp"])
def test_frames_of_other_formats_are_read_as_they_are_and_stored_as_png(tmp_path: Path, suffix: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (2, 8, 8, 3), dtype=np.uint8)
    (tmp_path / "clip").mkdir()
    for number, each in enumerate(pixels):
        Image.fromarray(each).save(tmp_path / f"clip/img{number}{suffix}", lossless=True)
    (clip,) = get_source("folder").read(tmp_path).clips
    np.testing.assert_array_equal(read_frames(clip), pixels)
    assert layout.stored_name(clip.frames[0].name, "source") == "img0.png"


def test_a_frame_of_several_pictures_or_of_fractions_is_refused(tmp_path: Path) -> None:
    pages = [Image.new("L", (8, 8), grey) for grey in (0, 9)]
    for name, reason in (("pages", "several pictures"), ("parts", "fractions")):
        (tmp_path / name).mkdir()
        for number in (1, 2):
            path = tmp_path / name / f"{number}.tif"
            if name == "pages":
                pages[0].save(path, save_all=True, append_images=pages[1:])
            else:
                Image.fromarray(np.ones((8, 8), np.float32)).save(path)
        (clip,) = get_source("folder").read(tmp_path / name).clips
        with pytest.raises(ClipError, match=reason):
            read_frames(clip)


@pytest.mark.parametrize("words", ["", "  ", ".", "yes", ". . . .", "1 2 3", "ok ok"])
def test_a_permission_that_says_nothing_is_refused(words: str) -> None:
    with pytest.raises(LicenceError, match="write who gave the permission"):
        check_permission(words)


@pytest.mark.parametrize("below", ["", "selectedpic", "selectedpic/selectedpic"])
def test_a_release_that_is_read_as_a_folder_keeps_its_terms(tmp_path: Path, below: str) -> None:
    write_stand_in(tmp_path / "root", "casme2", subjects=1, clips=1, frames=3)
    listing = get_source("folder").read(tmp_path / "root" / below)
    assert listing.redistribution == "forbidden"
    assert {clip.redistribution for clip in listing.clips} == {"forbidden"}
    write_frames(tmp_path / "mine/clip", ["1.png", "2.png"])
    assert get_source("folder").read(tmp_path / "mine").redistribution == "gated"


@pytest.mark.parametrize("below", ["", "a/b"])
def test_faces_are_not_put_into_a_git_work_tree(tmp_path: Path, below: str) -> None:
    Folder(tmp_path / below).refuse_exposed()
    (tmp_path / ".git").mkdir()
    with pytest.raises(LicenceError, match="lies in the git work tree"):
        Folder(tmp_path / below).refuse_exposed()
