# mypy: ignore-errors
# ruff: noqa: PLR0917, PLR1730, UP018
# Kernels are written in Warp's language, which shares Python's syntax but not its types.
"""Kernels of texture projection; run by `mvgen.render.project_texture`.

Convention: pixel centres are at whole numbers here, from 0; images are flat, one after the other, row by row.
"""

from __future__ import annotations

import warp as wp

from mvgen.render.kernels.runtime import CPU_FLAGS

wp.set_module_options({"enable_backward": False, "default_grid_stride": False, "cpu_compiler_flags": CPU_FLAGS})


TOGETHER = wp.constant(256)
ON_PIXEL = wp.constant(1.0e-3)
"""Pixels; a position this near to a pixel's centre differs from it by rounding only."""
WIDEST = wp.constant(8.0)
"""Source pixels from one view pixel to the next; a larger distance is a silhouette, not a slope."""


@wp.func
def _catmull_rom(x: wp.float32):
    t = wp.abs(x)
    if t >= 2.0:
        return wp.float32(0.0)
    if t >= 1.0:
        return ((2.5 - 0.5 * t) * t - 4.0) * t + 2.0
    return (1.5 * t - 2.5) * t * t + 1.0


@wp.kernel
def measure(
    source: wp.array[wp.vec2],
    size: wp.int32,
    pixels: wp.array[wp.int32],
    place: wp.array[wp.vec2],
    stretch: wp.array[wp.vec2],
    first: wp.array[wp.vec2i],
    taps: wp.array[wp.vec2i],
):
    """Source position of a view pixel, its size there, and the source pixels that contribute to it.

    stretch : source pixels from a view pixel to the next along an axis, at least 1; 1 where a surface ends. The smaller
        one of both sides, since a silhouette may be on the other
    first, taps : column and row of the first contributing pixel, and their number
    """
    pixel = wp.tid()
    at = pixels[pixel]
    column = at % size
    row = at / size
    across = _stretch(source, at, 0, 1, column, size)
    down = _stretch(source, at, 1, size, row, size)
    u = wp.clamp(source[at][0] - 0.5, 0.0, wp.float32(size - 1))
    v = wp.clamp(source[at][1] - 0.5, 0.0, wp.float32(size - 1))
    # A position at the middle of a source row needs that row only. Views that only yaw have no others.
    if across <= 1.0 and wp.abs(u - wp.rint(u)) < ON_PIXEL:
        u = wp.rint(u)
    if down <= 1.0 and wp.abs(v - wp.rint(v)) < ON_PIXEL:
        v = wp.rint(v)
    count = wp.vec2i(_taps(u, across), _taps(v, down))
    place[pixel] = wp.vec2(u, v)
    stretch[pixel] = wp.vec2(across, down)
    taps[pixel] = count
    first[pixel] = wp.vec2i(_first(u, count[0], size), _first(v, count[1], size))


@wp.func
def _stretch(
    source: wp.array[wp.vec2], at: wp.int32, axis: wp.int32, step: wp.int32, position: wp.int32, size: wp.int32
):
    wide = float(WIDEST)
    # Comparisons with a neighbour without surface (NaN) are false.
    if position > 0:
        before = wp.abs(source[at][axis] - source[at - step][axis])
        if before < wide:
            wide = before
    if position < size - 1:
        after = wp.abs(source[at + step][axis] - source[at][axis])
        if after < wide:
            wide = after
    if wide > 1.0 and wide < WIDEST:
        return wide
    return wp.float32(1.0)


@wp.func
def _taps(place: wp.float32, stretch: wp.float32):
    if stretch <= 1.0 and place == wp.rint(place):
        return wp.int32(1)
    return 2 * wp.int32(wp.ceil(2.0 * stretch))


@wp.func
def _first(place: wp.float32, taps: wp.int32, size: wp.int32):
    start = wp.int32(place)
    if taps > 1:
        start += 1 - taps / 2
    # At the border the filter ends with the picture.
    return wp.min(wp.max(start, 0), size - taps)


@wp.kernel
def weigh(
    place: wp.array[wp.vec2],
    stretch: wp.array[wp.vec2],
    first: wp.array[wp.vec2i],
    taps: wp.array[wp.vec2i],
    begins: wp.array[wp.int32],
    weights: wp.array[wp.float32],
):
    """Weights of the source columns, then of the source rows, that contribute to a view pixel; each sum to 1."""
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


@wp.func_native("""
const unsigned char* picture = reinterpret_cast<const unsigned char*>(crops.data + frame * size * size);
unsigned char* drawn = reinterpret_cast<unsigned char*>(colour.data + frame * size * size);
for (int pixel = begin; pixel < end; ++pixel) {
    const int across = taps.data[pixel][0], down = taps.data[pixel][1];
    const float* columns = weights.data + begins.data[pixel];
    const float* rows = columns + across;
    const unsigned char* corner = picture + 4 * (first.data[pixel][1] * size + first.data[pixel][0]);
    float sum[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    for (int row = 0; row < down; ++row) {
        for (int column = 0; column < across; ++column) {
            const float weight = rows[row] * columns[column];
            const unsigned char* seen = corner + 4 * (row * size + column);
            for (int channel = 0; channel < 4; ++channel) sum[channel] += weight * (float)seen[channel];
        }
    }
    unsigned char* to = drawn + 3 * pixels.data[pixel];
    for (int channel = 0; channel < 3; ++channel) {
        const float value = sum[channel] + 0.5f;
        to[channel] = (unsigned char)(value < 0.0f ? 0.0f : value > 255.0f ? 255.0f : value);
    }
}
""")
def _resample(
    frame: wp.int32, begin: wp.int32, end: wp.int32, crops: wp.array[wp.vec4ub], size: wp.int32,
    pixels: wp.array[wp.int32], first: wp.array[wp.vec2i], taps: wp.array[wp.vec2i], begins: wp.array[wp.int32],
    weights: wp.array[wp.float32], colour: wp.array[wp.vec3ub],
):  # fmt: skip
    """Colour of the view pixels from `begin` to before `end` in one frame."""


@wp.kernel
def resample(
    crops: wp.array[wp.vec4ub],
    size: wp.int32,
    pixels: wp.array[wp.int32],
    first: wp.array[wp.vec2i],
    taps: wp.array[wp.vec2i],
    begins: wp.array[wp.int32],
    weights: wp.array[wp.float32],
    colour: wp.array[wp.vec3ub],
):
    """Colour of `TOGETHER` view pixels in one frame; with a fourth channel the compiler sums all channels at once."""
    frame, part = wp.tid()
    begin = part * TOGETHER
    end = wp.min(begin + TOGETHER, pixels.shape[0])
    _resample(frame, begin, end, crops, size, pixels, first, taps, begins, weights, colour)
