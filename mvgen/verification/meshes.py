"""How far the views of a store are from the meshes of a release that was captured in 3D."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera, pixel_grid
from mvgen.core.config import CameraConfig
from mvgen.core.errors import ClipError, MvgenError, ScanError, SourceError
from mvgen.core.records import Floats, Image, Mask
from mvgen.evaluation.view_metrics import psnr, whole
from mvgen.faces.crop import crop_frames
from mvgen.pipeline.frontal import find_face
from mvgen.pipeline.tools import Tools
from mvgen.render.rays import Hits, RayScene, vertex_normals
from mvgen.scans.corpora.meshfiles import Mesh, find_texture, read_obj, read_ply, read_texture
from mvgen.scans.looks.baking import sample_texture
from mvgen.scans.looks.paint import to_srgb
from mvgen.store import layout
from mvgen.store.about import read_about, stored_config
from mvgen.store.arrays import read_maps
from mvgen.store.frames import read_frames
from mvgen.store.geometry import read_geometry
from mvgen.store.manifest import ViewRow, read_rows
from mvgen.verification.differences import Comparison, DepthDifference, difference
from mvgen.verification.origin import frames_of, read_origin

_SIDE = 512  # of the picture of a mesh in which landmarks are found, pixels
_HEAD = 3.5  # world units, the height of a head
_LAMP = np.array([0.0, 0.5, 0.866])  # light from above shows the shape of a face without colour
_LEAST_LANDMARKS = 200
_KEPT = 0.8  # of the landmarks: those that fit best give the place of the mesh
_ROUNDS = 4
_MOST_BYTES = 256 << 20  # of a mesh

EXPLAINED = """\
Difference of the depth of the views from the source's meshes, at the onset frame. One similarity per clip is removed:
what is left is form. %: of the inter-ocular distance; p90: the 90th percentile; unit: what the similarity makes of an
inter-ocular distance, about 63 in people if the meshes are in millimetres, as the columns in mm take them to be.
PSNR: of the valid pixels from the mesh's texture, after a linear map of its colours to those of the view."""


class Captured(NamedTuple):
    """A mesh as its file has it, and its texture (H, W, 3); None where it has none."""

    mesh: Mesh
    texture: NDArray[np.uint8] | None


def compare_meshes(out: Path, root: Path, tools: Tools | None = None) -> Comparison:
    """Compare depth and colour of a store's views with those of the source's meshes, seen from the same angles.

    root : folder of the release that the store was built from; tools : loaded where not given; grouped by view
    A mesh is that of the onset frame. It is put where the store has the face by one similarity, from the 468 landmarks:
    where the face is, where it looks, and its scale are not judged, only its form. Its y has to be up, and the face has
    to look toward +z, roughly. Colour is compared where the view is valid and the mesh has a texture.
    Raises StoreError for a folder that holds no finished dataset, SourceError for a root without its clips or meshes.
    """
    config = stored_config(read_about(out))
    clips = read_origin(out, root, config)
    if not any(frame.mesh for clip in clips.values() for frame in clip.frames):
        raise SourceError(f"root {root} has no meshes beside its frames; give the release that has them")
    views: defaultdict[str, list[ViewRow]] = defaultdict(list)
    for row in read_rows(out / layout.TABLE):
        views[row.clip].append(row)
    tools = tools or Tools.load(config)
    done: list[DepthDifference] = []
    skipped = []
    for clip, rows in views.items():
        try:
            frame = frames_of(rows[0], clips)[rows[0].onset_index]
            if frame.mesh is None:
                raise ClipError("source", f"onset frame {frame.number} has no mesh")
            with np.errstate(all="ignore"):
                done += _compare(out, rows, read_mesh(frame.mesh), tools)
        except (MvgenError, ValueError) as error:  # numbers of a stranger may have no inverse
            skipped.append((clip, str(error)))
    return Comparison(tuple(done), tuple(skipped))


def read_mesh(path: Path) -> Captured:
    """The mesh of a file, OBJ or PLY, and its texture. Raises ScanError where one is torn, or too large for a face."""
    if path.stat().st_size > _MOST_BYTES:
        raise ScanError(f"{path} has more than {_MOST_BYTES >> 20} MB; a scan of a face has less")
    if path.suffix.lower() != ".obj":
        return Captured(read_ply(path), None)
    mesh = read_obj(path)
    colour = find_texture(path, {each.name.lower(): each for each in path.parent.iterdir() if each.is_file()})
    return Captured(mesh, None if colour is None or mesh.corner_uv is None else read_texture(colour))


def _compare(out: Path, rows: Sequence[ViewRow], captured: Captured, tools: Tools) -> Iterator[DepthDifference]:
    found = read_geometry(out, rows[0])
    scale, placed = place_mesh(captured.mesh, found.fit.vertices[0], tools)
    scene = RayScene(placed, captured.mesh.triangles)
    for row in rows:
        camera, maps = found.depth.camera.at(row.yaw or 0.0), read_maps(out, row)
        hits = scene.cast(camera, pixel_grid(camera.size, camera.size))
        compared = difference(row.clip, row.view, maps.depth, depth_of(hits, placed, captured.mesh, camera), 1 / scale)
        if captured.texture is not None:
            shown = whole(maps.valid & hits.hit)
            picture = read_frames(out, row)[row.onset_index]
            compared = replace(compared, psnr=colour_error(picture, colour_of(hits, captured), shown))
        yield compared


