"""NVIDIA warp, opened quietly, and its arrays. Its compiled kernels are cached beside everything else of mvgen's."""

from __future__ import annotations

import os
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvgen.core.device import start_warp
from mvgen.core.errors import ConfigError, MissingPartError
from mvgen.core.files import cache_dir

CPU_FLAGS = "-march=native -ffp-contract=off"
"""For the compiler of kernels: a multiplication and an addition are never fused, so that every CPU gives one result."""


@cache
def open_warp(device: str) -> Any:
    """The package warp, ready to run on "cpu" or "cuda". The first use of a kernel on a machine compiles it.

    Raises MissingPartError without warp, ConfigError where its cache cannot be written or there is no such device.
    """
    try:
        import warp
    except ImportError as error:
        raise MissingPartError(f"warp ({error})", "rendering views", "pip install warp-lang") from None
    folder = cache_dir() / "warp"
    # Once warp has started, by our hand or another's, its cache has a place.
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
    """An array as kernels take it; on the CPU it is the same memory, so what kernels write is written to `array`."""
    import warp

    return warp.array(np.ascontiguousarray(array), dtype=kind, device=device, copy=device != "cpu")
