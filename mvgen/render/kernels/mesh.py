# mypy: ignore-errors
# ruff: noqa: RUF046, UP018
# Kernels are written in Warp's language, which shares Python's syntax but not its types.
"""Kernels that prepare a mesh once, before its views are drawn; run by `mvgen.render.grid` on the CPU."""

from __future__ import annotations

import warp as wp

from mvgen.render.kernels.runtime import CPU_FLAGS

wp.set_module_options({"enable_backward": False, "default_grid_stride": False, "cpu_compiler_flags": CPU_FLAGS})


@wp.kernel
def sum_triangles(
    vertices: wp.array[wp.vec3],
    triangles: wp.array[wp.vec3i],
    normals: wp.array[wp.vec3d],
    turns: wp.array[wp.int32],
):
    """Normals of vertices, weighted by area, and a number per vertex, 0 where triangles surround it (`turns`).

    The number is the sum of next minus previous corner over the triangles of a vertex; it cancels at inner vertices.
    """
    corners = triangles[wp.tid()]
    first = wp.vec3d(vertices[corners[0]])
    normal = wp.cross(wp.vec3d(vertices[corners[1]]) - first, wp.vec3d(vertices[corners[2]]) - first)
    for corner in range(3):
        vertex = corners[corner]
        wp.atomic_add(normals, vertex, normal)
        wp.atomic_add(turns, vertex, corners[(corner + 1) % 3] - corners[(corner + 2) % 3])


@wp.kernel
def cut_triangles(
    vertices: wp.array[wp.vec3],
    levels: wp.array[wp.float32],
    triangles: wp.array[wp.vec3i],
    rows: wp.array2d[wp.int32],
    lines: wp.array2d[wp.vec4],
):
    """Cut a triangle by rows: row, and x and z of start and end, from left to right seen from the front.

    levels : of the vertices, in rows
    Row -1 where there is no cut. Rows from the highest corner, included, to the lowest, excluded, cut the triangle.
    """
    triangle = wp.tid()
    corners = triangles[triangle]
    level = wp.vec3(levels[corners[0]], levels[corners[1]], levels[corners[2]])
    first = wp.int32(wp.ceil(wp.min(level)))
    for slot in range(rows.shape[1]):
        row = first + slot
        at = wp.float32(row)
        rows[triangle, slot] = -1
        if at < wp.max(level):
            # One corner is alone on its side of the row; both cuts are on its edges.
            above = wp.int32(level[0] <= at) + wp.int32(level[1] <= at) + wp.int32(level[2] <= at)
            hanging = above == 1
            lone = int(0)
            for corner in range(1, 3):
                if (level[corner] <= at) == hanging:
                    lone = corner
            if (level[0] <= at) == hanging:
                lone = 0
            own = corners[lone]
            if not (hanging and level[lone] == at):
                left = corners[(lone + 1) % 3]
                right = corners[(lone + 2) % 3]
                if not hanging:
                    left, right = right, left
                start = _cut(vertices, levels, own, left, at)
                end = _cut(vertices, levels, own, right, at)
                rows[triangle, slot] = row
                lines[triangle, slot] = wp.vec4(start[0], start[1], end[0], end[1])


@wp.func
def _cut(vertices: wp.array[wp.vec3], levels: wp.array[wp.float32], first: wp.int32, second: wp.int32, at: wp.float32):
    """x and z where the edge between two vertices crosses a row; the same bits for both triangles of the edge."""
    low = wp.min(first, second)
    high = wp.max(first, second)
    begin = vertices[low]
    end = vertices[high]
    # The ends themselves must be exact.
    if levels[low] == at:
        return wp.vec2(begin[0], begin[2])
    if levels[high] == at:
        return wp.vec2(end[0], end[2])
    share = (at - levels[low]) / (levels[high] - levels[low])
    return wp.vec2(begin[0] + share * (end[0] - begin[0]), begin[2] + share * (end[2] - begin[2]))
