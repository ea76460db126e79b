"""Interface of recognisers: a function from samples to inputs, and a network or a classifier for them.

A system consists of its options only. It has no data and no weights, so that one object serves every fold and seed.
`prepare` is pure; its results can be cached by sample.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Generic, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from recognizer.records import Needs, Sample

if TYPE_CHECKING:
    from torch import Tensor, nn

Inputs = dict[str, NDArray[np.float32]]
Options = TypeVar("Options")

# Types of options; `get_system` checks them.
Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, lt=1)]


@dataclass(frozen=True, slots=True)
class Training:
    """How a network is trained; the defaults of a system are those of its paper.

    steps : train for at least so many steps, in whole epochs, instead of `epochs`: independent of the number of views
    rate : learning rate, multiplied by `decay` after each epoch
    loss : "balanced" weights a sample inversely to the share of its class in the batch (STRCN, eq. 10)
    """

    epochs: int = 100
    steps: int | None = None
    batch: int = 32
    rate: float = 1e-2
    optimiser: Literal["adam", "adamw", "sgd"] = "sgd"
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0
    decay: float = 1.0
    loss: Literal["cross_entropy", "balanced"] = "cross_entropy"

    def epochs_over(self, samples: int) -> int:
        """Number of epochs of training on so many samples."""
        return self.epochs if self.steps is None else -(-self.steps // batch_count(samples, self.batch))


def batch_count(samples: int, batch: int) -> int:
    """Number of batches in an epoch of so many samples, none larger than `batch`."""
    return max(1, -(-samples // batch))


@dataclass(frozen=True, slots=True)
class NoOptions:
    """No options."""


class System(ABC, Generic[Options]):
    """A published recogniser.

    name : as on the command line; source : paper and tables
    Choices : the frozen dataclass of its options; options : those chosen
    needs : "frames", or "motion" for a system that can do with nothing but the motion from the onset to the apex
    """

    name: ClassVar[str]
    source: ClassVar[str]
    Choices: ClassVar[type[Any]] = NoOptions
    needs: ClassVar[Needs] = "frames"

    def __init__(self, options: Options | None = None) -> None:
        self.options: Options = self.Choices() if options is None else options

    @abstractmethod
    def prepare(self, sample: Sample) -> Inputs:
        """Inputs of the network or the classifier: arrays without a batch axis, with the same shapes for every sample.

        Raises RecogniserError, with the clip and the reason, for an unusable clip.
        """

    def expand(self, sample: Sample) -> Iterator[Sample]:
        """Training copies of a sample as in the paper, including the sample itself, in a fixed order."""
        yield sample


class NeuralSystem(System[Options]):
    """A system with a neural network."""

    training: ClassVar[Training]

    def loss(self, network: nn.Module, inputs: dict[str, Tensor], labels: Tensor) -> Tensor | None:
        """The loss of a batch in training, for a system that has one of its own; None takes that of `training`."""
        return None

    @abstractmethod
    def network(self, classes: int) -> nn.Module:
        """A new network, initialised by torch's global seed. Its forward maps a dict of the inputs, each with a
        leading batch axis, to logits (B, classes)."""

    def initialise(self, network: nn.Module, batches: Iterable[dict[str, Tensor]], seed: int = 0) -> None:
        """Prepare the network before its first step; called once, with inputs of the training fold only.

        batches : inputs of training samples without copies, each with a leading batch axis
        Most systems need nothing. Results go into buffers and parameters of the network, and so are stored with its
        weights.
        """


class FeatureSystem(System[Options]):
    """A system of hand-crafted features: `prepare` returns {"features": (D,)}."""

    @abstractmethod
    def classifier(self, seed: int) -> Any:
        """A new scikit-learn estimator for the features (N, D)."""
