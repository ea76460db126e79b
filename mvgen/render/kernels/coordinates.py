# mypy: ignore-errors
# ruff: noqa: PLR0917
# Kernels are written in Warp's language, which shares Python's syntax but not its types.
"""Coordinates in the world, in a view and in the source, for the kernels of the grid renderer."""

from __future__ import annotations

import warp as wp

from mvgen.render.kernels.runtime import CPU_FLAGS

wp.set_module_options({"enable_backward": False, "default_grid_stride": False, "cpu_compiler_flags": CPU_FLAGS})


@wp.func
def first_from(place: wp.float32):
    """The first pixel of a row or column, from 0, whose centre is at a position or beyond it."""
    # wp.ceil would be a call into a library here. A centre just before the position may count as at it.
    return wp.int32(wp.max(place + 0.5, 0.0))


@wp.func
def project(camera: wp.mat44, perspective: wp.int32, vertex: wp.vec3):
    """u, v and nearness of a point in the world."""
    image = camera * wp.vec4(vertex[0], vertex[1], vertex[2], 1.0)
    if perspective == 0:
        return wp.vec3(image[0], image[1], image[2])
    near = 1.0 / image[3]
    return wp.vec3(image[0] * near, image[1] * near, near)


@wp.func
def area(first: wp.vec3, second: wp.vec3, third: wp.vec3):
    """Twice the area of a triangle in the image, positive where it is seen from the front."""
    return (second[1] - first[1]) * (third[0] - first[0]) - (second[0] - first[0]) * (third[1] - first[1])


@wp.func
def to_source(back: wp.mat44, u: wp.float32, v: wp.float32, depth: wp.float32, eye: wp.float32, perspective: wp.int32):
    """The source pixel of the point that a view shows at u, v and a depth."""
    if perspective == 0:
        return wp.vec2(
            back[0, 0] * u + back[0, 1] * v + back[0, 2] * depth + back[0, 3],
            back[1, 0] * u + back[1, 1] * v + back[1, 2] * depth + back[1, 3],
        )
    seen = back * wp.vec4(u * (eye - depth), v * (eye - depth), depth, 1.0)
    return wp.vec2(seen[0] / seen[3], seen[1] / seen[3])
