"""Training of one system on one set of clips, and its predictions on others.

All randomness comes from the seed: initial weights, the order of the samples in each epoch, dropout. An interrupted run
continues from its checkpoint and ends with the same weights, because each epoch starts with a seed of its own. The
number of epochs is fixed, or chosen on a validation split of the training clips; test folds are not passed in here.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mvgen.core.files import disk_errors, write_atomically
from recognizer.errors import RecogniserError
from recognizer.systems.base import FeatureSystem, NeuralSystem, Training, batch_count

Report = Callable[[int, dict[str, float]], None]  # epoch from 1, its figures
Precision = Literal["auto", "float32", "bfloat16"]

SECONDS_BETWEEN_CHECKPOINTS = 20.0
_SCORED_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Rows:
    """Samples to train on or to score.

    inputs : name -> (M, ...); rows : indices into M; labels : (N,) one for each row, or (N, C) 0 or 1 for each class
        where a sample may belong to several
    """

    inputs: Mapping[str, NDArray[np.floating]]
    rows: NDArray[np.int64]
    labels: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Device:
    """Where and how networks run.

    name : "cpu" or "cuda"; precision : auto is bfloat16 on GPUs that support it, float32 elsewhere
    channels_last : memory format of convolutions, None uses it on a GPU; compile : compile the network with torch
    """

    name: str = "cpu"
    precision: Precision = "auto"
    channels_last: bool | None = None
    compile: bool = False

    @property
    def half(self) -> bool:
        """Whether networks run in bfloat16."""
        if self.precision == "auto":
            return self.name == "cuda" and torch.cuda.is_bf16_supported()
        return self.precision == "bfloat16"

    def autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast(self.name, dtype=torch.bfloat16, enabled=self.half)

    def place(self, network: nn.Module) -> nn.Module:
        """The network on the device, its convolutions in the chosen memory format."""
        network = network.to(self.name)
        if self.channels_last if self.channels_last is not None else self.name == "cuda":
            formats = {4: torch.channels_last, 5: torch.channels_last_3d}
            for parameter in network.parameters():
                if parameter.dim() in formats:
                    parameter.data = parameter.data.contiguous(memory_format=formats[parameter.dim()])
        return network


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Checkpoint file of a run. run : identity of the run; checkpoints of other runs are ignored"""

    path: Path
    run: str


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch, and make cuDNN deterministic."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False


def train_network(  # noqa: PLR0917 (what, how, on what, into what, from what seed, where)
    system: NeuralSystem[Any],
    training: Training,
    data: Rows,
    classes: int,
    seed: int,
    device: Device,
    *,
    plain: Rows | None = None,
    validation: Rows | None = None,
    patience: int | None = None,
    checkpoint: Checkpoint | None = None,
    report: Report | None = None,
) -> nn.Module:
    """Train a network.

    data : the training samples with their copies; plain : without copies, `data` by default
    validation : held-out training clips. With them the weights of the epoch with the lowest validation loss are kept,
        and training ends when that has not fallen for `patience` epochs; else the weights of the last epoch are kept
    Raises RecogniserError when the loss is not finite.
    """
    seed_everything(seed)
    network = device.place(system.network(classes))
    own = _on_device(data, device)
    first = own if plain is None else _on_device(plain, device)
    seed_everything(seed)
    system.initialise(network, _batches(first, training.batch), seed)
    optimiser = _optimiser(network, training)
    state = _State.resume(checkpoint, network, optimiser)
    model: nn.Module = torch.compile(network) if device.compile else network  # type: ignore[assignment]
    saved = time.monotonic()
    for epoch in range(state.epoch, training.epochs_over(len(data.rows))):
        if patience is not None and validation is not None and state.waited >= patience:
            break
        for group in optimiser.param_groups:
            group["lr"] = training.rate * training.decay**epoch
        seed_everything(_mixed(seed, epoch))
        figures = {"loss": _epoch(system, model, optimiser, own, training, _mixed(seed, epoch), device)}
        if not np.isfinite(figures["loss"]):
            raise RecogniserError(
                f"{system.name}: the loss is not finite in epoch {epoch + 1}; lower the learning rate"
            )
        if validation is not None:
            figures |= _validate(model, _on_device(validation, device), device)
            state.judge(figures["validation_loss"], network)
        state.epoch = epoch + 1
        if report is not None:
            report(epoch + 1, figures)
        if checkpoint is not None and time.monotonic() - saved > SECONDS_BETWEEN_CHECKPOINTS:
            state.save(checkpoint, network, optimiser)
            saved = time.monotonic()
    if state.best is not None:
        network.load_state_dict(state.best)
    return network.eval()


