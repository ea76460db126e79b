"""Bi-WOOF: orientations of the flow at the apex, weighted by its magnitude and by the optical strain.

Source: Liong et al., Less is more: Micro-expression recognition from video using apex frame, Signal Processing: Image
Communication 62, 2018; STRCN, section IV-C2, for the 8 x 8 blocks and the classifier.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recognizer.ops.clips import expression, resized_flow
from recognizer.ops.motion import strain_of
from recognizer.records import Sample
from recognizer.systems.base import Count, FeatureSystem, Inputs
from recognizer.systems.support_vectors import polynomial_machine


@dataclass(frozen=True, slots=True)
class Choices:
    """size : side of the flow, a multiple of blocks; blocks : the face is cut into blocks x blocks; bins : of angles"""

    size: Count = 128
    blocks: Count = 8
    bins: Count = 8

    def __post_init__(self) -> None:
        if self.size % self.blocks:
            raise ValueError(f"size {self.size} is not a multiple of {self.blocks} blocks")


class BiWoof(FeatureSystem[Choices]):
    name = "bi-woof"
    source = "Liong et al. 2018; STRCN, table II"
    Choices = Choices
    needs = "motion"

    def prepare(self, sample: Sample) -> Inputs:
        flow = resized_flow(expression(sample, least=1).apex_flow[None], self.options.size, self.options.size)[0]
        return {"features": bi_woof(flow, self.options.blocks, self.options.bins)}

    def classifier(self, seed: int) -> Any:
        return polynomial_machine(seed)


def bi_woof(flow: NDArray[np.float32], blocks: int, bins: int) -> NDArray[np.float32]:
    """Histograms of orientation, block by block.

    flow : (S, S, 2) pixels, S a multiple of blocks
    Returns (blocks * blocks * bins,) float32: magnitudes of the pixels are summed by orientation, each block
    is weighted by its mean strain, and all values sum to 1 unless nothing moves.
    """
    magnitude = np.hypot(flow[..., 0], flow[..., 1])
    angle = np.arctan2(flow[..., 1], flow[..., 0])
    sector = np.floor((angle + np.pi) / (2 * np.pi) * bins).astype(int) % bins
    side = len(flow) // blocks
    rows, columns = np.indices(magnitude.shape) // side
    place = (rows * blocks + columns) * bins + sector
    histograms = np.bincount(place.ravel(), weights=magnitude.ravel(), minlength=blocks * blocks * bins)
    strain = strain_of(flow).reshape(blocks, side, blocks, side).mean(axis=(1, 3))
    weighted = histograms.reshape(-1, bins) * strain.reshape(-1, 1)
    return (weighted / max(float(weighted.sum()), 1e-12)).astype(np.float32).ravel()
