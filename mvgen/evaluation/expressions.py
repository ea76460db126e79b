"""Pairs of photographs that differ only in expression, and how well predicted changes of depth match the true ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvgen.core.records import Image, Mask
from mvgen.evaluation.depth_metrics import correlation, regression
from mvgen.scans.head import HeadModel, Identity
from mvgen.scans.imaging.rendering import DressedHead
from mvgen.scans.looks.appearance import Look
from mvgen.scans.records import Sitter
from mvgen.training.depth_data import Setting, fitter, photograph

Floats = NDArray[np.floating]

# Moved part -> its expressions, as strengths of facial actions; a name without a side means both sides.
EXPRESSIONS: Mapping[str, tuple[Mapping[str, float], ...]] = {
    "mouth": (
        {"jawOpen": 0.6},
        {"mouthPucker": 0.9},
        {"mouthSmile": 0.8, "cheekSquint": 0.6},
        {"mouthFrown": 0.8, "mouthShrugLower": 0.6},
        {"mouthFunnel": 0.6, "jawOpen": 0.3},
    ),
    "raised brow": ({"browInnerUp": 0.9, "browOuterUp": 0.9}, {"browInnerUp": 0.9}),
    "lowered brow": ({"browDown": 0.9},),
    "puffed cheeks": ({"cheekPuff": 0.9},),
    "wrinkled nose": ({"noseSneer": 0.9, "mouthUpperUp": 0.5},),
}
MOVED = 0.01  # world units; pixels whose true depth changes by less do not count


@dataclass(frozen=True, slots=True)
class Pair:
    """One person twice, neutral first, with the same look, pose, camera, crop and light.

    group : the moved part, a key of EXPRESSIONS
    colour : (2, S, S, 3) uint8; fit : (2, S, S, 4) float32, see `mvgen.morphable.rasterise.fit_image`
    depth : (2, S, S) float64, true depth, world units of the crop
    face : (S, S) bool, face with known depth that the fit covers, in both pictures
    """

    group: str
    colour: Image
    fit: NDArray[np.float32]
    depth: Floats
    face: Mask

    @property
    def change(self) -> Floats:
        """(S, S) float64, true depth of the expression minus that of the neutral face."""
        return np.asarray(self.depth[1] - self.depth[0])


def action_weights(strengths: Mapping[str, float], names: tuple[str, ...]) -> Floats:
    """Weights (A,) of the facial actions `names`. Raises ValueError for an action that the head does not have."""
    weights = np.zeros(len(names))
    for base, strength in strengths.items():
        sides = [index for index, name in enumerate(names) if name in (base, f"{base}Left", f"{base}Right")]
        if not sides:
            raise ValueError(f"the head has no facial action {base!r}")
        weights[sides] = strength
    return weights


def photograph_pairs(
    model: HeadModel, person: Identity, look: Look, generator: np.random.Generator, size: int
) -> list[Pair]:
    """A pair for each of EXPRESSIONS on one person, each in another setting."""
    dressed = DressedHead(model, look, fine=False)
    neutral = Sitter(dressed, person.vertices, person.metre)
    pairs = []
    for group, expressions in EXPRESSIONS.items():
        for strengths in expressions:
            setting = Setting.draw(neutral, generator, size)
            moved = model.express(person, action_weights(strengths, model.action_names))
            sitters = neutral, Sitter(dressed, moved, person.metre)
            both = [photograph(sitter, setting, generator, fitter()) for sitter in sitters]
            colour, depth, fit = (
                np.stack([getattr(one, name) for one in both]) for name in ("colour", "depth", "fit")
            )  # fmt: skip
            known = np.isfinite(depth) & np.isfinite(fit[..., 0]) & [one.face for one in both]
            pairs.append(
                Pair(group, colour, fit.astype(np.float32), depth.astype(np.float64), known.all(axis=0))
            )  # fmt: skip
    return pairs


@dataclass(frozen=True, slots=True)
class Agreement:
    """How well predicted changes of depth match the true ones, where those are more than MOVED.

    pairs : how many; correlation, slope : over the pixels of all pairs; each : mean of the correlations per pair
    """

    pairs: int
    correlation: float
    slope: float
    each: float


def agreement(pairs: list[Pair], changes: list[Floats]) -> Agreement:
    """Compare predicted changes (S, S), expression minus neutral, with the truth of their pairs.

    Raises ValueError when nothing moves in any of them.
    """
    truths, guesses, own = [], [], []
    for pair, change in zip(pairs, changes, strict=True):
        moved = pair.face & (np.abs(np.where(pair.face, pair.change, 0.0)) > MOVED)
        if moved.sum() >= 3:
            truths.append(pair.change[moved])
            guesses.append(np.asarray(change, np.float64)[moved])
            own.append(correlation(guesses[-1], truths[-1]))
    if not truths:
        raise ValueError(f"no face of these {len(pairs)} pairs moves by more than {MOVED} world units")
    truth, guess = np.concatenate(truths), np.concatenate(guesses)
    return Agreement(len(truths), correlation(guess, truth), regression(truth, guess), float(np.nanmean(own)))
