"""From a depth map to a triangle mesh of the face, and out to files.

Convention: one vertex per face pixel, at the pixel's centre; triangles are counter-clockwise seen from the front.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mvgen.camera import Camera, pixel_grid
from mvgen.errors import ClipError
from mvgen.records import DepthMap, Floats, Image, Mask, Mesh
from mvgen.surface import source_points

WALL_SLOPE = 8.0
"""A surface steeper than this (83 degrees from facing the camera) that touches the silhouette is no face but a wall
that the network drew between the face and nothing; it is dropped. Steep places inside, such as nose wings, stay."""

_RIM = 1 / 64  # of the image's side: at the outline a network mixes face and background, in depth and in colour
_SMOOTHING = 1 / 64  # of the image's side: the outline is smoothed over as much
_SPIKE = 1 / 16  # of the image's side: half the width of what sticks out of a face and is none, such as a lock of hair
_OUTLINE_STEPS = 20  # of smoothing along the outline, each over the two neighbours
_WITHIN_PIXEL = 0.49
_LEAST_AREA = 1 / 100  # of the image: anything smaller is no face


def _largest(mask: Mask) -> Mask:
    """The largest 4-connected component."""
    from scipy import ndimage

    labels, count = ndimage.label(mask)
    if count == 0:
        return mask
    return np.asarray(labels == 1 + np.bincount(labels.ravel())[1:].argmax())


def _slope(depth: Floats, mask: Mask, scale: float) -> Floats:
    """Steepest depth difference to a neighbour inside the mask, as a slope: depth in pixels per pixel."""
    known = np.where(mask, depth, np.nan)
    steepest = np.zeros(depth.shape)
    for axis in (0, 1):
        jump = np.nan_to_num(np.abs(np.diff(known, axis=axis))) * scale
        before, after = [(0, 0), (0, 0)], [(0, 0), (0, 0)]
        before[axis], after[axis] = (0, 1), (1, 0)
        steepest = np.maximum(steepest, np.maximum(np.pad(jump, before), np.pad(jump, after)))
    return steepest


def _without_spikes(mask: Mask) -> Mask:
    """The largest region of a mask, its holes filled, its outline smooth; never larger than region and holes."""
    import cv2
    from scipy import ndimage

    mask = ndimage.binary_fill_holes(_largest(mask))
    reach = 2 * round(mask.shape[0] * _SPIKE) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    broad = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, disc, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    soft = cv2.GaussianBlur(broad.astype(np.float32), (0, 0), max(mask.shape[0] * _SMOOTHING, 0.5))
    return _largest(ndimage.binary_fill_holes(mask & (soft > 0.5)))


def face_mask(depth: DepthMap, confidence_threshold: float = 0.5) -> Mask:
    """Where the face is: (S, S) bool.

    The largest confident region with its holes filled, without its rim, spikes on its outline or walls beyond it.
    Raises ClipError("depth") when nothing of the size of a face is left.
    """
    from scipy import ndimage

    mask = _without_spikes(depth.confidence > confidence_threshold)
    mask = ndimage.distance_transform_edt(mask) > _RIM * mask.shape[0]
    steep = mask & (_slope(depth.depth, mask, depth.camera.scale) > WALL_SLOPE)
    outline = mask & ~ndimage.binary_erosion(mask)
    labels, _ = ndimage.label(steep, structure=np.ones((3, 3)))
    walls = np.unique(labels[outline & steep])
    # Where a wall was, the outline is as ragged as the wall; a view from the side stretches that into a saw.
    mask = _without_spikes(mask & ~np.isin(labels, walls[walls > 0]))
    if mask.mean() < _LEAST_AREA:
        raise ClipError("depth", "the depth network sees no face in the crop")
    return np.asarray(mask, bool)


def face_surface(depth: DepthMap, confidence_threshold: float = 0.5) -> DepthMap:
    """The depth map cut to the face: NaN outside, and pixels the network was not sure of spanned from their neighbours.

    Raises ClipError("depth") as `face_mask` does.
    """
    mask = face_mask(depth, confidence_threshold)
    known = mask & (depth.confidence > confidence_threshold) & np.isfinite(depth.depth)
    filled = _span(np.where(known, depth.depth, np.nan).astype(np.float64), mask & ~known, mask)
    return replace(depth, depth=np.where(mask, filled, np.nan).astype(np.float32))


def _span(depth: Floats, holes: Mask, mask: Mask) -> Floats:
    """Depth with its holes filled as a soap film would: Laplace's equation, with free edges at the mask's outline."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.linalg import spsolve

    count = int(holes.sum())
    if count == 0:
        return depth
    number = np.full(depth.shape, -1)
    number[holes] = np.arange(count)
    rows, columns, values = [], [], []
    degree, known = np.zeros(count), np.zeros(count)
    y, x = np.nonzero(holes)
    for dy, dx in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        ny, nx = y + dy, x + dx
        there = (ny >= 0) & (ny < depth.shape[0]) & (nx >= 0) & (nx < depth.shape[1])
        there[there] = mask[ny[there], nx[there]]
        own, other = number[y[there], x[there]], number[ny[there], nx[there]]
        degree[own] += 1
        inner = other >= 0
        rows.append(own[inner])
        columns.append(other[inner])
        values.append(-np.ones(inner.sum()))
        known[own[~inner]] += depth[ny[there], nx[there]][~inner]
    matrix = coo_matrix(
        (np.concatenate([*values, degree]),
         (np.concatenate([*rows, np.arange(count)]), np.concatenate([*columns, np.arange(count)])))
    ).tocsc()  # fmt: skip
    filled = depth.copy()
    filled[holes] = spsolve(matrix, known)
    return filled


