# mypy: ignore-errors
# ruff: noqa: PLR0917
# Kernels are written in Warp's language, which shares Python's syntax but not its types.
"""Kernels that rasterise a mesh in a view, one source for CPU and CUDA; run by `mvgen.render.grid`.

Convention: images are flat, row by row: pixel (row, column) is row S + column. Results do not depend on the order of
threads: values written to one element are combined by maximum, minimum or an integer sum. `matrices` are P and B of the
view, see `mvgen.render.grid`; for `ends` and `marked` see `mvgen.render.kernels.silhouette`.

`nearness` is linear in the image and grows toward the camera: depth z for an orthographic camera, 1 / (eye - z) for a
pinhole. `depth` is z, NaN where there is no surface.
"""

from __future__ import annotations

import warp as wp

from mvgen.render.kernels import scanline
from mvgen.render.kernels.coordinates import area, first_from, project
from mvgen.render.kernels.runtime import CPU_FLAGS
from mvgen.render.kernels.silhouette import mark

wp.set_module_options({"enable_backward": False, "default_grid_stride": False, "cpu_compiler_flags": CPU_FLAGS})

EMPTY = wp.constant(wp.float32(-1.0e30))


@wp.kernel
def draw_rows(
    points: wp.array[wp.float32],
    starts: wp.array[wp.int32],
    matrices: wp.array[wp.mat44],
    cosine: wp.array[wp.float32],
    least: wp.float32,
    size: wp.int32,
    ends: wp.array[wp.float32],
    marked: wp.array[wp.int32],
    projected: wp.array[wp.float32],
    depth: wp.array[wp.float32],
    source: wp.array[wp.vec2],
    valid: wp.array[wp.bool],
    coverage: wp.array[wp.float32],
    blend: wp.array[wp.float32],
):
    """Draw the lines of one row into a one-dimensional z-buffer, and find the source pixels of the row.

    Only lines that run from left to right are seen from the front.
    points : (3 P,) flat: x of all points, z, and 1 where a line leads there from the point before; projected : (2 P,)
    Outputs: depth, and those of `find_source_rows`.
    """
    row = wp.tid()
    base = row * size
    count = projected.shape[0] / 2
    begin = starts[row]
    end = starts[row + 1]
    scanline.project_row(points, count, begin, end, matrices[0], projected)
    scanline.fill(depth, base, size, wp.nan)
    u = wp.float32(0.0)
    z = wp.float32(0.0)
    column = wp.int32(0)
    running = wp.bool(False)
    for index in range(begin, end):
        u_next = scanline.read(projected, index)
        z_next = scanline.read(projected, count + index)
        column_next = wp.min(first_from(u_next), size)
        front = scanline.read(points, 2 * count + index) > 0.0 and u_next > u
        if front and column < column_next:
            scanline.draw(depth, base, column, column_next, u, z, (z_next - z) / (u_next - u))
        if front != running:
            mark(ends, marked, u, base, size, 1)
        running = front
        u = u_next
        z = z_next
        column = column_next
    if running:
        mark(ends, marked, u, base, size, 1)
    scanline.find_source(row, matrices[1], 0.0, 0, cosine, least, size, depth, source, valid, coverage, blend)


@wp.kernel
def project_vertices(
    vertices: wp.array[wp.vec3],
    matrices: wp.array[wp.mat44],
    perspective: wp.int32,
    projected: wp.array[wp.vec3],
    turns: wp.array[wp.int32],
):
    """Project every vertex to u, v and nearness; clear `turns`."""
    vertex = wp.tid()
    turns[vertex] = 0
    projected[vertex] = project(matrices[0], perspective, vertices[vertex])


@wp.kernel
def empty_pixels(nearness: wp.array[wp.float32]):
    """Clear the z-buffer."""
    nearness[wp.tid()] = EMPTY


@wp.kernel
def draw_triangles(
    projected: wp.array[wp.vec3],
    triangles: wp.array[wp.vec3i],
    size: wp.int32,
    nearness: wp.array[wp.float32],
    turns: wp.array[wp.int32],
):
    """Draw a triangle where it is seen from the front; sum `turns` over those triangles."""
    corners = triangles[wp.tid()]
    a = projected[corners[0]]
    b = projected[corners[1]]
    c = projected[corners[2]]
    if area(a, b, c) > 0.0:
        for corner in range(3):
            wp.atomic_add(turns, corners[corner], corners[(corner + 1) % 3] - corners[(corner + 2) % 3])
        top = first_from(wp.min(a[1], wp.min(b[1], c[1])))
        bottom = wp.min(first_from(wp.max(a[1], wp.max(b[1], c[1]))), size)
        left = first_from(wp.min(a[0], wp.min(b[0], c[0])))
        right = wp.min(first_from(wp.max(a[0], wp.max(b[0], c[0]))), size)
        for row in range(top, bottom):
            for column in range(left, right):
                u = wp.float32(column) + 0.5
                v = wp.float32(row) + 0.5
                of_a = _side(b, c, corners[1], corners[2], u, v)
                of_b = _side(c, a, corners[2], corners[0], u, v)
                of_c = _side(a, b, corners[0], corners[1], u, v)
                total = of_a + of_b + of_c
                if of_a >= 0.0 and of_b >= 0.0 and of_c >= 0.0 and total > 0.0:
                    near = (of_a * a[2] + of_b * b[2] + of_c * c[2]) / total
                    wp.atomic_max(nearness, row * size + column, near)


@wp.func
def _side(start: wp.vec3, end: wp.vec3, first: wp.int32, second: wp.int32, u: wp.float32, v: wp.float32):
    """Side of an edge that a pixel is on, positive inside; exactly opposite for the two triangles of the edge."""
    if first < second:
        return (end[1] - start[1]) * (u - start[0]) - (end[0] - start[0]) * (v - start[1])
    return -((start[1] - end[1]) * (u - end[0]) - (start[0] - end[0]) * (v - end[1]))


@wp.kernel
def read_depth(nearness: wp.array[wp.float32], eye: wp.float32, perspective: wp.int32, depth: wp.array[wp.float32]):
    """Depth of the pixels that triangles cover, NaN for the others."""
    pixel = wp.tid()
    near = nearness[pixel]
    z = wp.nan
    if near > EMPTY:
        z = near
        if perspective != 0:
            z = eye - 1.0 / near
    depth[pixel] = z


@wp.kernel
def find_source_rows(
    depth: wp.array[wp.float32],
    matrices: wp.array[wp.mat44],
    eye: wp.float32,
    perspective: wp.int32,
    cosine: wp.array[wp.float32],
    least: wp.float32,
    size: wp.int32,
    source: wp.array[wp.vec2],
    valid: wp.array[wp.bool],
    coverage: wp.array[wp.float32],
    blend: wp.array[wp.float32],
):
    """Run `scanline.find_source` on every row."""
    scanline.find_source(
        wp.tid(), matrices[1], eye, perspective, cosine, least, size, depth, source, valid, coverage, blend
    )  # fmt: skip