def depth_of(hits: Hits, vertices: Floats, mesh: Mesh, camera: Camera) -> NDArray[np.float32]:
    """Depth (S, S) of a mesh in a camera's view, world units, NaN where it is not."""
    depth = np.full(hits.hit.shape, np.nan, np.float32)
    points = hits.where_hit().interpolate(mesh.triangles, vertices).astype(np.float64)
    depth[hits.hit] = camera.to_view(points)[..., 2]
    return depth


def colour_of(hits: Hits, captured: Captured) -> Floats:
    """The texture of a mesh in a camera's view, (S, S, 3) grey levels of 255, NaN where it is not."""
    assert captured.texture is not None
    assert captured.mesh.corner_uv is not None
    colour = np.full((*hits.hit.shape, 3), np.nan)
    seen = hits.where_hit()
    uv = np.einsum("pc,pcd->pd", seen.corners, captured.mesh.corner_uv[seen.triangle])
    colour[hits.hit] = 255 * to_srgb(sample_texture(captured.texture, uv, max(captured.texture.shape)))
    return colour


def colour_error(picture: Image, colour: Floats, where: Mask) -> float:
    """PSNR, dB, of a picture (S, S, 3) uint8 in a mask (S, S), after the linear map of `colour` that fits it best.

    The sensors of a capture differ in exposure and white, and one may be grey. NaN in an empty mask.
    """
    if not where.any():
        return float("nan")
    fitted = np.zeros(picture.shape)
    design = np.column_stack([colour[where], np.ones(where.sum())])
    for channel in range(3):
        weights = np.linalg.lstsq(design, picture[where][:, channel].astype(np.float64), rcond=None)[0]
        fitted[where, channel] = design @ weights
    return psnr(picture, np.clip(fitted, 0, 255).round().astype(np.uint8), where)


def place_mesh(mesh: Mesh, face: Floats, tools: Tools) -> tuple[float, Floats]:
    """A mesh put where a fitted face is: world units per unit of the mesh, and its vertices (N, 3), world.

    face : (468 or more, 3) world, whose first 468 vertices are the landmarks
    Raises ClipError("face") where no face is found on the mesh.
    """
    low, high = np.quantile(mesh.vertices, (0.02, 0.98), axis=0)
    rough = _HEAD / max(float((high - low)[:2].max()), 1e-9)  # rays begin some world units in front of the origin
    vertices = rough * (mesh.vertices - (low + high) / 2)
    camera = Camera(_SIDE, 0.8 * _SIDE / _HEAD, (_SIDE / 2, _SIDE / 2))
    picture, depth = clay(vertices, mesh.triangles, camera)
    try:
        seen = find_face(picture[None], 0, CameraConfig(), tools)
    except ClipError:
        raise ClipError("face", "no face is found on the mesh; y has to be up and the face has to look to +z") from None
    points = tools.landmarker.find(crop_frames(picture[None], seen)).points[0, :, :2].astype(np.float64)
    at = (points - seen.crop[:, 2]) @ np.linalg.inv(seen.crop[:, :2]).T
    column, row = np.clip(at, 0, _SIDE - 1).astype(int).T
    known = np.isfinite(depth[row, column])
    if known.sum() < _LEAST_LANDMARKS:
        raise ClipError("face", f"{known.sum()} of {len(at)} landmarks lie on the mesh; it has holes, or is no face")
    own = camera.unproject(np.column_stack([at, depth[row, column]])[known])
    matrix = similarity(own, face[: len(at)][known])
    scale = rough * float(np.cbrt(np.linalg.det(matrix[:3, :3])))
    return scale, vertices @ matrix[:3, :3].T + matrix[:3, 3]


def clay(vertices: Floats, triangles: NDArray[np.int32], camera: Camera) -> tuple[Image, NDArray[np.float32]]:
    """A mesh as if of grey clay, lit from above: (S, S, 3) uint8, and its depth (S, S), NaN where it is not."""
    hits = RayScene(vertices, triangles).cast(camera, pixel_grid(camera.size, camera.size))
    seen = hits.where_hit()
    normals = seen.interpolate(triangles, vertex_normals(vertices.astype(np.float32), triangles))
    light = np.clip(normals @ _LAMP / np.maximum(np.linalg.norm(normals, axis=1), 1e-9), 0, 1)
    picture = np.full((camera.size, camera.size, 3), 60, np.uint8)
    picture[hits.hit] = (60 + 180 * light).astype(np.uint8)[:, None]
    depth = np.full(hits.hit.shape, np.nan, np.float32)
    depth[hits.hit] = seen.interpolate(triangles, vertices)[:, 2]
    return picture, depth


def similarity(points: Floats, target: Floats) -> Floats:
    """(4, 4) similarity that brings points (P, 3) onto others (P, 3) best, without the fifth of them that fits worst.

    Source: Umeyama 1991, as `trimesh.registration.procrustes` has it.
    """
    from trimesh.registration import procrustes

    kept = np.ones(len(points), bool)
    for _ in range(_ROUNDS):
        matrix = np.asarray(procrustes(points[kept], target[kept], reflection=False)[0])
        away = np.linalg.norm(points @ matrix[:3, :3].T + matrix[:3, 3] - target, axis=1)
        kept = away <= np.quantile(away, _KEPT)
    return matrix
