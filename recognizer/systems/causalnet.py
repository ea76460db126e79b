"""CausalNet: HTNet's towers over contraction and relaxation, and attention between the two in either order of time.

Source: Zhang, Tang and Chen, Rethinking key-frame-based micro-expression recognition, ICCV 2025 (arXiv 2508.06640), and
the authors' code (tony19980810/CausalNet, Models.py, main_train.py, main_train_for_parameter_tuning.py):

    motion          4 pictures of 3 x 28 x 28, grey levels 0 to 255, each put together of four squares as in HTNet:
                    flow onset to apex, flow apex to offset, and a map of the directions of each
    towers          HTNet's, of 256, with 3, 3 and 9 blocks: one for both flows, another for both maps;
                    1024 x 1 x 1 each, read as 256 x 2 x 2: four tokens of 256
    positions       9 blocks between the two maps: cross attention of 8 heads, then dense 256 -> 1024 -> 256 with GELU;
                    what comes out is added to the tokens of its flow
    causes          norm; in each flow, attention of 8 heads; then the later flow asks the earlier and itself, token by
                    token; dense 256 -> 1024 -> 256. Once from contraction to relaxation, once backward, same weights;
                    attention of 8 heads between the two ends
    dense           3 x 4 x 256 -> 2048 -> classes, nothing in between

Attention within four tokens sees a token's neighbours in the 2 x 2 grid, not the one across the diagonal: its score is
-gamma times its position (1 to 4), and its share is dropped. Code and paper do not say what the channels of a map of
directions are; here they are the colours of the colour wheel, hue by direction. Data that hold nothing but the motion
from onset to apex leave the other flow at zero, as for a clip that ends at its apex.
THE CODE REPORTS EACH SUBJECT'S BEST TEST EPOCH. Here the last epoch is taken.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from mvgen.motion.flow.methods import flow_between
from recognizer.ops.clips import expression, resized_flow
from recognizer.ops.motion import motion_of, stretched
from recognizer.records import Sample
from recognizer.systems.base import Count, Inputs, NeuralSystem, Training
from recognizer.systems.htnet import Tower, four_squares, places_of

_SIZE, _TOKENS, _HEADS, _UNITS = 28, 4, 8, 2048


@dataclass(frozen=True, slots=True)
class Choices:
    """dim : of a token, a multiple of 8; heads : of the towers' first level; blocks : of the towers' three levels
    gamma : how much the token across the diagonal is held down
    """

    dim: Annotated[int, Field(ge=8, multiple_of=_HEADS)] = 256
    heads: Count = 3
    blocks: tuple[Count, Count, Count] = (3, 3, 9)
    gamma: Annotated[float, Field(ge=0)] = 0.5


class Look(nn.Module):
    """Tokens (B, 4, D) that ask, and tokens that are asked, -> answers (B, 4, D).

    width : whose square root divides the scores; gamma : see the module
    """

    seen: Tensor
    held_down: Tensor

    def __init__(self, dim: int, width: int, gamma: float) -> None:
        super().__init__()
        self.scale = width**-0.5
        self.ask, self.tell = nn.Linear(dim, dim), nn.Linear(dim, 2 * dim)
        self.answer = nn.Linear(dim, dim)
        across = torch.eye(_TOKENS).flip(0)
        self.register_buffer("seen", 1 - across, persistent=False)
        self.register_buffer("held_down", -gamma * across * torch.arange(1, _TOKENS + 1), persistent=False)

    def forward(self, asking: Tensor, asked: Tensor) -> Tensor:
        key, value = (split(part) for part in self.tell(asked).chunk(2, dim=-1))
        scores = self.scale * split(self.ask(asking)) @ key.transpose(2, 3)
        shares = (scores * self.seen + self.held_down).softmax(dim=-1) * self.seen
        return self.answer(joined(shares @ value))


class Later(nn.Module):
    """Tokens of an earlier and a later flow, (B, 4, D) each, -> what each later one learns from both of its place."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.ask, self.tell = nn.Linear(dim, dim), nn.Linear(dim, 2 * dim)
        self.answer = nn.Linear(dim, dim)

    def forward(self, earlier: Tensor, later: Tensor) -> Tensor:
        told = torch.stack([self.tell(earlier), self.tell(later)], dim=2)  # (B, 4, 2, 2 D)
        key, value = (part.unflatten(-1, (_HEADS, -1)) for part in told.chunk(2, dim=-1))
        query = self.ask(later).unflatten(-1, (_HEADS, -1))[:, :, None]
        shares = ((query * key).sum(dim=-1, keepdim=True) * key.shape[-1] ** -0.5).softmax(dim=2)
        return self.answer((shares * value).sum(dim=2).flatten(2))


