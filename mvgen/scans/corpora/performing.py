"""Expressions for photographs: random facial actions, and people of parametric models who perform them."""

from __future__ import annotations

from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mvgen.scans.head import HeadModel, Identity
from mvgen.scans.imaging.rendering import DressedHead
from mvgen.scans.looks.appearance import Look
from mvgen.scans.records import ScanProblem, Sitter, Subject

# Actions that occur together: emotions after Ekman and Friesen (Facial Action Coding System, 1978), and speech.
_TOGETHER = (
    ("mouthSmile", "cheekSquint", "eyeSquint"), ("mouthSmile", "mouthDimple"), ("mouthSmile", "jawOpen", "cheekSquint"),
    ("browInnerUp", "browOuterUp", "eyeWide", "jawOpen"), ("browInnerUp", "browOuterUp"),
    ("browDown", "eyeSquint", "mouthPress"), ("browDown", "noseSneer", "mouthUpperUp"),
    ("browInnerUp", "mouthFrown", "mouthShrugLower"), ("browInnerUp", "browDown", "mouthStretch", "eyeWide"),
    ("noseSneer", "mouthUpperUp", "cheekSquint"), ("jawOpen", "mouthFunnel"), ("jawOpen", "mouthPucker"),
    ("jawOpen", "mouthLowerDown"), ("cheekPuff", "mouthPucker"), ("cheekPuff", "mouthPress"),
    ("mouthRollLower", "mouthRollUpper"), ("jawForward", "mouthShrugUpper"), ("eyeBlink",), ("eyeBlink", "browDown"),
)  # fmt: skip
# One side or the other, never both.
_OPPOSITES = (("jawLeft", "jawRight"), ("mouthLeft", "mouthRight"))
_MILDER = {"jawOpen": 0.7, "mouthClose": 0.7, "mouthFunnel": 0.7}


def draw_expression(generator: np.random.Generator, names: tuple[str, ...]) -> NDArray[np.float64]:
    """Weights (A,) in [0, 1] of the facial actions `names`: a fifth of them neutral.

    The others are actions that occur together, or a few at random, or both; left and right mostly alike.
    """
    weights = np.zeros(len(names))
    kind = generator.choice(["neutral", "together", "random", "both"], p=[0.2, 0.3, 0.25, 0.25])
    if kind == "neutral":
        return weights
    single = {side for pair in _OPPOSITES for side in pair} | {"tongueOut"}
    bases = sorted({n if n in single else n.removesuffix("Left").removesuffix("Right") for n in names} - {"tongueOut"})
    picked: list[str] = []
    if kind != "random":
        picked += [base for base in _TOGETHER[generator.integers(len(_TOGETHER))] if base in bases]
    if kind != "together":
        picked += generator.choice(bases, size=int(generator.integers(1, 5)), replace=False).tolist()
    strength = generator.beta(1.5, 1.5)
    for base in picked:
        value = strength * generator.uniform(0.5, 1.3) if kind == "together" else generator.beta(1.2, 1.8)
        lopsided = generator.random() < 0.2
        for index, name in enumerate(names):
            if name in (base, f"{base}Left", f"{base}Right"):
                own = generator.random() if lopsided and name != base else 1.0
                weights[index] = min(1.0, value * _MILDER.get(base, 1.0) * own)
    for left, right in _OPPOSITES:
        weights[names.index(right)] *= weights[names.index(left)] == 0
    if generator.random() < 0.08:
        for index, name in enumerate(names):
            if name.startswith("eyeBlink"):
                weights[index] = generator.uniform(0.6, 1.0)
    # mouthClose closes the lips over an open jaw only.
    close = names.index("mouthClose")
    weights[close] = min(weights[close], 0.8 * weights[names.index("jawOpen")])
    return weights


class ModelSubject:
    """A person of a parametric model, with one look and any expression."""

    def __init__(self, heads: HeadModel, identity: Identity, look: Look) -> None:
        self._heads, self._identity, self._look = heads, identity, look

    @cached_property
    def _dressed(self) -> DressedHead:
        return DressedHead(self._heads, self._look, fine=False)

    def sit(self, generator: np.random.Generator) -> Sitter:
        """The person with an expression drawn from `generator`."""
        weights = draw_expression(generator, self._heads.action_names)
        return Sitter(self._dressed, self._heads.express(self._identity, weights), self._identity.metre)


class Heads(Protocol):
    """A model that people are sampled from; see `mvgen.scans.corpora.anny.AnnyHeads`."""

    model: HeadModel

    def sample_identities(self, generator: np.random.Generator, count: int, spread: float) -> list[Identity]:
        """Draw people; `spread` scales how much they differ."""
        ...


class ModelCorpus:
    """A parametric model as a corpus; see `mvgen.scans.records.Corpus`."""

    name: str
    licence: str
    spread: float
    shippable = True
    count: int | None = None
    notes: tuple[str, ...] = ()
    problems: tuple[ScanProblem, ...] = ()

    def heads(self) -> Heads:
        """The model; loading it takes seconds, the first time in a process."""
        raise NotImplementedError

    def draw(self, generator: np.random.Generator, first: int, count: int) -> list[Subject]:
        """People with looks drawn from `generator`."""
        heads = self.heads()
        people = heads.sample_identities(generator, count, spread=self.spread)
        return [ModelSubject(heads.model, person, Look.draw(generator)) for person in people]
