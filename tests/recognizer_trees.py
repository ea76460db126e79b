"""Small data and systems for tests of the recogniser bench: all results are known and fast."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from fake_build import FakeStages, make_config, make_source
from torch import Tensor, nn

from mvgen.building.build import build
from mvgen.core.config import BuildConfig
from mvgen.core.records import BuiltClip, Clip
from mvgen.core.stopwatch import Stopwatch
from mvgen.sources.base import Listing
from recognizer.readers.base import Entry, Reader, sample_of
from recognizer.records import Sample
from recognizer.systems import SYSTEMS
from recognizer.systems.base import FeatureSystem, Inputs, NeuralSystem, Training

CLASSES = ("negative", "positive", "surprise")
SIZE = 8


@dataclass(frozen=True)
class LabelledStages(FakeStages):
    """`FakeStages` whose clips take the three labels in turn."""

    def read(self, config: BuildConfig) -> Listing:
        listing = super().read(config)
        return replace(listing, clips=tuple(_labelled(clip) for clip in listing.clips))

    def builder(self, config: BuildConfig, attention: Path) -> Callable[[Clip, Stopwatch], BuiltClip]:
        return super().builder(config, attention)


def _labelled(clip: Clip) -> Clip:
    label = CLASSES[(int(clip.name[4:]) - 1) % 3]
    return replace(clip, label=label, emotion=label)  # type: ignore[arg-type]


def make_store(folder: Path, subjects: int = 4, clips: int = 3, **settings: object) -> Path:
    """A store of `fake_build`'s clips: 64 pixels, 4 frames, views at -45, 0 and 45 degrees."""
    root = make_source(folder / "root", subjects=subjects, clips=clips)
    build(make_config(root, folder / "store", test_share=0.25, **settings), LabelledStages(root))
    return folder / "store"


class PatternReader(Reader):
    """Clips in some views, as numbers: each class, clip and view adds a pattern of its own.

    strength : of the class's pattern; the clip's is 1, of the view 0.3
    """

    classes = CLASSES

    def __init__(self, subjects: int = 12, clips: int = 9, datasets: int = 1, strength: float = 1.0) -> None:
        views = (("source", None), ("yaw-15", -15.0), ("yaw+15", 15.0))
        found = []
        for subject in range(subjects):
            for clip in range(clips):
                dataset, person = f"set{subject % datasets}", f"p{subject:02d}"
                for view, yaw in views:
                    kind = "source" if yaw is None else "built"
                    name = f"{person}-{clip}"
                    split, key = "test" if subject % 4 == 0 else "train", f"{name} {view}"
                    kept = yaw != 15.0
                    found.append(Entry(dataset, name, name, person, clip % 3, view, kind, yaw, kept, split, key))
        self.entries = tuple(found)
        self.strength = strength
        self.reads = 0

    def read(self, index: int) -> Sample:
        self.reads += 1
        entry = self.entries[index]
        label, clip, view = (
            np.random.default_rng([number, *text.encode()]).normal(0, 1, (SIZE, SIZE, 2))
            for number, text in ((1, str(entry.label)), (2, entry.clip), (3, entry.key))
        )
        flow = (self.strength * label + clip + 0.3 * view).astype(np.float32)
        frames = np.zeros((3, SIZE, SIZE, 3), np.uint8)
        return sample_of(entry, frames, np.stack([flow, -flow]), flow, np.ones((SIZE, SIZE), bool), (0, 1, 2), None)


class Linear(nn.Module):
    """One layer with dropout."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.2)
        self.layer = nn.Linear(SIZE * SIZE * 2, classes)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        return self.layer(self.drop(inputs["flow"].flatten(1)))


def _grid(flow: np.ndarray) -> np.ndarray:
    step = flow.shape[0] // SIZE
    return np.ascontiguousarray(flow[::step, ::step][:SIZE, :SIZE], np.float32)


@dataclass(frozen=True, slots=True)
class Copies:
    """copies : of a training sample."""

    copies: int = 1


class TinyNetwork(NeuralSystem[Copies]):
    name = "tiny-network"
    source = "tests"
    Choices = Copies
    training = Training(epochs=6, batch=8, rate=0.01, optimiser="adam")

    def prepare(self, sample: Sample) -> Inputs:
        return {"flow": _grid(sample.apex_flow)}

    def network(self, classes: int) -> nn.Module:
        return Linear(classes)


class CopyingNetwork(TinyNetwork):
    name = "copying-network"

    def expand(self, sample: Sample) -> Iterator[Sample]:
        for number in range(self.options.copies):
            yield replace(sample, apex_flow=sample.apex_flow + np.float32(number))


class Nearest(FeatureSystem[Copies]):
    """Memorises its training data, and so exploits every leak."""

    name = "nearest"
    source = "tests"
    Choices = Copies

    def prepare(self, sample: Sample) -> Inputs:
        return {"features": _grid(sample.apex_flow).reshape(-1)}

    def classifier(self, seed: int) -> object:
        from sklearn.neighbors import KNeighborsClassifier

        return KNeighborsClassifier(1)


def install_systems() -> None:
    """Put the systems above into the registry."""
    for system in (TinyNetwork, CopyingNetwork, Nearest):
        if system.name not in SYSTEMS.built_in:
            SYSTEMS.add(system.name, system)


def weights_of(network: nn.Module) -> dict[str, bytes]:
    """Every tensor of a network, as bytes."""
    return {name: value.numpy().tobytes() for name, value in network.state_dict().items()}


def rows_of(reader: Reader, system: NeuralSystem, entries: list[int]) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Prepared inputs and labels of some entries."""
    flows = np.stack([system.prepare(reader.read(index))["flow"] for index in entries])
    return {"flow": flows}, np.array([reader.entries[index].label for index in entries])


torch.set_num_threads(1)
