# mypy: ignore-errors
# ruff: noqa: PLR0917, UP018
# What stands in kernels is warp's language, and only looks like Python's types and operators.
"""Kernels for where surfaces end between the centres of pixels: soft silhouettes of the grid renderer.

`ends` are two images: where the visible surface ends between the centres of two neighbouring pixels, as the share of
the way from a pixel to the one on its right, then to the one below; `NOWHERE` where it does not end. `marked` are the
places in them that are not `NOWHERE`, in no order; its first number is how many. Who goes through them goes in
`STRIDE` threads, however many they are: to ask first how many would mean to wait for a GPU.
"""

from __future__ import annotations

import warp as wp

from mvgen.render.kernels.coordinates import area, first_from, project, seen_at
from mvgen.render.kernels.runtime import CPU_FLAGS

wp.set_module_options({"enable_backward": False, "default_grid_stride": False, "cpu_compiler_flags": CPU_FLAGS})

NOWHERE = wp.constant(wp.float32(2.0))
STRIDE = wp.constant(512)
FAINT = wp.constant(wp.float32(1.0 / 64.0))
"""Less coverage than this is none."""
CLOSE = wp.constant(wp.float32(1.0e-3))
"""Pixels; an end this near to a pixel's centre lies on it, whatever rounding says."""


@wp.kernel
def begin(marked: wp.array[wp.int32]):
    """Nothing is marked yet."""
    marked[0] = 0


@wp.func
def _note(ends: wp.array[wp.float32], marked: wp.array[wp.int32], at: wp.int32, share: wp.float32):
    if wp.atomic_min(ends, at, share) == NOWHERE:
        marked[1 + wp.atomic_add(marked, 0, 1)] = at


@wp.func
def mark(
    ends: wp.array[wp.float32], marked: wp.array[wp.int32],
    at: wp.float32, base: wp.int32, size: wp.int32, stride: wp.int32,
):  # fmt: skip
    """Note that a surface ends at a place along a row (stride 1) or a column (stride S)."""
    pixel = wp.int32(wp.floor(at - 0.5))
    share = at - 0.5 - wp.float32(pixel)
    if pixel >= 0 and pixel < size - 1:
        _note(ends, marked, base + pixel * stride, share)
    # What ends at a pixel's centre ends on both sides of it.
    if share < CLOSE and pixel > 0 and pixel < size:
        _note(ends, marked, base + (pixel - 1) * stride, 1.0)
    if share > 1.0 - CLOSE and pixel >= -1 and pixel < size - 2:
        _note(ends, marked, base + (pixel + 1) * stride, 0.0)


@wp.func
def _mark_edge(start: wp.vec3, end: wp.vec3, size: wp.int32, ends: wp.array[wp.float32], marked: wp.array[wp.int32]):
    """Note where an edge of the visible surface crosses rows and columns of pixel centres."""
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
    """Note where the outline of a mesh ends its surface, in an orthographic view.

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
    landed: wp.array[wp.vec3],
    triangles: wp.array[wp.vec3i],
    turns: wp.array[wp.int32],
    size: wp.int32,
    ends: wp.array[wp.float32],
    marked: wp.array[wp.int32],
):
    """Note where the part of a mesh that is seen from the front ends."""
    corners = triangles[wp.tid()]
    for corner in range(3):
        first = corners[corner]
        second = corners[(corner + 1) % 3]
        if turns[first] != 0 and turns[second] != 0:
            start = landed[first]
            end = landed[second]
            if area(start, end, landed[corners[(corner + 2) % 3]]) > 0.0:
                _mark_edge(start, end, size, ends, marked)


@wp.func
def _end_of(
    z: wp.float32, depth: wp.array[wp.float32], ends: wp.array[wp.float32],
    first: wp.int32, before: wp.int32, at: wp.int32, after: wp.int32,
):  # fmt: skip
    """How far from a pixel's centre the surface ends along its row or column, and on which side: -1, 1, or 0."""
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
def soften(
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
    """Coverage of the pixels between which a surface ends; blend, where it ends in front of another.

    jump : world units; surfaces that differ less in depth are one surface
    """
    thread, beyond = wp.tid()
    for mark in range(thread, marked[0], STRIDE):
        _soften(
            marked[1 + mark], beyond, depth, ends, matrices[1], eye, perspective, jump, size, source, coverage, blend
        )  # fmt: skip


@wp.func
def _soften(
    place: wp.int32, beyond: wp.int32, depth: wp.array[wp.float32], ends: wp.array[wp.float32],
    back: wp.mat44, eye: wp.float32, perspective: wp.int32, jump: wp.float32, size: wp.int32,
    source: wp.array[wp.vec2], coverage: wp.array[wp.float32], blend: wp.array[wp.float32],
):  # fmt: skip
    at = place
    # The pixels on both sides of the place: of one marked in the second image, the next one is below.
    if at >= depth.shape[0]:
        at += beyond * size - depth.shape[0]
    else:
        at += beyond
    row = at / size
    column = at % size
    # Beyond the picture goes on what is at its rim.
    left = at - wp.min(column, 1)
    right = at + wp.min(size - 1 - column, 1)
    up = at - wp.min(row, 1) * size
    low = at + wp.min(size - 1 - row, 1) * size
    z = depth[at]
    beside = _end_of(z, depth, ends, 0, left, at, right)
    upright = _end_of(z, depth, ends, depth.shape[0], up, at, low)
    distance = wp.min(beside[0], upright[0])
    if wp.max(beside[0], upright[0]) <= 1.0 and distance > 0.0:
        distance = beside[0] * upright[0] / wp.length(wp.vec2(beside[0], upright[0]))
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
        # The centre is beside the surface, a part of the pixel is not: that part looks as its neighbour does.
        to_right = wp.int32(beside[1])
        to_down = wp.int32(0)
        if upright[0] < beside[0]:
            to_right = 0
            to_down = wp.int32(upright[1])
        u = wp.float32(column + to_right) + 0.5
        v = wp.float32(row + to_down) + 0.5
        source[at] = seen_at(back, u, v, depth[at + to_right + to_down * size], eye, perspective)
        coverage[at] = 0.5 - distance


@wp.kernel
def forget(marked: wp.array[wp.int32], ends: wp.array[wp.float32]):
    """Make `ends` ready for the next view."""
    for mark in range(wp.tid(), marked[0], STRIDE):
        ends[marked[1 + mark]] = NOWHERE
