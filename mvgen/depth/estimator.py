"""Inference of the depth network: from face crops and the fitted face to depth and face probability."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mvgen.core.camera import EYE_CENTRE
from mvgen.core.config import file_digest
from mvgen.core.device import resolved_device
from mvgen.core.errors import WeightsError
from mvgen.core.files import shipped_weights
from mvgen.core.records import FacePrediction
from mvgen.depth.backends import get_backend
from mvgen.depth.network import FIT_CHANNELS, FaceDepthNetwork, Prediction, mirror_fit, network_input, normalise

# Crops are resized to the size that the network was trained on, which is in its file. The file has no other metadata:
# safetensors writes several entries in any order, and the same network must give the same bytes.
INPUT_SIZE = "input_size"

# Share of the tilt in the network's correction that is kept, see `damp_tilt`: on rendered heads all of it would be
# best, on the two real heads of the benchmark none.
_TILT_KEPT = 0.25

# Crops per batch, by kind of device; each is run twice. A CPU gains nothing by more, and needs memory.
_BATCH = {"cuda": 16, "cpu": 2}


def load_network(path: Path) -> tuple[FaceDepthNetwork, int]:
    """The network of a safetensors file, and the size of its input, pixels.

    Raises WeightsError naming the file and what is wrong with it.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise WeightsError(
            f"depth weights {path} do not exist; give others with --weights, or make them: mvgen train-depth"
        )
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
            about = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"depth weights {path} are not a safetensors file: {error}") from None
    # A network with the fitted face model as input has one more output, its confidence.
    network = FaceDepthNetwork(fitted=tensors.get("head.bias", torch.empty(0)).shape == (3,))
    size = about.get(INPUT_SIZE, "")
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
        raise WeightsError(f"depth weights {path} do not state their input size; make them with mvgen train-depth")
    network.load_state_dict(tensors)
    return network, int(size)


def weights_digest(weights: Path | None = None) -> str:
    """sha256 of weights, None for the shipped ones. Raises WeightsError for another file that does not fit."""
    if weights is not None:
        load_network(weights)
    return file_digest(weights or shipped_weights())


