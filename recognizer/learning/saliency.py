"""Saliency maps: how strongly each pixel of each frame influences the score of a class.

Source: Simonyan et al., Deep Inside Convolutional Networks, 2014, by captum; figure 4 of Reddy et al., IJCNN 2019.
"""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from recognizer.errors import RecogniserError
from recognizer.learning.fit import Device
from recognizer.learning.weights import Trained
from recognizer.systems import NeuralSystem

Floats = NDArray[np.floating]


def saliency(trained: Trained, inputs: Mapping[str, Floats], label: int, device: Device) -> dict[str, Floats]:
    """Maps of the inputs that are images: (T, H, W) each, the largest magnitude over the channels.

    inputs : of one sample, without a batch axis; images are (C, H, W) or (C, T, H, W)
    Raises RecogniserError for hand-crafted features, which have no gradient, and if no input is an image.
    """
    from captum.attr import Saliency

    if not isinstance(trained.system, NeuralSystem):
        raise RecogniserError(f"{trained.system.name} is not a network: there is no gradient to show")
    shown = [name for name, values in inputs.items() if is_picture(values)]
    if not shown:
        raise RecogniserError(f"the inputs of {trained.system.name} are not images; there is nothing to draw")
    names = list(inputs)
    network = trained.model.eval()

    def forward(*tensors: torch.Tensor) -> torch.Tensor:
        return network(dict(zip(names, tensors, strict=True)))

    tensors = tuple(torch.from_numpy(np.float32(inputs[name]))[None].to(device.name).requires_grad_() for name in names)
    gradients = Saliency(forward).attribute(tensors, target=label)
    found = dict(zip(names, gradients, strict=True))
    return {name: frames_of(found[name][0].detach().abs().cpu().numpy()) for name in shown}


def is_picture(values: Floats) -> bool:
    """Whether an input is (C, H, W) or (C, T, H, W) with square images larger than 8 pixels."""
    return values.ndim in (3, 4) and values.shape[-1] == values.shape[-2] > 8


def frames_of(values: Floats) -> Floats:
    """(C, H, W) or (C, T, H, W) -> (T, H, W), the largest over the channels."""
    largest = values.max(axis=0)
    return largest if values.ndim == 4 else largest[None]


def sheet(inputs: Mapping[str, Floats], maps: Mapping[str, Floats], title: str, columns: int = 7) -> bytes:
    """PNG with two rows for each input: frames spread over the clip, and below each its map, on a common scale."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.5 * columns, 3.2 * len(maps) + 0.3), layout="constrained")
    axes = figure.subplots(2 * len(maps), columns, squeeze=False)
    for axis in axes.reshape(-1):
        axis.set_axis_off()
    for row, (name, found) in enumerate(maps.items()):
        pictures = inputs[name].mean(axis=0).reshape(found.shape)
        chosen = np.unique(np.linspace(0, len(found) - 1, columns).round().astype(int))
        top = max(float(np.percentile(found, 99.5)), 1e-12)
        for column, frame in enumerate(chosen):
            above, below = axes[2 * row, column], axes[2 * row + 1, column]
            above.imshow(pictures[frame], cmap="gray", vmin=pictures.min(), vmax=pictures.max())
            above.set_title(f"{name} {frame + 1}" if len(found) > 1 else name, fontsize=8)
            below.imshow(found[frame], cmap="inferno", vmin=0, vmax=top)
    figure.suptitle(title, fontsize=9)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120, metadata={"Software": None})
    return buffer.getvalue()
