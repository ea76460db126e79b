"""Work units of a benchmark: one system, trained on one kind of views, for one fold and one seed.

Finished units are stored, and long ones write checkpoints: a killed benchmark loses seconds of work.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mvgen.core.config import canonical_json
from mvgen.core.device import one_thread
from mvgen.core.errors import ConfigError
from mvgen.core.files import disk_errors, write_atomically
from mvgen.store.manifest import digest_of
from recognizer.config import BenchConfig, SystemConfig, open_system, training_of
from recognizer.evaluation.protocols import (
    TRAINING_VIEWS,
    Fold,
    Views,
    check_apart,
    entries_to_test,
    hold_out,
    make_folds,
    shuffled_labels,
    training_entries,
)
from recognizer.learning.data import Prepared, prepare
from recognizer.learning.fit import (
    Checkpoint,
    Device,
    Rows,
    classifier_scores,
    scores,
    train_classifier,
    train_network,
)
from recognizer.readers.base import Entry, Reader
from recognizer.readers.config import open_data
from recognizer.systems import SYSTEMS
from recognizer.systems.base import FeatureSystem, NeuralSystem, System
from recognizer.systems.needs import check_needs

_DIGITS = 6  # of a stored probability


@dataclass(frozen=True, slots=True)
class Unit:
    """One training run: a row of the benchmark, a kind of training views, a fold, a seed."""

    system: int
    views: Views
    fold: str
    seed: int

    def name(self, config: BenchConfig) -> str:
        """File name of its result, readable and unique."""
        title = config.systems[self.system].title
        plain = "".join(letter if letter.isalnum() else "-" for letter in f"{title}--{self.views}--{self.fold}")[:80]
        return f"{plain}--{self.seed}--{digest_of([title, self.views, self.fold, self.seed])[:8]}"


@dataclass(frozen=True, slots=True)
class Prediction:
    """Prediction of a system for one view: the probability of every class."""

    clip: str
    view: str
    scores: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is decided before the units run, for all workers.

    out : folder of the benchmark; folder : of prepared inputs; identity : digest of all that the units depend on
    """

    config: BenchConfig
    out: Path
    folder: Path
    device: Device
    identity: str
    tensorboard: bool = True


@dataclass(frozen=True, slots=True)
class Data:
    """Opened data, with shuffled labels if the config requests them. folds : by name"""

    reader: Reader
    entries: tuple[Entry, ...]
    folds: dict[str, Fold]


def open_bench_data(config: BenchConfig, folder: Path) -> Data:
    """Open the data of a benchmark and split it. Raises RecogniserError for data that the protocol cannot use."""
    reader = open_data(config.data, folder / "samples")
    check_needs(reader, (open_system(row) for row in config.systems))
    for row in config.systems:
        if row.confusion is not None and len(row.confusion.counts) != len(reader.classes):
            raise ConfigError(
                f"{row.title}: the published confusion has {len(row.confusion.counts)} classes, the data have "
                f"{len(reader.classes)}; correct `confusion`, or `data.classes`"
            )
    entries = reader.entries
    if config.shuffle_labels:
        other = shuffled_labels(entries, config.protocol.seed)
        entries = tuple(
            replace(entry, label=label, units=units) for entry in entries for label, units in (other[entry.clip],)
        )
    folds = make_folds(entries, reader.classes, config.protocol)
    for views in {views for system in config.systems for views in system.train or config.train}:
        training_entries(entries, folds[0], views)
    return Data(reader, entries, {fold.name: fold for fold in folds})


def list_units(config: BenchConfig, data: Data) -> list[Unit]:
    """All units, grouped by system."""
    return [
        Unit(number, views, fold, seed)
        for number, system in enumerate(config.systems)
        for views in system.train or config.train
        for fold in data.folds
        for seed in config.seeds
    ]


def prepared(plan: Plan, data: Data, number: int, workers: int = 1, progress: Any = None) -> tuple[Prepared, Prepared]:
    """(plain inputs of all views, inputs with training copies of all training views of the system)."""
    row = plan.config.systems[number]
    system = open_system(row)
    plain = prepare(
        data.reader, system, range(len(data.entries)), folder=plan.folder / "inputs", workers=workers, progress=progress
    )  # fmt: skip
    if type(system).expand is System.expand:
        return plain, plain
    used = [
        index
        for index, entry in enumerate(data.entries)
        if any(TRAINING_VIEWS[views](entry) for views in row.train or plan.config.train)
    ]
    copies = prepare(
        data.reader, system, used, expanded=True, folder=plan.folder / "inputs", workers=workers, progress=progress
    )  # fmt: skip
    return plain, copies


def make_worker(plan: Plan) -> Callable[[Unit], tuple[Prediction, ...]]:
    """Open the data once; return the function that runs a unit."""
    one_thread()
    data = open_bench_data(plan.config, plan.folder)
    inputs: dict[int, tuple[Prepared, Prepared]] = {}

    def work(unit: Unit) -> tuple[Prediction, ...]:
        if unit.system not in inputs:
            inputs.clear()  # one system's inputs at a time
            inputs[unit.system] = prepared(plan, data, unit.system)
        return run_unit(plan, data, unit, *inputs[unit.system])

    return work


