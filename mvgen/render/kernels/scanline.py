# mypy: ignore-errors
# ruff: noqa: PLR0917
# Kernels are written in Warp's language, which shares Python's syntax but not its types.
"""Loops along one image row, in C++ that a compiler can vectorise.

Warp's own loops are not vectorised, because its indexing supports strides and negative indices; they took more than
half of a view's time. Compilers honour `__restrict__`, that arrays do not overlap, for parameters of functions only.
The same code runs on CUDA.
"""

from __future__ import annotations

import warp as wp

from mvgen.render.kernels.runtime import CPU_FLAGS

wp.set_module_options({"enable_backward": False, "default_grid_stride": False, "cpu_compiler_flags": CPU_FLAGS})


@wp.func_native("return values.data[index];")
def read(values: wp.array[wp.float32], index: wp.int32) -> wp.float32:
    """A value of a flat array."""


@wp.func_native("""
const float* x = points.data;
const float* z = points.data + count;
float* u = projected.data;
float* z_view = projected.data + count;
const float xu = camera.data[0][0], zu = camera.data[0][2], u0 = camera.data[0][3];
const float xz = camera.data[2][0], zz = camera.data[2][2], z0 = camera.data[2][3];
#pragma clang loop vectorize(enable)
for (int i = begin; i < end; ++i) {
    u[i] = xu * x[i] + zu * z[i] + u0;
    z_view[i] = xz * x[i] + zz * z[i] + z0;
}
""")
def project_row(
    points: wp.array[wp.float32],
    count: wp.int32,
    begin: wp.int32,
    end: wp.int32,
    camera: wp.mat44,
    projected: wp.array[wp.float32],
):
    """Project points of a row, x and z in the world: u, and `count` elements later z in the view."""


@wp.func_native("""
float* to = values.data + begin;
#pragma clang loop vectorize(enable)
for (int i = 0; i < count; ++i) to[i] = value;
""")
def fill(values: wp.array[wp.float32], begin: wp.int32, count: wp.int32, value: wp.float32):
    """Set `count` elements to one value."""


@wp.func_native("""
float* nearest = depth.data + base;
// Most lines are one pixel long, so the first one is drawn without a test.
do {
    const float here = z + slope * ((float)column + 0.5f - u);
    if (!(here <= nearest[column])) nearest[column] = here;
} while (++column < end);
""")
def draw(
    depth: wp.array[wp.float32], base: wp.int32, column: wp.int32, end: wp.int32,
    u: wp.float32, z: wp.float32, slope: wp.float32,
):  # fmt: skip
    """Draw a line that begins at u, z where it is nearest, on pixels `column` to `end`, excluded, at least one."""


@wp.func_native("""
auto loop = [&back, row, eye, perspective, least, size](
    const float* __restrict__ depth, const float* __restrict__ cosine,
    float* __restrict__ source, bool* __restrict__ valid, float* __restrict__ coverage, float* __restrict__ blend
) {
    const float uu = back.data[0][0], uv = back.data[0][1], uz = back.data[0][2], u0 = back.data[0][3];
    const float vu = back.data[1][0], vv = back.data[1][1], vz = back.data[1][2], v0 = back.data[1][3];
    const float wu = back.data[3][0], wv = back.data[3][1], wz = back.data[3][2], w0 = back.data[3][3];
    const float v = (float)row + 0.5f, rim = (float)size;
    #pragma clang loop vectorize(enable)
    for (int column = 0; column < size; ++column) {
        const float z = depth[column];
        const float w = perspective ? eye - z : 1.0f;
        const float across = ((float)column + 0.5f) * w, down = v * w;
        const float share = wu * across + wv * down + wz * z + w0;
        const float u_seen = (uu * across + uv * down + uz * z + u0) / share;
        const float v_seen = (vu * across + vv * down + vz * z + v0) / share;
        // False where there is no surface: comparisons with NaN are false.
        const bool inside = (u_seen >= 0.0f) & (v_seen >= 0.0f) & (u_seen <= rim) & (v_seen <= rim);
        // Truncation is floor here; pixels outside the picture are not valid, whichever cosine is read.
        const int left = inside ? (int)u_seen : 0, top = inside ? (int)v_seen : 0;
        const int place = (top < size ? top : size - 1) * size + (left < size ? left : size - 1);
        source[2 * column] = u_seen;
        source[2 * column + 1] = v_seen;
        valid[column] = inside & (cosine[place] > least);
        coverage[column] = z == z ? 1.0f : 0.0f;
        blend[column] = 0.0f;
    }
};
const int base = row * size;
loop(
    depth.data + base, cosine.data,
    reinterpret_cast<float*>(source.data + base), valid.data + base, coverage.data + base, blend.data + base
);
""")
def find_source(
    row: wp.int32, back: wp.mat44, eye: wp.float32, perspective: wp.int32,
    cosine: wp.array[wp.float32], least: wp.float32, size: wp.int32, depth: wp.array[wp.float32],
    source: wp.array[wp.vec2], valid: wp.array[wp.bool], coverage: wp.array[wp.float32], blend: wp.array[wp.float32],
):  # fmt: skip
    """Source pixels of a row of the view, and whether the source saw them well; blend is zero.

    eye : depth of the eye, for a pinhole; least : cosine above which the source saw surface well
    """
