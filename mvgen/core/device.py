"""Where the networks and kernels run."""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Any

from mvgen.core.errors import ConfigError


def resolved_device(device: str) -> str:
    """The device, "cpu" or "cuda", for a setting that may be "auto". ConfigError when it is not available."""
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
    """Start Warp, which Anny and the renderer need, without its greeting or its warning that there is no GPU."""
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
    """Import OpenVINO without its telemetry."""
    # A module that is None cannot be imported; OpenVINO then runs without it.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def compile_for_cpu(model: Any) -> Any:
    """An OpenVINO model compiled for this CPU, with as many threads as torch has now."""
    import torch

    settings = {
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "NUM_STREAMS": 1,
        # On CPUs with bf16 it would be the default.
        "INFERENCE_PRECISION_HINT": "f32",
        # Every worker process of a build would be pinned to the same core.
        "ENABLE_CPU_PINNING": False,
    }
    return start_openvino().Core().compile_model(model, "CPU", settings)


def one_thread() -> None:
    """Limit this process to one thread: sums must not depend on the number, and clips already run in parallel."""
    import cv2
    import scipy.linalg  # noqa: F401  it has its own threads, which can only be limited once it is loaded
    import torch
    from threadpoolctl import threadpool_limits

    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    threadpool_limits(1)
