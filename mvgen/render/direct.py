# mypy: ignore-errors
# ruff: noqa: F811
# What stands in kernels is warp's language, and only looks like Python's types and operators.
"""Values of flat arrays in kernels, read and written directly.

Warp's own indexing allows for strides and for counting from the end, at the price of a third of the time here.
"""

from __future__ import annotations

import warp as wp

from mvgen.render.warp import CPU_FLAGS

wp.set_module_options({"enable_backward": False, "default_grid_stride": False, "cpu_compiler_flags": CPU_FLAGS})

_READ = "return values.data[index];"
_WRITE = "values.data[index] = value;"


@wp.func_native(_READ)
def read(values: wp.array[wp.float32], index: wp.int32) -> wp.float32: ...


@wp.func_native(_READ)
def read(values: wp.array[wp.int32], index: wp.int32) -> wp.int32: ...


@wp.func_native(_READ)
def read(values: wp.array[wp.vec2i], index: wp.int32) -> wp.vec2i: ...


@wp.func_native(_READ)
def read(values: wp.array[wp.vec3], index: wp.int32) -> wp.vec3: ...


@wp.func_native(_READ)
def read(values: wp.array[wp.vec3ub], index: wp.int32) -> wp.vec3ub: ...


@wp.func_native(_WRITE)
def write(values: wp.array[wp.float32], index: wp.int32, value: wp.float32): ...


@wp.func_native(_WRITE)
def write(values: wp.array[wp.bool], index: wp.int32, value: wp.bool): ...


@wp.func_native(_WRITE)
def write(values: wp.array[wp.vec2], index: wp.int32, value: wp.vec2): ...


@wp.func_native(_WRITE)
def write(values: wp.array[wp.vec3ub], index: wp.int32, value: wp.vec3ub): ...
