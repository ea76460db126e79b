"""A head topology as plain arrays for rendering and animation, cheap to send to another process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Identity:
    """One person.

    vertices : (N, 3) float32, neutral face, world units
    metre : inter-ocular distance in metres; world units times this are metres
    """

    vertices: NDArray[np.float32]
    metre: float


@dataclass(frozen=True)
class HeadModel:
    """The topology of a head, its regions and its facial actions.

    triangles : (M, 3) int32, counter-clockwise from outside
    edges : (E, 2) int32, and six_nodes : (M, 6) int32, see `raycast.edge_nodes`
    canonical : (N, 3) float32, the template's vertices, world units: appearance is painted in these coordinates
    regions : name -> (N,) float32 in [0, 1]: lips, ears, eyelids, face, mouth_cavity, eye_cavity, tongue, eye_left,
        eye_right, body
    action_names : ARKit's names of the facial actions; actions : (A, N, 3) float32 metres, offsets at strength 1
    five_points : each of the five points of a face detector -> vertices whose mean is the point, the subject's right
        (image left) first: eye_right, eye_left, nose, mouth_right, mouth_left
    landmarks : (68,) int32, the vertex of each iBUG landmark, -1 where it is unknown
    """

    triangles: NDArray[np.int32]
    edges: NDArray[np.int32]
    six_nodes: NDArray[np.int32]
    canonical: NDArray[np.float32]
    regions: dict[str, NDArray[np.float32]]
    action_names: tuple[str, ...]
    actions: NDArray[np.float32]
    five_points: Mapping[str, NDArray[np.integer]]
    landmarks: NDArray[np.int32]

    def express(self, identity: Identity, weights: Floats) -> NDArray[np.float32]:
        """Faces with an expression.

        weights : (..., A) in [0, 1], in the order of `action_names`
        Returns vertices (..., N, 3) float32, world units.
        """
        weights = np.asarray(weights, dtype=np.float32)
        used = np.flatnonzero(np.any(weights.reshape(-1, weights.shape[-1]) != 0, axis=0))
        if not len(used):
            return np.broadcast_to(identity.vertices, (*weights.shape[:-1], *identity.vertices.shape))
        moved = np.tensordot(weights[..., used], self.actions[used], axes=(-1, 0)) / np.float32(identity.metre)
        return np.asarray(identity.vertices + moved, dtype=np.float32)

    def five_positions(self, vertices: Floats) -> Floats:
        """The five points (..., 5, 3) of faces with vertices (..., N, 3), in the detector's order."""
        return np.stack([vertices[..., members, :].mean(axis=-2) for members in self.five_points.values()], axis=-2)

    def at_nodes(self, values: Floats) -> NDArray[np.float32]:
        """Values per vertex (N, ...) -> per vertex and edge middle (N + E, ...).

        Appearance is painted at these points. The value at an edge middle is the mean of its ends.
        """
        middles = (values[self.edges[:, 0]] + values[self.edges[:, 1]]) / 2
        return np.concatenate([values, middles]).astype(np.float32)

    @cached_property
    def canonical_nodes(self) -> tuple[NDArray[np.float32], dict[str, NDArray[np.float32]]]:
        """Canonical positions (N + E, 3) and region weights (N + E,) of the painted points."""
        return self.at_nodes(self.canonical), {name: self.at_nodes(values) for name, values in self.regions.items()}


def find_five_points(canonical: Floats, regions: dict[str, NDArray[np.float32]]) -> dict[str, NDArray[np.int64]]:
    """`HeadModel.five_points` of a template (N, 3) with known lips, eyes and inside of the mouth."""
    x, y, z = canonical.T
    lips = np.flatnonzero(regions["lips"] > 0.5)
    inside = np.maximum(regions["tongue"], regions["mouth_cavity"]) > 0.5
    nose_band = np.flatnonzero((np.abs(x) < 0.15) & (y < -0.3) & (y > -0.9) & ~inside)
    eyes = {}
    for side in ("right", "left"):
        ball = np.flatnonzero(regions[f"eye_{side}"] > 0.5)
        eyes[f"eye_{side}"] = ball[z[ball] > np.quantile(z[ball], 0.7)]
    return eyes | {
        "nose": nose_band[np.argsort(-z[nose_band], kind="stable")[:6]],
        "mouth_right": lips[np.argsort(x[lips], kind="stable")[:4]],
        "mouth_left": lips[np.argsort(-x[lips], kind="stable")[:4]],
    }