def train_classifier(system: FeatureSystem[Any], data: Rows, seed: int) -> Any:
    """Fit the classifier of a system of hand-crafted features."""
    features = data.inputs["features"][data.rows]
    if data.labels.ndim == 2:
        return [_one_class(system, features, labels, seed) for labels in data.labels.T]
    seed_everything(seed)
    return system.classifier(seed).fit(features, data.labels)


def _one_class(system: FeatureSystem[Any], features: NDArray[np.floating], labels: NDArray[np.int64], seed: int) -> Any:
    """A classifier for 0 or 1."""
    seed_everything(seed)
    if len(set(labels.tolist())) > 1:
        return system.classifier(seed).fit(features, labels)
    from sklearn.dummy import DummyClassifier

    return DummyClassifier().fit(features, labels)


@torch.inference_mode()
def scores(network: nn.Module, data: Rows, device: Device) -> NDArray[np.float64]:
    """(N, C) probability of each class; of the labels of the data only the shape is used."""
    network.eval()
    found = []
    for start in range(0, len(data.rows), _SCORED_AT_ONCE):
        chosen = data.rows[start : start + _SCORED_AT_ONCE]
        with device.autocast():
            logits = network(_tensors(data.inputs, chosen, device))
        several = data.labels.ndim == 2
        found.append((logits.double().sigmoid() if several else logits.double().softmax(dim=-1)).cpu().numpy())
    return np.concatenate(found)


def classifier_scores(classifier: Any, features: NDArray[np.floating], classes: int) -> NDArray[np.float64]:
    """(N, C): 1 for the predicted class or classes, 0 for the others, since margins are not probabilities."""
    if isinstance(classifier, list):
        return np.stack([np.asarray(one.predict(features), np.float64) for one in classifier], axis=1)
    return np.eye(classes)[np.asarray(classifier.predict(features), np.int64)]


class _State:
    """Progress of a run: finished epochs; with a validation split also the best weights and the epochs since."""

    def __init__(self) -> None:
        self.epoch, self.waited, self.lowest = 0, 0, float("inf")
        self.best: dict[str, Tensor] | None = None

    def judge(self, loss: float, network: nn.Module) -> None:
        if loss < self.lowest:
            self.lowest, self.waited = loss, 0
            self.best = {name: value.detach().clone() for name, value in network.state_dict().items()}
        else:
            self.waited += 1

    def save(self, checkpoint: Checkpoint, network: nn.Module, optimiser: torch.optim.Optimizer) -> None:
        from safetensors.torch import save

        tensors = {f"network.{name}": value for name, value in network.state_dict().items()}
        tensors |= {f"best.{name}": value for name, value in (self.best or {}).items()}
        for index, moments in optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{index}.{name}": v for name, v in moments.items() if isinstance(v, Tensor)}
        about = {"run": checkpoint.run, "epoch": self.epoch, "waited": self.waited, "lowest": self.lowest.hex()}
        with disk_errors(checkpoint.path.parent):
            # Copies, because tensors may share memory, which the format does not allow.
            whole = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
            write_atomically(checkpoint.path, save(whole, {"about": json.dumps(about)}))

    @classmethod
    def resume(cls, checkpoint: Checkpoint | None, network: nn.Module, optimiser: torch.optim.Optimizer) -> _State:
        """The state in the checkpoint, with its weights loaded; a new state if this run has no checkpoint."""
        state = cls()
        if checkpoint is None or not checkpoint.path.is_file():
            return state
        from safetensors import safe_open

        with safe_open(checkpoint.path, framework="pt") as file:
            about = json.loads((file.metadata() or {}).get("about", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        if about.get("run") != checkpoint.run:
            return state
        network.load_state_dict(_part(tensors, "network."))
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in _part(tensors, "optimiser.").items():
            index, _, moment = name.partition(".")
            moments.setdefault(int(index), {})[moment] = value
        optimiser.load_state_dict({"state": moments, "param_groups": optimiser.state_dict()["param_groups"]})
        state.epoch, state.waited = about["epoch"], about["waited"]
        state.lowest = float.fromhex(about["lowest"])
        state.best = _part(tensors, "best.") or None
        return state


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _optimiser(network: nn.Module, training: Training) -> torch.optim.Optimizer:
    if training.optimiser != "sgd":
        kind = torch.optim.Adam if training.optimiser == "adam" else torch.optim.AdamW
        return kind(network.parameters(), lr=training.rate, weight_decay=training.weight_decay)
    return torch.optim.SGD(
        network.parameters(),
        lr=training.rate,
        momentum=training.momentum,
        nesterov=training.nesterov,
        weight_decay=training.weight_decay,
    )


def _mixed(seed: int, epoch: int) -> int:
    """The seed of an epoch."""
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])


