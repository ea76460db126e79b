"""Use of the depth network: its backends, its correction of a fit, and the accuracy of the shipped weights."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from factories import astronaut
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.torch import save_file

from mvgen.core.camera import EYE_CENTRE, crop_camera
from mvgen.core.config import file_digest
from mvgen.core.errors import ConfigError, WeightsError
from mvgen.core.files import shipped_weights
from mvgen.core.records import FacePrediction, Image
from mvgen.depth.backends import OpenVinoBackend, TorchBackend, get_backend
from mvgen.depth.estimator import INPUT_SIZE, DepthEstimator, damp_tilt, load_network, mirror_mean, resize_fit
from mvgen.depth.network import (
    COLOURS,
    DEPTH_RANGE,
    FIT_CHANNELS,
    FaceDepthNetwork,
    Prediction,
    mirror_fit,
    network_input,
    normalise,
)
from mvgen.faces.crop import crop_frames, track_face
from mvgen.faces.detection import FaceDetector
from mvgen.faces.face_mesh import FaceMesh
from mvgen.faces.landmarks import find_landmarks
from mvgen.morphable.fitting import fit_face
from mvgen.morphable.model import face_model
from mvgen.morphable.rasterise import fit_image
from mvgen.scans.imaging.rotation import rotation
from mvgen.training.depth_data import Samples, make_samples

pytestmark = pytest.mark.slow

KINDS = {"fitted": True, "plain": False}


def lively_network(fitted: bool = True, seed: int = 0) -> FaceDepthNetwork:
    """Random weights, and normalisation that has something to do."""
    torch.manual_seed(seed)
    network = FaceDepthNetwork(fitted).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return network


def save(network: FaceDepthNetwork, path: Path, size: str = "64") -> Path:
    save_file(network.state_dict(), path, metadata={INPUT_SIZE: size})
    return path


@pytest.fixture(scope="module", params=KINDS)
def untrained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> DepthEstimator:
    """An estimator with random weights, that sees the fit or does not."""
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    return DepthEstimator(save(lively_network(KINDS[request.param]), path), "cpu")


def noise(count: int, size: int = 96) -> Image:
    return np.random.default_rng(0).integers(0, 255, (count, size, size, 3), dtype=np.uint8)


@cache
def turned_fit(size: int = 96, yaw: float = 0.0) -> NDArray[np.float32]:
    """(S, S, 4), the mean face with its head turned."""
    return fit_image(crop_camera(size), face_model().mean.astype(np.float64) @ rotation(yaw, 0, 0).T)


def mirrored(fit: NDArray[np.float32]) -> NDArray[np.float32]:
    """A fit (S, S, 4) of the mirror image."""
    return mirror_fit(torch.from_numpy(fit).permute(2, 0, 1)[None])[0].permute(1, 2, 0).numpy()


def inputs(network: FaceDepthNetwork, count: int, size: int = 64) -> torch.Tensor:
    """What a network sees of noise with a face fitted to it."""
    fit = torch.from_numpy(turned_fit(size)).permute(2, 0, 1).expand(count, -1, -1, -1)
    return network_input(normalise(noise(count, size)), fit if network.fitted else None)


@pytest.mark.parametrize("kind", KINDS)
def test_both_backends_give_the_same(kind: str) -> None:
    network = lively_network(KINDS[kind])
    images = inputs(network, 3)
    plain, fast = (backend(images) for backend in (TorchBackend(network), OpenVinoBackend(network, 64)))
    for name, ours, theirs in zip(Prediction._fields, plain, fast, strict=True):
        assert ours.shape == theirs.shape, name
        torch.testing.assert_close(theirs, ours, atol=2e-4, rtol=0, msg=name)


def test_the_fast_backend_gives_the_same_bytes_for_every_batch_and_every_instance() -> None:
    network = lively_network()
    images = inputs(network, 5)
    first = OpenVinoBackend(network, 64)
    together, again = first(images), OpenVinoBackend(network, 64)(images)
    alone = first(images[3:4])
    for one, two, three in zip(together, again, alone, strict=True):
        assert torch.equal(one, two)
        assert torch.equal(one[3:4], three)


def test_the_fast_backend_sends_no_telemetry() -> None:
    OpenVinoBackend(lively_network(), 32)
    assert not hasattr(sys.modules["openvino_telemetry"], "Telemetry")


def test_without_openvino_torch_runs_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    network, cpu = lively_network(), torch.device("cpu")
    assert get_backend(network, 32, cpu).name == "openvino"
    monkeypatch.setattr("mvgen.depth.backends.openvino_installed", lambda: False)
    assert get_backend(network, 32, cpu).name == "torch"


def test_the_doctor_says_what_is_lost_without_openvino(monkeypatch: pytest.MonkeyPatch) -> None:
    from mvgen.verification.machine import _package

    monkeypatch.setattr("mvgen.verification.machine.package_version", lambda _: None)
    assert _package("openvino").state == "note"
    assert "torch" in _package("openvino").found
    assert _package("numpy").state == "missing"


def test_a_prediction_has_one_of_everything_per_crop(untrained: DepthEstimator) -> None:
    # More crops than go into one batch, and a size that is not the network's.
    fit = turned_fit()
    seen = untrained.predict(noise(17), fit[None])
    assert [values.shape for values in seen] == [(17, 96, 96)] * 2
    assert all(values.dtype == np.float32 for values in seen)
    assert 0 <= seen.face.min() <= seen.face.max() <= 1
    known = np.isfinite(fit[..., 0]) if untrained.fitted else np.ones((96, 96), bool)
    np.testing.assert_array_equal(np.isfinite(seen.depth), np.broadcast_to(known, seen.depth.shape))
    alone = untrained.predict(noise(17)[16:], fit[None])
    np.testing.assert_allclose(alone.depth, seen.depth[16:], atol=1e-5)


def test_one_fit_for_all_crops_is_the_same_fit_for_each(untrained: DepthEstimator) -> None:
    one, each = (untrained.predict(noise(3), np.repeat(turned_fit()[None], count, axis=0)) for count in (1, 3))
    np.testing.assert_array_equal(one.depth, each.depth)
    other = untrained.predict(noise(3), np.stack([turned_fit(), turned_fit(), turned_fit(yaw=15)]))
    np.testing.assert_allclose(other.depth[:2], one.depth[:2], atol=1e-5)
    assert np.allclose(other.depth[2], one.depth[2], atol=1e-5, equal_nan=True) != untrained.fitted


def test_whatever_the_weights_a_mirrored_picture_is_seen_mirrored(untrained: DepthEstimator) -> None:
    crops, fit = noise(2), turned_fit(yaw=10)
    seen = untrained.predict(crops, fit[None])
    turned = untrained.predict(crops[:, :, ::-1].copy(), mirrored(fit)[None])
    for one, other in zip(seen, turned, strict=True):
        np.testing.assert_allclose(one, other[:, :, ::-1], atol=1e-4)


def test_the_mirror_image_is_averaged() -> None:
    generator = torch.Generator().manual_seed(0)
    one, two = torch.randn(2, 1, 8, 8, generator=generator)
    pair = torch.cat([one, two.flip(-1)])
    depth, face = mirror_mean(Prediction(pair, pair, pair))
    torch.testing.assert_close(depth, (one + two) / 2)
    torch.testing.assert_close(face, (one.sigmoid() + two.sigmoid()) / 2)


def test_the_mirror_image_of_a_fit_is_the_fit_of_the_head_turned_the_other_way() -> None:
    right, left = turned_fit(yaw=15), turned_fit(yaw=-15)
    np.testing.assert_array_equal(mirrored(mirrored(right)), right)
    away = np.abs(mirrored(right) - left)
    known = np.isfinite(away[..., 0])
    assert known.sum() > 0.97 * np.isfinite(left[..., 0]).sum()
    # The mean face is not quite symmetric.
    assert away[known].mean(axis=0).max() < 0.03
    assert np.abs(right[:, ::-1] - left)[known][:, 1].mean() > 0.3


@settings(max_examples=20)
@given(seed=st.integers(0, 1000), size=st.sampled_from([32, 64, 96, 128]))
def test_a_fit_keeps_its_outline_and_its_depth_when_it_is_resized(seed: int, size: int) -> None:
    fit = turned_fit(96, yaw=float(np.random.default_rng(seed).uniform(-20, 20)))
    small = resize_fit(torch.from_numpy(fit).permute(2, 0, 1)[None], size)[0].permute(1, 2, 0).numpy()
    assert small.shape == (size, size, 4)
    known = np.isfinite(small)
    assert (known == known[..., :1]).all()
    assert known[..., 0].mean() == pytest.approx(np.isfinite(fit[..., 0]).mean(), abs=0.02)
    # At the outline, too, it is the mean of what is known.
    assert np.nanmin(small[..., 0]) > np.nanmin(fit[..., 0]) - 0.05
    assert np.nanmean(small[..., 0]) == pytest.approx(np.nanmean(fit[..., 0]), abs=0.02)


@settings(max_examples=20)
@given(down=st.floats(-0.3, 0.3), right=st.floats(-0.3, 0.3), level=st.floats(-0.3, 0.3))
def test_most_of_the_tilt_of_a_correction_is_left_out_and_all_of_its_shape_stays(
    down: float, right: float, level: float
) -> None:
    rows, columns = torch.meshgrid(torch.linspace(-1, 1, 48), torch.linspace(-1, 1, 48), indexing="ij")
    known = ((rows - 0.1) ** 2 + (columns + 0.1) ** 2 < 0.5)[None]
    bumps = torch.cos(9 * rows) * torch.cos(9 * columns)
    plane = torch.stack([torch.ones_like(rows), rows, columns], dim=-1)[known[0]]
    bumps[known[0]] -= plane @ torch.linalg.lstsq(plane, bumps[known[0]][:, None]).solution[:, 0]
    tilt = down * (rows - (2 * EYE_CENTRE[1] - 1)) + right * columns  # about the eyes
    found = damp_tilt(torch.where(known, level + tilt + 0.05 * bumps, torch.nan))
    assert not found[~known].any()
    torch.testing.assert_close(found[known], (level + 0.25 * tilt + 0.05 * bumps)[known[0]], atol=1e-4, rtol=0)


def test_a_correction_without_a_fit_is_none() -> None:
    assert not damp_tilt(torch.full((2, 8, 8), torch.nan)).any()


def test_where_the_network_does_not_trust_itself_the_fit_stands() -> None:
    network = lively_network()
    with torch.no_grad():
        network.head.weight[2] = 0
        network.head.bias[2] = -30
    images = inputs(network, 2)
    fit = turned_fit(64)
    depth, _, trust = network(images)
    assert (trust == -30).all()
    known = np.isfinite(fit[..., 0])
    np.testing.assert_allclose(depth[0].detach().numpy()[known], fit[..., 0][known], atol=1e-6)
    with torch.no_grad():
        network.head.bias[2] = 0
    moved = network(images).depth[0].detach().numpy()[known] - fit[..., 0][known]
    assert np.abs(moved).max() > 1e-4


def test_an_estimator_without_trust_gives_the_fit_itself(tmp_path: Path) -> None:
    network = lively_network()
    with torch.no_grad():
        network.head.weight[2] = 0
        network.head.bias[2] = -30
    estimator = DepthEstimator(save(network, tmp_path / "humble.safetensors"), "cpu")
    np.testing.assert_allclose(
        estimator.predict(noise(2), turned_fit()[None]).depth[1], turned_fit()[..., 0], atol=1e-4
    )


def test_pictures_whose_fit_the_encoder_does_not_see_still_stand_on_it() -> None:
    network = lively_network()
    images = inputs(network, 2)
    blank = images.clone()
    blank[:, COLOURS:] = 0
    alone = network(images, torch.tensor([True, False]))
    unseen, whole = network(blank), network(images)
    fit = images[:, COLOURS] * 0.5
    torch.testing.assert_close(alone.depth[0], unseen.depth[0] + fit[0])
    torch.testing.assert_close(alone.face[0], unseen.face[0])
    torch.testing.assert_close(alone.depth[1], whole.depth[1])


def test_features_are_taken_from_the_colours_alone_at_twice_the_size(untrained: DepthEstimator) -> None:
    seen = untrained.normalise(noise(2))
    assert seen.shape == (2, COLOURS + (FIT_CHANNELS if untrained.fitted else 0), 128, 128)
    assert not seen[:, COLOURS:].any()
    assert untrained.encoder(seen)[-1].shape == (2, 512, 4, 4)


def test_no_crops_give_no_depth(untrained: DepthEstimator) -> None:
    seen = untrained.predict(np.zeros((0, 128, 128, 3), np.uint8), turned_fit(128)[None])
    assert [values.shape for values in seen] == [(0, 128, 128)] * 2
    assert normalise(np.zeros((1, 32, 32, 3), np.uint8)).shape == (1, 3, 32, 32)


@pytest.mark.parametrize("kind", KINDS)
def test_a_network_is_read_as_it_was_written(tmp_path: Path, kind: str) -> None:
    network = lively_network(KINDS[kind])
    read, size = load_network(save(network, tmp_path / "a.safetensors", "96"))
    assert (read.fitted, size) == (KINDS[kind], 96)
    for name, value in network.state_dict().items():
        assert torch.equal(read.state_dict()[name], value), name


def test_half_precision_is_read_as_float32(tmp_path: Path) -> None:
    tensors = {name: v.half() if v.is_floating_point() else v for name, v in lively_network().state_dict().items()}
    save_file(tensors, tmp_path / "a.safetensors", metadata={INPUT_SIZE: "64"})
    read, _ = load_network(tmp_path / "a.safetensors")
    assert {v.dtype for v in read.state_dict().values() if v.is_floating_point()} == {torch.float32}


def test_weights_that_do_not_fit_are_explained(tmp_path: Path) -> None:
    def refused(name: str, reason: str) -> None:
        with pytest.raises(WeightsError, match=reason) as caught:
            load_network(tmp_path / name)
        assert name in str(caught.value)

    refused("none.safetensors", "do not exist")
    (tmp_path / "text.safetensors").write_text("hello, I am not a tensor")
    refused("text.safetensors", "not a safetensors file")
    save_file({"head.bias": torch.zeros(2)}, tmp_path / "other.safetensors")
    refused("other.safetensors", "another network")
    mixed = lively_network(False).state_dict() | {"head.bias": torch.zeros(3)}
    save_file(mixed, tmp_path / "mixed.safetensors", metadata={INPUT_SIZE: "64"})
    refused("mixed.safetensors", "of another shape")
    for size in ("", "100", "0", "-32", "large"):
        refused(save(lively_network(), tmp_path / "size.safetensors", size).name, "do not state their input size")
    with pytest.raises(WeightsError, match="do not exist"):
        DepthEstimator(tmp_path / "none.safetensors", "cpu")


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
def strangers(heads: Any) -> Samples:
    """Heads that no training draws."""
    from mvgen.scans import open_corpus

    return make_samples(open_corpus("anny"), 990_001, first=0, people=4, per_person=2, size=128)


@pytest.fixture(scope="module")
def photograph(shipped: DepthEstimator) -> FacePrediction:
    """What is seen in a photograph of a real face, cropped to 256 pixels."""
    frames, landmarker, camera = astronaut()[None], FaceMesh("cpu"), crop_camera(256)
    crops = crop_frames(frames, find_landmarks(frames, track_face(frames, 256, FaceDetector("cpu")), landmarker))
    fit = fit_face(landmarker.find(crops).points, camera, face_model())
    return shipped.predict(crops, fit_image(camera, fit.vertices[0])[None])


def test_the_shipped_weights_are_small_and_have_a_card() -> None:
    assert shipped_weights().stat().st_size <= 30e6
    card = shipped_weights().with_suffix(".md").read_text()
    assert "CC0" in card
    assert file_digest(shipped_weights()) in card


def test_heads_never_seen_are_read_far_better_than_as_a_plane(shipped: DepthEstimator, strangers: Samples) -> None:
    fits = strangers.fit.astype(np.float32)
    seen = shipped.predict(strangers.colour, fits)
    errors, plane, fitted = [], [], []
    for predicted, fit, truth, mask in zip(
        seen.depth, fits[..., 0], strangers.depth.astype(np.float32), strangers.face, strict=True
    ):
        known = mask & np.isfinite(truth) & np.isfinite(predicted)
        errors.append(np.abs(predicted - truth)[known].mean())
        fitted.append(np.abs(fit - truth)[known].mean())
        plane.append(np.abs(truth[known] - np.median(truth[known])).mean())
    assert np.mean(errors) < 0.5 * np.mean(plane)
    # Eight pictures, some of them in bad light or out of focus; the mean over many is in the weights' card.
    assert np.mean(errors) < 0.9 * np.mean(fitted)
    known = np.isfinite(fits[..., 0])
    found = (seen.face > 0.5) & known
    assert (found & strangers.face).sum() / (found | strangers.face & known).sum() > 0.85


def test_a_real_face_has_its_nose_in_front_and_its_cheeks_behind(photograph: FacePrediction) -> None:
    depth, face = photograph.depth, photograph.face
    assert depth.shape == (1, 256, 256)
    camera = crop_camera(256)
    nose = depth[0, int(camera.centre[1] + 0.57 * camera.scale), 128]
    eyes = depth[0, int(camera.centre[1]), [int(128 - camera.scale / 2), int(128 + camera.scale / 2)]]
    cheeks = depth[0, int(camera.centre[1] + 0.5 * camera.scale), [56, 200]]
    assert abs(eyes.mean()) < 0.15
    assert nose > eyes.mean() + 0.3
    assert cheeks.mean() < nose - 0.4
    assert face[0, 60:200, 80:176].mean() > 0.9


@pytest.mark.parametrize("kind", KINDS)
def test_the_network_has_the_stages_of_table_one(kind: str) -> None:
    network = FaceDepthNetwork(KINDS[kind]).eval()
    assert network.encoder.conv1.kernel_size == (7, 7)
    assert network.encoder.conv1.out_channels == 64
    assert [stage.upconv[0].out_channels for stage in network.stages] == [256, 128, 64, 32, 16]
    assert [stage.iconv[0].in_channels for stage in network.stages] == [512, 256, 128, 96, 16]
    assert all(stage.iconv[0].kernel_size == (3, 3) for stage in network.stages)
    seen = network(inputs(network, 2, 96))
    assert [values.shape for values in seen] == [(2, 96, 96)] * 3
    if not network.fitted:
        assert DEPTH_RANGE[0] <= seen.depth.min() <= seen.depth.max() <= DEPTH_RANGE[1]
        assert not seen.trust.any()