def run_unit(plan: Plan, data: Data, unit: Unit, plain: Prepared, copies: Prepared) -> tuple[Prediction, ...]:
    """Train and test one unit."""
    row, fold = plan.config.systems[unit.system], data.folds[unit.fold]
    by_subject = plan.config.protocol.by_subject
    train = training_entries(data.entries, fold, unit.views)
    test = entries_to_test(data.entries, fold)
    check_apart(data.entries, train, test, by_subject=by_subject)
    labels = np.array([entry.units or entry.label for entry in data.entries])
    system, classes = open_system(row), len(data.reader.classes)
    tested = Rows(plain.inputs, plain.rows(test), labels[test])
    if isinstance(system, FeatureSystem):
        learned = train_classifier(system, _rows(copies, train, labels), unit.seed)
        found = classifier_scores(learned, tested.inputs["features"][tested.rows], classes)
    else:
        assert isinstance(system, NeuralSystem)
        network = _train(plan, data, unit, system, row, (train, labels), plain, copies)
        found = scores(network, tested, plan.device)
    return tuple(
        Prediction(data.entries[index].clip, data.entries[index].view, tuple(np.round(each, _DIGITS).tolist()))
        for index, each in zip(test, found, strict=True)
    )


def _train(  # noqa: PLR0917
    plan: Plan,
    data: Data,
    unit: Unit,
    system: NeuralSystem[Any],
    row: SystemConfig,
    learned_from: tuple[list[int], np.ndarray],
    plain: Prepared,
    copies: Prepared,
) -> Any:
    train, labels = learned_from
    training = training_of(row, system)
    assert training is not None
    validation, selection = None, plan.config.selection
    if selection.validation:
        train, held_out = hold_out(
            data.entries, train, selection.validation, by_subject=plan.config.protocol.by_subject, seed=unit.seed
        )
        validation = _rows(plain, held_out, labels)
    name = unit.name(plan.config)
    place = plan.out / "checkpoints" / f"{name}.safetensors"
    with Board(plan.out / "tensorboard" / name if plan.tensorboard else None) as board:
        network = train_network(
            system,
            training,
            _rows(copies, train, labels),
            len(data.reader.classes),
            unit.seed,
            plan.device,
            plain=_rows(plain, train, labels),
            validation=validation,
            patience=selection.patience,
            checkpoint=Checkpoint(place, digest_of([plan.identity, name])),
            report=board.add,
        )
    return network


def _rows(inputs: Prepared, entries: Sequence[int], labels: np.ndarray) -> Rows:
    return Rows(inputs.inputs, inputs.rows(entries), np.repeat(labels[list(entries)], inputs.copies, axis=0))


class Board:
    """Curves for tensorboard, in a folder; None writes none."""

    def __init__(self, folder: Path | None) -> None:
        self._writer = None
        if folder is not None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(folder))

    def __enter__(self) -> Board:
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()

    def add(self, epoch: int, figures: dict[str, float]) -> None:
        for name, value in figures.items():
            if self._writer is not None:
                self._writer.add_scalar(name, value, epoch)


def unit_path(out: Path, config: BenchConfig, unit: Unit) -> Path:
    return out / "units" / f"{unit.name(config)}.json"


def write_unit(plan: Plan, unit: Unit, predictions: Sequence[Prediction]) -> None:
    """Store a finished unit, then remove its checkpoint."""
    views = [[each.clip, each.view, list(each.scores)] for each in predictions]
    content = json.dumps({"identity": plan.identity, "predictions": views}, ensure_ascii=False, indent=0)
    with disk_errors(plan.out):
        write_atomically(unit_path(plan.out, plan.config, unit), f"{content}\n".encode())
        (plan.out / "checkpoints" / f"{unit.name(plan.config)}.safetensors").unlink(missing_ok=True)


def read_unit(plan: Plan, unit: Unit) -> tuple[Prediction, ...] | None:
    """The stored result of a unit; None if there is none or it belongs to another benchmark."""
    path = unit_path(plan.out, plan.config, unit)
    if not path.is_file():
        return None
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return None
    if stored.get("identity") != plan.identity:
        return None
    return tuple(Prediction(clip, view, tuple(each)) for clip, view, each in stored["predictions"])


def bench_identity(config: BenchConfig, data: Data, code: str) -> dict[str, Any]:
    """All that the results of a benchmark depend on; data count by their digests, not by their paths."""
    settings = config.model_dump(mode="json", exclude={"data", "title", "about", "published", "beside"})
    for system in settings["systems"]:
        del system["published"], system["confusion"]
        system["package"] = SYSTEMS.package(system["name"])
    views = digest_of(
        [
            [entry.clip, entry.expression, entry.view, entry.subject, entry.label, entry.units, entry.kept, entry.key]
            for entry in data.entries
        ]
    )
    # Plain JSON types, because it is compared with the content of a file.
    return json.loads(
        canonical_json({"settings": settings, "classes": data.reader.classes, "views": views, "code": code})
    )
