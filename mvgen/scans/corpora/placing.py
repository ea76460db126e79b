"""Bring any textured scan of a face to the project's world: upright, facing the camera, at the right scale.

A detector finds five points in a frontal picture of the scan; on its surface they are fitted to those of the template
head. Then both steps are repeated, since only a placed scan is seen exactly from the front.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera, pixel_grid
from mvgen.core.errors import ScanError
from mvgen.core.records import Image
from mvgen.faces.detection import Detector
from mvgen.render.rays import RayScene, edge_nodes
from mvgen.scans.head import HeadModel
from mvgen.scans.imaging.rendering import DressedHead
from mvgen.scans.looks.appearance import above_jaw
from mvgen.scans.looks.baking import bake, sample_texture, simplified
from mvgen.scans.looks.paint import to_srgb
from mvgen.scans.records import Scan, Sitter

Floats = NDArray[np.floating]

# Where the detector sees the five points on the template head, put back on its surface: world units, mean over 24 of
# Anny's heads. Detected points are not vertices of a template: this corrects the bias of the detector.
TEMPLATE = np.array([[-0.516, -0.012, 0.024], [0.516, -0.012, 0.024], [0.0, -0.669, 0.514],
                     [-0.409, -1.21, 0.138], [0.409, -1.21, 0.138]])  # fmt: skip
NAMES = ("eye_right", "eye_left", "nose", "mouth_right", "mouth_left")
# Regions that parametric heads have and a scan does not.
_REGIONS = ("lips", "ears", "eyelids", "face", "mouth_cavity", "eye_cavity", "tongue", "eye_left", "eye_right", "body")
_TRIANGLES = 60_000
_PICTURE = 448
# The depth of a point is the median depth within this radius, so that a spike or a small hole does not move it.
_RADIUS = 0.06
_WORST_FIT = 0.2
# Light from above shows the shape even of a face of one colour.
_LAMP = np.array([0.0, 0.5, 0.866])
# Surface that faces backward more than this, or is further back, is only seen from the front through holes.
_BACKWARD, _BACK = -0.65, -2.1
# Scans do not mark where hair begins: the mean hair line of `Look.draw`.
_HAIR_LINE = 1.05
_SHINE = 0.08


def place(scan: Scan, detector: Detector) -> Sitter:
    """A scan, placed and ready to be photographed.

    scan : y up, the face toward +z, roughly; of any unit
    Raises ScanError when it has no texture, no face is found on it, or an eye, the nose or the mouth is a hole.
    """
    if scan.corner_uv is None or scan.texture is None:
        raise ScanError(f"{_name(scan)} has no texture, which face detection needs; only textured scans are used")
    # Raw scans have specks far from the head.
    low, high = np.quantile(scan.vertices.astype(np.float64), (0.01, 0.99), axis=0)
    rough = 4 / float((high - low)[:2].max() or 1.0)
    vertices = (scan.vertices - (low + high) / 2) * rough
    scan = _turned_outside(replace(scan, vertices=vertices.astype(np.float32)))
    unit = 1 / rough
    for camera in (Camera(_PICTURE, _PICTURE / 5, (_PICTURE / 2,) * 2), Camera(_PICTURE, 96.0, (_PICTURE / 2, 190.0))):
        five = five_on_surface(scan, camera, detector)
        scale, rotation, shift = fit_five(five)
        if np.sqrt(((scale * five @ rotation.T + shift - TEMPLATE) ** 2).sum(axis=1).mean()) > _WORST_FIT:
            raise ScanError(f"{_name(scan)}: the points found do not lie on a face; is it another object, or torn?")
        moved = scale * scan.vertices.astype(np.float64) @ rotation.T + shift
        scan = replace(scan, vertices=moved.astype(np.float32))
        unit /= scale
    return _make_sitter(scan, scale * five @ rotation.T + shift, unit * scan.metre)


def fit_five(five: Floats) -> tuple[float, Floats, Floats]:
    """The similarity that brings five points of a face (5, 3) to `TEMPLATE`: scale, rotation (3, 3), shift (3,).

    Rotation by all five, in the least squares sense; scale and shift by the eyes, whose distance is the unit.
    Source: Umeyama 1991; see `mvgen.faces.crop`.
    """
    source, target = five - five.mean(axis=0), TEMPLATE - TEMPLATE.mean(axis=0)
    left, _, right = np.linalg.svd(target.T @ source)
    rotation = left @ np.diag([1, 1, np.linalg.det(left @ right)]) @ right
    scale = float(np.linalg.norm(TEMPLATE[1] - TEMPLATE[0]) / np.linalg.norm(five[1] - five[0]))
    return scale, rotation, TEMPLATE[:2].mean(axis=0) - scale * rotation @ five[:2].mean(axis=0)


def five_on_surface(scan: Scan, camera: Camera, detector: Detector) -> Floats:
    """The detector's five points on the surface of a scan, in its own coordinates: (5, 3) float64.

    camera : orthographic, in front of the scan
    Raises ScanError when no face is found or there is no surface at a point.
    """
    picture, depth = render_scan(scan, camera)
    points = find_five(picture, detector)
    if points is None:
        raise ScanError(
            f"{_name(scan)}: no face is found on it seen from +z with y up; look at it in a mesh viewer, and leave it "
            "out or turn it upright"
        )
    grid = pixel_grid(camera.size, camera.size)
    unit = np.linalg.norm(points[1] - points[0])
    placed = []
    for name, point in zip(NAMES, points, strict=True):
        near = depth[(np.linalg.norm(grid - point, axis=-1) < _RADIUS * unit) & np.isfinite(depth)]
        if not len(near):
            raise ScanError(f"{_name(scan)}: there is a hole where the {name.replace('_', ' ')} is; leave it out")
        placed.append(camera.unproject(np.array([*point, np.median(near)])))
    return np.stack(placed)


def find_five(picture: Image, detector: Detector) -> Floats | None:
    """The five points (5, 2) of the most confident face in a picture, pixels; None where there is no face.

    A detector is biased to one side, and in the mirrored picture to the other: this is the mean of both.
    """
    width = picture.shape[1]
    found = []
    for image, mirrored in ((picture, False), (np.ascontiguousarray(picture[:, ::-1]), True)):
        faces = detector.detect(image)
        if len(faces.boxes):
            points = faces.points[np.argmax(faces.confidence)]
            found.append(np.array([width, 0]) + points[[1, 0, 2, 4, 3]] * [-1, 1] if mirrored else points)
    return np.mean(found, axis=0) if found else None


def render_scan(scan: Scan, camera: Camera) -> tuple[Image, NDArray[np.float32]]:
    """A textured scan lit from above, on grey: (S, S, 3) uint8, and its depth (S, S) float32, NaN off the scan."""
    assert scan.corner_uv is not None
    assert scan.texture is not None
    hits = RayScene(scan.vertices, scan.triangles).cast(camera, pixel_grid(camera.size, camera.size))
    normals = _normals(scan)
    # A surface that faces away is the inside of the scan, seen through a hole.
    shown = hits.hit & (normals[hits.triangle, 2] > 0)
    seen = replace(hits, hit=shown).where_hit()
    uv = np.einsum("pc,pcd->pd", seen.corners, scan.corner_uv[seen.triangle])
    light = np.clip(normals[seen.triangle] @ _LAMP, 0, 1)
    colour = sample_texture(scan.texture, uv, 2.0 * camera.size) * (0.35 + 0.8 * light[:, None])
    picture = np.full((camera.size, camera.size, 3), 128, np.uint8)
    picture[shown] = np.clip(to_srgb(colour) * 255, 0, 255).round()
    depth = np.full(shown.shape, np.nan, np.float32)
    depth[shown] = seen.interpolate(scan.triangles, scan.vertices)[:, 2]
    return picture, depth


def face_cover(points: Floats) -> NDArray[np.bool_]:
    """Which points (P, 3) of a placed scan are face: the limits of `Look.face_cover`, with a mean hair line."""
    return above_jaw(points) & (points[:, 1] < _HAIR_LINE)


def _make_sitter(scan: Scan, five: Floats, metre: float) -> Sitter:
    """A placed scan as a dressed head on the topology of the scan."""
    from scipy.spatial import cKDTree

    assert scan.corner_uv is not None
    assert scan.texture is not None
    depth = scan.vertices[scan.triangles, 2].mean(axis=1)
    front = scan.triangles[(_normals(scan)[:, 2] > _BACKWARD) & (depth > _BACK)]
    vertices, triangles = simplified(scan.vertices, front, _TRIANGLES)
    edges, six_nodes = edge_nodes(triangles, len(vertices))
    nodes = np.concatenate([vertices, vertices[edges].mean(axis=1)])
    nearest = cKDTree(vertices).query(five, k=4)[1]
    nothing = np.zeros(len(vertices), np.float32)
    model = HeadModel(
        triangles=triangles, edges=edges, six_nodes=six_nodes, canonical=vertices,
        regions=dict.fromkeys(_REGIONS, nothing), action_names=(),
        actions=np.zeros((0, len(vertices), 3), np.float32), five_points=dict(zip(NAMES, nearest, strict=True)),
        landmarks=np.full(68, -1, np.int32),
    )  # fmt: skip
    colour = bake(nodes, scan.vertices, scan.triangles, scan.corner_uv, scan.texture)
    # Scans span the mouth: there is no inside of it.
    paint = np.column_stack([colour, np.full(len(nodes), _SHINE), face_cover(nodes), np.zeros(len(nodes))])
    return Sitter(DressedHead.painted(model, paint.astype(np.float32)), vertices, metre)


def _turned_outside(scan: Scan) -> Scan:
    """The scan with its triangles counter-clockwise from outside: most of the visible ones must face the camera."""
    camera = Camera(96, 96 / 5, (48.0, 48.0))
    seen = RayScene(scan.vertices, scan.triangles).cast(camera, pixel_grid(96, 96)).where_hit()
    if not len(seen.triangle) or np.median(_normals(scan)[seen.triangle, 2]) >= 0:
        return scan
    assert scan.corner_uv is not None
    return replace(scan, triangles=scan.triangles[:, ::-1], corner_uv=scan.corner_uv[:, ::-1])


def _normals(scan: Scan) -> NDArray[np.float32]:
    """Unit normals (M, 3) of the triangles; zeros where a triangle has no area."""
    a, b, c = (scan.vertices[scan.triangles[:, corner]] for corner in range(3))
    normals = np.cross(b - a, c - a)
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)


def _name(scan: Scan) -> str:
    return f"{scan.corpus} scan {scan.identity}/{scan.expression}"
