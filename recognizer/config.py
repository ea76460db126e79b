"""Configuration of a benchmark: the systems, data, protocol and seeds in its YAML."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator, model_validator

from mvgen.core.errors import ConfigError
from mvgen.core.files import find_config
from mvgen.core.settings import read_yaml
from recognizer.errors import RecogniserError
from recognizer.evaluation.protocols import Protocol, Views
from recognizer.readers.config import DataConfig
from recognizer.systems import NeuralSystem, System, get_system
from recognizer.systems.base import Training

_STRICT = ConfigDict(extra="forbid", frozen=True)


class Selection(BaseModel):
    """How the number of epochs is chosen: fixed, or by the lowest loss on a validation split."""

    model_config = _STRICT

    validation: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.0,
        description="share of the training subjects (or clips) held out to choose the epoch; 0: the last epoch",
    )
    patience: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="stop when the validation loss has not fallen for that many epochs"
    )


class Published(BaseModel):
    """A published figure, and what has to be known about it."""

    model_config = _STRICT

    value: float | str
    note: Annotated[str, Field(min_length=1)] = Field(description="printed below the table")


class Confusion(BaseModel):
    """A published confusion matrix. counts : rows are the true classes, in the order of the data's classes"""

    model_config = _STRICT

    counts: Annotated[tuple[tuple[Annotated[int, Field(ge=0)], ...], ...], Field(min_length=1)]
    note: str = ""

    @field_validator("counts")
    @classmethod
    def _square(cls, value: tuple[tuple[int, ...], ...]) -> tuple[tuple[int, ...], ...]:
        if any(len(row) != len(value) for row in value):
            raise ValueError("a confusion matrix has as many columns as rows")
        return value


Figure = float | str | Published
Measured = Literal["accuracy", "uf1", "uar", "macro_f1", "micro_f1"]


def figures_of(published: Mapping[str, Figure]) -> dict[str, float | str]:
    """Column -> published figure, without its note."""
    return {name: one.value if isinstance(one, Published) else one for name, one in published.items()}


def notes_of(published: Mapping[str, Figure]) -> dict[str, str]:
    """Column -> note at the published figure, where it has one."""
    return {name: one.note for name, one in published.items() if isinstance(one, Published)}


class SystemConfig(BaseModel):
    """One row of the table: a system, its options, and its published results."""

    model_config = _STRICT

    name: str = Field(description="the system, see `recognizer systems`")
    label: str = Field(default="", description="its name in the table; `name` by default")
    options: dict[str, Any] = Field(default={}, description="options of the system")
    training: dict[str, Any] = Field(default={}, description="epochs, batch, rate ... instead of the paper's")
    train: tuple[Views, ...] | None = Field(default=None, description="training views instead of the benchmark's")
    published: dict[str, Figure] = Field(
        default={}, description="column -> result in the paper, for comparison; or {value, note}"
    )
    confusion: Confusion | None = Field(default=None, description="the paper's confusion matrix, printed beside ours")

    @property
    def title(self) -> str:
        return self.label or self.name