class DepthEstimator:
    """The trained network, ready for crops.

    encoder : the ResNet-18 trunk; `normalise` makes the input for its features
    """

    def __init__(self, weights: Path | None = None, device: str = "auto") -> None:
        self.device = torch.device(resolved_device(device))
        network, self._input_size = load_network(weights or shipped_weights())
        network = network.eval().to(self.device).to(memory_format=torch.channels_last)
        self.fitted = network.fitted
        self.encoder: Any = network.encoder
        self._backend = get_backend(network, self._input_size, self.device)

    def normalise(self, crops: NDArray[np.uint8]) -> Tensor:
        """The trunk's input for features: (B, C, 2 I, 2 I) float32 on the device.

        Twice the network's input size I, so that the last feature map has twice the resolution. Without a fit, as for a
        share of the pictures in training, so that features depend on the picture only.
        """
        colour = _resize(normalise(crops).to(self.device), 2 * self._input_size)
        return network_input(
            colour, colour.new_zeros(len(crops), FIT_CHANNELS, *colour.shape[2:]) if self.fitted else None
        )

    @torch.inference_mode()
    def predict(self, crops: NDArray[np.uint8], fit: NDArray[np.float32]) -> FacePrediction:
        """Depth and face probability of canonical face crops.

        crops : (T, S, S, 3) uint8 RGB
        fit : (T, S, S, 4) float32, the fitted face, see `mvgen.morphable.rasterise.fit_image`, or (1, S, S, 4) for all
        Depth is NaN off the fitted face for a network with the fit as input.
        """
        size = crops.shape[1]
        if len(crops) == 0:
            return FacePrediction(*(np.zeros((0, size, size), np.float32) for _ in range(2)))
        surface = torch.tensor(fit).expand(len(crops), size, size, FIT_CHANNELS)
        surface = surface.permute(0, 3, 1, 2).to(self.device)
        batches, most = [], _BATCH[self.device.type]
        for part in np.array_split(np.arange(len(crops)), -(-len(crops) // most)):
            small = _resize(normalise(crops[part]).to(self.device), self._input_size)
            below = resize_fit(surface[part], self._input_size) if self.fitted else None
            both = [small, small.flip(-1)]
            seen = torch.cat(both) if below is None else torch.cat(
                [network_input(one, other) for one, other in zip(both, (below, mirror_fit(below)), strict=True)]
            )  # fmt: skip
            # The mean of a face and its mirror image halves the noise and favours neither side.
            depth, face = mirror_mean(self._backend(seen.contiguous(memory_format=torch.channels_last)))
            # Only the network's correction is resized: the fit has full resolution.
            added = depth if below is None else damp_tilt(depth - below[:, 0])
            maps = _smooth(_resize(torch.stack([added, face], dim=1), size), size / self._input_size)
            whole = maps[:, 0] if below is None else maps[:, 0] + surface[part, 0]
            batches.append((whole, maps[:, 1].clamp(0, 1)))
        return FacePrediction(*(torch.cat(parts).cpu().numpy() for parts in zip(*batches, strict=True)))


def resize_fit(fit: Tensor, size: int) -> Tensor:
    """(B, 4, S, S) -> (B, 4, size, size): the mean of known pixels; NaN where less than half of a pixel is known."""
    there = fit[:, :1].isfinite().float()
    # Bilinear, also to enlarge: cubic interpolation overshoots at the outline.
    both = nn.functional.interpolate(
        torch.cat([fit.nan_to_num(), there], dim=1),
        (size, size),
        mode="bilinear",
        align_corners=False,
        antialias=fit.shape[-1] > size,
    )
    return torch.where(both[:, 4:] > 0.5, both[:, :4] / both[:, 4:], torch.nan)


def damp_tilt(correction: Tensor) -> Tensor:
    """Corrections (B, S, S) of a fit, NaN off it, with a quarter of their tilt; zero off the fit.

    The network learned head pose on rendered heads, the landmarker on photographs of people, where its pose is the
    better one: most of the tilt that the network adds would be an error.
    """
    known = correction.isfinite()
    values = correction.nan_to_num()
    rows, columns = (torch.linspace(-1, 1, size, device=values.device) for size in values.shape[1:])
    rows = rows - (2 * EYE_CENTRE[1] - 1)  # about the eyes, whose depth is 0
    plane = torch.stack(torch.broadcast_tensors(torch.ones(()).to(rows), rows[:, None], columns[None]), dim=-1)
    share = known[..., None] * plane
    normal = torch.einsum("brci,rcj->bij", share, plane) + 1e-6 * torch.eye(3, device=values.device)
    tilt = torch.linalg.solve(normal, torch.einsum("brci,brc->bi", share, values))
    tilt[:, 0] = 0
    return torch.where(known, values - (1 - _TILT_KEPT) * torch.einsum("rci,bi->brc", plane, tilt), 0.0)


def mirror_mean(seen: Prediction) -> tuple[Tensor, Tensor]:
    """Depth and face probability, the mean of B images and their mirror images, 2 B in that order."""
    depth, face = (values.chunk(2) for values in (seen.depth, seen.face.sigmoid()))
    return (depth[0] + depth[1].flip(-1)) / 2, (face[0] + face[1].flip(-1)) / 2


def _smooth(images: Tensor, zoom: float) -> Tensor:
    """Gaussian blur of about half a network pixel: it removes the pixel grid that enlarging leaves in the slope."""
    if zoom <= 1:
        return images
    sigma = 0.6 * zoom
    radius = int(np.ceil(3 * sigma))
    offsets = torch.arange(-radius, radius + 1, device=images.device, dtype=images.dtype)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = (kernel / kernel.sum()).view(1, 1, 1, -1).expand(images.shape[1], 1, 1, -1)
    for pad, weight in (((radius, radius, 0, 0), kernel), ((0, 0, radius, radius), kernel.transpose(2, 3))):
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
