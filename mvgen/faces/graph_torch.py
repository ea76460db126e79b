"""MediaPipe's networks in torch, for CUDA: OpenVINO reads their files, torch executes the graph."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from mvgen.core.device import start_openvino

Arrays = NDArray[np.float32]


class TorchBackend:
    """A network of a .tflite file on a torch device."""

    def __init__(self, weights: Path, device: str) -> None:
        self._device = torch.device(device)
        self._network = GraphNetwork(start_openvino().Core().read_model(weights)).eval().to(self._device)

    @torch.inference_mode()
    def __call__(self, images: Arrays) -> tuple[Arrays, ...]:
        """See `mvgen.faces.network_backends.Backend`."""
        batch = torch.from_numpy(np.ascontiguousarray(images)).to(self._device)
        # TF32 would move points by a fraction of a pixel.
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            return tuple(found.cpu().numpy() for found in self._network(batch))


class GraphNetwork(nn.Module):
    """An OpenVINO model, node by node; constant expressions are computed once and kept as buffers.

    model : openvino.Model of convolutions, additions, ReLU, PReLU, pooling and concatenation, with one input
    Raises NotImplementedError for a node of another kind.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self._steps: list[tuple[str, Callable[..., Tensor], list[str]]] = []
        self._input, self._outputs = "", [_source(result, 0) for result in model.get_results()]
        constant: dict[str, Tensor] = {}
        for node in model.get_ordered_ops():
            name, kind = node.get_name(), node.get_type_name()
            if kind == "Parameter":
                self._input = name
            elif kind == "Constant":
                constant[name] = torch.from_numpy(np.array(node.data))
            elif kind != "Result":
                call, sources = _call(node, constant)
                if all(source in constant for source in sources):
                    constant[name] = call(*(constant[source] for source in sources))
                else:
                    self._steps.append((name, call, sources))
        for name in {source for _, _, sources in self._steps for source in sources} & constant.keys():
            self.register_buffer(name, constant[name])

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """The model's outputs for its input."""
        values = dict(self.named_buffers()) | {self._input: images}
        for name, call, sources in self._steps:
            values[name] = call(*(values[source] for source in sources))
        return tuple(values[name] for name in self._outputs)


def _source(node: Any, index: int) -> str:
    """Name of the node that an input comes from."""
    return str(node.input_value(index).get_node().get_name())


def _call(node: Any, constant: dict[str, Tensor]) -> tuple[Callable[..., Tensor], list[str]]:
    """A node as a torch call with its shapes and axes bound, and the names of the call's inputs."""
    kind, settings = node.get_type_name(), node.get_attributes()
    sources = [_source(node, index) for index in range(node.get_input_size())]

    def listed(index: int) -> list[int]:
        return [int(value) for value in constant[sources[index]].reshape(-1)]

    call: Callable[..., Tensor]
    match kind:
        case "Add" | "Convert" | "PRelu" | "Relu":
            return _PLAIN[kind], sources
        case "Concat":
            return partial(_concatenate, axis=settings["axis"]), sources
        case "Convolution" | "GroupConvolution":
            pads = _torch_pads(settings["pads_begin"], settings["pads_end"])
            return partial(_convolve, pads=pads, stride=settings["strides"]), sources
        case "Transpose":
            call = partial(torch.permute, dims=listed(1))
        case "Reshape":
            call = partial(_reshape, shape=listed(1))
        case "Unsqueeze":
            call = partial(_unsqueeze, axes=listed(1))
        case "Pad":
            call = partial(F.pad, pad=_torch_pads(listed(1), listed(2)))
        case "MaxPool":
            call = partial(F.max_pool2d, kernel_size=settings["kernel"], stride=settings["strides"])
        case _:
            raise NotImplementedError(f"the network has a node of an unknown kind, {kind}")
    return call, sources[:1]


def _torch_pads(before: list[int], after: list[int]) -> list[int]:
    """Padding per axis as torch lists it: from the last axis to the first, both ends of each."""
    return [pad for ends in zip(reversed(before), reversed(after), strict=True) for pad in ends]


def _reshape(values: Tensor, shape: list[int]) -> Tensor:
    # A zero keeps the length of that axis.
    return values.reshape([side or values.shape[axis] for axis, side in enumerate(shape)])


def _unsqueeze(values: Tensor, axes: list[int]) -> Tensor:
    for axis in sorted(axes):
        values = values.unsqueeze(axis)
    return values


def _concatenate(*parts: Tensor, axis: int) -> Tensor:
    return torch.cat(parts, dim=axis)


def _prelu(values: Tensor, slope: Tensor) -> Tensor:
    return torch.where(values < 0, values * slope, values)


# Nodes that are calls as they are.
_PLAIN: dict[str, Callable[..., Tensor]] = {
    "Add": torch.add,
    "Convert": Tensor.float,
    "PRelu": _prelu,
    "Relu": torch.relu,
}


def _convolve(values: Tensor, weight: Tensor, pads: list[int], stride: list[int]) -> Tensor:
    groups = 1
    if weight.dim() == 5:  # groups first, as OpenVINO keeps them
        groups, weight = len(weight), weight.flatten(0, 1)
    return F.conv2d(F.pad(values, pads), weight, stride=stride, groups=groups)
