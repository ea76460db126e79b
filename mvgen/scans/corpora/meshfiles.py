"""Mesh and texture files of 3D scans, read without changing their topology; bad files raise ScanError."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvgen.core.errors import ScanError

_PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff")
# Textures have up to 8192 pixels; a face crop can show a tenth of that.
_LONGEST_SIDE = 2048


@dataclass(frozen=True, slots=True)
class Mesh:
    """A triangle mesh as stored in its file.

    vertices : (N, 3) float64, in the file's own unit and axes; triangles : (M, 3) int32
    corner_uv : (M, 3, 2) float32, texture coordinates of each triangle's corners, v up; None where the file has none
    """

    vertices: NDArray[np.float64]
    triangles: NDArray[np.int32]
    corner_uv: NDArray[np.float32] | None


def read_obj(path: Path) -> Mesh:
    """Read a Wavefront OBJ; polygons become fans, and seams of the texture do not split the surface.

    Raises ScanError when the file is torn, or has no faces, or a face whose vertices are not in it.
    """
    positions, coordinates, polygons = [], [], []
    for line in _read(path).decode("utf-8", errors="replace").splitlines():
        keyword, _, rest = line.partition(" ")
        if keyword == "v":
            positions.append(rest)
        elif keyword == "vt":
            coordinates.append(rest)
        elif keyword == "f":
            polygons.append(rest.split())
    vertices = _table(positions, 3, "vertex", path)
    fans = [corner for p in polygons for i in range(1, len(p) - 1) for corner in (p[0], p[i], p[i + 1])]
    try:
        # v, v/vt, v//vn or v/vt/vn; 0 stands for no texture coordinate, since OBJ counts from 1.
        parts = [corner.split("/") for corner in fans]
        corners = np.array([(int(p[0]), int(p[1]) if p[1:] and p[1] else 0) for p in parts]).reshape(-1, 3, 2) - 1
    except ValueError:
        raise ScanError(f"{path}: a face cannot be read; the file is torn, extract it again") from None
    mesh = _checked(vertices, corners[..., 0], path)
    if not coordinates or corners[..., 1].min() < 0:
        return mesh
    uv = _table(coordinates, 2, "texture coordinate", path)
    if corners[..., 1].max() >= len(uv):
        raise ScanError(f"{path}: a face names a texture coordinate the file does not hold; extract it again")
    return Mesh(mesh.vertices, mesh.triangles, uv[corners[..., 1]].astype(np.float32))


def write_obj(path: Path, mesh: Mesh) -> None:
    """Write a Wavefront OBJ: vertices to a thousandth of their unit, and texture coordinates if it has them."""
    lines = [f"v {x:.3f} {y:.3f} {z:.3f}\n" for x, y, z in mesh.vertices.tolist()]
    if mesh.corner_uv is None:
        lines += [f"f {a} {b} {c}\n" for a, b, c in (mesh.triangles + 1).tolist()]
    else:
        lines += [f"vt {u:.6f} {v:.6f}\n" for u, v in mesh.corner_uv.reshape(-1, 2).tolist()]
        corners = np.dstack([mesh.triangles + 1, np.arange(1, mesh.triangles.size + 1).reshape(-1, 3)]).reshape(-1, 6)
        lines += ["f {}/{} {}/{} {}/{}\n".format(*row) for row in corners.tolist()]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(lines), encoding="ascii")


def read_obj_vertices(path: Path) -> NDArray[np.float64]:
    """The vertices (N, 3) of a Wavefront OBJ alone, where its faces are known. Raises ScanError when it is torn."""
    lines = _read(path).decode("utf-8", errors="replace").splitlines()
    return _table([line[2:] for line in lines if line.startswith("v ")], 3, "vertex", path)


def read_ply(path: Path) -> Mesh:
    """Read the vertices and triangles of a PLY. Raises ScanError as `read_obj` does."""
    import trimesh

    _read(path)
    try:
        mesh: Any = trimesh.load(path, process=False, force="mesh")
        vertices, triangles = np.asarray(mesh.vertices, np.float64), np.asarray(mesh.faces)
    except (ValueError, IndexError, KeyError, TypeError, AttributeError) as error:
        raise ScanError(f"{path} cannot be read as PLY ({error}); the file is torn, extract it again") from None
    return _checked(vertices, triangles.reshape(-1, 3) if triangles.size else triangles, path)


def read_texture(path: Path, longest: int = _LONGEST_SIDE) -> NDArray[np.uint8]:
    """Read a texture as (H, W, 3) uint8 RGB, shrunk to `longest` pixels on its longest side.

    Raises ScanError when it is missing or torn.
    """
    from PIL import Image, UnidentifiedImageError

    if not path.is_file():
        raise ScanError(f"texture {path} is missing; extract it beside its mesh")
    try:
        with Image.open(path) as picture:
            picture.draft("RGB", (longest, longest))
            rgb = picture.convert("RGB")
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError):
        raise ScanError(f"texture {path} is torn or not a picture; extract it again") from None
    rgb.thumbnail((longest, longest), reducing_gap=2.0)
    return np.asarray(rgb, np.uint8)


def find_texture(obj: Path, siblings: dict[str, Path]) -> Path | None:
    """The texture of an OBJ: the picture with the same name, else the one that its material file names.

    siblings : lower-case name -> file, of the OBJ's folder
    Returns None when there is neither; a file that a material names may be missing.
    """
    stem = obj.stem.lower()
    for suffix in _PICTURES:
        if stem + suffix in siblings:
            return siblings[stem + suffix]
    for name in (f"{stem}.mtl", f"{stem}.obj.mtl"):
        if name in siblings:
            for line in _read(siblings[name]).decode("utf-8", errors="replace").splitlines():
                keyword, _, rest = line.strip().partition(" ")
                if keyword == "map_Kd" and rest.strip():
                    named = rest.strip().replace("\\", "/").split("/")[-1]
                    return siblings.get(named.lower(), obj.parent / named)
    return None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ScanError(f"{path} cannot be read: {reason}; extract it again, or make it readable") from None


def _table(rows: list[str], columns: int, what: str, path: Path) -> NDArray[np.float64]:
    """The first numbers of each row: (R, columns)."""
    if not rows:
        return np.empty((0, columns))
    try:
        return np.loadtxt(rows, usecols=range(columns), ndmin=2)
    except ValueError:
        raise ScanError(f"{path}: a {what} cannot be read; the file is torn, extract it again") from None


def _checked(vertices: NDArray[np.float64], triangles: NDArray[np.integer], path: Path) -> Mesh:
    if not len(triangles):
        raise ScanError(
            f"{path} has no faces ({len(vertices)} vertices); a point cloud or a torn file, extract it again"
        )
    if triangles.min() < 0 or triangles.max() >= len(vertices):
        raise ScanError(
            f"{path}: its faces name vertices {triangles.min() + 1} to {triangles.max() + 1}, but it holds "
            f"{len(vertices)}; the file is torn, extract it again"
        )
    if not np.isfinite(vertices[triangles]).all():
        raise ScanError(f"{path}: a vertex is not a number; the file is torn, extract it again")
    return Mesh(vertices, triangles.astype(np.int32), None)
