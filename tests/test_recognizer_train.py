from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from recognizer_trees import (
    Copies,
    Nearest,
    PatternReader,
    TinyNetwork,
    install_systems,
    make_store,
    rows_of,
    weights_of,
)

import recognizer.learning.fit as training_room
from mvgen.core.errors import ConfigError, WeightsError
from recognizer.config import changed_training
from recognizer.errors import RecogniserError
from recognizer.evaluation.evaluate import evaluate
from recognizer.learning.fit import Checkpoint, Device, Rows, scores, train_classifier, train_network, training_loss
from recognizer.learning.saliency import saliency, sheet
from recognizer.learning.train import TrainingRun, run_training
from recognizer.learning.weights import Trained, describe, load_trained, save_trained
from recognizer.readers.config import DataConfig, open_data
from recognizer.systems.base import Training

pytestmark = pytest.mark.slow

install_systems()
DEVICE = Device("cpu")
READER = PatternReader(subjects=6, clips=6)


def data(subjects: slice) -> Rows:
    chosen = [i for i, entry in enumerate(READER.entries) if int(entry.subject[1:]) in range(6)[subjects]]
    inputs, labels = rows_of(READER, TinyNetwork(), chosen)
    return Rows(inputs, np.arange(len(labels)), labels)


def fit(training: Training = TinyNetwork.training, seed: int = 0, **settings: Any) -> torch.nn.Module:
    return train_network(TinyNetwork(), training, data(slice(4)), 3, seed, DEVICE, **settings)


def test_a_network_learns_what_classes_have_in_common() -> None:
    network, others = fit(), data(slice(4, 6))
    found = scores(network, others, DEVICE)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert (found.argmax(axis=1) == others.labels).mean() > 0.9


def test_a_seed_decides_everything() -> None:
    assert weights_of(fit(seed=1)) == weights_of(fit(seed=1))
    assert weights_of(fit(seed=1)) != weights_of(fit(seed=2))


@pytest.mark.parametrize(("samples", "epochs"), [(16, 5), (17, 4), (160, 1)])
def test_steps_give_few_samples_as_many_steps_as_many_samples(samples: int, epochs: int) -> None:
    chosen = np.arange(samples) % len(data(slice(4)).rows)
    told: list[int] = []
    own = Rows(data(slice(4)).inputs, data(slice(4)).rows[chosen], data(slice(4)).labels[chosen])
    train_network(
        TinyNetwork(), Training(steps=10, batch=8, rate=0.01), own, 3, 0, DEVICE,
        report=lambda epoch, _: told.append(epoch),
    )  # fmt: skip
    assert told == list(range(1, epochs + 1))


class StoppedError(Exception):
    """Simulates the end of a process."""


