"""TSCNN: the apex frame, its blocks, and the flow to and from it, through a shared trunk.

Source: Song et al., Recognizing Spontaneous Micro-Expression Using a Three-Stream Convolutional Neural Network,
sections 2 and 3.2. The order of five convolutions and three poolings is given in figure 1 only; here pooling follows
the first, the third and the fifth convolution. "Dense 1" is the flattened map, "Dense 2" the concatenation of the
three, as in the text. All streams share weights except the first convolution, whose number of channels differs; the
dropout probability is not given. PReLU has a slope for each channel, as where it comes from (He et al., ICCV 2015).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from mvgen.motion.flow.methods import flow_between
from recognizer.ops.clips import expression, grey, resized
from recognizer.ops.copies import copies
from recognizer.records import Sample
from recognizer.systems.base import Count, Inputs, NeuralSystem, Share, Training
from recognizer.systems.fer2013 import EXPRESSIONS, read_fer2013

TURNS = (5.0, -5.0, 10.0, -10.0)


@dataclass(frozen=True, slots=True)
class Choices:
    """size : side of the images, pixels, a multiple of blocks; blocks : k, the image is cut into k x k
    dropout : probability; no_static, no_local, no_dynamic : leave out a stream, as in table 4
    pretrain : csv file of FER2013, on which the static stream is pretrained; pretrain_epochs : for how many epochs
    copies : number of training copies of a sample, up to the paper's ten
    """

    size: Count = 48
    blocks: Count = 3
    dropout: Share = 0.5
    no_static: bool = False
    no_local: bool = False
    no_dynamic: bool = False
    pretrain: str | None = None
    pretrain_epochs: Count = 10
    copies: Annotated[int, Field(ge=1, le=10)] = 10

    def __post_init__(self) -> None:
        if self.size % self.blocks:
            raise ValueError(f"size {self.size} is not a multiple of {self.blocks} blocks")
        if self.no_static and self.no_local and self.no_dynamic:
            raise ValueError("no stream is left")


class Network(nn.Module):
    """`static` (B, 1, S, S), `local` (B, k*k, S/k, S/k), `dynamic` (B, 4, S, S) -> logits."""

    def __init__(self, choices: Choices, classes: int) -> None:
        super().__init__()
        blocks = choices.blocks**2
        streams = {
            "static": (1, choices.size, choices.no_static),
            "local": (blocks, choices.size // choices.blocks, choices.no_local),
            "dynamic": (4, choices.size, choices.no_dynamic),
        }
        used = {name: (channels, side) for name, (channels, side, out) in streams.items() if not out}
        self.first = nn.ModuleDict({name: _convolution(channels, 64) for name, (channels, _) in used.items()})
        self.trunk = nn.Sequential(
            nn.MaxPool2d(5, 2, padding=2),
            _convolution(64, 64),
            _convolution(64, 64),
            nn.AvgPool2d(3, 2, padding=1),
            _convolution(64, 128),
            _convolution(128, 128),
            nn.AvgPool2d(3, 2, padding=1),
            nn.Flatten(),
        )
        self.features = {name: 128 * _eighth(side) ** 2 for name, (_, side) in used.items()}
        self.dropout = nn.Dropout(choices.dropout)
        self.classify = nn.Linear(sum(self.features.values()), classes)

    def stream(self, name: str, pictures: Tensor) -> Tensor:
        """Features of a stream: (B, features[name])."""
        return self.trunk(self.first[name](pictures))

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        features = torch.cat([self.stream(name, inputs[name]) for name in self.first], dim=1)
        return self.classify(self.dropout(features))


def _convolution(channels: int, filters: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, filters, 5, padding=2), nn.PReLU(filters))


def _eighth(side: int) -> int:
    """Side after three poolings by two, each rounded up."""
    for _ in range(3):
        side = (side + 1) // 2
    return side


class Tscnn(NeuralSystem[Choices]):
    name = "tscnn"
    source = "Song et al. 2019, figure 1, eq. 1-4"
    Choices = Choices
    training = Training(epochs=200, batch=128, rate=1e-3, momentum=0.9, nesterov=True, weight_decay=1e-5)

    def prepare(self, sample: Sample) -> Inputs:
        size, blocks = self.options.size, self.options.blocks
        face = expression(sample)
        apex = resized(grey(face.frames[[face.apex]]), size, size)[0] / np.float32(255)
        back = np.zeros_like(face.apex_flow)
        if face.apex != face.offset:
            back = flow_between(face.frames[face.apex], face.frames[face.offset])
        motion = np.concatenate([face.apex_flow, back], axis=-1)
        side = size // blocks
        return {
            "static": apex[None],
            "local": apex.reshape(blocks, side, blocks, side).swapaxes(1, 2).reshape(-1, side, side),
            "dynamic": np.stack(
                [_stretched(field) for field in np.moveaxis(resized(motion[None], size, size)[0], -1, 0)]
            ),
        }

    def expand(self, sample: Sample) -> Iterator[Sample]:
        """The sample and its mirror image, each upright and turned by 5 and 10 degrees either way."""
        return islice(copies(sample, TURNS), self.options.copies)

    def network(self, classes: int) -> nn.Module:
        return Network(self.options, classes)

    def initialise(self, network: nn.Module, batches: Iterable[dict[str, Tensor]], seed: int = 0) -> None:
        """Pretrain the static stream on FER2013, if `pretrain` is set."""
        if self.options.pretrain is None or self.options.no_static:
            return
        assert isinstance(network, Network)
        pictures, labels = read_fer2013(Path(self.options.pretrain), self.options.size)
        _pretrain(network, pictures, labels, self.options.pretrain_epochs, seed)


def _stretched(field: NDArray[np.float32]) -> NDArray[np.float32]:
    """Equation 4: values scaled to [0, 1]; zeros if all are equal."""
    least, greatest = float(field.min()), float(field.max())
    return (field - least) / (greatest - least) if greatest > least else np.zeros_like(field)


def _pretrain(network: Network, pictures: NDArray[np.uint8], labels: NDArray[np.int64], epochs: int, seed: int) -> None:
    """Pretrain the static stream with a temporary classifier, as in the paper: SGD with momentum."""
    device = network.classify.weight.device
    draw = torch.Generator().manual_seed(seed)
    head = nn.Linear(network.features["static"], EXPRESSIONS).to(device)
    parameters = [*network.first["static"].parameters(), *network.trunk.parameters(), *head.parameters()]
    optimiser = torch.optim.SGD(parameters, lr=1e-2, momentum=0.9, nesterov=True, weight_decay=1e-5)
    network.train()
    for _ in range(epochs):
        for chosen in torch.randperm(len(pictures), generator=draw).split(128):
            batch = torch.from_numpy(pictures[chosen.numpy()]).to(device)[:, None].float() / 255
            target = torch.from_numpy(labels[chosen.numpy()]).to(device)
            loss = nn.functional.cross_entropy(head(network.dropout(network.stream("static", batch))), target)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
