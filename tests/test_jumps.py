"""Faces that jump between frames, as where only some frames are registered: found in the frames of a store alone."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path

import cv2
import numpy as np
import pytest
from factories import astronaut, noisy_clip, write_stand_in
from photograph_build import PhotographStages, photograph_config
from test_verify import forge, redigest, rows_of, said

from mvgen.building.build import build
from mvgen.core.camera import pixel_grid
from mvgen.core.records import Image
from mvgen.motion.jumps import find_jumps, jumps
from mvgen.store import layout
from mvgen.store.coding.pictures import encode_frame
from mvgen.store.frames import read_frames
from mvgen.verification import verify

pytestmark = pytest.mark.slow

FRAMES = 12
FACE = np.hypot(*np.moveaxis(pixel_grid(128, 128) - 64, -1, 0)) < 45


def shifted(frame: Image, right: float, down: float = 0.0) -> Image:
    """A frame moved by so many pixels."""
    shift = np.array([[1, 0, right], [0, 1, down]])
    return np.asarray(cv2.warpAffine(frame, shift, frame.shape[1::-1], flags=cv2.INTER_CUBIC, borderMode=1), np.uint8)


def face_clip(frames: int = FRAMES) -> Image:
    """(T, 128, 128, 3), the photograph's face with fresh noise."""
    return noisy_clip(cv2.resize(astronaut()[30:210, 135:315], (128, 128), interpolation=cv2.INTER_AREA), frames, 1.5)


def test_a_frame_beside_the_others_a_run_of_them_and_every_other_one_are_found() -> None:
    clip = face_clip()
    assert find_jumps(jumps(clip, FACE), 128) == []
    for moved, wanted in (([5], [4, 5]), ([4, 5, 6, 7], [3, 7]), ([0, 1], [1]), ([11], [10])):
        planted = clip.copy()
        planted[moved] = [shifted(frame, 1.5, -0.5) for frame in clip[moved]]
        found = jumps(planted, FACE)
        assert find_jumps(found, 128) == wanted
        assert found[wanted] == pytest.approx(np.hypot(1.5, 0.5), abs=0.25)
    clip[::2] = [shifted(frame, 1.5) for frame in clip[::2]]
    # Of every other one, all but the ends, which go on like their second neighbours.
    assert find_jumps(jumps(clip, FACE), 128) == list(range(1, FRAMES - 2))


def test_a_head_that_moves_steadily_and_a_mouth_that_opens_at_once_do_not_jump() -> None:
    clip = face_clip()
    moving = np.stack([shifted(frame, 1.2 * index) for index, frame in enumerate(clip)])
    assert find_jumps(jumps(moving, FACE), 128) == []
    near = np.exp(-np.square(pixel_grid(128, 128) - (64, 90)).sum(axis=-1) / (2 * 10**2))
    at = (pixel_grid(128, 128) - 0.5 - 5 * near[..., None] * (0, 1)).astype(np.float32)
    clip[6:] = [cv2.remap(frame, at[..., 0], at[..., 1], cv2.INTER_CUBIC) for frame in clip[6:]]
    assert find_jumps(jumps(clip, FACE), 128) == []


def test_a_clip_of_few_frames_or_without_a_face_tells_nothing() -> None:
    assert not jumps(face_clip(3), FACE).any()
    assert find_jumps(jumps(face_clip(3), FACE), 128) == []
    assert jumps(face_clip(6), np.zeros_like(FACE)).shape == (5,)
    assert jumps(face_clip(1), FACE).shape == (0,)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of two stand-in clips."""
    folder = tmp_path_factory.mktemp("jumps")
    write_stand_in(folder / "root", "casme2", subjects=2, clips=1, frames=FRAMES)
    config = photograph_config(folder / "root", folder / "out", angles="-30,30", test_share=0.5)
    assert build(config, PhotographStages(folder / "root")).clips == 2
    return folder / "out"


def plant(store: Path, moved: Collection[int]) -> list[str]:
    """Move frames of the first clip by 3 pixels and make every digest right; returns the clip's frame names."""
    row = next(row for row in rows_of(store) if row.yaw is None)
    colour = read_frames(store, row)
    for index in moved:
        name = row.frame_names[index]
        content = encode_frame(shifted(colour[index], 3.0), layout.encoder(name), False, 98)
        (store / row.frames_directory / name).write_bytes(content)
    forge(store, redigest(store))
    return row.frame_names


def test_a_store_as_it_was_built_has_no_jumps(built: Path) -> None:
    result = verify(built)
    assert not result.findings, said(result.findings)


@pytest.mark.parametrize("moved", [(4,), (3, 4, 5, 6), (0, 1, 2, 3, 4)])
def test_planted_jumps_are_found_though_every_digest_is_right(
    built: Path, tmp_path: Path, moved: tuple[int, ...]
) -> None:
    store = Path(shutil.copytree(built, tmp_path / "out"))
    names = plant(store, moved)
    assert not verify(store, sample=0).findings
    found = [one for one in verify(store).findings if "jumps" in one.problem]
    ends = [at for at in (moved[0] - 1, moved[-1]) if at >= 0]
    assert len(found) == len(ends), said(tuple(found))
    first = next(row for row in rows_of(store) if row.yaw is None)
    for finding, at in zip(found, ends, strict=True):
        assert finding.problem.startswith(f"the face jumps between frames {names[at]} and {names[at + 1]}, by ")
        assert (finding.file, finding.clip) == (first.frames_directory, first.clip)


def test_frames_that_were_never_registered_may_shake(built: Path, tmp_path: Path) -> None:
    root = built.parent / "root"
    off = photograph_config(root, tmp_path / "out", limit=1, angles="30", registration="none")
    build(off, PhotographStages(root))
    plant(tmp_path / "out", (4,))
    assert not [one for one in verify(tmp_path / "out").findings if "jumps" in one.problem]
