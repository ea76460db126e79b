"""Triangle mesh of a depth map, and its export to files.

Convention: one vertex per face pixel, at the pixel's centre; triangles are counter-clockwise seen from the front.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera, pixel_grid
from mvgen.core.records import DepthMap, Floats, Image, Mask, Mesh
from mvgen.render.surface import source_points

_OUTLINE_STEPS = 20  # of smoothing along the outline, each over the two neighbours
_WITHIN_PIXEL = 0.49


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
    """Triangle mesh of a depth map that is NaN outside the face.

    Every known pixel is a vertex; neighbours are connected whatever their difference in depth.
    """
    mask = np.isfinite(surface.depth)
    height, width = mask.shape
    return Mesh(
        vertices=source_points(surface)[mask].astype(np.float32),
        triangles=_triangles(mask, surface.depth),
        uv=pixel_grid(height, width)[mask].astype(np.float32),
    )


def smooth_outline(mesh: Mesh, camera: Camera) -> Mesh:
    """The mesh with the vertices of its outline moved onto a smooth curve.

    camera : the source camera of the mesh
    An outline on the pixel grid is a staircase, whose steps views from the side enlarge where the surface is steep. A
    vertex stays within its own pixel, so values per pixel still hold for it.
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
    Raises ValueError for another suffix.
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
