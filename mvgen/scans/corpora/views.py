"""Colour for a scan without a texture, from calibrated photographs of it.

Every triangle takes its colour from the photograph that sees it best. The frontal one is preferred, because cameras
differ in colour and a face should have few seams.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvgen.core.errors import ScanError
from mvgen.render.rays import RayScene
from mvgen.scans.corpora.meshfiles import read_texture

Floats = NDArray[np.floating]

# Wanted directions of photographs, degrees of yaw and pitch: the front, and both cheeks.
_WANTED = np.array([[0.0, 0.0], [-45.0, 0.0], [45.0, 0.0]])
_FURTHEST = 50.0
# Added to the cosine of the viewing angle of the frontal photograph, so that it is preferred.
_PREFERENCE = 0.3
_SIDE = 1024
_MILLIMETRES = 63.0


@dataclass(frozen=True, slots=True)
class View:
    """One photograph with its camera.

    path : the picture; width, height : pixels
    intrinsic : (3, 3); extrinsic : (3, 4), world -> camera, x right, y down, z forward
    distortion : (5,) k1, k2, p1, p2, k3 of OpenCV
    """

    path: Path
    width: int
    height: int
    intrinsic: Floats
    extrinsic: Floats
    distortion: Floats

    @property
    def centre(self) -> Floats:
        """(3,) world position of the camera."""
        return -self.extrinsic[:, :3].T @ self.extrinsic[:, 3]

    def project(self, points: Floats) -> Floats:
        """World points (P, 3) -> pixels (P, 2), centres at +0.5, in the photograph with its distortion."""
        import cv2

        turn, _ = cv2.Rodrigues(self.extrinsic[:, :3])
        pixels, _ = cv2.projectPoints(
            np.asarray(points, np.float64), turn, self.extrinsic[:, 3], self.intrinsic, self.distortion
        )
        return np.asarray(pixels, np.float64).reshape(-1, 2) + 0.5


def read_views(folder: Path) -> list[View]:
    """The photographs of a folder whose cameras are valid according to its `params.json`.

    Raises ScanError when the file is torn or none can be used.
    """
    path = folder / "params.json"
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        numbers = sorted(int(match[1]) for match in map(re.compile(r"(\d+)_K").fullmatch, values) if match)
        views = [
            View(
                folder / f"{number}.jpg", int(values[f"{number}_width"]), int(values[f"{number}_height"]),
                _matrix(values[f"{number}_K"], 3), _matrix(values[f"{number}_Rt"], 4),
                np.asarray(values[f"{number}_distortion"], np.float64).reshape(-1),
            )
            for number in numbers if values[f"{number}_valid"]
        ]  # fmt: skip
    except OSError:
        raise ScanError(f"{path} is missing; extract it beside the photographs") from None
    except (ValueError, TypeError, AttributeError) as error:
        raise ScanError(f"{path} is torn ({error}); extract it again") from None
    except KeyError as error:
        raise ScanError(f"{path} has no value {error}; extract it again") from None
    views = [view for view in views if view.path.is_file()]
    if not views:
        raise ScanError(f"{folder} holds no photograph that params.json calls valid; extract it again")
    return views


def colour_from_views(
    vertices: Floats, triangles: NDArray[np.integer], upright: Floats, views: list[View]
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """A texture made of photographs, and the texture coordinates of each triangle.

    vertices : (N, 3) in the world of the views; triangles : (M, 3)
    upright : (3, 4), their world -> y up, the face toward +z, millimetres
    Returns corner_uv (M, 3, 2) float32 as in `Scan`, and the texture (H, W, 3) uint8.
    Raises ScanError when there is no photograph from the front, or one of those needed is torn.
    """
    placed = (vertices @ upright[:, :3].T + upright[:, 3]) / _MILLIMETRES
    a, b, c = (placed[triangles[:, corner]] for corner in range(3))
    normals = np.cross(b - a, c - a)
    normals = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    middles = (a + b + c) / 3
    scene = RayScene(placed, triangles)

    tiles, corners, scores = [], [], []
    for rank, view in enumerate(_chosen(views, upright, placed.mean(axis=0))):
        pixels = view.project(vertices)
        inside = np.asarray(((pixels > 0) & (pixels < [view.width, view.height])).all(axis=1))
        ray = (upright[:, :3] @ view.centre + upright[:, 3]) / _MILLIMETRES - middles
        ray = ray / np.linalg.norm(ray, axis=1, keepdims=True)
        square = (normals * ray).sum(axis=1)
        seen = np.asarray(inside[triangles].all(axis=1) & (square > 0.1))
        seen[seen] = ~scene.occluded(middles[seen].astype(np.float32), ray[seen].astype(np.float32))
        scores.append(np.where(seen, square + _PREFERENCE * (rank == 0), square - 2))
        tile, scale, corner = _tile(view, pixels[inside])
        tiles.append(tile)
        corners.append((np.clip(pixels, 0, [view.width, view.height]) - corner)[triangles] * scale)
    best = np.argmax(scores, axis=0)
    height, lefts = max(len(tile) for tile in tiles), np.cumsum([0] + [tile.shape[1] for tile in tiles])
    texture = np.zeros((height, lefts[-1], 3), np.uint8)
    for tile, left in zip(tiles, lefts[:-1], strict=True):
        texture[: len(tile), left : left + tile.shape[1]] = tile
    place = np.stack(corners)[best, np.arange(len(triangles))] + np.array([1.0, 0.0]) * lefts[best][:, None, None]
    return np.stack([place[..., 0] / lefts[-1], 1 - place[..., 1] / height], axis=-1).astype(np.float32), texture


def _chosen(views: list[View], upright: Floats, centre: Floats) -> list[View]:
    """The views nearest to the wanted directions, the frontal one first."""
    toward = np.stack([(upright[:, :3] @ v.centre + upright[:, 3]) / _MILLIMETRES - centre for v in views])
    yaw = np.degrees(np.arctan2(toward[:, 0], toward[:, 2]))
    pitch = np.degrees(np.arctan2(toward[:, 1], np.hypot(toward[:, 0], toward[:, 2])))
    away = np.hypot(yaw[:, None] - _WANTED[:, 0], pitch[:, None] - _WANTED[:, 1])
    if away[:, 0].min() > _FURTHEST:
        raise ScanError(f"{views[0].path.parent}: no valid photograph is from the front; leave this set out")
    return [views[index] for index in dict.fromkeys(np.argmin(away, axis=0).tolist())]


def _tile(view: View, pixels: Floats) -> tuple[NDArray[np.uint8], float, Floats]:
    """The part of a photograph that shows the mesh, its scale, and its corner (2,) in the photograph."""
    import cv2

    picture = read_texture(view.path, longest=max(view.width, view.height))
    if picture.shape[:2] != (view.height, view.width):
        raise ScanError(
            f"{view.path} has {picture.shape[1]}x{picture.shape[0]} pixels, params.json has "
            f"{view.width}x{view.height}; photographs must keep the size they were calibrated at"
        )
    if not len(pixels):
        return picture[:1, :1], 1.0, np.zeros(2)
    left, top = np.floor(pixels.min(axis=0)).astype(int)
    right, bottom = np.ceil(pixels.max(axis=0)).astype(int)
    part = picture[top:bottom, left:right]
    scale = min(1.0, _SIDE / max(part.shape[:2]))
    size = tuple(max(1, round(length * scale)) for length in part.shape[1::-1])
    return np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA)), scale, np.array([left, top], float)


def _matrix(values: Any, columns: int) -> Floats:
    """(3, columns) of a matrix that may be stored with a fourth row or column."""
    matrix = np.asarray(values, np.float64)
    if matrix.ndim != 2 or matrix.shape[0] < 3 or matrix.shape[1] < columns:
        raise ValueError(f"a matrix of shape {matrix.shape}, not (3, {columns})")
    return matrix[:3, :columns]
