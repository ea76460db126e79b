"""Training of the depth network: the pictures, the losses, and runs that stop and resume."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch
from factories import no_fit
from safetensors.torch import save_file
from scan_trees import stand_in, write_models, write_stirling

from mvgen.cli import run
from mvgen.core.camera import crop_camera
from mvgen.core.config import file_digest
from mvgen.core.errors import ConfigError, WeightsError
from mvgen.depth.network import DEPTH_RANGE, FaceDepthNetwork, Prediction
from mvgen.scans.corpora.anny import AnnyCorpus
from mvgen.scans.corpora.performing import draw_expression
from mvgen.training.depth import TrainingConfig, hold_out, learning_rate, load_training_config, start_from, train
from mvgen.training.depth_data import Samples, Setting, make_samples, photograph, photograph_twice
from mvgen.training.loss import change_loss, depth_loss, trust_loss
from mvgen.training.shards import Recipe, make_data, read_data

pytestmark = pytest.mark.slow


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


def test_what_is_wrong_with_a_person_does_not_count_as_a_change():
    truth = torch.randn(2, 16, 16).mul(0.05)
    known = torch.ones(2, 16, 16, dtype=torch.bool)
    assert change_loss(truth + 0.2 * torch.randn(1, 16, 16), truth, known) == pytest.approx(0, abs=1e-9)
    trembling = truth + torch.tensor([0.01, -0.01]).view(2, 1, 1)
    assert change_loss(trembling, truth, known) == pytest.approx(0.5, rel=1e-3)


def prediction(fit: torch.Tensor, correction: torch.Tensor, trust: torch.Tensor) -> Prediction:
    """The prediction of a network that corrects the fit by so much, with so much trust."""
    return Prediction(fit + correction * trust.sigmoid(), torch.zeros_like(fit), trust)


def test_trust_is_right_where_the_corrected_depth_is_better_than_the_fit():
    fit, truth = torch.zeros(1, 2, 3), torch.tensor([[[0.1, 0.1, -0.1], [0.3, -0.3, 9.0]]])
    # Right, too far, wrong direction; small enough, wrong direction, and unknown.
    correction = torch.tensor([[[0.1, 0.25, 0.1], [0.4, 0.1, 9.0]]])
    better = torch.tensor([[[1, 0, 0], [1, 0, 0]]]) > 0
    known = torch.tensor([[[1, 1, 1], [1, 1, 0]]]) > 0

    def loss(trust):
        return float(trust_loss(prediction(fit, correction, trust), fit, truth, known))

    right = torch.where(better, 6.0, -6.0)
    assert loss(right) < 0.01
    assert loss(-right) > 5
    assert loss(torch.zeros_like(fit)) == pytest.approx(np.log(2), rel=1e-5)
    # What is not known does not count, however it is trusted.
    assert loss(torch.where(known, right, -right)) == pytest.approx(loss(right))


def test_trust_is_learned_and_the_correction_is_not_what_trust_is_learned_from():
    fit, truth = torch.zeros(1, 4, 4), torch.full((1, 4, 4), 0.1)
    known = torch.ones(1, 4, 4, dtype=torch.bool)
    correction = torch.full((1, 4, 4), 0.1, requires_grad=True)
    trust = torch.zeros(1, 4, 4, requires_grad=True)
    trust_loss(prediction(fit, correction, trust), fit, truth, known).backward()
    assert (trust.grad < 0).all()  # more trust, less loss
    assert correction.grad is None or not correction.grad.any()


def test_the_learning_rate_holds_for_half_the_run_and_then_falls():
    config = TrainingConfig()
    assert learning_rate(config, 0.0) == learning_rate(config, 0.5) == config.rate
    assert config.final_rate < learning_rate(config, 0.75) < config.rate
    assert learning_rate(config, 1.0) == pytest.approx(config.final_rate)


def test_expressions_are_weights_and_a_fifth_of_them_neutral(heads):
    generator = np.random.default_rng(0)
    names = heads.model.action_names
    drawn = np.stack([draw_expression(generator, names) for _ in range(600)])
    assert drawn.min() >= 0
    assert drawn.max() <= 1
    assert 0.14 < (drawn.max(axis=1) == 0).mean() < 0.27
    assert (drawn > 0).any(axis=0).sum() >= 50
    assert (drawn[:, names.index("mouthClose")] <= drawn[:, names.index("jawOpen")]).all()
    for one, other in (("jawLeft", "jawRight"), ("mouthLeft", "mouthRight")):
        assert not (drawn[:, names.index(one)] * drawn[:, names.index(other)]).any()


@pytest.fixture(scope="module")
def few(heads) -> Samples:
    return make_samples(AnnyCorpus(), 3, first=0, people=3, per_person=2, size=64)


def test_training_pictures_show_faces_with_depth_in_the_crops_own_frame(few):
    assert few.colour.shape == (6, 64, 64, 3)
    assert few.identity.tolist() == [0, 0, 1, 1, 2, 2]
    camera = crop_camera(64)
    for depth, face in zip(few.depth.astype(np.float32), few.face, strict=True):
        assert 0.15 < face.mean() < 0.75
        # Zero depth is at the eyes; a crop is shaken, so look around them.
        row, column = int(camera.centre[1]), int(camera.centre[0])
        eyes = depth[row - 2 : row + 3, [column - 10, column + 10]]
        assert np.nanmedian(np.abs(eyes)) < 0.25
        known = face & np.isfinite(depth)
        assert DEPTH_RANGE[0] < depth[known].min() < -0.2
        assert 0.2 < depth[known].max() < DEPTH_RANGE[1]


def test_training_pictures_carry_the_fit_that_a_build_would_make(few):
    assert few.fit.shape == (6, 64, 64, 4)
    assert few.fit.dtype == np.float16
    away = []
    for fit, depth, face in zip(*(few.fit.astype(np.float32), few.depth.astype(np.float32), few.face), strict=True):
        known = np.isfinite(fit[..., 0])
        assert (np.isfinite(fit) == known[..., None]).all()
        # Normals are interpolated over a triangle: at a fold they are shorter.
        assert np.quantile(np.abs(np.linalg.norm(fit[known, 1:], axis=-1) - 1), 0.99) < 0.05
        assert (known & face).sum() > 0.7 * face.sum()
        both = known & face & np.isfinite(depth)
        away.append(np.abs(fit[..., 0] - depth)[both].mean())
    assert np.median(away) < 0.12


def test_landmarks_are_on_the_features_they_are_named_after(few):
    camera = crop_camera(64)
    for points in few.landmarks:
        assert np.isfinite(points).all()
        eyes = np.stack([points[36:42].mean(axis=0), points[42:48].mean(axis=0)])
        expected = np.array(camera.centre) + np.array([[-0.5, 0], [0.5, 0]]) * camera.scale
        assert np.abs(eyes - expected).max() < 0.2 * camera.scale
        brow, nose, mouth, chin = (points[part, 1].mean() for part in (slice(17, 27), 30, slice(48, 68), 8))
        assert brow < eyes[:, 1].mean() < nose < mouth < chin
    assert few.visible[:, 27:31].mean() > 0.6


def test_two_frames_of_a_setting_differ_by_the_expression_or_by_noise_alone(heads):
    subject = AnnyCorpus().draw(np.random.default_rng(0), 0, 1)[0]
    generator = np.random.default_rng(1)
    sitter = subject.sit(generator)
    setting = Setting.draw(sitter, generator, 64)
    still = [photograph(sitter, setting, generator, no_fit) for _ in range(2)]
    np.testing.assert_array_equal(still[0].depth, still[1].depth)
    assert np.abs(still[0].colour.astype(int) - still[1].colour).mean() < 12
    moved = 0
    for _ in range(4):
        one, other = photograph_twice(subject, generator, 64, no_fit)
        both = one.face & other.face
        assert both.sum() > 0.7 * one.face.sum()
        moved += not np.array_equal(one.landmarks, other.landmarks)
    assert moved >= 2


def test_the_same_arguments_give_the_same_pictures(few, heads):
    again = make_samples(AnnyCorpus(), 3, first=0, people=3, per_person=2, size=64)
    for name, values in asdict(few).items():
        np.testing.assert_array_equal(values, getattr(again, name))


def test_people_held_out_are_of_every_corpus_and_never_trained_on():
    identity = np.repeat(np.concatenate([np.arange(40), 1_000_000 + np.arange(20)]), 2)
    kept = hold_out(identity, TrainingConfig(validation_share=0.1))
    assert len(kept) == 6
    assert (kept >= 1_000_000).sum() == 2
    assert np.array_equal(kept, hold_out(identity, TrainingConfig(validation_share=0.1)))


def write_shards(samples: Samples, folder, recipe: Recipe) -> None:
    """Put pictures that are there already where a run with this recipe looks for its own."""
    folder.mkdir(parents=True, exist_ok=True)
    for first in range(0, recipe.people, 16):
        people = min(16, recipe.people - first)
        mine = np.isin(samples.identity, np.arange(first, first + people))
        np.savez(folder / recipe.shard(first, people), **{name: a[mine] for name, a in asdict(samples).items()})


def test_training_learns_and_a_stopped_run_ends_where_an_unstopped_one_does(tmp_path, heads):
    config = TrainingConfig(people={"anny": 10}, per_person=2, size=64, epochs=((64, 6),), batch=6, seed=5)
    data = tmp_path / "data"
    quiet = {"corpora": {"anny": None}, "data": data, "device": "cpu", "workers": 1, "report": lambda _: None}
    samples = make_samples(AnnyCorpus(), 5, first=0, people=10, per_person=2, size=64)
    write_shards(samples, data, config.recipe(AnnyCorpus(), None))
    whole = train(config, tmp_path / "whole", **quiet)
    history = json.loads((tmp_path / "whole" / "progress.json").read_text())["history"]
    # The fit is near the truth before anything is learned.
    assert history[-1]["loss"] < 0.95 * history[0]["loss"]

    class StoppedError(Exception):
        pass

    def stop_after_two(message: str) -> None:
        if message.startswith("epoch 2"):
            raise StoppedError

    with pytest.raises(StoppedError):
        train(config, tmp_path / "part", **(quiet | {"report": stop_after_two}))
    resumed = train(config, tmp_path / "part", **quiet)
    assert resumed.read_bytes() == whole.read_bytes()
    card = (tmp_path / "part" / "face_depth.md").read_text()
    assert "seed: 5" in card
    assert "CC0" in card
    with pytest.raises(ConfigError, match="another config"):
        train(config.model_copy(update={"batch": 4}), tmp_path / "part", **quiet)

    with pytest.raises(ConfigError, match="another config or start"):
        train(config, tmp_path / "part", start=whole, **quiet)
    further = train(
        config.model_copy(update={"epochs": ((64, 1),), "rate": 1e-4}), tmp_path / "further", start=whole, **quiet
    )
    after = json.loads((tmp_path / "further" / "progress.json").read_text())["history"]
    assert after[0]["loss"] < 0.95 * history[0]["loss"]
    assert file_digest(whole) in further.with_suffix(".md").read_text()


def test_weights_that_saw_colours_alone_give_a_fitted_network_their_trunk(tmp_path):
    plain, fitted = FaceDepthNetwork(fitted=False), FaceDepthNetwork(fitted=True)
    save_file(plain.state_dict(), tmp_path / "plain.safetensors")
    taken = start_from(fitted, tmp_path / "plain.safetensors")
    theirs, ours = plain.state_dict(), fitted.state_dict()
    assert taken == len(ours) - 2  # all but the last layer, which has an output more
    first = "encoder.conv1.weight"
    assert torch.equal(ours[first][:, :3], theirs[first])
    assert not ours[first][:, 3:].any()
    for name in theirs:
        if name != first and not name.startswith("head."):
            assert torch.equal(ours[name], theirs[name]), name
    again = FaceDepthNetwork(fitted=True)
    save_file(ours, tmp_path / "fitted.safetensors")
    assert start_from(again, tmp_path / "fitted.safetensors") == len(ours)


def test_weights_that_cannot_be_started_from_are_explained(tmp_path):
    path = tmp_path / "start.safetensors"
    with pytest.raises(WeightsError, match="cannot be read"):
        start_from(FaceDepthNetwork(), path)
    path.write_bytes(b"no weights")
    with pytest.raises(WeightsError, match="cannot be read"):
        start_from(FaceDepthNetwork(), path)
    for tensors in ({"head.bias": torch.zeros(3)}, {"encoder.conv1.weight": torch.zeros(32, 3, 7, 7)}):
        save_file(tensors, path)
        with pytest.raises(WeightsError, match="of another network"):
            start_from(FaceDepthNetwork(), path)


@pytest.fixture(scope="module")
def trees(heads, tmp_path_factory):
    people = [stand_in(heads, seed) for seed in (0, 2, 5)]
    root = tmp_path_factory.mktemp("trees")
    write_models(root / "facescape", people)
    write_stirling(root / "stirling", people)
    return root


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text("per_person: 2\nsize: 64\nepochs: [[64, 1]]\nbatch: 4\nvalidation_share: 0.3\nseed: 1\n")
    return path


def test_scans_of_the_releases_are_trained_on_from_the_command_line(trees, recipe, tmp_path, capfd):
    out = tmp_path / "run"
    command = ["train-depth", "--config", str(recipe), "--out", str(out), "--workers", "1", "--device", "cpu"]
    roots = [f"--root={name}={trees / name}" for name in ("facescape", "stirling")]
    assert run([*command, "--scans", "facescape,stirling", *roots]) == 0
    card = (out / "face_depth.md").read_text()
    assert "facescape" in card
    assert "may be used only as that licence allows" in card
    assert (out / "face_depth.safetensors").stat().st_size < 30e6


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--scans", "facescape"], "--root"),
        (["--scans", "facescape", "--root", "nowhere"], "nowhere"),
        (["--scans", "facescap"], "facescap"),
        (["--scans", "facescape,stirling", "--root", "data"], "the one it belongs to"),
        (["--scans", ""], "is empty"),
    ],
)
def test_scans_that_cannot_be_opened_are_explained(recipe, tmp_path, capfd, arguments, reason):
    command = ["train-depth", "--config", str(recipe), "--out", str(tmp_path / "run"), "--device", "cpu"]
    assert run([*command, *arguments]) == 2
    printed = capfd.readouterr().err
    assert reason in printed
    assert "Traceback" not in printed


def test_the_tree_of_another_release_is_refused_before_anything_is_rendered(trees, recipe, tmp_path, capfd):
    out = tmp_path / "run"
    root = trees / "stirling"
    command = ["train-depth", "--config", str(recipe), "--out", str(out), "--device", "cpu", "--scans", "facescape"]
    assert run([*command, "--root", str(root)]) == 2
    assert "stirling" in capfd.readouterr().err.lower()
    assert not (out / "data").exists()


def test_shards_tell_their_recipes_apart_and_come_back_whole(tmp_path, few):
    one = Recipe("anny", None, 3, 2, 64, 3)
    others = [
        Recipe("ict", tmp_path, 3, 2, 64, 3),
        Recipe("anny", None, 3, 4, 64, 3),
        Recipe("anny", None, 3, 2, 64, 4),
    ]
    assert len({recipe.shard(0, 3) for recipe in (one, *others)}) == 4
    write_shards(few, tmp_path, one)
    back = read_data(make_data(one, tmp_path, 1, lambda _: None))
    for name, values in asdict(few).items():
        np.testing.assert_array_equal(values, getattr(back, name))


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