class BenchConfig(BaseModel):
    """A benchmark."""

    model_config = _STRICT

    title: str = Field(default="", description="heading of the tables")
    about: str = Field(default="", description="a note below the title, such as the table and paper that is reproduced")
    data: DataConfig = DataConfig()
    protocol: Protocol = Protocol()
    train: Annotated[tuple[Views, ...], Field(min_length=1)] = Field(
        default=("source", "all"), description="kinds of training views; each system is trained once for each kind"
    )
    seeds: Annotated[tuple[int, ...], Field(min_length=1)] = Field(default=(0, 1, 2), description="of training")
    selection: Selection = Selection()
    systems: Annotated[tuple[SystemConfig, ...], Field(min_length=1)]
    published: dict[str, dict[str, Figure]] = Field(
        default={}, description="published results of other work, not measured here: name -> column -> result"
    )
    beside: dict[str, Measured] = Field(
        default={}, description="published column -> the measured figure that means the same, printed beside it"
    )
    shuffle_labels: bool = Field(
        default=False, description="shuffle the labels of the clips: accuracy above chance then shows a leak"
    )

    @field_validator("seeds", mode="before")
    @classmethod
    def _count_seeds(cls, value: Any) -> Any:
        return tuple(range(value)) if isinstance(value, int) else value

    @model_validator(mode="after")
    def _kept_views_know_their_labels(self) -> BenchConfig:
        asked = {views for system in self.systems for views in system.train or self.train}
        if "kept" in asked and self.protocol.name != "stored":
            raise ValueError(
                "train: kept views were chosen by labels of clips that other folds test on; use all, or protocol stored"
            )
        return self

    @field_validator("systems")
    @classmethod
    def _titles_differ(cls, value: tuple[SystemConfig, ...]) -> tuple[SystemConfig, ...]:
        titles = [system.title for system in value]
        twice = sorted({title for title in titles if titles.count(title) > 1})
        if twice:
            raise ValueError(f"two systems have the label {twice[0]!r}; give one of them another label")
        return value

    @model_validator(mode="after")
    def _beside_a_column(self) -> Self:
        columns = {column for row in (*(s.published for s in self.systems), *self.published.values()) for column in row}
        unknown = sorted(set(self.beside) - columns)
        if unknown:
            raise ValueError(f"beside: no published column is called {unknown[0]!r}")
        return self


def load_bench(path: Path, overrides: Mapping[str, Any] | None = None) -> BenchConfig:
    """Read a benchmark's YAML and apply overrides.

    path : the file, or a name of `mvgen configs`
    overrides : field -> value; the fields of `data` are overridden one by one
    Raises ConfigError naming the file and the invalid settings, RecogniserError for an unknown system or invalid
    options.
    """
    values = read_yaml(find_config(path, "benchmark"), "benchmark")
    for name, value in (overrides or {}).items():
        values[name] = {**(values.get(name) or {}), **value} if name == "data" else value
    try:
        config = BenchConfig(**values)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_url=False))
        raise ConfigError(f"benchmark {path}: {problems}") from None
    for one in config.systems:
        training_of(one, open_system(one))
    return config


def choose_systems(config: BenchConfig, titles: Collection[str] | None, epochs: int | None) -> BenchConfig:
    """The benchmark with some of its systems only, or with other epochs; None changes nothing.

    Raises ConfigError for an unknown title.
    """
    systems = config.systems
    if titles:
        known = [system.title for system in systems]
        unknown = sorted(set(titles) - set(known))
        if unknown:
            raise ConfigError(f"the benchmark has no system {unknown[0]!r}; it has {', '.join(known)}")
        systems = tuple(system for system in systems if system.title in titles)
    if epochs is not None:
        shorter = {"epochs": epochs, "steps": None}
        systems = tuple(
            system.model_copy(update={"training": {**system.training, **shorter}})
            if isinstance(open_system(system), NeuralSystem)
            else system
            for system in systems
        )
    return config.model_copy(update={"systems": systems})


def open_system(config: SystemConfig) -> System[Any]:
    """The system of a row."""
    return get_system(config.name, **config.options)


def training_of(config: SystemConfig, system: System[Any]) -> Training | None:
    """Training of a system: that of its paper with the changes of the row; None for hand-crafted features."""
    if not isinstance(system, NeuralSystem):
        if config.training:
            raise RecogniserError(f"{config.title} is not a network; it has no training settings")
        return None
    return changed_training(system.training, config.training, config.title)


def changed_training(training: Training, changes: Mapping[str, Any], who: str) -> Training:
    """A training with some values changed. Raises RecogniserError for an unknown name or an invalid value."""
    known = [field.name for field in fields(Training)]
    unknown = sorted(set(changes) - set(known))
    if unknown:
        raise RecogniserError(f"{who}: training has no {unknown[0]!r}; it has {', '.join(known)}")
    try:
        changed = TypeAdapter(Training).validate_python({**asdict(training), **changes})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise RecogniserError(f"{who}: training {first['loc'][0]}: {first['msg']}, got {first['input']!r}") from None
    counts = (changed.epochs, changed.batch, changed.rate, 1 if changed.steps is None else changed.steps)
    if min(counts) <= 0:
        raise RecogniserError(f"{who}: epochs, steps, batch and rate must be above zero, got {changed}")
    return replace(changed)