class Ends(nn.Module):
    """What contraction and relaxation became, each read in its own order of time, (B, 4, D) each, -> (B, 4, D)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.ask, self.key, self.value, self.answer = (nn.Linear(dim, dim) for _ in range(4))

    def forward(self, forward: Tensor, backward: Tensor) -> Tensor:
        both = forward + backward
        found = nn.functional.scaled_dot_product_attention(
            split(self.ask(forward)), split(self.key(backward)), split(self.value(both))
        )
        return self.answer(joined(found) + both)


def split(tokens: Tensor) -> Tensor:
    """(B, N, D) -> (B, heads, N, D / heads)."""
    return tokens.unflatten(-1, (_HEADS, -1)).transpose(1, 2)


def joined(tokens: Tensor) -> Tensor:
    """(B, heads, N, D / heads) -> (B, N, D)."""
    return tokens.transpose(1, 2).flatten(2)


def _dense(dim: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))


class Positions(nn.Module):
    """One block between the maps of directions: two times tokens (B, 4, D) -> the same."""

    def __init__(self, dim: int, gamma: float) -> None:
        super().__init__()
        self.norm, self.look, self.dense = nn.LayerNorm(dim), Look(dim, dim, gamma), _dense(dim)

    def forward(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        asking = self.norm(second)  # of before the first has asked
        first = first + self.look(self.norm(first), second)
        second = second + self.look(asking, first)
        return first + self.dense(first), second + self.dense(second)


class Causes(nn.Module):
    """Tokens of contraction and relaxation, (B, 4, D) each, -> (B, 12, D)."""

    def __init__(self, dim: int, gamma: float) -> None:
        super().__init__()
        self.norm, self.within, self.later = nn.LayerNorm(dim), Look(dim, dim // _HEADS, gamma), Later(dim)
        self.dense, self.ends = _dense(dim), Ends(dim)

    def forward(self, contraction: Tensor, relaxation: Tensor) -> Tensor:
        first, last = self._read(contraction, relaxation)
        first_back, last_back = self._read(relaxation, contraction)
        return torch.cat([self.ends(last, last_back), first, first_back], dim=1)

    def _read(self, earlier: Tensor, later: Tensor) -> tuple[Tensor, Tensor]:
        earlier, later = (tokens + self.within(tokens, tokens) for tokens in (self.norm(earlier), self.norm(later)))
        later = later + self.later(earlier, later)
        return earlier + self.dense(earlier), later + self.dense(later)


class Network(nn.Module):
    """`motion` (B, 4, 3, 28, 28), each picture put together of four squares, -> logits."""

    def __init__(self, choices: Choices, classes: int) -> None:
        super().__init__()
        dim = choices.dim
        self.flows, self.directions = (Tower(dim, choices.heads, choices.blocks) for _ in range(2))
        self.positions = nn.ModuleList(Positions(dim, choices.gamma) for _ in range(choices.blocks[-1]))
        self.causes = Causes(dim, choices.gamma)
        self.classify = nn.Sequential(nn.Linear(3 * _TOKENS * dim, _UNITS), nn.Linear(_UNITS, classes))

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        pictures = inputs["motion"].unbind(dim=1)
        flows = [_tokens(self.flows(picture)) for picture in pictures[:2]]
        maps = tuple(_tokens(self.directions(picture)) for picture in pictures[2:])
        for block in self.positions:
            maps = block(*maps)
        tokens = self.causes(*(flow + place for flow, place in zip(flows, maps, strict=True)))
        return self.classify(tokens.flatten(1))


def _tokens(tower: Tensor) -> Tensor:
    """(B, 4 D, 1, 1) -> (B, 4, D), the four channels that follow one another being the places of a token's value."""
    return tower.flatten(1).unflatten(1, (-1, _TOKENS)).transpose(1, 2)


class CausalNet(NeuralSystem[Choices]):
    name = "causalnet"
    source = "Zhang et al. 2025, and its code"
    Choices = Choices
    needs = "motion"
    training = Training(epochs=200, batch=1024, rate=5e-5, optimiser="adam")

    def prepare(self, sample: Sample) -> Inputs:
        face, places = expression(sample, least=1), places_of(sample, _SIZE)
        back = np.zeros_like(face.apex_flow)
        if face.apex != face.offset:
            back = flow_between(face.frames[face.apex], face.frames[face.offset])
        ways = (face, replace(face, apex_flow=back, strain=None))
        flows = [stretched(motion_of(way, _SIZE)) * np.float32(255) for way in ways]
        maps = [directions(resized_flow(way.apex_flow[None], _SIZE, _SIZE)[0]) for way in ways]
        return {"motion": np.stack([four_squares(picture, places) for picture in (*flows, *maps)])}

    def network(self, classes: int) -> nn.Module:
        return Network(self.options, classes)


def directions(flow: NDArray[np.float32]) -> NDArray[np.float32]:
    """Flow (S, S, 2) as (3, S, S) colours, 0 to 255, of a wheel: red to the right, hue clockwise; black where still."""
    import cv2

    hue = np.degrees(np.arctan2(flow[..., 1], flow[..., 0])) % 360
    moves = (np.hypot(flow[..., 0], flow[..., 1]) > 0).astype(np.float32)
    wheel = np.stack([hue.astype(np.float32), np.ones_like(moves), moves], axis=-1)
    return np.ascontiguousarray(np.moveaxis(cv2.cvtColor(wheel, cv2.COLOR_HSV2RGB) * np.float32(255), -1, 0))
