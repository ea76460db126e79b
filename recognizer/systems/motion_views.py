"""A small, strongly regularised network over the motion from onset to apex, averaged over several of its kind.

This project's own baseline. It reads u, v and strain, and of what only a store has: which pixels the source saw, from
which angle the face is seen, and, if asked, what head and facial actions did.

    motion          4 x 28 x 28: u and v by their common size, strain by its deviation, and the mask; 0 where unseen
    each member     average pooling 2x2                                                              4 x 14 x 14
                    convolution 3x3 of 16, batch norm, GELU, average pooling 2x2                     16 x 7 x 7
                    convolution 3x3 of 32, batch norm, GELU                                          32 x 7 x 7
                    dropout 0.7, dense over all places and the context -> classes

Training: AdamW; labels smoothed; each member sees the batch in its own way: mirrored with u negated, shifted by up to
a pixel, louder or softer, mixed with other samples; rare classes count more. Members differ by their first weights
and by what they see; the classes' log probabilities are averaged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from recognizer.errors import RecogniserError
from recognizer.ops.clips import expression, resized
from recognizer.ops.faces import angles_of
from recognizer.ops.motion import motion_of
from recognizer.records import Sample
from recognizer.systems.base import Count, Inputs, NeuralSystem, Share, Training

_SMALLEST = 1e-6
_CONTEXT = 2  # sine of the yaw, share of the pixels that were seen
_LOUDNESS = 0.2  # deviation of the logarithm of a training sample's size


@dataclass(frozen=True, slots=True)
class Choices:
    """size : side of the motion; filters : of the first convolution, twice as many of the second
    members : that are averaged; dropout : share that is dropped; smoothing : of the labels
    mixing : a sample is mixed with another by a share drawn from Beta(mixing, mixing); 0 mixes none
    shift : largest, pixels; balance : 0 counts all samples the same, 1 all classes
    signals : how many head pose and facial actions the data have, to read those as well; 0 reads none. Samples are then
        not mirrored, for which action is on which side only its name tells
    mask, context : whether to know which pixels were seen; and the angle, and how much was seen
    """

    size: Annotated[int, Field(ge=8)] = 28
    filters: Count = 16
    members: Count = 3
    dropout: Share = 0.7
    smoothing: Share = 0.1
    mixing: Annotated[float, Field(ge=0)] = 0.4
    shift: Annotated[int, Field(ge=0)] = 1
    balance: Annotated[float, Field(ge=0, le=1)] = 0.5
    signals: Annotated[int, Field(ge=0)] = 0
    mask: bool = True
    context: bool = True


class Member(nn.Module):
    """Motion (B, 4, S, S) and context (B, K) -> logits."""

    def __init__(self, choices: Choices, classes: int) -> None:
        super().__init__()
        filters, side = choices.filters, choices.size // 2 // 2
        self.look = nn.Sequential(
            nn.AvgPool2d(2),
            *_convolution(4, filters),
            nn.AvgPool2d(2),
            *_convolution(filters, 2 * filters),
            nn.Flatten(),
        )
        self.drop = nn.Dropout(choices.dropout)
        self.classify = nn.Linear(2 * filters * side * side, classes)
        self.weigh = nn.Linear(_CONTEXT + choices.signals, classes, bias=False)

    def forward(self, motion: Tensor, context: Tensor) -> Tensor:
        return self.classify(self.drop(self.look(motion))) + self.weigh(context)


def _convolution(channels: int, filters: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, filters, 3, padding=1, bias=False), nn.BatchNorm2d(filters), nn.GELU())


class Network(nn.Module):
    """`motion` (B, 4, S, S) and `context` (B, 2 + signals) -> logits: the mean log probabilities of the members."""

    def __init__(self, choices: Choices, classes: int) -> None:
        super().__init__()
        self.members = nn.ModuleList(Member(choices, classes) for _ in range(choices.members))

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        said = [member(inputs["motion"], inputs["context"]).log_softmax(dim=1) for member in self.members]
        return torch.stack(said).mean(dim=0)


class MotionViews(NeuralSystem[Choices]):
    name = "motion-views"
    source = "this project's baseline"
    Choices = Choices
    needs = "motion"
    training = Training(epochs=30, batch=64, rate=4e-3, optimiser="adamw", weight_decay=0.05, decay=0.96)

    def prepare(self, sample: Sample) -> Inputs:
        size = self.options.size
        seen = sample.valid if self.options.mask else None
        seen = np.ones(sample.apex_flow.shape[:2], bool) if seen is None else seen
        mask = resized(seen[None].astype(np.float32), size, size)[0]
        motion = motion_of(sample, size)
        context = [np.sin(np.radians(angles_of(sample.view)[0])), mask.mean()] if self.options.context else [0.0, 0.0]
        return {
            "motion": np.concatenate([_levelled(motion) * mask, mask[None]]).astype(np.float32),
            "context": np.array([*context, *_change(sample, self.options.signals)], np.float32),
        }

    def network(self, classes: int) -> nn.Module:
        return Network(self.options, classes)

    def loss(self, network: nn.Module, inputs: dict[str, Tensor], labels: Tensor) -> Tensor:
        """Of every member, on its own picture of the batch; the sum of them."""
        members = network.get_submodule("members")
        return torch.stack([self._loss(member, inputs, labels) for member in members.children()]).sum()

    def _loss(self, member: nn.Module, inputs: dict[str, Tensor], labels: Tensor) -> Tensor:
        motion, context = self._jittered(inputs["motion"], inputs["context"])
        mixing = torch.tensor(max(self.options.mixing, _SMALLEST))
        share = float(torch.distributions.Beta(mixing, mixing).sample())
        share = max(share, 1 - share) if self.options.mixing else 1.0
        other = torch.randperm(len(labels), device=labels.device)
        logits = member(torch.lerp(motion[other], motion, share), torch.lerp(context[other], context, share))
        counts = torch.bincount(labels, minlength=logits.shape[-1])
        weights = counts[labels].float() ** -self.options.balance
        each = [
            nn.functional.cross_entropy(logits.float(), asked, reduction="none", label_smoothing=self.options.smoothing)
            for asked in (labels, labels[other])
        ]
        own, others = share * weights, (1 - share) * weights[other]
        return (own * each[0] + others * each[1]).sum() / (own + others).sum()

    def _jittered(self, motion: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Some of the batch mirrored; all of it shifted, and louder or softer."""
        if not self.options.signals:
            mirrored = (torch.rand(len(motion), device=motion.device) < 0.5).float()
            turn = 1 - 2 * mirrored
            flipped = torch.cat([-motion[:, :1], motion[:, 1:]], dim=1).flip(-1)
            motion = torch.where(mirrored[:, None, None, None] > 0, flipped, motion)
            context = torch.cat([context[:, :1] * turn[:, None], context[:, 1:]], dim=1)
        reach, size = self.options.shift, motion.shape[-1]
        padded = nn.functional.pad(motion, (reach,) * 4)
        across, down = torch.randint(0, 2 * reach + 1, (2, len(motion)), device=motion.device)
        at = torch.arange(size, device=motion.device)
        rows, columns = down[:, None] + at, across[:, None] + at
        index = torch.arange(len(motion), device=motion.device)[:, None, None]
        motion = padded.movedim(1, -1)[index, rows[:, :, None], columns[:, None, :]].movedim(-1, 1)
        loudness = torch.exp(_LOUDNESS * torch.randn(len(motion), 1, 1, 1, device=motion.device))
        return torch.cat([motion[:, :3] * loudness, motion[:, 3:]], dim=1), context


def _levelled(motion: NDArray[np.float32]) -> NDArray[np.float32]:
    """u and v (3, S, S) by their common root mean square, strain less its mean by its deviation; nothing stays zero."""
    fields, strain = motion[:2], motion[2:]
    size, deviation = float(np.sqrt((fields**2).mean())), float(strain.std())
    fields = fields / size if size > _SMALLEST else np.zeros_like(fields)
    strain = (strain - strain.mean()) / deviation if deviation > _SMALLEST else np.zeros_like(strain)
    return np.concatenate([fields, strain])


def _change(sample: Sample, count: int) -> NDArray[np.float32]:
    """(count,) head pose and facial actions at the apex, less those at the onset; zero where they are not known."""
    if not count:
        return np.zeros(0, np.float32)
    who = f"clip {sample.clip}, view {sample.view}"
    if sample.signals is None:
        raise RecogniserError(f"{who} has no head pose and facial actions; set signals=0")
    face = expression(sample, least=1)
    assert face.signals is not None
    if face.signals.shape[1] != count:
        raise RecogniserError(f"{who} has {face.signals.shape[1]} head pose and facial actions; set signals to that")
    return np.nan_to_num(face.signals[face.apex] - face.signals[face.onset]).astype(np.float32)
