"""Where the networks and kernels run."""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Any

from mvgen.core.errors import ConfigError


def resolved_device(device: str) -> str:
    """Where the networks run, "cpu" or "cuda", for a device as people give it. ConfigError when it is not there."""
    if device not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"device {device!r} is unknown; it is auto, cpu or cuda")
    if device == "cpu" or (device == "auto" and not _driver_installed()):
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if device == "cuda":
        raise ConfigError("device: cuda is not available on this machine; use --device cpu, or see `mvgen doctor`")
    return "cpu"


def _driver_installed() -> bool:
    """Whether torch may find a GPU: on Linux it takes a driver, which is known without loading torch."""
    if sys.platform != "linux" or os.path.exists("/dev/kfd"):
        return True
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


def start_warp() -> None:
    """Start the library of Anny's and the renderer's kernels without its greeting, or its complaint of no GPU."""
    import warp

    warp.config.log_level = warp.LOG_ERROR
    sys.stderr.flush()
    stderr = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        warp.init()
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


def start_openvino() -> Any:
    """The module of OpenVINO, without the report to its maker that it was imported."""
    # A module that is None cannot be imported, and OpenVINO then does without.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def one_thread() -> None:
    """One thread per process: sums must not depend on how many there are, and clips already run side by side."""
    import cv2
    import scipy.linalg  # noqa: F401  its threads are its own, and only what is loaded can be limited
    import torch
    from threadpoolctl import threadpool_limits

    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    threadpool_limits(1)
