"""Train one system for use: `recognizer train`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, get_args

import numpy as np

from mvgen.core.config import canonical_json
from mvgen.core.errors import ConfigError
from mvgen.core.files import disk_errors, write_atomically
from mvgen.store.about import read_about
from mvgen.store.manifest import digest_of
from mvgen.store.state import locked
from recognizer.bench.units import Board
from recognizer.code import TRAINING_CODE, code_digest
from recognizer.config import changed_training
from recognizer.errors import RecogniserError
from recognizer.evaluation.protocols import Fold, Views, check_apart, hold_out, training_entries
from recognizer.learning.calibration import Calibration, calibrate
from recognizer.learning.data import prepare
from recognizer.learning.fit import Checkpoint, Device, Rows, scores, train_classifier, train_network
from recognizer.learning.weights import Trained, save_trained
from recognizer.readers.base import Reader
from recognizer.readers.config import DataConfig, open_data
from recognizer.systems import SYSTEMS, FeatureSystem, NeuralSystem, System, get_system
from recognizer.systems.needs import check_needs

Say = Callable[[str], None]

WEIGHTS = "weights.safetensors"
_RUN, _CHECKPOINT = "run.json", "checkpoint.safetensors"
_SECONDS_BETWEEN_LINES = 10.0


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """Settings of a training run.

    options : of the system; training : changes to the training of its paper
    views : see `protocols.TRAINING_VIEWS`; split : "train", the dataset's own training subjects, or "all"
    validation : share of the training subjects held out to choose the epoch; 0 takes the last epoch
    calibrate : folds of the training subjects, each left out of another training to calibrate on; 0 calibrates nothing
    """

    system: str
    data: DataConfig
    options: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    views: str = "all"
    split: str = "train"
    validation: float = 0.0
    patience: int | None = None
    calibrate: int = 0
    seed: int = 0


def run_training(run: TrainingRun, out: Path, device: Device, *, workers: int = 1, say: Say = print) -> Path:
    """Train, or resume training, and write OUT/weights.safetensors.

    Raises ConfigError for unknown settings, RecogniserError for data that cannot be trained on or a folder with another
    run.
    """
    for value, known in ((run.views, get_args(Views)), (run.split, ("train", "all"))):
        if value not in known:
            raise ConfigError(f"{value!r} is unknown; it is one of {', '.join(known)}")
    views: Views = run.views  # type: ignore[assignment]
    system = get_system(run.system, **run.options)
    reader = open_data(run.data, out / "samples")
    check_needs(reader, [system])
    if any(entry.units for entry in reader.entries):
        raise RecogniserError("action units are recognised by `recognizer bench` only; choose other `classes`")
    if run.calibrate and not isinstance(system, NeuralSystem):
        raise ConfigError(f"{run.system} is no network: it has no probabilities to calibrate")
    fold = _fold(reader, run.split)
    learned = training_entries(reader.entries, fold, views)
    _check_classes(reader, learned)
    training = changed_training(system.training, run.training, run.system) if isinstance(system, NeuralSystem) else None
    about: dict[str, Any] = {
        "training": None if training is None else asdict(training),
        "views": run.views,
        "split": run.split,
        "validation": run.validation,
        "patience": run.patience,
        "calibrate": run.calibrate,
        "stand_ins": _only_stand_ins(run.data),
        "clips": sorted({reader.entries[index].clip for index in learned}),
        "expressions": sorted({reader.entries[index].expression for index in learned}),
    }
    keys = [reader.entries[index].key for index in learned]
    identity = {
        "about": about, "system": system.name, "options": asdict(system.options), "seed": run.seed,
        "package": SYSTEMS.package(run.system),
        "views": digest_of(keys), "code": code_digest(TRAINING_CODE), "half": device.half,
    }  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    with locked(out), disk_errors(out):
        _check_run(out, identity)
        write_atomically(out / _RUN, canonical_json(identity).encode())
        if (out / WEIGHTS).is_file():
            say(f"{out / WEIGHTS} exists already: nothing to do.")
            return out / WEIGHTS
        model, size, found = _learn(
            run, reader, system, learned, out, device, training, digest_of(identity), workers, say
        )
        if found is not None:
            about["calibration"] = found.as_dict()
        trained = Trained(system, reader.classes, size, run.data.face_only, model, run.seed, about)
        save_trained(trained, out / WEIGHTS)
        (out / _CHECKPOINT).unlink(missing_ok=True)
    return out / WEIGHTS


def _learn(  # noqa: PLR0917
    run: TrainingRun,
    reader: Reader,
    system: System[Any],
    learned: list[int],
    out: Path,
    device: Device,
    training: Any,
    identity: str,
    workers: int,
    say: Say,
) -> tuple[Any, int, Calibration | None]:
    """The model, the side of the images it was trained on, and its calibration."""
    labels = np.array([entry.label for entry in reader.entries])
    folder, progress = out / "inputs", _Progress(say)
    plain = prepare(reader, system, learned, folder=folder, workers=workers, progress=progress)
    copies = plain
    if type(system).expand is not System.expand:
        copies = prepare(reader, system, learned, expanded=True, folder=folder, workers=workers, progress=progress)

    def rows(inputs: Any, entries: list[int]) -> Rows:
        return Rows(inputs.inputs, inputs.rows(entries), np.repeat(labels[entries], inputs.copies))

    size = reader.read(learned[0]).frames.shape[1]
    if isinstance(system, FeatureSystem):
        data = rows(copies, learned)
        own = Rows({"features": data.inputs["features"][data.rows]}, np.arange(len(data.rows)), data.labels)
        return (train_classifier(system, own, run.seed), own), size, None
    assert isinstance(system, NeuralSystem)
    held_out: list[int] = []
    if run.validation:
        learned, held_out = hold_out(reader.entries, learned, run.validation, by_subject=True, seed=run.seed)
        check_apart(reader.entries, learned, held_out, by_subject=True)
    say(f"{system.name}: {len(learned)} views to train on, {len(held_out)} to choose the epoch")
    samples = rows(copies, learned)
    with Board(out / "tensorboard") as board:
        lines = _Lines(training.epochs_over(len(samples.rows)), say)

        def report(epoch: int, figures: dict[str, float]) -> None:
            board.add(epoch, figures)
            lines.add(epoch, figures)

        network = train_network(
            system,
            training,
            samples,
            len(reader.classes),
            run.seed,
            device,
            plain=rows(plain, learned),
            validation=rows(plain, held_out) if held_out else None,
            patience=run.patience,
            checkpoint=Checkpoint(out / _CHECKPOINT, identity),
            report=report,
        )

    def probabilities(train: list[int], test: list[int]) -> tuple[Any, Any]:
        other = train_network(system, training, rows(copies, train), len(reader.classes), run.seed, device,
                              plain=rows(plain, train))  # fmt: skip
        data = rows(plain, test)
        return scores(other, data, device), data.labels

    return network, size, _calibration(run, reader, learned, probabilities, say) if run.calibrate else None


def _calibration(
    run: TrainingRun,
    reader: Reader,
    learned: list[int],
    probabilities: Callable[[list[int], list[int]], tuple[Any, Any]],
    say: Say,
) -> Calibration:
    """The calibration by networks that are each trained without a part of the training subjects."""
    subjects = sorted({reader.entries[index].subject for index in learned})
    if not 2 <= run.calibrate <= len(subjects):
        raise RecogniserError(f"{len(subjects)} training subjects cannot be calibrated on in {run.calibrate} folds")
    folds = []
    for number in range(run.calibrate):
        say(f"calibration: fold {number + 1} of {run.calibrate}")
        left_out = set(subjects[number :: run.calibrate])
        test = [index for index in learned if reader.entries[index].subject in left_out]
        folds.append(probabilities([index for index in learned if index not in set(test)], test))
    found = calibrate(folds, len(subjects))
    say(f"calibration: temperature {found.temperature:.2f}, error {found.error:.3f} ({found.error_before:.3f} before)")
    return found


def _only_stand_ins(data: DataConfig) -> bool:
    """Whether all data are built from stand-ins."""
    versions = [str(read_about(store)["source"]["version"]) for store in data.stores]
    return bool(versions) and all("a stand-in" in version for version in versions)


def _fold(reader: Reader, split: str) -> Fold:
    """The training side of the split. Data without a split can only be trained on as a whole."""
    sides = {entry.split for entry in reader.entries}
    if split == "train" and sides == {None}:
        raise RecogniserError("the data have no training split of their own; train on all of them with --split all")
    chosen = frozenset(entry.clip for entry in reader.entries if split == "all" or entry.split == "train")
    return Fold(split, chosen, frozenset(entry.clip for entry in reader.entries) - chosen)


def _check_classes(reader: Reader, learned: list[int]) -> None:
    known = {reader.entries[index].label for index in learned}
    missing = [name for number, name in enumerate(reader.classes) if number not in known]
    if missing:
        raise RecogniserError(
            f"class {missing[0]!r} has no training view; give more data, or train on all clips with --split all"
        )


def _check_run(out: Path, identity: Mapping[str, Any]) -> None:
    path = out / _RUN
    if not path.is_file():
        return
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise RecogniserError(f"{path} is damaged; remove {out} or choose another --out") from None
    now = json.loads(canonical_json(identity))
    if before != now:
        differing = ", ".join(name for name in now if now[name] != before.get(name))
        raise RecogniserError(f"{out} holds a training run that differs in {differing}; choose another --out")


class _Progress:
    """Reports the progress of preparing inputs, every few seconds."""

    def __init__(self, say: Say) -> None:
        self._say, self._last = say, time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        if time.monotonic() - self._last > _SECONDS_BETWEEN_LINES:
            self._last = time.monotonic()
            self._say(f"prepared {done} of {total} views")


class _Lines:
    """Reports the figures of an epoch, every few seconds and at the end."""

    def __init__(self, epochs: int, say: Say) -> None:
        self._epochs, self._say, self._last = epochs, say, time.monotonic() - _SECONDS_BETWEEN_LINES

    def add(self, epoch: int, figures: Mapping[str, float]) -> None:
        if time.monotonic() - self._last > _SECONDS_BETWEEN_LINES or epoch == self._epochs:
            self._last = time.monotonic()
            text = "  ".join(f"{name.replace('_', ' ')} {value:.4f}" for name, value in figures.items())
            self._say(f"epoch {epoch} of {self._epochs}: {text}")
