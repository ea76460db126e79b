"""Loop subdivision as a sparse matrix: made once for a topology, then each face is refined by one product."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse


def loop_subdivision(triangles: NDArray[np.integer], count: int) -> tuple[sparse.csr_matrix, NDArray[np.int32]]:
    """One step of Loop subdivision (Loop 1987; boundaries as cubic B-splines).

    triangles : (M, 3) int, an edge belongs to one or two triangles
    count : number of vertices
    Returns the matrix (count + edges, count) that maps old vertices to new ones, and the new triangles (4 M, 3) int32:
    triangle i of the old mesh becomes triangles i, M + i, 2 M + i (its corners) and 3 M + i (its middle).
    """
    triangles = np.asarray(triangles, dtype=np.int64)
    corners = len(triangles)
    half_edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    opposite = np.concatenate([triangles[:, 2], triangles[:, 0], triangles[:, 1]])
    edges, which, uses = np.unique(np.sort(half_edges, axis=1), axis=0, return_inverse=True, return_counts=True)
    which = which.reshape(-1)
    if uses.max() > 2:
        raise ValueError(f"the mesh is not a manifold: an edge belongs to {uses.max()} triangles")
    boundary = uses == 1

    # New edge points: 3/8 of the ends and 1/8 of the two opposite corners inside, the midpoint on a boundary.
    rows = np.arange(len(edges))
    ends = np.where(boundary, 0.5, 0.375)
    inside = ~boundary[which]
    edge_points = sparse.coo_matrix(
        (
            np.concatenate([ends, ends, np.full(inside.sum(), 0.125)]),
            (np.concatenate([rows, rows, which[inside]]), np.concatenate([*edges.T, opposite[inside]])),
        ),
        shape=(len(edges), count),
    )

    # Old vertices: Loop's beta for the one-ring inside; 1/8, 3/4, 1/8 along a boundary.
    both_ways = np.concatenate([edges, edges[:, ::-1]])
    on_boundary = np.zeros(count, dtype=bool)
    on_boundary[edges[boundary]] = True
    valence = np.bincount(both_ways[:, 0], minlength=count)
    safe = np.maximum(valence, 1)
    beta = (0.625 - (0.375 + 0.25 * np.cos(2 * np.pi / safe)) ** 2) / safe
    along = np.concatenate([boundary, boundary])
    weight = np.where(on_boundary[both_ways[:, 0]], np.where(along, 0.125, 0.0), beta[both_ways[:, 0]])
    ring = sparse.coo_matrix((weight, (both_ways[:, 0], both_ways[:, 1])), shape=(count, count)).tocsr()
    ring = ring + sparse.diags(1 - np.asarray(ring.sum(axis=1)).reshape(-1))

    ab, bc, ca = (count + which[step * corners : (step + 1) * corners] for step in range(3))
    a, b, c = triangles.T
    refined = np.concatenate([np.stack(t, axis=1) for t in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))])
    return sparse.vstack([ring, edge_points]).tocsr(), refined.astype(np.int32)
