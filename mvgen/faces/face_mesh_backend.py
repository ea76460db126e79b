"""Backends of MediaPipe's face landmark network: OpenVINO on a CPU, torch on a GPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mvgen.core.device import start_openvino

Arrays = NDArray[np.float32]

INPUT_SIZE = 192


class MeshBackend(Protocol):
    """Runs the network."""

    def __call__(self, images: Arrays) -> tuple[Arrays, Arrays]:
        """(B, 192, 192, 3) float32 RGB in [0, 1] -> (B, 1404) points in input pixels, (B,) log-odds of a face."""
        ...


def get_backend(weights: Path, device: str) -> MeshBackend:
    """The backend for "cpu" or "cuda"."""
    if device == "cpu":
        return OpenVinoMeshBackend(weights)
    from mvgen.faces.face_mesh_torch import TorchMeshBackend

    return TorchMeshBackend(weights, device)


class OpenVinoMeshBackend:
    """OpenVINO, which reads the file as it is; with as many threads as torch has when it is made."""

    def __init__(self, weights: Path) -> None:
        import torch

        openvino = start_openvino()
        core = openvino.Core()
        model = core.read_model(weights)
        model.reshape([-1, INPUT_SIZE, INPUT_SIZE, 3])
        settings = {
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "NUM_STREAMS": 1,
            # On CPUs with bf16 it would be the default.
            "INFERENCE_PRECISION_HINT": "f32",
            # Every worker process of a build would be pinned to the same core.
            "ENABLE_CPU_PINNING": False,
        }
        self._compiled: Any = core.compile_model(model, "CPU", settings)

    def __call__(self, images: Arrays) -> tuple[Arrays, Arrays]:
        found = self._compiled(np.ascontiguousarray(images))
        return found[0].reshape(len(images), -1), found[1].reshape(len(images))
