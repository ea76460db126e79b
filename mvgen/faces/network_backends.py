"""Backends of MediaPipe's networks, which are .tflite files: OpenVINO on a CPU, torch on a GPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mvgen.core.device import compile_for_cpu, start_openvino

Arrays = NDArray[np.float32]


class Backend(Protocol):
    """Runs a network."""

    def __call__(self, images: Arrays) -> tuple[Arrays, ...]:
        """(B, I, I, 3) float32 RGB, I and the range as the network expects -> its outputs, each (B, ...)."""
        ...


def get_backend(weights: Path, device: str) -> Backend:
    """The backend for "cpu" or "cuda"."""
    if device == "cpu":
        return OpenVinoBackend(weights)
    from mvgen.faces.graph_torch import TorchBackend

    return TorchBackend(weights, device)


class OpenVinoBackend:
    """OpenVINO, which reads the file as it is; with as many threads as torch has when it is made."""

    def __init__(self, weights: Path) -> None:
        model = start_openvino().Core().read_model(weights)
        model.reshape([-1, *[int(side) for side in model.inputs[0].shape[1:]]])
        self._compiled: Any = compile_for_cpu(model)

    def __call__(self, images: Arrays) -> tuple[Arrays, ...]:
        found = self._compiled(np.ascontiguousarray(images))
        return tuple(found[index] for index in range(len(self._compiled.outputs)))
