"""How far the views of a store are from the meshes of a release that was captured in 3D."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera, pixel_grid
from mvgen.core.config import CameraConfig
from mvgen.core.errors import ClipError, MvgenError, SourceError
from mvgen.core.records import Floats, Image
from mvgen.faces.crop import crop_frames
from mvgen.pipeline.frontal import find_face
from mvgen.pipeline.tools import Tools
from mvgen.render.rays import RayScene, vertex_normals
from mvgen.scans.corpora.meshfiles import Mesh, read_obj, read_ply
from mvgen.store import layout
from mvgen.store.about import read_about, stored_config
from mvgen.store.arrays import read_maps
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

EXPLAINED = """\
Difference of the depth of the views from the source's meshes, at the onset frame. One similarity per clip is removed:
what is left is form. %: of the inter-ocular distance; p90: the 90th percentile; unit: what the similarity makes of an
inter-ocular distance, about 63 in people if the meshes are in millimetres, as the columns in mm take them to be."""


def compare_meshes(out: Path, root: Path, tools: Tools | None = None) -> Comparison:
    """Compare the depth of a store's views with that of the source's meshes, seen from the same angles.

    root : folder of the release that the store was built from; tools : loaded where not given; grouped by view
    A mesh is that of the onset frame. It is put where the store has the face by one similarity, from the 468 landmarks:
    where the face is, where it looks, and its scale are not judged, only its form. Its y has to be up, and the face has
    to look toward +z, roughly.
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
            done += _compare(out, rows, read_mesh(frame.mesh), tools)
        except MvgenError as error:
            skipped.append((clip, str(error)))
    return Comparison(tuple(done), tuple(skipped))


def read_mesh(path: Path) -> Mesh:
    """The mesh of a file, OBJ or PLY. Raises ScanError where it is torn."""
    return read_obj(path) if path.suffix.lower() == ".obj" else read_ply(path)


def _compare(out: Path, rows: Sequence[ViewRow], mesh: Mesh, tools: Tools) -> Iterator[DepthDifference]:
    found = read_geometry(out, rows[0])
    scale, placed = place_mesh(mesh, found.fit.vertices[0], tools)
    scene = RayScene(placed, mesh.triangles)
    for row in rows:
        camera = found.depth.camera.at(row.yaw or 0.0)
        true = depth_of(scene, placed, mesh.triangles, camera)
        yield difference(row.clip, row.view, read_maps(out, row).depth, true, 1 / scale)


def depth_of(scene: RayScene, vertices: Floats, triangles: NDArray[np.int32], camera: Camera) -> NDArray[np.float32]:
    """Depth (S, S) of a mesh in a camera's view, world units, NaN where it is not."""
    hits = scene.cast(camera, pixel_grid(camera.size, camera.size))
    depth = np.full(hits.hit.shape, np.nan, np.float32)
    points = hits.where_hit().interpolate(triangles, vertices).astype(np.float64)
    depth[hits.hit] = camera.to_view(points)[..., 2]
    return depth


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
