"""Clips that do not show one face all along, on real pixels and with the real landmarker."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
import pytest
from factories import astronaut, known_tools, noisy_clip
from photograph_build import smiling

from mvgen.core.config import BuildConfig
from mvgen.core.errors import ClipError
from mvgen.core.records import Clip, FacePoints, Frame, Image
from mvgen.core.settings import by_part
from mvgen.faces.face_mesh import FaceMesh
from mvgen.faces.quality import blur, compare, exposure, unlike_shape
from mvgen.pipeline.frontal import FrontalClip, frontal_clip
from mvgen.pipeline.tools import Tools

pytestmark = pytest.mark.slow

FRAMES, APEX = 12, 6
FACE = (slice(60, 200), slice(170, 285))  # of the photograph


@pytest.fixture(scope="module")
def tools() -> Tools:
    return replace(known_tools(), landmarker=FaceMesh("cpu"))


@pytest.fixture(scope="module")
def other_person() -> Image:
    """(512, 512, 3), the photograph with a rendered head in the place of its own."""
    from mvgen.evaluation.motion.heads import EYES, Performers

    head = Performers("anny", "dev").head(0, (), 0.0)
    picture = np.rint(255 * head.frame(np.zeros(0), np.array([0, 0, 0, 0, 0, 1.0]))).astype(np.uint8)
    zoom = 43.0 / EYES
    matrix = np.array([[zoom, 0, 226.5 - zoom * head.eyes[0]], [0, zoom, 102.8 - zoom * head.eyes[1]]])
    scene = astronaut().copy()
    cv2.warpAffine(picture, matrix, (512, 512), dst=scene, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_TRANSPARENT)
    return scene


def listed(apex: int | None = APEX) -> Clip:
    frames = tuple(Frame(Path(f"{number}.png"), number, f"{number}.png") for number in range(FRAMES))
    return Clip(
        dataset="test", subject="1", subject_key="1", name="1", emotion="happiness", label="positive", onset=0,
        apex=apex, offset=FRAMES - 1, fps=60.0, directory=PurePosixPath("1"), frames=frames, licence="none",
        redistribution="open",
    )  # fmt: skip


def seen(frames: Image, tools: Tools, apex: int | None = APEX, registration: str = "head") -> FrontalClip:
    config = BuildConfig.model_validate(by_part({"size": 128, "registration": registration}))
    return frontal_clip(listed(apex), config, tools, lambda _: frames)


@pytest.fixture
def frames() -> Image:
    return smiling(FRAMES, APEX, 1)


@pytest.mark.parametrize("registration", ["head", "paper", "none"])
def test_a_clip_of_one_face_is_not_doubted(frames: Image, tools: Tools, registration: str) -> None:
    found = seen(frames, tools, registration=registration)
    assert found.clip.notes == ()
    quality = found.quality
    assert quality.face_seen == 1
    assert quality.largest_jump < 0.5
    assert quality.residual < 2
    assert quality.exposure < 0.01


def test_a_head_that_is_not_held_still_is_the_same_face(frames: Image, tools: Tools) -> None:
    for index, frame in enumerate(frames):
        frames[index] = np.roll(frame, index // 2, axis=1)
    assert seen(frames, tools, registration="none").quality.face_seen == 1


@pytest.mark.parametrize("grey", [0, 128, 255])
def test_a_blank_apex_fails_the_clip(frames: Image, tools: Tools, grey: int) -> None:
    frames[APEX] = grey
    with pytest.raises(ClipError, match=f"face: the apex frame {APEX} .*no face is seen"):
        seen(frames, tools)


def test_a_blank_frame_is_never_taken_for_the_apex_and_is_noted(frames: Image, tools: Tools) -> None:
    frames[APEX + 1] = 0
    found = seen(frames, tools, apex=None)
    assert found.clip.apex != APEX + 1
    assert f"do not show the face of the onset frame: {APEX + 1} (no face is seen)" in found.clip.notes[-1]
    assert found.quality.face_seen == pytest.approx(1 - 1 / FRAMES)


@pytest.mark.parametrize("turn", [1, 2])
def test_two_people_by_turns_fail_the_clip(frames: Image, other_person: Image, tools: Tools, turn: int) -> None:
    theirs = np.arange(FRAMES) // turn % 2 == 1
    frames[theirs] = noisy_clip(other_person, int(theirs.sum()), 1.0)
    with pytest.raises(ClipError, match=r"face: .*another face is seen"):
        seen(frames, tools, apex=None)


def test_another_person_at_the_apex_fails_the_clip(frames: Image, other_person: Image, tools: Tools) -> None:
    frames[APEX] = other_person
    with pytest.raises(ClipError, match=f"face: the apex frame {APEX} .*another face is seen"):
        seen(frames, tools)


def test_frames_after_a_cut_to_another_person_are_left_out(frames: Image, other_person: Image, tools: Tools) -> None:
    frames[APEX + 2 :] = other_person
    found = seen(frames, tools)
    assert len(found.crops) == APEX + 2
    assert "frames cannot be registered and are left out" in found.clip.notes[0]


def test_a_covered_apex_fails_the_clip(frames: Image, tools: Tools) -> None:
    frames[APEX - 1 : APEX + 2, 100:175, 190:262] = (190, 150, 130)
    with pytest.raises(ClipError, match=f"face: the apex frame {APEX}"):
        seen(frames, tools)


def test_an_onset_frame_without_a_face_fails_the_clip(frames: Image, tools: Tools) -> None:
    frames[0] = 90
    with pytest.raises(ClipError, match="face: the onset frame 0 shows no face"):
        seen(frames, tools)


def test_a_comic_is_noted(tools: Tools) -> None:
    soft = astronaut()
    for _ in range(4):
        soft = np.asarray(cv2.bilateralFilter(soft, 7, 40, 7), np.uint8)
    drawn = soft // 48 * 48 + 24
    edges = cv2.adaptiveThreshold(
        cv2.cvtColor(astronaut(), cv2.COLOR_RGB2GRAY), 255, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY, 5, 4
    )
    # Drawn at twice the size: the photograph's own pixels are coarser than a crop's.
    found = seen(noisy_clip(np.asarray(drawn * (edges[..., None] > 0), np.uint8), FRAMES, 1.0), tools)
    assert "is it a drawing?" in found.clip.notes[-1]


def test_light_that_changes_leaves_no_residual_and_black_and_white_are_counted() -> None:
    face = np.zeros((128, 128), bool)
    face[20:110, 30:100] = True
    picture = cv2.resize(astronaut()[FACE], (128, 128))
    clip = np.stack([picture, np.asarray(picture * 0.8, np.uint8)])
    found = compare(clip, 0, face)
    assert found.residual[1] < 1
    assert found.alike[1] > 0.99
    assert exposure(clip[:1], face) < 0.02
    clip[:, :64] = 0
    assert exposure(clip, face) == pytest.approx(44 / 90, abs=0.03)


def test_a_jump_is_measured_in_pixels_of_the_crop() -> None:
    large = cv2.resize(astronaut()[FACE], (256, 256), interpolation=cv2.INTER_CUBIC)
    clip = np.stack([large, large, np.roll(large, 3, axis=1), np.roll(large, 3, axis=1)])
    jump = compare(clip, 0, np.ones((256, 256), bool)).jump
    assert jump == pytest.approx([0, 0, 3, 0], abs=0.3)


def test_blur_grows_with_the_gaussian() -> None:
    large = cv2.resize(astronaut()[FACE], (256, 256), interpolation=cv2.INTER_CUBIC)
    face = np.ones((256, 256), bool)
    found = [blur(cv2.GaussianBlur(large, (0, 0), sigma)[None], face) for sigma in (0.5, 2, 4, 6)]
    assert np.all(np.diff(found) > 0.5)
    assert found[-1] - found[0] == pytest.approx(5, rel=0.3)


def test_shape_does_not_depend_on_place_size_and_turn() -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(0, 30, (468, 3)).astype(np.float32)
    turn = cv2.Rodrigues(np.array([0.1, 0.2, -0.1]))[0]
    moved = (1.3 * points @ turn.T + (5, -3, 2)).astype(np.float32)
    other = points + rng.normal(0, 5, points.shape).astype(np.float32)
    known = FacePoints(points[None], np.ones(1, np.float32))
    found = unlike_shape(FacePoints(np.stack([moved, other]), np.ones(2, np.float32)), known)
    assert found[0] == pytest.approx(0, abs=1e-5)
    assert found[1] > 0.02
