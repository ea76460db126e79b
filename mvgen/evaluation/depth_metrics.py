"""Error metrics of depth maps. Arrays in, numbers out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from mvgen.core.landmarks68 import EYE_LEFT, EYE_RIGHT, MOUTH, region_mask
from mvgen.core.records import Mask
from mvgen.evaluation.tables import Rows, Table

Floats = NDArray[np.floating]

FIT = "fit alone"
WORSE = 1.03  # more than this times the fit's error is worse than the fit
# Parts of a face that landmarks enclose: regions, and inter-ocular distances beyond them.
PARTS = {
    "mouth": (("mouth",), 0.12),
    "nose": (("nose",), 0.08),
    "eyes": (("eye left", "eye right"), 0.06),
    "brows": (("brow left", "brow right"), 0.08),
}


@dataclass(frozen=True, slots=True)
class DepthErrors:
    """Errors of one reconstruction over the pixels of the face.

    mae, rmse : of depth, % of the inter-ocular distance; mae_mm, rmse_mm : the same in millimetres
    normal : mean angle between the surfaces' normals, degrees
    scale : slope of the regression of predicted on true depth, minus 1
    tilt : angle of the plane that fits the difference best, degrees
    correlation : of predicted and true depth; NaN for a flat reconstruction
    """

    mae: float
    rmse: float
    mae_mm: float
    rmse_mm: float
    normal: float
    scale: float
    tilt: float
    correlation: float


def depth_errors(depth: Floats, truth: Floats, face: Mask, scale: float, metre: float) -> DepthErrors:
    """Compare two depth maps (S, S), world units, in the pixels of the face (S, S) where both are known.

    scale : pixels in a world unit; metre : metres in a world unit
    Raises ValueError when fewer than three pixels are left to compare.
    """
    known = face & np.isfinite(depth) & np.isfinite(truth)
    if known.sum() < 3:
        raise ValueError(f"{known.sum()} pixels of the face are known on both sides, 3 are needed")
    depth, truth = depth.astype(np.float64), truth.astype(np.float64)
    difference = depth - truth
    mae, rmse = np.abs(difference[known]).mean(), np.sqrt(np.square(difference[known]).mean())
    slope = np.hypot(*plane(difference, known)[1:]) * scale
    return DepthErrors(
        mae=100 * float(mae),
        rmse=100 * float(rmse),
        mae_mm=1000 * metre * float(mae),
        rmse_mm=1000 * metre * float(rmse),
        normal=float(np.degrees(normal_angles(depth, truth, known, scale)).mean()),
        scale=regression(truth[known], depth[known]) - 1,
        tilt=float(np.degrees(np.arctan(slope))),
        correlation=correlation(depth[known], truth[known]),
    )


def mean_errors(errors: list[DepthErrors]) -> DepthErrors:
    """Mean over pictures; of the scale error the mean absolute value, so that opposite signs do not cancel."""
    columns = {field.name: np.array([getattr(one, field.name) for one in errors]) for field in fields(DepthErrors)}
    columns["scale"] = np.abs(columns["scale"])
    return DepthErrors(**{name: float(values.mean()) for name, values in columns.items()})


def plane(values: Floats, known: Mask) -> Floats:
    """Least-squares plane through known values (S, S): (3,) value at the image's centre, slopes per column and row."""
    rows, columns = np.nonzero(known)
    centre = (np.array(values.shape) - 1) / 2
    design = np.column_stack([np.ones(len(rows)), columns - centre[1], rows - centre[0]])
    return np.asarray(np.linalg.lstsq(design, values[known].astype(np.float64), rcond=None)[0])


def regression(truth: Floats, values: Floats) -> float:
    """Slope of the regression of values (P,) on truth (P,); NaN when the truth does not vary."""
    away = truth - truth.mean()
    power = float((away**2).sum())
    return float((away * (values - values.mean())).sum()) / power if power > 0 else float("nan")


def correlation(first: Floats, second: Floats) -> float:
    """Pearson's correlation of (P,) and (P,); NaN when one of them does not vary."""
    if min(first.std(), second.std()) < 1e-9:
        return float("nan")
    return float(np.corrcoef(first, second)[0, 1])


