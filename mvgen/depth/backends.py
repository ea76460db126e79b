"""Backends of the depth network: torch on a GPU, OpenVINO on a CPU, torch where OpenVINO is not installed.

OpenVINO folds the batch normalisation and keeps the channels innermost; it computes in fp32 and differs from torch by
rounding only. int8 was tried and rejected: it changed the depth of one face pixel in a thousand by more than 0.5 % of
the inter-ocular distance. `benchmarks/speed/inference.py` compares the backends.
"""

from __future__ import annotations

import importlib.util
import warnings
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from mvgen.core.device import compile_for_cpu, start_openvino
from mvgen.depth.network import COLOURS, FIT_CHANNELS, FaceDepthNetwork, Prediction


class Backend(Protocol):
    """Runs the network."""

    name: str

    def __call__(self, images: Tensor) -> Prediction:
        """(B, C, S, S) float32 from `mvgen.depth.network.network_input` -> `Prediction`."""
        ...


class TorchBackend:
    """The network as it is, on any device."""

    name = "torch"

    def __init__(self, network: nn.Module) -> None:
        self._network = network.eval().to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Prediction:
        prediction: Prediction = self._network(images)
        return prediction


class OpenVinoBackend:
    """The network compiled for this CPU, with as many threads as torch has when it is made."""

    name = "openvino"

    def __init__(self, network: FaceDepthNetwork, size: int) -> None:
        start_openvino()
        self._compiled = compile_for_cpu(_converted(network, size))

    def __call__(self, images: Tensor) -> Prediction:
        found = self._compiled(np.ascontiguousarray(images.numpy()))
        return Prediction(*(torch.from_numpy(found[index]) for index in range(len(Prediction._fields))))


def get_backend(network: FaceDepthNetwork, size: int, device: torch.device) -> Backend:
    """The fastest available backend for a network on a device.

    size : side of its input, pixels
    """
    if device.type == "cpu" and openvino_installed():
        return OpenVinoBackend(network, size)
    return TorchBackend(network)


def openvino_installed() -> bool:
    """Whether OpenVINO is installed; does not import it."""
    return importlib.util.find_spec("openvino") is not None


def _converted(network: FaceDepthNetwork, size: int) -> Any:
    """The network as an OpenVINO model for any number of images.

    Through the front end rather than `openvino.convert_model`, which takes four times as long for the same model.
    """
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    channels = COLOURS + (FIT_CHANNELS if network.fitted else 0)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing is deprecated, and warns about constants
        traced = torch.jit.trace(_Plain(network).eval(), torch.zeros(2, channels, size, size), check_trace=False)
        decoder = TorchScriptPythonDecoder(torch.jit.freeze(traced))  # must outlive the conversion
        front = FrontEndManager().load_by_framework("pytorch")
        model = front.convert(front.load(decoder))
    model.reshape([-1, channels, size, size])
    return model


class _Plain(nn.Module):
    """The network with a plain tuple as output, as tracing requires."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self._network = network

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return tuple(self._network(images))
