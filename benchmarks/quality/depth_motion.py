"""Error in side views of motion in depth inferred from frontal flow, for held-out people and families.

    python benchmarks/quality/depth_motion.py --ict ICT-FaceKit --people 6 --out depth_motion.json

Heads of one family perform facial actions. Given are the fitted face and a frontal flow like that of a flow method:
smoothed over 3 pixels, with smooth noise of 0.1 pixels of 256, 2.5 pixels at the peak. Depth is inferred with the
actions of the other family, of both, or of the same family. Error: mean length of (flow - true flow) over mean length
of the true flow, of skin that moves by more than 0.15 pixels and faces the view, weighted by the size of each pixel in
the view; mean over clips. With the true depth, only the error of the frontal flow remains. Prints Markdown tables with
hardware and commit.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.ndimage import gaussian_filter

from benchmarks.common import Report, command_line, run_script
from mvgen.core.camera import crop_camera, pixel_grid
from mvgen.core.device import one_thread
from mvgen.core.records import DepthMap, Mask
from mvgen.evaluation.tables import Rows, Table
from mvgen.faces.face_mesh import FaceMesh
from mvgen.morphable.fitting import FaceFit, fit_face
from mvgen.morphable.model import face_model
from mvgen.morphable.rasterise import face_region, fit_image
from mvgen.morphable.topology import LANDMARKS
from mvgen.motion.scene_flow import MotionActions, SceneFlow
from mvgen.render.rays import RayScene
from mvgen.scans.corpora.anny import anny_heads
from mvgen.scans.corpora.ict import ict_heads
from mvgen.scans.corpora.performing import Heads, draw_expression
from mvgen.scans.head import HeadModel, Identity
from mvgen.scans.imaging.rotation import rotation
from mvgen.training.correspondence import correspondence

Floats = NDArray[np.floating]
Infer = Callable[["Acting"], Floats]

YAWS = (15, 25, 45)
SPREADS = {"anny": 0.3, "ict": 1.0}
_CAMERA = crop_camera(256)
_PEAK, _BLUR, _NOISE, _NOISE_BLUR = 2.5, 3.0, 0.1, 6.0  # pixels
_MOVES, _FACES = 0.15, 0.2  # pixels; cosine
_MIXTURES = 15  # of each person
_SEED = 2_411

# Actions without sides; a side after a slash where only that side moves.
ACTS: dict[str, tuple[str, ...]] = {
    "smile": ("mouthSmile",), "smile, cheeks": ("mouthSmile", "cheekSquint", "cheekRaiser"),
    "brow raise": ("browInnerUp", "browOuterUp"), "brow lower": ("browDown",), "jaw open": ("jawOpen",),
    "pucker": ("mouthPucker",), "lip corner down": ("mouthFrown",), "dimple": ("mouthDimple",),
    "nose wrinkle": ("noseSneer",), "cheek raise": ("cheekSquint", "cheekRaiser"), "eye squint": ("eyeSquint",),
    "smile L": ("mouthSmile/Left",), "dimple R": ("mouthDimple/Right",), "brow raise L": ("browOuterUp/Left",),
    "nose wrinkle R": ("noseSneer/Right",),
}  # fmt: skip


def strengths(names: tuple[str, ...], generator: np.random.Generator) -> dict[str, Floats]:
    """Performance -> (A,) weights of the actions of a family: ACTS, then random expressions as in photographs."""

    def of(parts: tuple[str, ...], shares: Floats) -> Floats:
        weights = np.zeros(len(names))
        for part, share in zip(parts, shares, strict=True):
            base, _, side = part.partition("/")
            wanted = {f"{base}{side}"} if side else {base, f"{base}Left", f"{base}Right"}
            weights += share * np.isin(names, list(wanted))
        return weights

    acts = {act: of(parts, np.ones(len(parts))) for act, parts in ACTS.items()}
    while len(acts) < len(ACTS) + _MIXTURES:
        drawn = draw_expression(generator, names) * [not name.startswith(("eye", "tongue")) for name in names]
        if drawn.any():
            acts[f"drawn {len(acts)}"] = drawn
    return acts


@dataclass(frozen=True, slots=True)
class Acting:
    """The performances of a person, seen from the front.

    fit, surface : of the still face; skin : (S, S) bool, face that is seen; normal : (S, S, 3)
    acts : their names; true : (N, S, S, 3) pixels, dx, dy and depth; seen : (N, S, S, 2), flow as a method finds it
    """

    fit: FaceFit
    surface: DepthMap
    skin: Mask
    normal: Floats
    acts: tuple[str, ...]
    true: NDArray[np.float32]
    seen: NDArray[np.float32]

    def errors(self, depth: Floats, yaw: float) -> Floats:
        """(N,) of motion in depth (N, S, S), world units, seen from `yaw`."""
        right, _, away = _CAMERA.at(yaw).rotation[0]
        facing = self.normal @ _CAMERA.at(yaw).rotation[2]
        shown = self.skin & (facing > _FACES)
        size = (facing / np.maximum(self.normal[..., 2], 0.1))[shown]
        result = []
        for true, seen, deep in zip(self.true, self.seen, depth, strict=True):
            want = np.stack([right * true[shown, 0] + away * true[shown, 2], true[shown, 1]])
            have = np.stack([right * seen[shown, 0] + away * _CAMERA.scale * deep[shown], seen[shown, 1]])
            length, error = np.linalg.norm(want, axis=0), np.linalg.norm(have - want, axis=0)
            moving = (length > _MOVES) * size
            result.append((error * moving).sum() / (length * moving).sum())
        return np.array(result)


def act_person(
    heads: HeadModel, person: Identity, anchors: sparse.csr_matrix, generator: np.random.Generator
) -> Acting:
    """All performances of a person whose head is slightly turned."""
    model, size = face_model(), _CAMERA.size
    turn = rotation(*generator.normal(0, (3, 3, 2)))
    vertices = person.vertices.astype(np.float64) @ turn.T
    hits = RayScene(vertices, heads.triangles).cast(_CAMERA, pixel_grid(size, size))
    where, hit = hits.where_hit(), hits.hit
    within = np.zeros(len(vertices))
    for name in ("mouth_cavity", "tongue", "eye_cavity", "teeth", "eye_left", "eye_right"):
        within = np.maximum(within, heads.regions.get(name, 0.0))

    def image(values: Floats) -> Floats:
        drawn = np.zeros((size, size, values.shape[1]))
        drawn[hit] = where.interpolate(heads.triangles, values)
        return drawn

    points = _CAMERA.project(anchors[:LANDMARKS] @ vertices)
    off = generator.normal(0, 0.5, points.shape) * model.point_deviation
    points = np.column_stack([points[:, :2], _CAMERA.scale * (points[:, 2] + 0.5 * model.depth_bias)])
    fit = fit_face((points + _CAMERA.scale * off)[None], _CAMERA, model)
    region = face_region(_CAMERA, fit.vertices[0])
    depth = np.where(region, fit_image(_CAMERA, fit.vertices[0])[..., 0], np.nan).astype(np.float32)
    skin = region & (image((within < 0.3)[:, None].astype(float))[..., 0] > 0.99)

    acts = strengths(heads.action_names, generator)
    true, seen = [], []
    cover = np.maximum(gaussian_filter(hit.astype(float), _BLUR), 1e-9)
    for weights in acts.values():
        way = (heads.express(person, weights) - person.vertices) @ turn.T
        moved = _CAMERA.scale * image(way) * [1, -1, 1]
        moved *= _PEAK / np.linalg.norm(moved[skin, :2], axis=-1).max()
        noise = gaussian_filter(generator.normal(0, 1, (size, size, 2)), (_NOISE_BLUR, _NOISE_BLUR, 0))
        blurred = gaussian_filter(moved[..., :2], (_BLUR, _BLUR, 0)) / cover[..., None]
        true.append(moved)
        seen.append(np.where(region[..., None], blurred + noise * _NOISE / noise.std(), 0))
    return Acting(
        fit, DepthMap(depth, region.astype(np.float32), _CAMERA), skin, image(_normals(vertices, heads.triangles)),
        tuple(acts), np.array(true, np.float32), np.array(seen, np.float32),
    )  # fmt: skip


def _normals(vertices: Floats, triangles: NDArray[np.integer]) -> Floats:
    """(N, 3), unit, outward."""
    a, b, c = (vertices[triangles[:, corner]] for corner in range(3))
    total = np.zeros_like(vertices)
    for corner in range(3):
        np.add.at(total, triangles[:, corner], np.cross(b - a, c - a))
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)


def anchors_of(name: str, heads: Heads, cache: Path | None) -> sparse.csr_matrix:
    """`correspondence` of a family, kept in a file where there is a cache."""
    path = None if cache is None else cache / f"anchors-{name}.npz"
    if path is not None and path.is_file():
        return sparse.load_npz(path)
    generator = np.random.default_rng(_SEED)
    found = correspondence(
        heads.model, heads.sample_identities(generator, 24, SPREADS[name]), FaceMesh("cpu"), generator
    )
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        sparse.save_npz(path, found)
    return found


def slid(acting: Acting, share: float) -> Floats:
    """(N, S, S) world units, change of depth of skin that slides over the surface of the still face."""
    depth = acting.surface.depth
    down, right = np.gradient(gaussian_filter(np.where(np.isfinite(depth), depth, np.nanmin(depth)), 1.5))
    steepest = 2 / _CAMERA.scale
    slopes = np.clip(np.stack([right, down], axis=-1), -steepest, steepest)
    return np.asarray(share * (acting.seen * slopes).sum(axis=-1))


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--ict", type=Path, required=True, help="a clone of ICT-FaceKit")
    parser.add_argument("--cache", type=Path, help="folder that correspondences are kept in")
    parser.add_argument("--people", type=int, default=6, help="of each family")
    chosen = parser.parse_args()
    one_thread()
    families: dict[str, Heads] = {"anny": anny_heads(), "ict": ict_heads(chosen.ict)}
    anchors = {name: anchors_of(name, heads, chosen.cache) for name, heads in families.items()}
    laid = {
        name: (heads.model.action_names, np.stack([anchors[name] @ each for each in heads.model.actions]))
        for name, heads in families.items()
    }
    report = Report(__file__, chosen, f"{chosen.people} people a family")
    for number, (family, heads) in enumerate(families.items()):
        other = next(name for name in families if name != family)
        known = {
            "other family": MotionActions.of({other: laid[other]}), "both": MotionActions.of(laid),
            "own": MotionActions.of({family: laid[family]}),
        }  # fmt: skip
        ways: dict[str, Infer] = {
            "true depth": lambda acting: acting.true[..., 2] / _CAMERA.scale,
            "no depth": lambda acting: np.zeros(acting.true.shape[:3]),
            "third of sliding": lambda acting: slid(acting, 1 / 3),
        }
        spent: list[tuple[float, float]] = []

        def infer(acting: Acting, actions: MotionActions, spent: list[tuple[float, float]] = spent) -> Floats:
            start = time.perf_counter()
            scene = SceneFlow(acting.fit, acting.surface, actions)
            ready = time.perf_counter()
            depth = scene.depth_motion(acting.seen)
            spent.append((ready - start, (time.perf_counter() - ready) / len(depth)))
            return depth

        ways |= {name: partial(infer, actions=actions) for name, actions in known.items()}
        generator = np.random.default_rng([_SEED, number])
        errors: dict[str, list[Floats]] = {name: [] for name in ways}
        for person in heads.sample_identities(generator, chosen.people, SPREADS[family]):
            acting = act_person(heads.model, person, anchors[family], generator)
            for name, way in ways.items():
                depth = way(acting)
                seen = [[acting.errors(depth, side * yaw) for side in (-1, 1)] for yaw in YAWS]
                errors[name].append(np.mean(seen, axis=1))
        report.table(*error_table(family, errors, acting.acts))
        once, frame = 1e3 * np.median(spent, axis=0)
        print(f"{once:.0f} ms a clip and {frame:.1f} ms a flow\n")


def error_table(family: str, errors: dict[str, list[Floats]], acts: tuple[str, ...]) -> Table:
    """The errors on the faces of a family: by yaw, and by performance at the largest yaw."""
    means = {name: np.mean(each, axis=0) for name, each in errors.items()}  # (yaws, acts)
    rows: Rows = [[f"yaw {yaw}", *(each[index].mean() for each in means.values())] for index, yaw in enumerate(YAWS)]
    names = [act.split(" ")[0] if act.startswith("drawn") else act for act in acts]
    for act in dict.fromkeys(names):
        chosen = np.array(names) == act
        rows.append([f"{act}, {YAWS[-1]}", *(each[-1, chosen].mean() for each in means.values())])
    return Table([f"{family} acts", *means], rows, digits=3)


if __name__ == "__main__":
    run_script(main)
