"""The mesh of the face model: the landmarks' face mesh, with eyes and mouth closed, and two rings around its oval.

Every triangle is then split into four. Vertices: the 468 landmarks first, in their order; then the inner and the outer
ring, 36 each; then the middles of the edges.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mvgen.faces.face_mesh_topology import OVAL, TRIANGLES

Ints = NDArray[np.int32]

LANDMARKS = 468
RING = len(OVAL)

# Loops of the landmarks, from the corner at image left over the upper edge to the other corner and back.
EYE_LEFT = (33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7)
EYE_RIGHT = (362, 398, 384, 385, 386, 387, 388, 466, 263, 249, 390, 373, 374, 380, 381, 382)
LIPS = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95)
UPPER_LIP = LIPS[1:10]
LOWER_LIP = LIPS[11:]


@dataclass(frozen=True, slots=True)
class Topology:
    """Triangles and edges of the face model.

    triangles : (M, 3) int32, counter-clockwise seen from the front
    edges : (E, 2) int32, the edges whose middles are the last E vertices
    across_mouth : (E,) bool, the edge goes from the upper to the lower lip, through the opening of the mouth
    in_face : (M,) bool, the triangle belongs to the face, inside the oval
    count : vertices in all
    """

    triangles: Ints
    edges: Ints
    across_mouth: NDArray[np.bool_]
    in_face: NDArray[np.bool_]
    count: int


@lru_cache(maxsize=1)
def topology() -> Topology:
    """The one topology of all face models."""
    coarse = np.concatenate([TRIANGLES, *map(_closed, (EYE_LEFT, EYE_RIGHT, LIPS)), *_rings()]).astype(np.int32)
    half = np.sort(np.concatenate([coarse[:, [0, 1]], coarse[:, [1, 2]], coarse[:, [2, 0]]]), axis=1)
    edges, which = np.unique(half, axis=0, return_inverse=True)
    first = LANDMARKS + 2 * RING
    ab, bc, ca = first + which.reshape(3, len(coarse))
    a, b, c = coarse.T
    fine = np.concatenate(
        [np.stack(corners, axis=1) for corners in ((a, ab, ca), (b, bc, ab), (c, ca, bc), (ab, bc, ca))]
    )
    inside = np.isin(edges, LIPS).all(axis=1) & ~_neighbours(edges, LIPS)
    in_face = np.tile((coarse < LANDMARKS).all(axis=1), 4)
    return Topology(fine.astype(np.int32), edges.astype(np.int32), inside, in_face, first + len(edges))


def _closed(loop: tuple[int, ...]) -> Ints:
    """Triangles between the upper and the lower edge of a loop whose corners are its first and its middle point."""
    half = len(loop) // 2
    upper, lower = loop[: half + 1], (loop[0], *loop[: half - 1 : -1])
    strip = []
    for left in range(half):
        # Each row of the strip is a quad between the edges; at a corner it is a triangle.
        quad = (upper[left], lower[left], lower[left + 1], upper[left + 1])
        strip += [t for t in ((quad[0], quad[1], quad[2]), (quad[0], quad[2], quad[3])) if len(set(t)) == 3]
    return np.array(strip, np.int32)


def _rings() -> tuple[Ints, Ints]:
    """The strips from the oval to the inner ring, and from there to the outer one."""
    inner, outer = LANDMARKS + np.arange(RING), LANDMARKS + RING + np.arange(RING)
    return _strip(np.asarray(OVAL), inner), _strip(inner, outer)


def _strip(near: NDArray[np.integer], far: NDArray[np.integer]) -> Ints:
    """Triangles between two loops of the same length; the loops run clockwise seen from the front."""
    after, beyond = np.roll(near, -1), np.roll(far, -1)
    return np.concatenate([np.stack([near, after, beyond], axis=1), np.stack([near, beyond, far], axis=1)]).astype(
        np.int32
    )


def _neighbours(edges: Ints, loop: tuple[int, ...]) -> NDArray[np.bool_]:
    """(E,) bool, edges between neighbours on a loop."""
    position = np.full(edges.max() + 1, -1)
    position[list(loop)] = np.arange(len(loop))
    step = np.abs(position[edges[:, 0]] - position[edges[:, 1]])
    return np.asarray((position[edges] >= 0).all(axis=1) & np.isin(step, (1, len(loop) - 1)))