@pytest.mark.parametrize(
    "training",
    [TinyNetwork.training, Training(epochs=6, batch=8, rate=0.01, momentum=0.9, decay=0.9)],
    ids=["adam", "momentum"],
)
def test_a_run_that_was_stopped_ends_with_the_same_weights(
    training: Training, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_room, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    checkpoint, epochs = Checkpoint(tmp_path / "checkpoint.safetensors", "this run"), []

    def stop(epoch: int, figures: dict[str, float]) -> None:
        epochs.append(epoch)
        if epoch == 4:
            raise StoppedError

    whole = fit(training, validation=data(slice(4, 6)))
    with pytest.raises(StoppedError):
        fit(training, validation=data(slice(4, 6)), checkpoint=checkpoint, report=stop)
    resumed = fit(
        training, validation=data(slice(4, 6)), checkpoint=checkpoint, report=lambda epoch, _: epochs.append(epoch)
    )
    assert epochs == [1, 2, 3, 4, 4, 5, 6]
    assert weights_of(resumed) == weights_of(whole)
    other = fit(training, checkpoint=Checkpoint(checkpoint.path, "another run"))
    assert weights_of(other) == weights_of(fit(training))


def test_a_validation_split_chooses_the_epoch_of_the_lowest_loss() -> None:
    seen: dict[int, float] = {}
    hard = Training(epochs=12, batch=8, rate=0.3, optimiser="adam")

    def note(epoch: int, figures: dict[str, float]) -> None:
        seen[epoch] = figures["validation_loss"]

    validation = data(slice(4, 6))
    network = fit(hard, validation=validation, report=note)
    best = min(seen.values())
    found = np.log(scores(network, validation, DEVICE))[np.arange(len(validation.labels)), validation.labels]
    assert -found.mean() == pytest.approx(best, rel=1e-3)
    seen.clear()
    fit(hard, validation=validation, report=note, patience=2)
    lowest = min(seen, key=seen.__getitem__)
    assert len(seen) in (12, lowest + 2)


def test_the_balanced_loss_weighs_classes_not_samples() -> None:
    logits = torch.tensor([[2.0, 0.0], [1.0, 0.0], [0.0, 0.0], [0.0, 3.0]])
    labels = torch.tensor([0, 0, 0, 1])
    each = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    expected = (each[:3].mean() + each[3]) / 2
    assert float(training_loss(logits, labels, "balanced")) == pytest.approx(float(expected))
    assert float(training_loss(logits, labels, "cross_entropy")) == pytest.approx(float(each.mean()))


def test_a_loss_that_is_no_number_is_an_error() -> None:
    with pytest.raises(RecogniserError, match="tiny-network: the loss is not finite in epoch"):
        fit(Training(epochs=40, batch=8, rate=1e38))


def test_bfloat16_learns_as_well() -> None:
    half = Device("cpu", "bfloat16")
    network = train_network(TinyNetwork(), TinyNetwork.training, data(slice(4)), 3, 0, half)
    others = data(slice(4, 6))
    assert (scores(network, others, half).argmax(axis=1) == others.labels).mean() > 0.9


def test_training_settings_are_checked() -> None:
    changed = changed_training(Training(), {"epochs": "3", "rate": 0.5}, "me")
    assert (changed.epochs, changed.rate, changed.batch) == (3, 0.5, Training().batch)
    for settings, message in [
        ({"epoch": 3}, "training has no 'epoch'"),
        ({"epochs": "many"}, "training epochs"),
        ({"epochs": 0}, "above zero"),
        ({"steps": 0}, "above zero"),
    ]:
        with pytest.raises(RecogniserError, match=message):
            changed_training(Training(), settings, "me")


# Weights


def trained_network() -> Trained:
    return Trained(TinyNetwork(), READER.classes, 64, True, fit(), 0, {"clips": ["a"]})


def test_weights_of_a_network_come_back_as_they_were(tmp_path: Path) -> None:
    trained = trained_network()
    for name in ("one", "other"):
        save_trained(trained, tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()
    loaded = load_trained(tmp_path / "one", DEVICE)
    assert weights_of(loaded.model) == weights_of(trained.model)
    assert (loaded.classes, loaded.size, loaded.face_only, loaded.about) == (READER.classes, 64, True, {"clips": ["a"]})
    assert describe(loaded) == "tiny-network; classes negative, positive, surprise"


def test_a_classifier_is_fitted_again_from_its_file(tmp_path: Path) -> None:
    system, flows = Nearest(Copies(2)), data(slice(4))
    features = flows.inputs["flow"].reshape(len(flows.labels), -1)
    own = Rows({"features": features}, flows.rows, flows.labels)
    trained = Trained(system, READER.classes, 64, True, (train_classifier(system, own, 0), own), 0, {})
    save_trained(trained, tmp_path / "weights")
    loaded = load_trained(tmp_path / "weights", DEVICE)
    others = data(slice(4, 6)).inputs["flow"]
    inputs = {"features": others.reshape(len(others), -1)}
    np.testing.assert_array_equal(loaded.scores(inputs, DEVICE), trained.scores(inputs, DEVICE))
    assert describe(loaded).startswith("nearest (copies 2)")


def test_files_that_are_no_weights_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    with pytest.raises(WeightsError, match="do not exist"):
        load_trained(tmp_path / "nowhere", DEVICE)
    (tmp_path / "text").write_text("no weights")
    with pytest.raises(WeightsError, match="cannot be read"):
        load_trained(tmp_path / "text", DEVICE)
    save_file({"a": torch.zeros(1)}, tmp_path / "foreign")
    with pytest.raises(WeightsError, match="no weights of this recognizer"):
        load_trained(tmp_path / "foreign", DEVICE)
    trained = trained_network()
    save_trained(Trained(TinyNetwork(), (*READER.classes, "more"), 64, True, trained.model, 0, {}), tmp_path / "odd")
    with pytest.raises(WeightsError, match="do not fit tiny-network"):
        load_trained(tmp_path / "odd", DEVICE)


# Where a network looks


class LinearPicture(torch.nn.Module):
    """Scores are sums over a picture (B, 2, 12, 12), weighted differently for each class."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = torch.nn.Parameter(torch.randn(3, 2, 12, 12, generator=torch.Generator().manual_seed(0)))

    def forward(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        return torch.einsum("bchw,kchw->bk", inputs["picture"], self.weights) + inputs["number"]


def test_saliency_of_a_linear_network_is_its_weights() -> None:
    network = LinearPicture()
    trained = Trained(TinyNetwork(), READER.classes, 12, True, network, 0, {})
    inputs = {"picture": np.ones((2, 12, 12), np.float32), "number": np.zeros(1, np.float32)}
    maps = saliency(trained, inputs, 1, DEVICE)
    expected = network.weights[1].detach().abs().amax(dim=0).numpy()
    assert list(maps) == ["picture"]
    np.testing.assert_allclose(maps["picture"], expected[None], rtol=1e-6)
    assert sheet(inputs, maps, "a title").startswith(b"\x89PNG")
    with pytest.raises(RecogniserError, match="are not images"):
        saliency(trained, {"number": inputs["number"]}, 1, DEVICE)
    with pytest.raises(RecogniserError, match="no gradient"):
        saliency(Trained(Nearest(), READER.classes, 12, True, None, 0, {}), inputs, 1, DEVICE)


# The commands' way


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_store(tmp_path_factory.mktemp("train"))


def test_a_store_is_trained_on_and_tested_apart(store: Path, tmp_path: Path) -> None:
    said: list[str] = []
    run = TrainingRun("tiny-network", DataConfig(stores=(store,)), views="all", validation=0.4)
    weights = run_training(run, tmp_path / "out", DEVICE, say=said.append)
    trained = load_trained(weights, DEVICE)
    reader = open_data(run.data)
    assert set(trained.about["clips"]) == {entry.clip for entry in reader.entries if entry.split == "train"}
    assert any("to choose the epoch" in line for line in said)
    found = evaluate(trained, reader, "test", DEVICE)
    assert found["clips"] == 3
    assert list(found["views"]) == ["all views", "source", "yaw-45", "yaw+00", "yaw+45"]
    assert found["views"]["all views"]["views"] == 12
    with pytest.raises(RecogniserError, match="leak: the weights were trained on 9 of these expressions"):
        evaluate(trained, reader, "all", DEVICE)
    assert evaluate(trained, reader, "train", DEVICE)["clips"] == 9
    before = weights.read_bytes()
    assert run_training(run, tmp_path / "out", DEVICE, say=said.append) == weights
    assert weights.read_bytes() == before
    other = TrainingRun("tiny-network", DataConfig(stores=(store,)), views="source")
    with pytest.raises(RecogniserError, match="differs in about"):
        run_training(other, tmp_path / "out", DEVICE)


def test_a_run_can_be_calibrated_on_subjects_left_out(store: Path, tmp_path: Path) -> None:
    run = TrainingRun("tiny-network", DataConfig(stores=(store,)), views="all", split="all", calibrate=2)
    trained = load_trained(run_training(run, tmp_path / "out", DEVICE, say=lambda _: None), DEVICE)
    found = trained.about["calibration"]
    assert trained.temperature == found["temperature"] > 0
    assert found["views"] == len(open_data(DataConfig(stores=(store,))).entries)
    assert trained.about["stand_ins"] is False
    plain = replace(run, calibrate=0)
    assert load_trained(run_training(plain, tmp_path / "plain", DEVICE, say=lambda _: None), DEVICE).temperature == 1
    with pytest.raises(RecogniserError, match="training subjects cannot be calibrated on in 99 folds"):
        run_training(replace(run, calibrate=99), tmp_path / "many", DEVICE, say=lambda _: None)


def test_runs_that_make_no_sense_are_refused(store: Path, tmp_path: Path) -> None:
    stored = DataConfig(stores=(store,))
    for settings, error, message in [
        ({"views": "front"}, ConfigError, "'front' is unknown"),
        ({"split": "test"}, ConfigError, "'test' is unknown"),
        ({"views": "true"}, RecogniserError, "no view of the kind 'true'"),
        ({"training": {"epoch": 1}}, RecogniserError, "has no 'epoch'"),
        ({"options": {"size": 1}}, RecogniserError, "no option 'size'"),
    ]:
        with pytest.raises(error, match=message):
            run_training(TrainingRun("tiny-network", stored, **settings), tmp_path / "out", DEVICE)
    assert not (tmp_path / "out").exists()
