"""NVIDIA Warp, started without its banner, and its arrays. Compiled kernels are kept in mvgen's cache folder."""

from __future__ import annotations

import os
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvgen.core.device import start_warp
from mvgen.core.errors import ConfigError
from mvgen.core.extras import import_part
from mvgen.core.files import cache_dir

CPU_FLAGS = "-march=native -ffp-contract=off"
"""For the compiler of kernels: no fused multiply-add, so that every CPU gives the same result."""


@cache
def open_warp(device: str) -> Any:
    """The package warp, ready to run on "cpu" or "cuda". The first use of a kernel on a machine compiles it.

    Raises MissingPartError without warp, ConfigError where its cache cannot be written or there is no such device.
    """
    warp = import_part("warp", "rendering views")
    folder = cache_dir() / "warp"
    # If Warp has been started before, its cache folder is set already.
    if warp.config.kernel_cache_dir is None and not os.environ.get("WARP_CACHE_PATH"):
        warp.config.kernel_cache_dir = str(folder)
    try:
        start_warp()
    except OSError as error:
        raise ConfigError(f"{folder} cannot be written: {error}; set MVGEN_CACHE_DIR to a folder that can") from None
    if device == "cuda" and not warp.is_cuda_available():
        raise ConfigError("device: cuda is not available to the renderer; use --device cpu, or see `mvgen doctor`")
    return warp


def uploaded(array: NDArray[Any], kind: Any, device: str) -> Any:
    """An array for kernels; on the CPU it shares the memory of `array`, so kernels write to `array`."""
    import warp

    return warp.array(np.ascontiguousarray(array), dtype=kind, device=device, copy=device != "cpu")
