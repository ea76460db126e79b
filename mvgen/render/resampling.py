# mypy: ignore-errors
# ruff: noqa: PLR0917, UP018
# What stands in kernels is warp's language, and only looks like Python's types and operators.
"""Kernels that carry the frames of a clip into a view; run by `mvgen.render.drape`.

Convention: pixels count from 0 at their centres here; images lie flat, one after the other, row by row.
"""

from __future__ import annotations

import warp as wp

from mvgen.render.direct import read, write
from mvgen.render.warp import CPU_FLAGS

wp.set_module_options({"enable_backward": False, "default_grid_stride": False, "cpu_compiler_flags": CPU_FLAGS})


@wp.func
def _catmull_rom(x: wp.float32):
    t = wp.abs(x)
    if t >= 2.0:
        return wp.float32(0.0)
    if t >= 1.0:
        return ((2.5 - 0.5 * t) * t - 4.0) * t + 2.0
    return (1.5 * t - 2.5) * t * t + 1.0


@wp.kernel
def weigh(
    place: wp.array[wp.vec2],
    stretch: wp.array[wp.vec2],
    first: wp.array[wp.vec2i],
    taps: wp.array[wp.vec2i],
    begins: wp.array[wp.int32],
    weights: wp.array[wp.float32],
):
    """Weights of the source columns, then of the source rows, that make up a view pixel; each sum to 1."""
    pixel = wp.tid()
    begin = begins[pixel]
    for axis in range(2):
        count = taps[pixel][axis]
        away = wp.float32(first[pixel][axis]) - place[pixel][axis]
        narrow = 1.0 / stretch[pixel][axis]
        total = float(0.0)
        for tap in range(count):
            weight = _catmull_rom((away + wp.float32(tap)) * narrow)
            weights[begin + tap] = weight
            total += weight
        for tap in range(count):
            weights[begin + tap] = weights[begin + tap] / total
        begin += count


@wp.kernel
def resample(
    crops: wp.array[wp.vec3ub],
    size: wp.int32,
    pixels: wp.array[wp.int32],
    first: wp.array[wp.vec2i],
    taps: wp.array[wp.vec2i],
    begins: wp.array[wp.int32],
    weights: wp.array[wp.float32],
    colour: wp.array[wp.vec3ub],
):
    """Colour of one view pixel in one frame."""
    frame, pixel = wp.tid()
    start = frame * size * size
    corner = read(first, pixel)
    counts = read(taps, pixel)
    begin = read(begins, pixel)
    red = float(0.0)
    green = float(0.0)
    blue = float(0.0)
    for down in range(counts[1]):
        row = start + (corner[1] + down) * size + corner[0]
        share = read(weights, begin + counts[0] + down)
        for right in range(counts[0]):
            seen = read(crops, row + right)
            weight = share * read(weights, begin + right)
            red += weight * wp.float32(seen[0])
            green += weight * wp.float32(seen[1])
            blue += weight * wp.float32(seen[2])
    write(colour, start + read(pixels, pixel), wp.vec3ub(_byte(red), _byte(green), _byte(blue)))


@wp.func
def _byte(value: wp.float32):
    return wp.uint8(wp.clamp(value + 0.5, 0.0, 255.0))
