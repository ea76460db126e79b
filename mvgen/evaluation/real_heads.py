"""Errors of reconstructions from one photograph, on real heads with known depth and true side views."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from mvgen.core.angles import view_name
from mvgen.core.camera import Camera, crop_camera
from mvgen.core.config import BuildConfig, CameraConfig
from mvgen.core.errors import MvgenError
from mvgen.core.records import Image, Mask
from mvgen.evaluation.mean_face import mean_alone
from mvgen.evaluation.view_metrics import psnr
from mvgen.faces.face_mesh_topology import TRIANGLES
from mvgen.morphable.fitting import fit_face
from mvgen.morphable.model import FaceModel
from mvgen.morphable.rasterise import fit_image, rasterise
from mvgen.morphable.topology import EYE_LEFT, EYE_RIGHT, LIPS
from mvgen.pipeline.reconstruct import read_photograph, reconstruct
from mvgen.pipeline.tools import Tools

Floats = NDArray[np.floating]

SIZE = 256
MVGEN = "mvgen reconstruct"
_OUTER_EYES = [33, 263]
_OUTLIER = 3.0  # deviations
_RIM = 2  # pixels
_ASIDE, _UP = 64, 16  # pixels: largest shift between a true view and a rendered one


@dataclass(frozen=True, slots=True)
class Head:
    """A scanned head: its name, its folder, and the units of the tables per pixel of its pictures."""

    name: str
    folder: Path
    unit: float

    @property
    def yaws(self) -> tuple[float, ...]:
        """The angles of the true side views."""
        return tuple(sorted(yaw for yaw in (float(path.stem[3:]) for path in self.folder.glob("yaw*.png")) if yaw))


def read_heads(data: Path) -> tuple[list[Head], str]:
    """The heads of a folder and the unit of their errors. Raises MvgenError where there is none."""
    folders = sorted(path.parent for path in data.glob("*/truth.npz"))
    if not folders:
        raise MvgenError(f"{data} holds no head: a folder with truth.npz, yaw+00.png, yaw+15.png ...")
    truths = [np.load(folder / "truth.npz") for folder in folders]
    units = [float(truth["mm_per_pixel"]) for truth in truths]
    metric = bool(np.isfinite(units).all())
    if not metric:
        units = [100 / float(np.linalg.norm(np.subtract(*truth["points"][_OUTER_EYES]))) for truth in truths]
    heads = [Head(folder.name, folder, unit) for folder, unit in zip(folders, units, strict=True)]
    return heads, "mm" if metric else "% of the outer-eye distance"


class DepthScore(NamedTuple):
    """Errors of one reconstruction.

    depth : mean error after fitting scale and shift, without outliers; tilt_free : the same after removing a plane
        too; tilt : angle of that plane, degrees; scale : the fitted factor of depth
    """

    depth: float
    tilt_free: float
    tilt: float
    scale: float


def depth_score(depth: Floats, truth: Floats, points: Floats) -> DepthScore:
    """Compare depth (P,) with the truth (P,) at points (P, 2) of a picture, all in its pixels."""
    level = np.column_stack([depth, np.ones_like(depth)])
    (scale, _), error = _robust(level, truth)
    _, tilt_free = _robust(np.column_stack([level, points]), truth)
    plane, *_ = np.linalg.lstsq(np.column_stack([np.ones_like(depth), points]), truth - scale * depth, rcond=None)
    tilt = float(np.degrees(np.arctan(np.hypot(*plane[1:]))))
    return DepthScore(error, tilt_free, tilt, float(scale) if np.ptp(depth) else float("nan"))


def _robust(design: Floats, truth: Floats) -> tuple[Floats, float]:
    """Least squares without outliers: the coefficients, and the mean error of the inliers."""
    rough, *_ = np.linalg.lstsq(design, truth, rcond=None)
    errors = np.abs(design @ rough - truth)
    kept = errors <= _OUTLIER * 1.48 * np.median(errors)
    found, *_ = np.linalg.lstsq(design[kept], truth[kept], rcond=None)
    return found, float(np.abs(design @ found - truth)[kept].mean())


def simpler_methods(points: Floats, camera: Camera, model: FaceModel) -> dict[str, Floats]:
    """Depth maps (S, S), world units, of landmarks (468, 3) in a crop by simpler methods."""
    own = camera.unproject(points * [1, 1, 1 / camera.scale])
    closed = [(loop[0], after, one) for loop in (EYE_LEFT, EYE_RIGHT, LIPS) for one, after in pairwise(loop[1:])]
    fits = [fit_face(points[None], camera, each).vertices[0] for each in (mean_alone(model), model)]
    mean, fit = (fit_image(camera, vertices)[..., 0] for vertices in fits)
    return {
        "flat plane": np.zeros((camera.size, camera.size)),
        "posed average face": mean,
        "the landmarker's own depth": rasterise(camera, own, own[:, 2:], np.concatenate([TRIANGLES, closed]))[..., 0],
        "fit alone": fit,
    }


def depth_scores(head: Head, made: Path, model: FaceModel) -> dict[str, DepthScore]:
    """Scores of every method on one head; made : output folder of `mvgen reconstruct`."""
    from scipy.ndimage import distance_transform_edt

    with np.load(made / "depth.npz") as output, np.load(head.folder / "truth.npz") as true:
        crop, own, points = output["crop"], output["depth"], true["points"].astype(np.float64)
        camera = crop_camera(len(own))
        methods = {**simpler_methods(output["points"].astype(np.float64), camera, model), MVGEN: own / camera.scale}
        column, row = np.floor(points).astype(int).T
        truth = true["depth"][row, column].astype(np.float64)
    u, v = np.floor(points @ crop[:, :2].T + crop[:, 2]).astype(int).T
    inside = (np.minimum(u, v) >= 0) & (np.maximum(u, v) < len(own))
    u, v = u.clip(0, len(own) - 1), v.clip(0, len(own) - 1)
    known = inside & np.isfinite(own[v, u]) & np.isfinite(truth)
    scores = {}
    for name, found_depth in methods.items():
        nearest = distance_transform_edt(~np.isfinite(found_depth), return_distances=False, return_indices=True)
        depth = found_depth[tuple(nearest)][v, u] * camera.scale / np.hypot(crop[0, 0], crop[1, 0])
        found = depth_score(depth[known], truth[known], points[known])
        scores[name] = found._replace(depth=found.depth * head.unit, tilt_free=found.tilt_free * head.unit)
    return scores


def view_score(picture: Image, valid: Mask, true: Image, crop: Floats) -> tuple[float, float]:
    """PSNR and SSIM of a view (S, S, 3) in `valid` (S, S) against the photographed one.

    crop : (2, 3) of the frontal picture. True views turn about another axis, so the best shift is found first.
    """
    from skimage.metrics import structural_similarity

    size = len(picture)
    # In OpenCV pixel centres are at whole numbers.
    offset = crop[:, 2] + crop[:, :2] @ [0.5, 0.5] - 0.5 + [_ASIDE, _UP]
    wide = cv2.warpAffine(true, np.column_stack([crop[:, :2], offset]), (size + 2 * _ASIDE, size + 2 * _UP))
    mask = valid.astype(np.uint8)
    away = cv2.matchTemplate(wide, picture, cv2.TM_SQDIFF, mask=mask)
    down, right = np.unravel_index(np.argmin(away), away.shape)
    there = np.asarray(wide[down : down + size, right : right + size], np.uint8)
    grey = [cv2.cvtColor(one, cv2.COLOR_RGB2GRAY) for one in (picture, there)]
    return psnr(picture, there, valid), float(structural_similarity(*grey, full=True)[1][valid].mean())


def view_scores(head: Head, made: Path) -> dict[float, tuple[float, float]]:
    """PSNR and SSIM of every side view of one head by its yaw."""
    crop, scores = np.load(made / "depth.npz")["crop"], {}
    for yaw in head.yaws:
        path = made / "views" / f"{view_name(yaw)}.png"
        valid = cv2.erode(read_photograph(path.with_suffix(".valid.png"))[..., 0], np.ones((2 * _RIM + 1,) * 2)) > 0
        true = next(path for path in head.folder.glob("yaw*.png") if float(path.stem[3:]) == yaw)
        scores[yaw] = view_score(read_photograph(path), valid, read_photograph(true), crop)
    return scores


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores of one head: depth by method, PSNR and SSIM by yaw."""

    depth: dict[str, DepthScore]
    views: dict[float, tuple[float, float]]


def measure(
    heads: Sequence[Head], tools: Tools, report: Callable[[str], None], with_views: bool = True
) -> dict[str, Scores]:
    """Reconstruct heads and compare them with the truth; one that cannot be reconstructed is reported and left out."""
    found: dict[str, Scores] = {}
    for head in heads:
        yaws = head.yaws if with_views else ()
        config = BuildConfig(camera=CameraConfig(angles=yaws, size=SIZE))
        with tempfile.TemporaryDirectory() as folder:
            image = head.folder / "yaw+00.png"
            outcome = reconstruct([image], Path(folder), config, lambda _: None, tools=tools)[0]
            if outcome.folder is None:
                report(f"{head.name} is left out: {outcome.error}")
                continue
            views = view_scores(head, outcome.folder) if with_views else {}
            found[head.name] = Scores(depth_scores(head, outcome.folder, tools.model), views)
    return found
