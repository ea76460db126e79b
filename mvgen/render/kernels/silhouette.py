# mypy: ignore-errors
# ruff: noqa: PLR0917, UP018
# Kernels are written in Warp's language, which shares Python's syntax but not its types.
"""Kernels for antialiased silhouettes of the grid renderer: where surfaces end between the centres of pixels.

`ends` are two images: where the visible surface ends between the centres of two neighbouring pixels, as the fraction of
the distance from a pixel to the one on its right, then to the one below; `NOWHERE` where it does not end. `marked` are
the indices of elements that are not `NOWHERE`, in any order, after their number. They are always processed by `STRIDE`
threads: launching as many as there are marks would mean waiting for the GPU to return their number.
"""

from __future__ import annotations

import warp as wp

from mvgen.render.kernels.coordinates import area, first_from, project, to_source
from mvgen.render.kernels.runtime import CPU_FLAGS

wp.set_module_options({"enable_backward": False, "default_grid_stride": False, "cpu_compiler_flags": CPU_FLAGS})

NOWHERE = wp.constant(wp.float32(2.0))
STRIDE = wp.constant(512)
FAINT = wp.constant(wp.float32(1.0 / 64.0))
"""Smaller coverage counts as zero."""
CLOSE = wp.constant(wp.float32(1.0e-3))
"""Pixels; an end this near to a pixel's centre differs from it by rounding only."""


@wp.kernel
def reset_marks(marked: wp.array[wp.int32]):
    """Clear `marked`."""
    marked[0] = 0


@wp.func
def _record(ends: wp.array[wp.float32], marked: wp.array[wp.int32], at: wp.int32, share: wp.float32):
    if wp.atomic_min(ends, at, share) == NOWHERE:
        marked[1 + wp.atomic_add(marked, 0, 1)] = at


@wp.func
def mark(
    ends: wp.array[wp.float32], marked: wp.array[wp.int32],
    at: wp.float32, base: wp.int32, size: wp.int32, stride: wp.int32,
):  # fmt: skip
    """Record that a surface ends at a position along a row (stride 1) or a column (stride S)."""
    pixel = wp.int32(wp.floor(at - 0.5))
    share = at - 0.5 - wp.float32(pixel)
    if pixel >= 0 and pixel < size - 1:
        _record(ends, marked, base + pixel * stride, share)
    # An end at a pixel's centre counts on both sides of it.
    if share < CLOSE and pixel > 0 and pixel < size:
        _record(ends, marked, base + (pixel - 1) * stride, 1.0)
    if share > 1.0 - CLOSE and pixel >= -1 and pixel < size - 2:
        _record(ends, marked, base + (pixel + 1) * stride, 0.0)


@wp.func
def _mark_edge(start: wp.vec3, end: wp.vec3, size: wp.int32, ends: wp.array[wp.float32], marked: wp.array[wp.int32]):
    """Record where an edge of the visible surface crosses rows and columns of pixel centres."""
    low = wp.min(start[1], end[1])
    high = wp.max(start[1], end[1])
    for row in range(first_from(low), wp.min(first_from(high), size)):
        share = (wp.float32(row) + 0.5 - start[1]) / (end[1] - start[1])
        mark(ends, marked, start[0] + share * (end[0] - start[0]), row * size, size, 1)
    left = wp.min(start[0], end[0])
    right = wp.max(start[0], end[0])
    for column in range(first_from(left), wp.min(first_from(right), size)):
        share = (wp.float32(column) + 0.5 - start[0]) / (end[0] - start[0])
        mark(ends, marked, start[1] + share * (end[1] - start[1]), size * size + column, size, size)


@wp.kernel
def mark_outline(
    vertices: wp.array[wp.vec3],
    edges: wp.array[wp.vec3i],
    matrices: wp.array[wp.mat44],
    size: wp.int32,
    ends: wp.array[wp.float32],
    marked: wp.array[wp.int32],
):
    """Record where the outline of a mesh ends its surface, in an orthographic view.

    edges : two ends, and the third corner of the triangle they belong to
    """
    camera = matrices[0]
    edge = edges[wp.tid()]
    start = project(camera, 0, vertices[edge[0]])
    end = project(camera, 0, vertices[edge[1]])
    if area(start, end, project(camera, 0, vertices[edge[2]])) > 0.0:
        _mark_edge(start, end, size, ends, marked)


