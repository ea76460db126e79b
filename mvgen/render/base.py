"""What every renderer gives, and how colour is carried into a view.

Convention: a renderer only finds the depth of a mesh in a view. Where a view pixel was seen in the source follows from
that depth through the camera, so depth, camera and colour of a view cannot disagree.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mvgen.camera import Camera, pixel_grid
from mvgen.records import Image, Mask, Mesh, ViewGeometry
from mvgen.surface import facing, vertex_normals

Floats = NDArray[np.floating]


class Renderer(Protocol):
    """Something that sees a mesh through a camera."""

    def render(self, mesh: Mesh, camera: Camera, grazing: float) -> ViewGeometry:
        """What `camera` sees of a mesh whose `uv` are the pixels of the camera's source view (yaw 0, pitch 0).

        grazing : degrees; surface seen in the source at more than this angle is not valid
        """
        ...


def source_cosine(mesh: Mesh, camera: Camera) -> Floats:
    """Cosine of the angle at which the source saw the surface: (S, S) float64 on its pixels, 0 beside the mesh.

    camera : of the source or of any view of it
    """
    source = camera.at(0.0, 0.0)
    cosine = np.zeros((source.size, source.size))
    column, row = np.floor(mesh.uv).astype(int).clip(0, source.size - 1).T
    cosine[row, column] = facing(mesh.vertices.astype(np.float64), vertex_normals(mesh), source)
    return cosine


def view_geometry(camera: Camera, depth: NDArray[np.float32], cosine: Floats, grazing: float) -> ViewGeometry:
    """The view that belongs to a rendered depth map (S, S), NaN where nothing is hit.

    cosine : (S, S), at which the source saw the surface, see `source_cosine`
    grazing : degrees
    """
    hit = np.isfinite(depth)
    pixels = np.concatenate([pixel_grid(camera.size, camera.size)[hit], depth[hit, None].astype(np.float64)], axis=-1)
    seen_at = camera.at(0.0, 0.0).project(camera.unproject(pixels))[:, :2]
    source = np.full((*depth.shape, 2), np.nan, np.float32)
    source[hit] = seen_at
    column, row = np.floor(seen_at).astype(int).clip(0, camera.size - 1).T
    valid = np.zeros_like(hit)
    valid[hit] = ((seen_at >= 0) & (seen_at <= camera.size)).all(axis=-1)
    valid[hit] &= cosine[row, column] > np.cos(np.radians(grazing))
    return ViewGeometry(camera=camera, depth=depth, source=source, valid=valid)


def seen_inside(view: ViewGeometry, inside: Mask) -> Mask:
    """(S, S) bool, valid pixels of a view whose source pixel lies in the mask (S, S) of the source."""
    column, row = np.floor(view.source[view.valid]).astype(int).clip(0, len(inside) - 1).T
    seen = view.valid.copy()
    seen[view.valid] = inside[row, column]
    return seen


def _row_stretch(source: Floats) -> Floats:
    """(S, S, 2) source pixels that one step to the right in the view covers; zero where the surface ends."""
    step = np.zeros_like(source)
    step[:, 1:-1] = (source[:, 2:] - source[:, :-2]) / 2
    return np.nan_to_num(step)


def drape(view: ViewGeometry, crops: Image) -> Image:
    """Colour of a view for every frame: each view pixel takes the colour of the source pixel it was seen at.

    crops : (T, S, S, 3) uint8, registered frames
    Returns (T, S, S, 3) uint8, zero where the view shows no surface. Cubic interpolation. Where a view pixel covers
    more than one source pixel (surface that turns away from the view) the mean over the part it covers is taken; views
    turn about the vertical axis, so only rows are squeezed.
    """
    surface = np.isfinite(view.depth)
    source, step = view.source[surface].astype(np.float64), _row_stretch(view.source)[surface]
    stretch = np.linalg.norm(step, axis=-1, keepdims=True)
    # Interpolation has smoothed over one source pixel already; only what is beyond it needs a mean. A step of more than
    # a few pixels is a silhouette, not a slope.
    share = np.sqrt(np.clip(1 - 1 / np.maximum(stretch, 1) ** 2, 0, None)) * (stretch < 8)
    squeezed = share[:, 0] > 0.25
    aside = (share * step)[squeezed] / 3
    colour = np.zeros_like(crops)
    for index, crop in enumerate(crops):
        sample = _sample(crop, source)
        total = sample[squeezed].astype(np.uint16)
        total += _sample(crop, source[squeezed] - aside)
        total += _sample(crop, source[squeezed] + aside)
        sample[squeezed] = (total + 1) // 3
        colour[index][surface] = sample
    return colour


def _sample(crop: Image, points: Floats) -> Image:
    """Colours (N, 3) uint8 of a crop (S, S, 3) at points (N, 2), cubic."""
    import cv2

    # OpenCV wants its points as an image, no side of it too long, and counts pixel centres at whole numbers.
    width = 256
    at = np.zeros((-(-len(points) // width) * width, 2), np.float32)
    at[: len(points)] = points - 0.5
    if not len(points):
        return np.zeros((0, 3), np.uint8)
    colour = cv2.remap(crop, at.reshape(-1, width, 2), np.empty(0), cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(colour, np.uint8).reshape(-1, 3)[: len(points)]