def _triangles(mask: Mask, depth: Floats) -> NDArray[np.int32]:
    """(M, 3) int32 over the pixels of the mask, counted row by row.

    A quad is split along the diagonal whose ends differ least in depth; a quad with three corners gives one triangle.
    """
    number = np.full(mask.shape, -1, np.int32)
    number[mask] = np.arange(mask.sum(), dtype=np.int32)
    a, b, c, d = number[:-1, :-1], number[:-1, 1:], number[1:, :-1], number[1:, 1:]  # a b over c d
    in_a, in_b, in_c, in_d = a >= 0, b >= 0, c >= 0, d >= 0
    with np.errstate(invalid="ignore"):
        falling = np.abs(depth[:-1, :-1] - depth[1:, 1:]) <= np.abs(depth[:-1, 1:] - depth[1:, :-1])
    full = in_a & in_b & in_c & in_d
    kinds = (
        (full & ~falling | in_a & in_b & in_c & ~in_d, (a, c, b)),
        (full & ~falling | ~in_a & in_b & in_c & in_d, (b, c, d)),
        (full & falling | in_a & ~in_b & in_c & in_d, (a, c, d)),
        (full & falling | in_a & in_b & ~in_c & in_d, (a, d, b)),
    )
    return np.concatenate([np.stack([corner[where] for corner in corners], axis=1) for where, corners in kinds])


def mesh_from_depth(surface: DepthMap) -> Mesh:
    """Triangle mesh of a depth map that is NaN outside the face, such as `face_surface` gives.

    Every known pixel is a vertex; nothing is torn inside.
    """
    mask = np.isfinite(surface.depth)
    height, width = mask.shape
    return Mesh(
        vertices=source_points(surface)[mask].astype(np.float32),
        triangles=_triangles(mask, surface.depth),
        uv=pixel_grid(height, width)[mask].astype(np.float32),
    )


def smooth_outline(mesh: Mesh, camera: Camera) -> Mesh:
    """The mesh with the vertices of its outline moved along it onto a smooth curve.

    camera : the source camera, which the mesh was seen by
    An outline on the pixel grid is a stair; where the surface is steep, a view from the side stretches every step into
    a tooth. A vertex stays within its own pixel, so what belongs to the pixel still belongs to the vertex.
    """
    from scipy import sparse

    points = camera.project(mesh.vertices.astype(np.float64))
    count = len(points)
    edges = np.sort(mesh.triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2).astype(np.int64), axis=1)
    keys, uses = np.unique(edges[:, 0] * count + edges[:, 1], return_counts=True)
    first, second = np.divmod(keys[uses == 1], count)
    links = sparse.coo_matrix(
        (np.ones(2 * len(first)), (np.r_[first, second], np.r_[second, first])), shape=(count, count)
    ).tocsr()
    outline = np.unique(np.r_[first, second])
    links = links[outline][:, outline]
    mean = sparse.diags(1 / np.asarray(links.sum(axis=1)).ravel()) @ links
    smooth = points[outline]
    for _ in range(_OUTLINE_STEPS):
        smooth = (smooth + mean @ smooth) / 2
    move = smooth - points[outline]
    farthest = np.abs(move[:, :2]).max(axis=1, keepdims=True)
    points[outline] += move * np.minimum(1, _WITHIN_PIXEL / np.maximum(farthest, 1e-9))
    return replace(mesh, vertices=camera.unproject(points).astype(np.float32), uv=points[:, :2].astype(np.float32))


def export_mesh(mesh: Mesh, texture: Image, path: Path) -> None:
    """Write a textured mesh as .glb, .obj (with its material beside it) or .ply (with a colour per vertex).

    texture : (S, S, 3) uint8, the crop that `mesh.uv` refers to
    Raises ValueError for another ending.
    """
    import trimesh
    from PIL import Image as Picture

    kind = path.suffix.lower()
    if kind not in (".glb", ".obj", ".ply"):
        raise ValueError(f"cannot write a mesh as {path.name}: use .glb, .obj or .ply")
    height, width = texture.shape[:2]
    visual: trimesh.visual.texture.TextureVisuals | trimesh.visual.color.ColorVisuals
    if kind == ".ply":
        column, row = np.floor(mesh.uv).astype(int).T
        colours = texture[row.clip(0, height - 1), column.clip(0, width - 1)]
        visual = trimesh.visual.color.ColorVisuals(vertex_colors=colours)
    else:
        # Texture coordinates count from the bottom left.
        uv = mesh.uv.astype(np.float64) / [width, height]
        picture = Picture.fromarray(texture)
        material = (
            trimesh.visual.material.PBRMaterial(baseColorTexture=picture, metallicFactor=0.0, roughnessFactor=1.0)
            if kind == ".glb"
            else trimesh.visual.material.SimpleMaterial(image=picture)
        )
        visual = trimesh.visual.texture.TextureVisuals(uv=np.stack([uv[:, 0], 1 - uv[:, 1]], axis=1), material=material)
    shape = trimesh.Trimesh(vertices=mesh.vertices, faces=mesh.triangles, visual=visual, process=False)
    shape.export(path)
