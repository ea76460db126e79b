"""The whole way of one clip, on real pixels with a head of known shape."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import numpy as np
import pytest
from factories import EllipsoidEstimator, MeanLandmarker, acted_points, astronaut, known_tools, mean_points, noisy_clip
from fake_build import resting_fit
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, binary_erosion

from mvgen.core.camera import crop_camera, pixel_grid
from mvgen.core.config import BuildConfig
from mvgen.core.errors import ClipError, ConfigError, WeightsError
from mvgen.core.landmarks68 import five_points
from mvgen.core.records import BuiltClip, Clip, FacePoints, FacePrediction, Frame, Image
from mvgen.core.settings import by_part, load_config
from mvgen.core.stopwatch import Stopwatch
from mvgen.faces.crop import crop_from_points, transform_points
from mvgen.faces.face_mesh_topology import IBUG
from mvgen.morphable.fitting import fit_face, pupils
from mvgen.morphable.model import face_model
from mvgen.morphable.rasterise import face_region as fit_region
from mvgen.motion.flow.joint import motion_from_onset
from mvgen.pipeline.clip import build_clip, fit_attention_for
from mvgen.pipeline.frontal import apex_position, frontal_clip
from mvgen.pipeline.reconstruct import read_photograph, reconstruct
from mvgen.pipeline.side import framing, side_clip
from mvgen.pipeline.tools import read_attention
from mvgen.views.attention import AttentionModel


def config(**settings: Any) -> BuildConfig:
    return load_config(None, by_part({"size": 128, "angles": "-30,0,30", **settings}))


def clip(frames: int, **fields: Any) -> Clip:
    made = Clip(
        dataset="demo",
        subject="s1",
        subject_key="1",
        name="still",
        emotion="none",
        label=None,
        onset=1,
        apex=None,
        offset=frames,
        fps=30.0,
        directory=PurePosixPath("s1/still"),
        frames=tuple(Frame(Path(f"img{n}.jpg"), n, f"img{n}.jpg") for n in range(1, frames + 1)),
        licence="CC0-1.0",
        redistribution="open",
    )
    return replace(made, **fields)


@cache
def built() -> BuiltClip:
    return build_clip(clip(4), noisy_clip(astronaut(), 4, 2.0), config(), known_tools())


def test_source_view_comes_first_and_every_angle_follows() -> None:
    assert [view.yaw for view in built().views()] == [None, -30, 0, 30]
    for view in built().views():
        assert view.colour.shape == (4, 128, 128, 3)
        assert view.flow.shape == (3, 128, 128, 2)
        assert view.valid.shape == view.depth.shape == (128, 128)
        assert view.depth.dtype == view.flow.dtype == np.float32


def test_the_frontal_clip_of_recognisers_is_the_one_that_a_build_keeps() -> None:
    kept, source = built(), built().frontal
    front = frontal_clip(clip(4), config(), known_tools(), lambda _: noisy_clip(astronaut(), 4, 2.0))
    motion = front.flow.on(front.shown)
    assert (front.clip, front.onset, front.clip.position(front.clip.apex, -1)) == (kept.clip, 0, front.apex)
    np.testing.assert_array_equal(front.face.landmarks, kept.reconstruction.face.landmarks)
    for one, other in (
        (front.crops, source.colour),
        (front.shown & front.inside, source.valid),
        (motion.frames, source.flow),
        (motion.apex, source.apex_flow),
    ):
        np.testing.assert_array_equal(one, other)


def test_a_side_clip_is_not_registered_as_in_the_paper() -> None:
    frames, paper = noisy_clip(astronaut(), 2, 1.0), config(registration="paper")
    with pytest.raises(ConfigError, match="registration head"):
        side_clip(frames, onset=0, apex=1, config=paper, tools=known_tools())


@pytest.mark.parametrize(("yaw", "roll"), [(-40.0, 0.1), (0.0, -0.2), (25.0, 0.0)])
def test_a_view_from_the_side_is_framed_as_the_built_one(yaw: float, roll: float) -> None:
    camera, fit = crop_camera(128), resting_fit()
    pupil = pupils(fit.vertices)[0]
    head = fit.vertices[0] - pupil
    aligned = crop_from_points(five_points(camera.project(head[IBUG])[:, :2]), 128)
    zoom, eyes = np.hypot(*aligned[0, :2]), transform_points(aligned, camera.project(np.zeros(3))[:2])
    world = zoom * head + camera.unproject(np.r_[eyes, 0.0])
    built_points = camera.at(yaw).project(world[IBUG])[:, :2]
    spin = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
    turn = spin @ camera.at(yaw).rotation
    seen = replace(fit, vertices=(0.8 * head @ turn.T + [0.3, -0.2, 0.0])[None], rotation=turn[None])
    step = framing(seen, camera)
    points = transform_points(step, camera.project(seen.vertices[0][IBUG])[:, :2])
    np.testing.assert_allclose(points, built_points, atol=1e-6)


def test_every_stage_is_timed() -> None:
    clock = Stopwatch()
    made = build_clip(clip(4), noisy_clip(astronaut(), 4, 2.0), config(), known_tools(), clock)
    assert "views" not in clock.seconds
    assert len(list(made.sides)) == 3
    assert set(clock.seconds) == {"face", "register", "depth", "attention", "mesh", "flow", "views"}


def test_what_a_view_stores_agrees_with_itself() -> None:
    for view in built().sides:
        hit = np.isfinite(view.depth)
        assert not (view.valid & ~hit).any()
        # The surface covers a part of the pixels around its outline.
        assert not view.colour[:, ~binary_dilation(hit, np.ones((3, 3)))].any()
        assert not view.flow[:, ~hit].any()
        assert 0 < view.valid_fraction <= 1


def test_depth_camera_and_colour_of_a_view_lead_back_to_the_source() -> None:
    source = built().frontal
    for view in built().sides:
        points = view.camera.unproject(np.dstack([pixel_grid(128, 128), view.depth.astype(float)]))[view.valid]
        u, v = np.floor(source.camera.project(points)[:, :2]).astype(int).T
        away = view.colour[0][view.valid].astype(float) - source.colour[0][v, u]
        assert np.median(np.abs(away)) < 6


def test_still_clip_hardly_moves_in_any_view() -> None:
    for view in built().views():
        assert np.linalg.norm(view.flow[:, view.valid].mean(axis=1), axis=-1).max() < 0.03


def test_unseen_surface_is_never_valid_and_the_background_is_what_was_asked_for() -> None:
    frames = noisy_clip(astronaut(), 2, 1.0)
    filled, bare = (
        build_clip(clip(2), frames, config(angles="-45,45", fill=fill, background="#204060"), known_tools())
        for fill in ("mirror", "none")
    )
    for one, other in zip(filled.sides, bare.sides, strict=True):
        hit = np.isfinite(one.depth)
        np.testing.assert_array_equal(one.valid, other.valid)
        assert 0.5 < one.valid_fraction < 1
        np.testing.assert_array_equal(one.colour[:, one.valid], other.colour[:, one.valid])
        assert (one.colour[:, ~binary_dilation(hit, np.ones((3, 3)))] == (0x20, 0x40, 0x60)).all()


def test_a_view_from_the_side_sees_less_of_the_attention() -> None:
    made = build_clip(clip(2), noisy_clip(astronaut(), 2, 1.0), config(grazing=70.0), known_tools())
    seen = {view.yaw: view.visible_attention for view in made.views()}
    assert seen[None] == 1
    assert seen[0] > 0.9 > seen[30]
    assert seen[30] == pytest.approx(seen[-30], abs=0.03)


def test_a_built_clip_knows_the_landmarks_of_its_onset_frame() -> None:
    landmarks = built().reconstruction.face.landmarks
    assert landmarks is not None
    np.testing.assert_allclose(landmarks, mean_points(128)[IBUG, :2], atol=1e-4)
    assert built().reconstruction.face.visible is not None
    assert built().reconstruction.face.visible[27:].min() > 0.8


def test_same_clip_gives_the_same_arrays() -> None:
    again = build_clip(clip(4), noisy_clip(astronaut(), 4, 2.0), config(), known_tools())
    for first, second in zip(built().views(), again.views(), strict=True):
        np.testing.assert_array_equal(first.colour, second.colour)
        np.testing.assert_array_equal(first.flow, second.flow)
        np.testing.assert_array_equal(first.depth, second.depth)
    np.testing.assert_array_equal(built().reconstruction.attention, again.reconstruction.attention)


def test_depth_of_a_still_clip_is_the_mean_over_its_frames_in_the_region_of_the_fit() -> None:
    noisy = build_clip(clip(8), noisy_clip(astronaut(), 8, 1.0), config(angles="0"), known_tools(noise=0.1))
    wobble = EllipsoidEstimator(0.1).predict(np.zeros((8, 128, 128, 3), np.uint8), np.zeros((1, 128, 128, 4)))[0]
    camera = crop_camera(128)
    region = fit_region(camera, fit_face(mean_points(128)[None], camera, face_model()).vertices[0])
    np.testing.assert_array_equal(np.isfinite(noisy.reconstruction.depth.depth), region)
    np.testing.assert_allclose(noisy.reconstruction.depth.depth[region], wobble.mean(axis=0)[region], atol=1e-5)


def test_geometry_per_frame_follows_each_frames_depth() -> None:
    frames = noisy_clip(astronaut(), 3, 0.0)
    per_frame = build_clip(clip(3), frames, config(geometry="per-frame", angles="30"), known_tools(noise=0.05))
    per_clip = build_clip(clip(3), frames, config(geometry="clip", angles="30"), known_tools(noise=0.05))
    trembling, steady = (np.abs(next(iter(one.sides)).flow).max() for one in (per_frame, per_clip))
    assert steady < 0.01
    assert trembling > 0.5
    # The one that is kept is the onset frame's.
    wobble = EllipsoidEstimator(0.05).predict(frames[:, :128, :128], np.zeros((1, 128, 128, 4)))[0]
    region = np.isfinite(per_frame.reconstruction.depth.depth)
    np.testing.assert_allclose(per_frame.reconstruction.depth.depth[region], wobble[0][region], atol=1e-6)


class FittedEstimator(EllipsoidEstimator):
    """A depth network that adds nothing to the fit."""

    def predict(self, crops: Image, fit: NDArray[np.float32]) -> FacePrediction:
        depth = np.broadcast_to(fit[..., 0], crops.shape[:3])
        return FacePrediction(depth, np.ones(depth.shape, np.float32))


class SmilingLandmarker(MeanLandmarker):
    """Sees the mean face smile in the middle of a clip; in the few frames that say where the face is, it rests."""

    def find(self, crops: Image) -> FacePoints:
        seen = super().find(crops)
        if len(crops) < 4:
            return seen
        model, camera = face_model(), crop_camera(crops.shape[1])
        names = [model.action_names.index(f"mouthSmile{side}") for side in ("Left", "Right")]
        weights = np.zeros((len(crops), len(model.actions)))
        weights[:, names] = np.sin(np.linspace(0, np.pi, len(crops)))[:, None] ** 2
        acted = acted_points(weights, camera)
        return replace(seen, points=seen.points + acted - acted[:1])


@pytest.mark.slow
def test_geometry_follows_an_expression_where_it_is_asked_to() -> None:
    frames = np.repeat(astronaut()[None], 10, axis=0)
    resting = replace(known_tools(), estimator=FittedEstimator())
    smiling, still = (
        build_clip(clip(10), frames, config(geometry="model", angles="45"), replace(resting, landmarker=landmarker))
        for landmarker in (SmilingLandmarker(), MeanLandmarker())
    )
    assert np.linalg.norm(next(iter(smiling.sides)).flow, axis=-1).max() > 0.3
    assert np.abs(next(iter(still.sides)).flow).max() < 0.01
    assert not smiling.frontal.flow.any()


def test_pinhole_camera_of_the_config_is_the_views_camera() -> None:
    one = build_clip(
        clip(1), astronaut()[None], config(camera="pinhole", focal=900.0, principal=(256.0, 256.0)), known_tools()
    )
    zoom = np.hypot(one.reconstruction.face.crop[0, 0], one.reconstruction.face.crop[1, 0])
    assert next(iter(one.sides)).camera.kind == "pinhole"
    assert next(iter(one.sides)).camera.focal == pytest.approx(900 * zoom)
    assert next(iter(one.sides)).flow.shape[0] == 0
    frontal = next(view for view in one.views() if view.yaw == 0)
    away = np.abs(frontal.colour[0].astype(int) - one.frontal.colour[0])
    whole = binary_erosion(frontal.valid)  # the outline covers a part of its pixels only
    assert away[whole].max() <= 1


def test_registration_may_be_switched_off() -> None:
    off = build_clip(clip(2), noisy_clip(astronaut(), 2, 1.0), config(registration="none", angles="0"), known_tools())
    assert not off.reconstruction.registration.applied.any()


def test_clip_without_a_face_names_the_stage() -> None:
    with pytest.raises(ClipError) as caught:
        build_clip(clip(2), np.zeros((2, 64, 64, 3), np.uint8), config(), known_tools())
    assert caught.value.stage == "face"


def test_apex_is_the_frame_of_the_longest_motion_whatever_the_light_does() -> None:
    still, grid = noisy_clip(built().frontal.colour[0], 9, 1.0), pixel_grid(128, 128) - 0.5
    face = np.isfinite(built().reconstruction.depth.depth)
    near = np.exp(-np.square(grid - [64, 92]).sum(axis=-1) / (2 * 9**2))
    strength = np.array([0, 0.1, 0.3, 0.6, 0.9, 1.0, 0.8, 0.4, 0.1])
    flicker = 1 + 0.05 * np.array([0, 1, -1, 0.5, -1, 0, 1, -1, 1])
    crops = np.empty_like(still)
    for index, frame in enumerate(still):
        at = (grid + 1.5 * strength[index] * near[..., None]).astype(np.float32)
        moved = cv2.remap(frame, at[..., 0], at[..., 1], cv2.INTER_CUBIC)
        crops[index] = np.clip(moved * flicker[index], 0, 255).round()
    assert apex_position(crops, 0, face, motion_from_onset(crops, 0, face)) == 5


def test_apex_of_a_face_that_does_not_move_is_the_frame_of_largest_change() -> None:
    crops = np.repeat(built().frontal.colour[:1], 4, axis=0)
    face = np.isfinite(built().reconstruction.depth.depth)
    motion = motion_from_onset(crops, 0, face)
    crops[2, 80:100, 40:90] = 255 - crops[2, 80:100, 40:90]
    assert apex_position(crops, 0, face, motion) == 2


def smiling(seed: int, rows: slice) -> Image:
    frames = noisy_clip(astronaut(), 3, 1.0, seed)
    frames[1, rows, 200:250] = 255 - frames[1, rows, 200:250]
    return frames


@pytest.mark.slow
def test_attention_is_fitted_on_labelled_clips_and_leaves_out_what_cannot_be_read(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    def read(one: Clip) -> Image:
        if one.name == "broken":
            raise ClipError("source", "cut short")
        return smiling(int(one.subject), slice(70, 90) if one.label == "negative" else slice(140, 160))

    clips = [
        clip(3, subject=str(n), label=("negative", "positive")[n % 2], apex=2 if n % 3 else None) for n in range(6)
    ]
    clips += [clip(3, name="broken", label="surprise"), clip(3, label=None)]
    tensors = fit_attention_for(clips, read, config(), known_tools())
    model = AttentionModel.from_tensors(tensors)
    assert model.classes == ("negative", "positive")
    save_file(tensors, tmp_path / "attention.safetensors")
    np.testing.assert_array_equal(read_attention(tmp_path / "attention.safetensors").weight, model.weight)
    sharp = build_clip(clips[1], read(clips[1]), config(), replace(known_tools(), attention=model))
    assert sharp.reconstruction.attention.max() > 2 * built().reconstruction.attention.max()


def test_no_labels_give_a_head_without_classes_that_can_be_stored(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    save_file(fit_attention_for([], lambda _: astronaut()[None], config(), known_tools()), tmp_path / "a.safetensors")
    assert not read_attention(tmp_path / "a.safetensors").fitted


def test_broken_attention_weights_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(b"nothing")
    with pytest.raises(WeightsError, match=r"a\.safetensors cannot be read"):
        read_attention(tmp_path / "a.safetensors")


def write(path: Path, pixels: NDArray[Any]) -> Path:
    from PIL import Image as Picture

    path.parent.mkdir(parents=True, exist_ok=True)
    Picture.fromarray(pixels).save(path)
    return path


def test_photographs_are_reconstructed_and_bad_ones_do_not_stop_the_others(tmp_path: Path) -> None:
    from PIL import Image as Picture

    images = [
        write(tmp_path / "a" / "face.png", astronaut()),
        tmp_path / "missing.png",
        write(tmp_path / "dark.png", np.zeros((64, 64, 3), np.uint8)),
        write(tmp_path / "b" / "Face.jpg", astronaut()),
    ]
    (tmp_path / "text.png").write_text("not an image")
    images.append(tmp_path / "text.png")
    said: list[str] = []
    settings = config(angles="-15,15", size=96)
    outcomes = reconstruct(images, tmp_path / "out", settings, said.append, tools=known_tools())
    assert [outcome.error is None for outcome in outcomes] == [True, False, False, True, False]
    assert "no such file" in str(outcomes[1].error)
    assert "no face" in str(outcomes[2].error)
    assert "not an image" in str(outcomes[4].error)
    assert len(said) == 5
    folders = [outcome.folder for outcome in outcomes if outcome.folder]
    assert [folder.name for folder in folders] == ["face", "Face-2"]
    for folder in folders:
        names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        assert names == [
            "depth.npz", "landmarks.png", "mesh.glb", "sheet.png",
            "views/yaw+15.png", "views/yaw+15.valid.png", "views/yaw-15.png", "views/yaw-15.valid.png",
        ]  # fmt: skip
        with np.load(folder / "depth.npz") as depth:
            assert depth["depth"].shape == depth["valid"].shape == (96, 96)
            assert depth["depth"].dtype == np.float32
            assert np.isfinite(depth["depth"][depth["valid"]]).all()
            assert depth["crop"].shape == (2, 3)
            assert depth["landmarks"].shape == (68, 2)
            np.testing.assert_allclose(depth["points"], mean_points(96), atol=1e-3)
            np.testing.assert_allclose(depth["landmarks"], depth["points"][IBUG, :2])
            assert depth["rotation"].shape == (3, 3)
            assert depth["identity"].shape == (len(face_model().identity),)
            assert depth["actions"].shape == (len(face_model().action_names),)
            # The ellipsoid's front is 0.1 inter-ocular distances before the eyes, the nose 0.35 more; 30 pixels each.
            assert 0.1 * 30 < np.nanmax(depth["depth"]) < 0.5 * 30
        assert Picture.open(folder / "views" / "yaw+15.png").size == (96, 96)
        assert (folder / "mesh.glb").read_bytes()[:4] == b"glTF"


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "I;16", "LA", "CMYK"])
def test_photographs_of_any_mode_are_read_as_rgb(tmp_path: Path, mode: str) -> None:
    from PIL import Image as Picture

    picture = Picture.fromarray(astronaut()[:64, :80])
    if mode == "I;16":
        picture = Picture.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)
    else:
        picture = picture.convert(mode)
    path = tmp_path / ("photo.jpg" if mode == "CMYK" else "photo.png")
    picture.save(path)
    pixels = read_photograph(path)
    assert pixels.shape == (64, 80, 3)
    assert pixels.dtype == np.uint8
    assert np.abs(pixels.mean() - astronaut()[:64, :80].mean()) < 8


def test_photographs_are_turned_upright(tmp_path: Path) -> None:
    from PIL import Image as Picture

    picture = Picture.fromarray(astronaut()[:64, :80])
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.save(tmp_path / "turned.jpg", exif=exif)
    assert read_photograph(tmp_path / "turned.jpg").shape == (80, 64, 3)