def normal_angles(depth: Floats, truth: Floats, known: Mask, scale: float) -> Floats:
    """Angles (P,), radians, between the normals of two depth maps (S, S), at pixels whose four neighbours are known."""
    inner = known.copy()
    inner[[0, -1]] = inner[:, [0, -1]] = False
    for axis in (0, 1):
        inner &= np.roll(known, 1, axis) & np.roll(known, -1, axis)

    def normals(surface: Floats) -> Floats:
        with np.errstate(invalid="ignore"):
            down, right = np.gradient(np.where(known, surface, 0.0) * scale)
        return np.stack([-right, down, np.ones_like(down)], axis=-1)[inner]

    one, other = normals(depth), normals(truth)
    # The arc cosine of a dot product loses small angles to rounding; the arc tangent does not.
    return np.arctan2(np.linalg.norm(np.cross(one, other), axis=-1), (one * other).sum(axis=-1))


def jitter(depth: Floats, face: Mask) -> float:
    """RMS change of depth (T, S, S) from frame to frame in the face (S, S), % of the inter-ocular distance.

    The best-fitting plane of each change is removed: to first order it is rigid head motion, a shift along the optical
    axis and a turn.
    """
    moved = [change - plane_values(change, face) for change in np.diff(depth.astype(np.float64), axis=0)]
    return 100 * float(np.sqrt(np.square(np.stack(moved)[:, face]).mean()))


def plane_values(values: Floats, known: Mask) -> Floats:
    """The values (S, S) of the least-squares plane of `plane`."""
    level, right, down = plane(values, known)
    centre = (np.array(values.shape) - 1) / 2
    rows, columns = np.indices(values.shape)
    return np.asarray(level + right * (columns - centre[1]) + down * (rows - centre[0]))


def landmark_errors(points: Floats, truth: Floats) -> Floats:
    """Distance of landmarks (B, 68, 2) from the truth (B, 68, 2), % of the true distance of the eye centres: (B, 68).

    NaN where the truth is NaN. Source: Sagonas et al., 300 faces in-the-wild challenge, ICCVW 2013, with eye
    centres instead of outer eye corners.
    """
    eyes = truth[:, 36:42].mean(axis=1) - truth[:, 42:48].mean(axis=1)
    unit = np.linalg.norm(eyes, axis=-1)
    return np.asarray(100 * np.linalg.norm(points - truth, axis=-1) / unit[:, None])


def face_parts(landmarks: Floats, face: Mask) -> dict[str, Mask]:
    """Masks (S, S) of the parts of a face, from its 68 landmarks (68, 2), pixels."""
    parts, left = {}, face.copy()
    for name, (regions, margin) in PARTS.items():
        parts[name] = left & region_mask(landmarks, len(face), regions, margin)
        left &= ~parts[name]
    row = np.arange(len(face))[:, None] + 0.5
    above = row < (landmarks[EYE_LEFT, 1].mean() + landmarks[EYE_RIGHT, 1].mean()) / 2
    below = row > landmarks[MOUTH, 1].max()
    return parts | {"forehead": left & above, "chin": left & below, "cheeks": left & ~above & ~below}


def beside_fit(title: str, errors: Mapping[str, Mapping[str, Sequence[float]]]) -> tuple[Table, list[str]]:
    """A table of mean errors, and where networks are worse than `FIT`; errors : row -> method -> of each picture."""
    means = {row: {name: float(np.nanmean(each)) for name, each in methods.items()} for row, methods in errors.items()}
    nets = [name for name in next(iter(means.values())) if name != FIT]
    rows: Rows = [
        [row, methods[FIT], *(cell for name in nets for cell in (methods[name], methods[name] / methods[FIT]))]
        for row, methods in means.items()
    ]
    header = [title, FIT, *(cell for name in nets for cell in (name, f"{name} / fit"))]
    worse = [f"{name}, {row}" for row, by in means.items() for name in nets if by[name] > WORSE * by[FIT]]
    return Table(header, rows), worse
