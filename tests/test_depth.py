"""The depth network: its shape, its loss, its training, and what the shipped weights know."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mvgen.camera import crop_camera
from mvgen.depth.data import Samples, draw_expression, make_samples
from mvgen.depth.loss import depth_loss
from mvgen.depth.network import DEPTH_RANGE, FaceDepthNetwork, normalise
from mvgen.depth.predict import DepthEstimator
from mvgen.depth.train import TrainingConfig, learning_rate, load_training_config, train
from mvgen.errors import ConfigError, WeightsError
from mvgen.faces import FaceDetector, crop_frames, track_face
from mvgen.paths import shipped_weights


def test_the_network_has_the_stages_of_table_one():
    network = FaceDepthNetwork().eval()
    assert network.encoder.conv1.kernel_size == (7, 7)
    assert network.encoder.conv1.out_channels == 64
    assert [stage.upconv[0].out_channels for stage in network.stages] == [256, 128, 64, 32, 16]
    assert [stage.iconv[0].in_channels for stage in network.stages] == [512, 256, 128, 96, 16]
    assert all(stage.iconv[0].kernel_size == (3, 3) for stage in network.stages)
    depth, face = network(torch.randn(2, 3, 96, 96))
    assert depth.shape == face.shape == (2, 96, 96)
    assert depth.min() >= DEPTH_RANGE[0]
    assert depth.max() <= DEPTH_RANGE[1]


def test_the_loss_is_zero_on_the_truth_and_blind_outside_the_face():
    truth = torch.randn(2, 32, 32) * 0.3
    known = torch.zeros(2, 32, 32, dtype=torch.bool)
    known[:, 8:24, 8:24] = True
    assert depth_loss(truth, truth, known, 1.0) == 0
    assert depth_loss(torch.where(known, truth, truth + 5), truth, known, 1.0) == 0
    shifted, bumpy = truth + 0.03, truth + 0.03 * (-1.0) ** torch.arange(32)
    # A bias has no slope; a ripple of the same size has.
    assert depth_loss(shifted, truth, known, 1.0) == pytest.approx(
        float(depth_loss(shifted, truth, known, 0.0)), rel=1e-3
    )
    assert depth_loss(bumpy, truth, known, 1.0) > 2 * depth_loss(shifted, truth, known, 1.0)


def test_smooth_l1_is_quadratic_below_its_unit_and_linear_above():
    known = torch.ones(1, 4, 4, dtype=torch.bool)
    losses = [float(depth_loss(torch.full((1, 4, 4), x), torch.zeros(1, 4, 4), known, 0.0)) for x in (0.025, 0.1, 0.2)]
    assert losses == pytest.approx([0.125, 1.5, 3.5], rel=1e-5)


def test_the_learning_rate_holds_for_half_the_run_and_then_falls():
    config = TrainingConfig()
    assert learning_rate(config, 0.0) == learning_rate(config, 0.5) == config.rate
    assert config.final_rate < learning_rate(config, 0.75) < config.rate
    assert learning_rate(config, 1.0) == pytest.approx(config.final_rate)


def test_expressions_are_weights_and_a_quarter_of_them_neutral(heads):
    generator = np.random.default_rng(0)
    drawn = np.stack([draw_expression(generator, heads.model.action_names) for _ in range(400)])
    assert drawn.min() >= 0
    assert drawn.max() <= 1
    assert 0.17 < (drawn.max(axis=1) == 0).mean() < 0.33
    assert (drawn > 0).any(axis=0).sum() >= 50
    names = heads.model.action_names
    assert (drawn[:, names.index("mouthClose")] <= drawn[:, names.index("jawOpen")]).all()


@pytest.fixture(scope="module")
def few(heads) -> Samples:
    return make_samples(3, 0, 2, 2, 64)


def test_training_pictures_show_faces_with_depth_in_the_crops_own_frame(few):
    assert few.colour.shape == (4, 64, 64, 3)
    assert few.identity.tolist() == [0, 0, 1, 1]
    camera = crop_camera(64)
    for depth, face in zip(few.depth.astype(np.float32), few.face, strict=True):
        assert 0.2 < face.mean() < 0.75
        # Zero depth is at the eyes; a crop is shaken, so look around them.
        row, column = int(camera.centre[1]), int(camera.centre[0])
        eyes = depth[row - 2 : row + 3, [column - 10, column + 10]]
        assert np.nanmedian(np.abs(eyes)) < 0.25
        known = face & np.isfinite(depth)
        assert DEPTH_RANGE[0] < depth[known].min() < -0.2
        assert 0.2 < depth[known].max() < DEPTH_RANGE[1]


def test_training_learns_and_a_stopped_run_ends_where_an_unstopped_one_does(tmp_path, few, heads):
    config = TrainingConfig(identities=20, per_identity=1, size=64, epochs=((64, 4),), batch=6, seed=5)
    quiet = {"data": tmp_path / "data", "device": "cpu", "workers": 1, "report": lambda _: None}
    arrays = make_samples(5, 0, 16, 1, 64), make_samples(5, 16, 4, 1, 64)
    (tmp_path / "data").mkdir()
    for first, samples in zip((0, 16), arrays, strict=True):
        name = f"anny-5-64-1-{first:06d}-{len(samples.identity)}.npz"
        np.savez(
            tmp_path / "data" / name, colour=samples.colour, depth=samples.depth, face=samples.face,
            identity=samples.identity,
        )  # fmt: skip
    whole = train(config, tmp_path / "whole", **quiet)
    import json

    history = json.loads((tmp_path / "whole" / "progress.json").read_text())["history"]
    assert history[-1]["loss"] < 0.7 * history[0]["loss"]

    class StoppedError(Exception):
        pass

    def stop_after_two(message: str) -> None:
        if message.startswith("epoch 2"):
            raise StoppedError

    with pytest.raises(StoppedError):
        train(config, tmp_path / "part", **(quiet | {"report": stop_after_two}))
    resumed = train(config, tmp_path / "part", **quiet)
    assert resumed.read_bytes() == whole.read_bytes()
    assert "seed: 5" in (tmp_path / "part" / "face_depth.md").read_text()
    with pytest.raises(ConfigError, match="another config"):
        train(config.model_copy(update={"batch": 4}), tmp_path / "part", **quiet)


@pytest.mark.parametrize(
    ("text", "message"),
    [("epochs: many", "epochs"), ("epoch: 3", "epoch"), ("[1, 2", "YAML"), ("size: 100", "multiple of 32")],
)
def test_a_training_config_that_cannot_be_read_is_explained(tmp_path, text, message):
    path = tmp_path / "depth.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_training_config(path)
    with pytest.raises(ConfigError, match="does not exist"):
        load_training_config(tmp_path / "none.yaml")


def test_weights_that_do_not_fit_are_explained(tmp_path):
    with pytest.raises(WeightsError, match="do not exist"):
        DepthEstimator(tmp_path / "none.safetensors", "cpu")
    (tmp_path / "text.safetensors").write_text("hello, I am not a tensor")
    with pytest.raises(WeightsError, match="not a safetensors file"):
        DepthEstimator(tmp_path / "text.safetensors", "cpu")
    save_file({"head.bias": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match="another network"):
        DepthEstimator(tmp_path / "other.safetensors", "cpu")


def test_a_device_that_nobody_has_is_explained():
    with pytest.raises(ConfigError, match="abacus"):
        DepthEstimator(device="abacus")
    with pytest.raises(ConfigError, match="abacus"):
        FaceDetector("abacus")


@pytest.fixture(scope="module")
def estimator() -> DepthEstimator:
    return DepthEstimator(device="cpu")


def test_the_shipped_weights_are_small_and_have_a_card():
    assert shipped_weights().stat().st_size <= 30e6
    assert "Anny" in shipped_weights().with_suffix(".md").read_text()


def test_heads_never_seen_are_read_far_better_than_as_a_plane(heads, estimator):
    samples = make_samples(990_001, 0, 4, 2, 128)
    depth, face = estimator.predict(samples.colour)
    errors, plane = [], []
    for predicted, truth, mask in zip(depth, samples.depth.astype(np.float32), samples.face, strict=True):
        known = mask & np.isfinite(truth)
        errors.append(np.abs(predicted - truth)[known].mean())
        plane.append(np.abs(truth[known] - np.median(truth[known])).mean())
    assert np.mean(errors) < 0.5 * np.mean(plane)
    agreement = ((face > 0.5) & samples.face).sum() / ((face > 0.5) | samples.face).sum()
    assert agreement > 0.85


def test_a_mirrored_face_has_the_mirrored_depth(estimator):
    generator = np.random.default_rng(0)
    crops = generator.integers(0, 255, (1, 128, 128, 3), dtype=np.uint8)
    depth, face = estimator.predict(crops)
    mirrored_depth, mirrored_face = estimator.predict(crops[:, :, ::-1].copy())
    assert np.abs(depth - mirrored_depth[:, :, ::-1]).max() < 1e-4
    assert np.abs(face - mirrored_face[:, :, ::-1]).max() < 1e-4


def test_a_real_face_has_its_nose_in_front_and_its_ears_behind(estimator):
    from skimage.data import astronaut

    frames = astronaut()[None]
    track = track_face(frames, 256, FaceDetector("cpu"))
    depth, face = estimator.predict(crop_frames(frames, track))
    assert depth.shape == (1, 256, 256)
    camera = crop_camera(256)
    nose = depth[0, int(camera.centre[1] + 0.57 * camera.scale), 128]
    eyes = depth[0, int(camera.centre[1]), [int(128 - camera.scale / 2), int(128 + camera.scale / 2)]]
    cheeks = depth[0, int(camera.centre[1] + 0.5 * camera.scale), [48, 208]]
    assert nose > eyes.mean() + 0.15
    assert cheeks.mean() < nose - 0.4
    assert face[0, 60:200, 80:176].mean() > 0.9


def test_no_crops_give_no_depth(estimator):
    depth, face = estimator.predict(np.zeros((0, 128, 128, 3), np.uint8))
    assert depth.shape == face.shape == (0, 128, 128)
    assert normalise(np.zeros((1, 32, 32, 3), np.uint8)).shape == (1, 3, 32, 32)