@wp.kernel
def mark_contours(
    projected: wp.array[wp.vec3],
    triangles: wp.array[wp.vec3i],
    turns: wp.array[wp.int32],
    size: wp.int32,
    ends: wp.array[wp.float32],
    marked: wp.array[wp.int32],
):
    """Record where the part of a mesh that is seen from the front ends."""
    corners = triangles[wp.tid()]
    for corner in range(3):
        first = corners[corner]
        second = corners[(corner + 1) % 3]
        if turns[first] != 0 and turns[second] != 0:
            start = projected[first]
            end = projected[second]
            if area(start, end, projected[corners[(corner + 2) % 3]]) > 0.0:
                _mark_edge(start, end, size, ends, marked)


@wp.func
def _end_of(
    z: wp.float32, depth: wp.array[wp.float32], ends: wp.array[wp.float32],
    first: wp.int32, before: wp.int32, at: wp.int32, after: wp.int32,
):  # fmt: skip
    """Distance from a pixel's centre to the surface's end along its row or column, and its side: -1, 1, or 0."""
    distance = float(NOWHERE)
    side = float(0.0)
    if wp.isnan(depth[before]) != wp.isnan(z) and ends[first + before] <= 1.0:
        distance = 1.0 - ends[first + before]
        side = -1.0
    if wp.isnan(depth[after]) != wp.isnan(z) and ends[first + at] < distance:
        distance = ends[first + at]
        side = 1.0
    return wp.vec2(distance, side)


@wp.kernel
def antialias(
    marked: wp.array[wp.int32],
    depth: wp.array[wp.float32],
    ends: wp.array[wp.float32],
    matrices: wp.array[wp.mat44],
    eye: wp.float32,
    perspective: wp.int32,
    jump: wp.float32,
    size: wp.int32,
    source: wp.array[wp.vec2],
    coverage: wp.array[wp.float32],
    blend: wp.array[wp.float32],
):
    """Set the coverage of pixels between which a surface ends, and blend where it ends in front of another surface.

    jump : world units; surfaces that differ less in depth are one surface
    """
    thread, side = wp.tid()
    for mark in range(thread, marked[0], STRIDE):
        _antialias(
            marked[1 + mark], side, depth, ends, matrices[1], eye, perspective, jump, size, source, coverage, blend
        )  # fmt: skip


@wp.func
def _antialias(
    place: wp.int32, side: wp.int32, depth: wp.array[wp.float32], ends: wp.array[wp.float32],
    back: wp.mat44, eye: wp.float32, perspective: wp.int32, jump: wp.float32, size: wp.int32,
    source: wp.array[wp.vec2], coverage: wp.array[wp.float32], blend: wp.array[wp.float32],
):  # fmt: skip
    at = place
    # The pixels on both sides of the mark: for one in the second image, the next pixel is below.
    if at >= depth.shape[0]:
        at += side * size - depth.shape[0]
    else:
        at += side
    row = at / size
    column = at % size
    # The border is replicated.
    left = at - wp.min(column, 1)
    right = at + wp.min(size - 1 - column, 1)
    up = at - wp.min(row, 1) * size
    low = at + wp.min(size - 1 - row, 1) * size
    z = depth[at]
    horizontal = _end_of(z, depth, ends, 0, left, at, right)
    vertical = _end_of(z, depth, ends, depth.shape[0], up, at, low)
    distance = wp.min(horizontal[0], vertical[0])
    if wp.max(horizontal[0], vertical[0]) <= 1.0 and distance > 0.0:
        distance = horizontal[0] * vertical[0] / wp.length(wp.vec2(horizontal[0], vertical[0]))
    if not wp.isnan(z):
        coverage[at] = wp.min(0.5 + distance, 1.0)
        # The neighbour shows another surface, and a part of this pixel does too.
        share = float(0.0)
        if ends[at] < 0.5 and wp.abs(depth[right] - z) > jump:
            share = 0.5 - ends[at]
        before = ends[left] - 0.5
        if left != at and before > share and before <= 0.5 and wp.abs(depth[left] - z) > jump:
            share = -before
        blend[at] = share
    elif 0.5 - distance > FAINT:
        # The centre is off the surface, but a part of the pixel is on it: it takes the neighbour's colour.
        to_right = wp.int32(horizontal[1])
        to_down = wp.int32(0)
        if vertical[0] < horizontal[0]:
            to_right = 0
            to_down = wp.int32(vertical[1])
        u = wp.float32(column + to_right) + 0.5
        v = wp.float32(row + to_down) + 0.5
        source[at] = to_source(back, u, v, depth[at + to_right + to_down * size], eye, perspective)
        coverage[at] = 0.5 - distance


@wp.kernel
def reset_ends(marked: wp.array[wp.int32], ends: wp.array[wp.float32]):
    """Clear `ends` for the next view."""
    for mark in range(wp.tid(), marked[0], STRIDE):
        ends[marked[1 + mark]] = NOWHERE
