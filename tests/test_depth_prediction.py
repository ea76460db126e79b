"""Use of the depth network: its engines, and what the shipped weights know."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from factories import astronaut
from safetensors.torch import save_file

from mvgen.camera import EYE_DISTANCE, crop_camera
from mvgen.depth.data import Samples, make_samples
from mvgen.depth.engine import OpenVinoEngine, TorchEngine, get_engine
from mvgen.depth.network import DEPTH_RANGE, FaceDepthNetwork, Prediction, normalise
from mvgen.depth.predict import INPUT_SIZE, DepthEstimator, two_ways
from mvgen.errors import ConfigError, WeightsError
from mvgen.faces.crop import crop_frames, track_face
from mvgen.faces.detection import FaceDetector
from mvgen.ibug import BROW_LEFT, EYE_LEFT, EYE_RIGHT, JAW, MIRROR, MOUTH, NOSE
from mvgen.paths import shipped_weights
from mvgen.records import FacePrediction, Image


def lively_network(seed: int = 0) -> FaceDepthNetwork:
    """Random weights, and normalisation that has something to do."""
    torch.manual_seed(seed)
    network = FaceDepthNetwork().eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return network


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> DepthEstimator:
    """An estimator with random weights."""
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    save_file(lively_network().state_dict(), path, metadata={INPUT_SIZE: "64"})
    return DepthEstimator(path, "cpu")


def noise(count: int, size: int = 96) -> Image:
    return np.random.default_rng(0).integers(0, 255, (count, size, size, 3), dtype=np.uint8)


def test_both_engines_see_the_same() -> None:
    network = lively_network()
    images = normalise(noise(3, 64))
    plain, fast = (engine(images) for engine in (TorchEngine(network), OpenVinoEngine(network, 64)))
    for name, ours, theirs in zip(Prediction._fields, plain, fast, strict=True):
        assert ours.shape == theirs.shape, name
        torch.testing.assert_close(theirs, ours, atol=2e-4, rtol=0, msg=name)


def test_the_fast_engine_gives_the_same_bytes_whatever_is_in_the_batch_and_each_time_it_is_made() -> None:
    network = lively_network()
    images = normalise(noise(5, 64))
    first = OpenVinoEngine(network, 64)
    together, again = first(images), OpenVinoEngine(network, 64)(images)
    alone = first(images[3:4])
    for one, two, three in zip(together, again, alone, strict=True):
        assert torch.equal(one, two)
        assert torch.equal(one[3:4], three)


def test_the_fast_engine_does_not_report_to_anybody() -> None:
    OpenVinoEngine(lively_network(), 32)
    assert not hasattr(sys.modules["openvino_telemetry"], "Telemetry")


def test_without_openvino_torch_runs_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    network, cpu = lively_network(), torch.device("cpu")
    assert get_engine(network, 32, cpu).name == "openvino"
    monkeypatch.setattr("mvgen.depth.engine.openvino_installed", lambda: False)
    assert get_engine(network, 32, cpu).name == "torch"


def test_the_doctor_says_what_is_lost_without_openvino(monkeypatch: pytest.MonkeyPatch) -> None:
    from mvgen.doctor import _package

    monkeypatch.setattr("mvgen.doctor.package_version", lambda _: None)
    assert _package("openvino").state == "note"
    assert "torch" in _package("openvino").found
    assert _package("numpy").state == "missing"


def test_a_prediction_has_one_of_everything_per_crop(untrained: DepthEstimator) -> None:
    # More crops than go into one batch, and a size that is not the network's.
    seen = untrained.predict(noise(17))
    shapes = [(17, 96, 96), (17, 96, 96), (17, 68, 2), (17, 68)]
    assert [values.shape for values in seen] == shapes
    assert all(values.dtype == np.float32 for values in seen)
    assert 0 <= seen.face.min() <= seen.face.max() <= 1
    assert 0 <= seen.visible.min() <= seen.visible.max() <= 1
    assert 0 <= seen.landmarks.min() <= seen.landmarks.max() <= 96
    np.testing.assert_allclose(untrained.predict(noise(17)[16:]).depth, seen.depth[16:], atol=1e-5)


def assert_mirrored(seen: FacePrediction, mirrored: FacePrediction, size: int) -> None:
    turned = mirrored.landmarks[:, MIRROR] * [-1, 1] + [size, 0]
    assert np.abs(seen.depth - mirrored.depth[:, :, ::-1]).max() < 1e-4
    assert np.abs(seen.face - mirrored.face[:, :, ::-1]).max() < 1e-4
    assert np.abs(seen.landmarks - turned).max() < 1e-2
    assert np.abs(seen.visible - mirrored.visible[:, MIRROR]).max() < 1e-4


def test_whatever_the_weights_a_mirrored_picture_is_seen_mirrored(untrained: DepthEstimator) -> None:
    crops = noise(2)
    assert_mirrored(untrained.predict(crops), untrained.predict(crops[:, :, ::-1].copy()), 96)


def test_the_mirror_image_is_averaged_landmark_by_landmark() -> None:
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(1, 68, 2, generator=generator)
    turned = torch.stack([1 - points[..., 0], points[..., 1]], dim=-1)[:, torch.tensor(MIRROR.tolist())]
    logits = torch.randn(1, 68, generator=generator)
    maps = torch.randn(1, 8, 8, generator=generator)
    seen = two_ways(
        Prediction(
            torch.cat([maps, maps.flip(-1)]),
            torch.cat([maps, maps.flip(-1)]),
            torch.cat([points, turned]),
            torch.cat([logits, logits[:, torch.tensor(MIRROR.tolist())]]),
        )
    )
    torch.testing.assert_close(seen, Prediction(maps, maps.sigmoid(), points, logits.sigmoid()))


def test_no_crops_give_no_depth(untrained: DepthEstimator) -> None:
    seen = untrained.predict(np.zeros((0, 128, 128, 3), np.uint8))
    assert [values.shape for values in seen] == [(0, 128, 128), (0, 128, 128), (0, 68, 2), (0, 68)]
    assert normalise(np.zeros((1, 32, 32, 3), np.uint8)).shape == (1, 3, 32, 32)


def test_weights_that_do_not_fit_are_explained(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="do not exist"):
        DepthEstimator(tmp_path / "none.safetensors", "cpu")
    (tmp_path / "text.safetensors").write_text("hello, I am not a tensor")
    with pytest.raises(WeightsError, match="not a safetensors file"):
        DepthEstimator(tmp_path / "text.safetensors", "cpu")
    save_file({"head.bias": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match="another network"):
        DepthEstimator(tmp_path / "other.safetensors", "cpu")


def test_a_device_that_nobody_has_is_explained() -> None:
    with pytest.raises(ConfigError, match="abacus"):
        DepthEstimator(device="abacus")
    with pytest.raises(ConfigError, match="abacus"):
        FaceDetector("abacus")


# From here on: what the shipped weights know.


@pytest.fixture(scope="module")
def shipped() -> DepthEstimator:
    return DepthEstimator(device="cpu")


@pytest.fixture(scope="module")
def strangers(heads) -> Samples:
    """Heads that no training draws."""
    from mvgen.scans import open_corpus

    return make_samples(open_corpus("anny"), 990_001, first=0, people=4, per_person=2, size=128)


@pytest.fixture(scope="module")
def photograph(shipped: DepthEstimator) -> FacePrediction:
    """What is seen in a photograph of a real face, cropped to 256 pixels."""
    frames = astronaut()[None]
    return shipped.predict(crop_frames(frames, track_face(frames, 256, FaceDetector("cpu"))))


def test_the_shipped_weights_are_small_and_have_a_card() -> None:
    assert shipped_weights().stat().st_size <= 30e6
    assert "CC0" in shipped_weights().with_suffix(".md").read_text()


def test_heads_never_seen_are_read_far_better_than_as_a_plane(shipped: DepthEstimator, strangers: Samples) -> None:
    seen = shipped.predict(strangers.colour)
    errors, plane = [], []
    for predicted, truth, mask in zip(seen.depth, strangers.depth.astype(np.float32), strangers.face, strict=True):
        known = mask & np.isfinite(truth)
        errors.append(np.abs(predicted - truth)[known].mean())
        plane.append(np.abs(truth[known] - np.median(truth[known])).mean())
    assert np.mean(errors) < 0.5 * np.mean(plane)
    agreement = ((seen.face > 0.5) & strangers.face).sum() / ((seen.face > 0.5) | strangers.face).sum()
    assert agreement > 0.85


def test_landmarks_of_heads_never_seen_are_found(shipped: DepthEstimator, strangers: Samples) -> None:
    found = shipped.predict(strangers.colour).landmarks
    away = np.linalg.norm(found - strangers.landmarks, axis=-1) / (EYE_DISTANCE * 128)
    # Eight pictures, some of them in bad light or out of focus; the mean over many is in the weights' card.
    assert away[strangers.visible].mean() < 0.06


def test_a_real_face_has_its_nose_in_front_and_its_ears_behind(photograph: FacePrediction) -> None:
    depth, face = photograph.depth, photograph.face
    assert depth.shape == (1, 256, 256)
    camera = crop_camera(256)
    nose = depth[0, int(camera.centre[1] + 0.57 * camera.scale), 128]
    eyes = depth[0, int(camera.centre[1]), [int(128 - camera.scale / 2), int(128 + camera.scale / 2)]]
    cheeks = depth[0, int(camera.centre[1] + 0.5 * camera.scale), [48, 208]]
    assert nose > eyes.mean() + 0.15
    assert cheeks.mean() < nose - 0.4
    assert face[0, 60:200, 80:176].mean() > 0.9


def test_a_real_face_has_its_landmarks_where_they_should_be(photograph: FacePrediction) -> None:
    landmarks = photograph.landmarks[0] / (EYE_DISTANCE * 256)
    brow, left, right, nose, mouth = (
        landmarks[part].mean(axis=0) for part in (BROW_LEFT, EYE_LEFT, EYE_RIGHT, NOSE, MOUTH)
    )
    assert brow[1] < left[1] < nose[1] < mouth[1] < landmarks[JAW][8, 1]
    assert left[0] < nose[0] < right[0]
    assert np.linalg.norm(right - left) == pytest.approx(1, abs=0.12)
    pupils = np.array([crop_camera(256).project(np.array([side, 0.0, 0.0]))[:2] for side in (-0.5, 0.5)])
    assert np.abs(np.array([left, right]) - pupils / (EYE_DISTANCE * 256)).max() < 0.12


def test_the_network_has_the_stages_of_table_one() -> None:
    network = FaceDepthNetwork().eval()
    assert network.encoder.conv1.kernel_size == (7, 7)
    assert network.encoder.conv1.out_channels == 64
    assert [stage.upconv[0].out_channels for stage in network.stages] == [256, 128, 64, 32, 16]
    assert [stage.iconv[0].in_channels for stage in network.stages] == [512, 256, 128, 96, 16]
    assert all(stage.iconv[0].kernel_size == (3, 3) for stage in network.stages)
    depth, face, landmarks, visible = network(torch.randn(2, 3, 96, 96))
    assert depth.shape == face.shape == (2, 96, 96)
    assert (landmarks.shape, visible.shape) == ((2, 68, 2), (2, 68))
    assert 0 < landmarks.min() < landmarks.max() < 1
    assert depth.min() >= DEPTH_RANGE[0]
    assert depth.max() <= DEPTH_RANGE[1]
