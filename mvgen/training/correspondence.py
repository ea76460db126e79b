"""Where the vertices of the face model are on the heads of a parametric model.

No manual landmarks are needed: heads are rendered, the landmarker finds its points in the pictures, and rays project
them back to the surface. A landmark is their median over heads, in coordinates that all heads of a family share.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from mvgen.core.camera import crop_camera, pixel_grid
from mvgen.faces.face_mesh import FaceMesh
from mvgen.faces.face_mesh_topology import MIRROR, OVAL
from mvgen.morphable.topology import LANDMARKS, LOWER_LIP, UPPER_LIP, topology
from mvgen.render.rays import RayScene
from mvgen.scans.head import HeadModel, Identity
from mvgen.scans.imaging.lighting import Lighting
from mvgen.scans.imaging.rendering import DressedHead, render_colour
from mvgen.scans.looks.appearance import Look

Floats = NDArray[np.floating]

_SIZE = 256
_RINGS = (0.14, 0.16)  # world units: from the oval to the inner ring, and from there to the outer one
_INSIDE = ("mouth_cavity", "tongue", "eye_cavity", "teeth")


def picture(heads: HeadModel, person: Identity, generator: np.random.Generator) -> NDArray[np.uint8]:
    """A frontal picture of a person without hat or glasses, in the camera of the crop: (S, S, 3) uint8."""
    posed = DressedHead(heads, Look.draw(generator, plain=True), fine=False).pose(
        person.vertices, np.eye(3), np.zeros(3)
    )
    colour, cover = render_colour(posed, Lighting.draw(generator), crop_camera(_SIZE), pixel_grid(_SIZE, _SIZE))
    linear = colour + 0.3 * (1 - cover[..., None])
    return np.asarray(255 * np.clip(linear, 0, 1) ** (1 / 2.2), np.uint8)


def correspondence(
    heads: HeadModel, people: list[Identity], landmarker: FaceMesh, generator: np.random.Generator
) -> sparse.csr_matrix:
    """(V, N) sparse, rows sum to 1: the vertices of the face model as means of the N vertices of a head.

    people : about 24 of the family, neutral
    """
    found = landmarker.find(np.stack([picture(heads, person, generator) for person in people])).points
    positions = np.full((len(people), LANDMARKS, 3), np.nan)
    for index, person in enumerate(people):
        hits = RayScene(person.vertices, heads.triangles).cast(crop_camera(_SIZE), found[index, :, :2].astype(float))
        positions[index, hits.hit] = hits.where_hit().interpolate(heads.triangles, heads.canonical)
    middle = np.nanmedian(positions, axis=0)
    # The mean face is symmetric, and so are its landmarks.
    middle = (middle + middle[MIRROR] * [-1, 1, 1]) / 2

    mean = np.mean([person.vertices for person in people], axis=0)
    surface = _Surface(heads, mean)
    opening = -heads.actions[heads.action_names.index("jawOpen"), :, 1]
    rows = sparse.lil_matrix((LANDMARKS, len(mean)))
    skin, lower = surface.skin, opening > 0.5 * opening[surface.skin].max()
    for group, allowed in (
        (UPPER_LIP, skin & ~lower), (LOWER_LIP, skin & lower),
        (sorted(set(range(LANDMARKS)) - set(UPPER_LIP) - set(LOWER_LIP)), skin),
    ):  # fmt: skip
        rows[list(group)] = surface.nearest(middle[list(group)], heads.canonical, allowed)
    weights = [rows.tocsr()]
    points = weights[0] @ mean
    for reach in _RINGS:
        ring = points[list(OVAL)] if len(weights) == 1 else points[-len(OVAL) :]
        weights.append(surface.nearest(_beyond(ring, points.mean(axis=0), reach), mean, surface.skin))
        points = np.concatenate([points, weights[-1] @ mean])
    known = sparse.vstack(weights).tocsr()
    first, second = topology().edges.T
    between = (known[first] + known[second]) / 2
    on_surface = surface.nearest(between @ mean, mean, surface.outside)
    # The opening of the mouth is spanned, as in reconstruction.
    spanned = sparse.diags(topology().across_mouth.astype(float))
    middles = spanned @ between + (sparse.identity(len(first)) - spanned) @ on_surface
    return sparse.vstack([known, middles]).tocsr()


class _Surface:
    """The outer surface of the heads of a family.

    outside : (N,) bool, skin and eyeballs; skin : (N,) bool
    """

    def __init__(self, heads: HeadModel, mean: Floats) -> None:
        regions, count = heads.regions, len(mean)
        within = np.max([regions.get(name, np.zeros(count)) for name in _INSIDE], axis=0) > 0.3
        eyeballs = np.maximum(regions["eye_left"], regions["eye_right"]) > 0.5
        self.outside, self.skin = ~within, ~within & ~eyeballs
        self._triangles = heads.triangles

    def nearest(self, points: Floats, vertices: Floats, allowed: NDArray[np.bool_]) -> sparse.csr_matrix:
        """(P, N) weights of the vertices of the triangle nearest to points (P, 3), among those `allowed` (N,)."""
        from open3d import t

        from mvgen.render.rays import tensor

        triangles = self._triangles[allowed[self._triangles].all(axis=1)]
        scene = t.geometry.RaycastingScene(nthreads=1)
        scene.add_triangles(tensor(vertices.astype(np.float32)), tensor(triangles.astype(np.uint32)))
        answer = scene.compute_closest_points(tensor(points.astype(np.float32)))
        corners = triangles[answer["primitive_ids"].numpy().astype(int)]
        second, third = answer["primitive_uvs"].numpy().astype(float).T
        shares = np.stack([1 - second - third, second, third], axis=1)
        rows = np.repeat(np.arange(len(points)), 3)
        return sparse.csr_matrix((shares.ravel(), (rows, corners.ravel())), shape=(len(points), len(vertices)))


def _beyond(ring: Floats, centre: Floats, reach: float) -> Floats:
    """Points of a ring (36, 3) moved outward, across the ring and along the face, by `reach`."""
    along = np.roll(ring, -1, axis=0) - np.roll(ring, 1, axis=0)
    along = along / np.linalg.norm(along, axis=1, keepdims=True)
    outward = ring - centre
    outward = outward - (outward * along).sum(axis=1, keepdims=True) * along
    for _ in range(3):
        outward = (np.roll(outward, 1, axis=0) + 2 * outward + np.roll(outward, -1, axis=0)) / 4
    return ring + reach * outward / np.linalg.norm(outward, axis=1, keepdims=True)
