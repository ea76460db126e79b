"""Use of the depth network: face crops in; depth, face probability and landmarks out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mvgen.config import file_digest
from mvgen.depth.engine import Engine, get_engine
from mvgen.depth.network import FaceDepthNetwork, Prediction, mirror_landmarks, normalise
from mvgen.device import resolved_device
from mvgen.errors import WeightsError
from mvgen.ibug import COUNT, MIRROR
from mvgen.paths import shipped_weights
from mvgen.records import FacePrediction

# The network sees crops at the size it was trained on, whatever the size of the views; its file says which.
INPUT_SIZE = "input_size"

# Crops at once, by kind of device; the network sees each of them twice. A CPU gains nothing by more, and needs memory.
_BATCH = {"cuda": 16, "cpu": 2}


def load_weights(network: nn.Module, path: Path) -> int:
    """Fill a network from a safetensors file and return the size of its input, pixels.

    Raises WeightsError naming the file and what does not fit.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise WeightsError(
            f"depth weights {path} do not exist; give others with --weights, or make them: mvgen train-depth"
        )
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
            size = (file.metadata() or {}).get(INPUT_SIZE, "")
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"depth weights {path} are not a safetensors file: {error}") from None
    tensors = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
    own = network.state_dict()
    missing, extra = sorted(own.keys() - tensors.keys()), sorted(tensors.keys() - own.keys())
    misfit = [name for name in own.keys() & tensors.keys() if own[name].shape != tensors[name].shape]
    if missing or extra or misfit:
        first = (missing + extra + sorted(misfit))[0]
        raise WeightsError(
            f"depth weights {path} are of another network: {len(missing)} tensors missing, {len(extra)} unknown, "
            f"{len(misfit)} of another shape (first: {first}); use the file that mvgen train-depth writes"
        )
    if not size.isdigit() or int(size) % 32 or not int(size):
        raise WeightsError(
            f"depth weights {path} do not say which input size they are for; make them with mvgen train-depth"
        )
    network.load_state_dict(tensors)
    return int(size)


def weights_digest(weights: Path | None = None) -> str:
    """sha256 of weights, None for the shipped ones. Raises WeightsError for a file of one's own that does not fit."""
    if weights is not None:
        load_weights(FaceDepthNetwork(), weights)
    return file_digest(weights or shipped_weights())


class DepthEstimator:
    """The trained network, ready for crops.

    encoder : the ResNet-18 trunk; `normalise` makes its input when its features are wanted
    engine : what runs the network, by name
    """

    def __init__(self, weights: Path | None = None, device: str = "auto") -> None:
        self.device = torch.device(resolved_device(device))
        network = FaceDepthNetwork()
        self._input_size = load_weights(network, weights or shipped_weights())
        network = network.eval().to(self.device).to(memory_format=torch.channels_last)
        self.encoder: Any = network.encoder
        self._engine: Engine = get_engine(network, self._input_size, self.device)
        self.engine = self._engine.name

    def normalise(self, crops: NDArray[np.uint8]) -> Tensor:
        """Crops as the trunk takes them when its features are looked at: (B, 3, 2 I, 2 I) float32 on the device.

        Twice the network's input size I: features keep the scale they were learned at while the last map has twice the
        cells. Of sides from 96 to 256, Grad-CAM agreed best with the measured motion there (37 stand-in clips:
        correlation 0.26, against 0.17 at 128 and 0.21 at 256).
        """
        return _resize(normalise(crops).to(self.device), 2 * self._input_size)

    @torch.inference_mode()
    def predict(self, crops: NDArray[np.uint8]) -> FacePrediction:
        """Depth, face and landmarks of canonical face crops, (T, S, S, 3) uint8 RGB."""
        size = crops.shape[1]
        if len(crops) == 0:
            shapes = ((0, size, size), (0, size, size), (0, COUNT, 2), (0, COUNT))
            return FacePrediction(*(np.zeros(shape, np.float32) for shape in shapes))
        batches, most = [], _BATCH[self.device.type]
        for batch in np.array_split(crops, -(-len(crops) // most)):
            small = _resize(normalise(batch).to(self.device), self._input_size)
            # Both ways round: the mean of a face and its mirror image halves the noise and favours neither side.
            seen = two_ways(self._engine(torch.cat([small, small.flip(-1)])))
            maps = _smooth(_resize(torch.stack([seen.depth, seen.face], dim=1), size), size / self._input_size)
            batches.append((maps[:, 0], maps[:, 1].clamp(0, 1), seen.landmarks * size, seen.visible))
        return FacePrediction(*(torch.cat(parts).cpu().numpy() for parts in zip(*batches, strict=True)))


def two_ways(seen: Prediction) -> Prediction:
    """The mean of B images and their mirror images, 2 B in that order; `face` and `visible` become probabilities."""
    depth, face, landmarks, visible = (
        values.chunk(2) for values in (seen.depth, seen.face.sigmoid(), seen.landmarks, seen.visible.sigmoid())
    )
    return Prediction(
        (depth[0] + depth[1].flip(-1)) / 2,
        (face[0] + face[1].flip(-1)) / 2,
        (landmarks[0] + mirror_landmarks(landmarks[1])) / 2,
        (visible[0] + visible[1][:, MIRROR.tolist()]) / 2,
    )


def _smooth(images: Tensor, zoom: float) -> Tensor:
    """Half a network pixel of Gaussian blur: what enlarging adds is a grid in the slope, and no detail."""
    if zoom <= 1:
        return images
    sigma = 0.6 * zoom
    reach = int(np.ceil(3 * sigma))
    offsets = torch.arange(-reach, reach + 1, device=images.device, dtype=images.dtype)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = (kernel / kernel.sum()).view(1, 1, 1, -1).expand(images.shape[1], 1, 1, -1)
    for pad, weight in (((reach, reach, 0, 0), kernel), ((0, 0, reach, reach), kernel.transpose(2, 3))):
        padded = nn.functional.pad(images, pad, mode="replicate")
        images = nn.functional.conv2d(padded, weight, groups=images.shape[1])
    return images


def _resize(images: Tensor, size: int) -> Tensor:
    """(B, C, S, S) -> (B, C, size, size), antialiased when it shrinks, bicubic when it grows: surfaces stay smooth."""
    if images.shape[-1] == size:
        return images
    shrink = images.shape[-1] > size
    how = "bilinear" if shrink else "bicubic"
    return nn.functional.interpolate(images, (size, size), mode=how, align_corners=False, antialias=shrink)