def _on_device(data: Rows, device: Device) -> Rows | _Resident:
    """All samples moved to the GPU at once; on the CPU the data themselves."""
    return data if device.name == "cpu" else _Resident.of(data, device)


@dataclass(frozen=True, slots=True)
class _Resident:
    """Rows in the memory of a GPU."""

    inputs: Mapping[str, Tensor]
    labels: NDArray[np.int64]

    @classmethod
    def of(cls, data: Rows, device: Device) -> _Resident:
        return cls(
            {name: torch.from_numpy(values[data.rows]).to(device.name) for name, values in data.inputs.items()},
            data.labels,
        )


def _take(data: Rows | _Resident, chosen: NDArray[np.int64]) -> dict[str, Tensor]:
    if isinstance(data, _Resident):
        return {
            name: values[torch.from_numpy(chosen).to(values.device)].float() for name, values in data.inputs.items()
        }
    return _tensors(data.inputs, data.rows[chosen], Device())


def _tensors(inputs: Mapping[str, NDArray[np.floating]], rows: NDArray[np.int64], device: Device) -> dict[str, Tensor]:
    return {name: torch.from_numpy(values[rows]).to(device.name).float() for name, values in inputs.items()}


def _batches(data: Rows | _Resident, batch: int) -> Iterator[dict[str, Tensor]]:
    for chosen in _parts(np.arange(len(data.labels)), batch):
        yield _take(data, chosen)


def _parts(order: NDArray[np.int64], batch: int) -> list[NDArray[np.int64]]:
    """Batches of nearly equal size, at most `batch`: batch normalisation cannot use a last batch of one sample."""
    return np.array_split(order, batch_count(len(order), batch))


def _epoch(  # noqa: PLR0917
    system: NeuralSystem[Any],
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    data: Rows | _Resident,
    training: Training,
    seed: int,
    device: Device,
) -> float:
    """One pass over the data; returns the mean loss."""
    network.train()
    order = np.random.default_rng(seed).permutation(len(data.labels))
    total = torch.zeros((), device=device.name)
    for chosen in _parts(order, training.batch):
        labels = torch.from_numpy(data.labels[chosen]).to(device.name)
        with device.autocast():
            inputs = _take(data, chosen)
            loss = system.loss(network, inputs, labels) if labels.dim() == 1 else None
            logits = network(inputs) if loss is None else None
        if logits is not None:
            loss = training_loss(logits.float(), labels, training.loss)
        assert loss is not None
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        total += loss.detach() * len(chosen)
    return float(total) / len(order)


def training_loss(logits: Tensor, labels: Tensor, kind: Literal["cross_entropy", "balanced"]) -> Tensor:
    """Cross entropy of logits (B, C); "balanced" weights samples inversely to the size of their class in the batch.

    labels : (B,), or (B, C) 0 or 1, for which it is the binary cross entropy of every class, whatever the kind
    Source of the balanced loss: STRCN, equation 10; the total weight of every class in the batch is the same.
    """
    each = _losses(logits, labels)
    if labels.dim() == 2:
        return each.mean()
    if kind == "cross_entropy":
        return each.mean()
    counts = torch.bincount(labels, minlength=logits.shape[-1])
    weights = 1 / counts[labels]
    return (each * weights).sum() / weights.sum()


def _losses(logits: Tensor, labels: Tensor) -> Tensor:
    """(B,) loss of each sample."""
    if labels.dim() == 1:
        return nn.functional.cross_entropy(logits, labels, reduction="none")
    return nn.functional.binary_cross_entropy_with_logits(logits, labels.float(), reduction="none").mean(dim=-1)


@torch.inference_mode()
def _validate(network: nn.Module, data: Rows | _Resident, device: Device) -> dict[str, float]:
    network.eval()
    losses, hits = [], []
    for chosen in _parts(np.arange(len(data.labels)), _SCORED_AT_ONCE):
        labels = torch.from_numpy(data.labels[chosen]).to(device.name)
        with device.autocast():
            logits = network(_take(data, chosen)).float()
        losses.append(_losses(logits, labels))
        right = ((logits > 0) == labels).float().mean(dim=-1) if labels.dim() == 2 else logits.argmax(dim=-1) == labels
        hits.append(right.float())
    return {"validation_loss": float(torch.cat(losses).mean()), "validation_accuracy": float(torch.cat(hits).mean())}
