"""Images of a fitted face: its depth and its normals at every pixel, and the mask of its region."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera
from mvgen.morphable.topology import topology

Floats = NDArray[np.floating]

_SMOOTHING, _OUTLINE = 1 / 160, 1 / 30  # sigmas, shares of the image's side
_LEAST_COSINE = 0.18  # of the angle that skin is seen at


def rasterise(camera: Camera, vertices: Floats, values: Floats, triangles: NDArray[np.integer] | None = None) -> Floats:
    """Values of the nearest surface at pixel centres, interpolated over its triangle: (S, S, C), NaN off the surface.

    camera : of S pixels, at yaw 0 and pitch 0; vertices : (N, 3) world; values : (N, C) of the vertices
    triangles : (M, 3); those of the face model by default. Triangles seen from behind are not drawn.
    """
    corners = topology().triangles if triangles is None else triangles
    seen = camera.project(np.asarray(vertices, np.float64))
    size = camera.size
    a, b, c = (seen[corners[:, index]] for index in range(3))
    # v runs down: triangles that are counter-clockwise in the world have a negative area here.
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    points = np.stack([a, b, c], axis=1)
    first = np.ceil(points[..., :2].min(axis=1) - 0.5).clip(0, size).astype(np.int64)
    last = np.floor(points[..., :2].max(axis=1) - 0.5).clip(-1, size - 1).astype(np.int64)
    spans = np.maximum(last - first + 1, 0)
    drawn = np.flatnonzero((area < 0) & (spans.prod(axis=1) > 0))
    counts = spans[drawn].prod(axis=1)
    triangle = np.repeat(drawn, counts)
    step = np.arange(len(triangle)) - np.repeat(np.cumsum(counts) - counts, counts)
    column = first[triangle, 0] + step % spans[triangle, 0]
    row = first[triangle, 1] + step // spans[triangle, 0]
    u, v = column + 0.5, row + 0.5
    p, q, r = a[triangle], b[triangle], c[triangle]
    share_b = ((u - p[:, 0]) * (r[:, 1] - p[:, 1]) - (v - p[:, 1]) * (r[:, 0] - p[:, 0])) / area[triangle]
    share_c = ((q[:, 0] - p[:, 0]) * (v - p[:, 1]) - (q[:, 1] - p[:, 1]) * (u - p[:, 0])) / area[triangle]
    shares = np.stack([1 - share_b - share_c, share_b, share_c], axis=1)
    within = (shares >= -1e-9).all(axis=1)
    shares, triangle, place = shares[within], triangle[within], (row * size + column)[within]
    depth = shares[:, 0] * a[triangle, 2] + shares[:, 1] * b[triangle, 2] + shares[:, 2] * c[triangle, 2]
    # Of the surfaces at a pixel the nearest is written last.
    order = np.argsort(depth, kind="stable")
    triangle, shares, place = triangle[order], shares[order], place[order]
    image = np.full((size * size, values.shape[1]), np.nan)
    picked = np.asarray(values, np.float64)[corners[triangle]]
    image[place] = np.einsum("pc,pcv->pv", shares, picked)
    return image.reshape(size, size, -1)


def vertex_normals(vertices: Floats) -> Floats:
    """Unit normals (N, 3) of the face model's vertices (N, 3), outward, weighted by the area of their triangles."""
    triangles = topology().triangles
    a, b, c = (vertices[triangles[:, index]] for index in range(3))
    face = np.cross(b - a, c - a)
    flat = triangles.T.ravel()
    total = np.stack(
        [np.bincount(flat, np.tile(face[:, axis], 3), minlength=len(vertices)) for axis in range(3)], axis=1
    )
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)


def fit_image(camera: Camera, vertices: Floats) -> NDArray[np.float32]:
    """A fitted face as input of the depth network: (S, S, 4) float32, depth in world units and normal; NaN off it.

    camera : of the crop; vertices : (N, 3) world
    """
    values = np.column_stack([camera.to_view(vertices)[:, 2], vertex_normals(vertices)])
    image = rasterise(camera, vertices, values)
    # Triangles are flat, skin is not.
    image[..., 0] = _smoothed(image[..., 0], _SMOOTHING * camera.size)
    return image.astype(np.float32)


def face_region(camera: Camera, vertices: Floats, forward: Floats | None = None) -> NDArray[np.bool_]:
    """(S, S) bool, the pixels of a crop that show the face of a fit: from chin to hair line, from ear to ear.

    forward : (3,) where the face looks; with it only what shows from there as well, which is all that a frontal clip
        shows of a face
    Skin seen very obliquely is left out: there an error of half a pixel puts background on the cheek, and a view from
    the side stretches it into a fringe.
    """
    from scipy import ndimage

    triangles = topology().triangles[topology().in_face]
    views = np.array([[0.0, 0.0, 1.0]] if forward is None else [[0.0, 0.0, 1.0], forward])
    facing = rasterise(camera, vertices, vertex_normals(vertices) @ views.T, triangles).min(axis=-1)
    smooth = ndimage.gaussian_filter((np.nan_to_num(facing) > _LEAST_COSINE).astype(np.float64), _OUTLINE * camera.size)
    labels, count = ndimage.label(smooth > 0.5)
    if not count:
        return np.zeros(facing.shape, bool)
    largest = labels == 1 + np.bincount(labels.ravel())[1:].argmax()
    return np.asarray(ndimage.binary_fill_holes(largest) & np.isfinite(facing))


def _smoothed(depth: Floats, sigma: float) -> Floats:
    """Depth (S, S) blurred by a Gaussian of `sigma` pixels over the known pixels only; NaN stays NaN."""
    from scipy.ndimage import gaussian_filter

    known = np.isfinite(depth)
    weight = gaussian_filter(known.astype(np.float64), sigma)
    blurred = gaussian_filter(np.where(known, depth, 0.0), sigma)
    return np.where(known, blurred / np.maximum(weight, 1e-9), np.nan)
