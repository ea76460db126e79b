"""Use of the depth network: face crops and the fitted face in; depth and face probability out."""

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
from mvgen.depth.backends import Engine, get_engine
from mvgen.depth.network import FIT_CHANNELS, FaceDepthNetwork, Prediction, mirror_fit, network_input, normalise

# The network sees crops at the size it was trained on, whatever the size of the views; its file says which. It says no
# more: safetensors writes several entries in any order, and the same network must give the same bytes.
INPUT_SIZE = "input_size"

# Share of the tilt in the network's correction that is taken, see `less_tilt`: rendered heads alone would take all of
# it, the two real heads of the benchmark none.
_TILT_TAKEN = 0.25

# Crops at once, by kind of device; the network sees each of them twice. A CPU gains nothing by more, and needs memory.
_BATCH = {"cuda": 16, "cpu": 2}


def load_network(path: Path) -> tuple[FaceDepthNetwork, int]:
    """The network of a safetensors file, and the size of its input, pixels.

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
            about = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"depth weights {path} are not a safetensors file: {error}") from None
    # A network that sees the fitted face model has an output more, its trust in itself.
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
        raise WeightsError(
            f"depth weights {path} do not say which input size they are for; make them with mvgen train-depth"
        )
    network.load_state_dict(tensors)
    return network, int(size)


def weights_digest(weights: Path | None = None) -> str:
    """sha256 of weights, None for the shipped ones. Raises WeightsError for a file of one's own that does not fit."""
    if weights is not None:
        load_network(weights)
    return file_digest(weights or shipped_weights())


class DepthEstimator:
    """The trained network, ready for crops.

    encoder : the ResNet-18 trunk; `normalise` makes its input when its features are wanted
    engine : what runs the network, by name
    """

    def __init__(self, weights: Path | None = None, device: str = "auto") -> None:
        self.device = torch.device(resolved_device(device))
        network, self._input_size = load_network(weights or shipped_weights())
        network = network.eval().to(self.device).to(memory_format=torch.channels_last)
        self.fitted = network.fitted
        self.encoder: Any = network.encoder
        self._engine: Engine = get_engine(network, self._input_size, self.device)
        self.engine = self._engine.name

    def normalise(self, crops: NDArray[np.uint8]) -> Tensor:
        """Crops as the trunk takes them when its features are looked at: (B, C, 2 I, 2 I) float32 on the device.

        Twice the network's input size I: features keep the scale they were learned at while the last map has twice the
        cells. Without a fit, as the trunk saw a share of the pictures in training: features are to tell what the
        picture shows, not what was fitted to it.
        """
        colour = _resize(normalise(crops).to(self.device), 2 * self._input_size)
        return network_input(
            colour, colour.new_zeros(len(crops), FIT_CHANNELS, *colour.shape[2:]) if self.fitted else None
        )

    @torch.inference_mode()
    def predict(self, crops: NDArray[np.uint8], fit: NDArray[np.float32]) -> FacePrediction:
        """Depth and face of canonical face crops.

        crops : (T, S, S, 3) uint8 RGB
        fit : (T, S, S, 4) float32, the fitted face, see `mvgen.morphable.rasterise.fit_image`, or (1, S, S, 4) for all
        Depth is NaN beside the fit for a network that sees it.
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
            # Both ways round: the mean of a face and its mirror image halves the noise and favours neither side.
            depth, face = two_ways(self._engine(seen.contiguous(memory_format=torch.channels_last)))
            # What the network adds is smooth; the fit has its own detail.
            added = depth if below is None else less_tilt(depth - below[:, 0])
            maps = _smooth(_resize(torch.stack([added, face], dim=1), size), size / self._input_size)
            whole = maps[:, 0] if below is None else maps[:, 0] + surface[part, 0]
            batches.append((whole, maps[:, 1].clamp(0, 1)))
        return FacePrediction(*(torch.cat(parts).cpu().numpy() for parts in zip(*batches, strict=True)))


def resize_fit(fit: Tensor, size: int) -> Tensor:
    """(B, 4, S, S) -> (B, 4, size, size): the mean of what is known; NaN where less than half of a pixel is."""
    there = fit[:, :1].isfinite().float()
    # Bilinear, also where it grows: a cubic overshoots at the outline.
    both = nn.functional.interpolate(
        torch.cat([fit.nan_to_num(), there], dim=1),
        (size, size),
        mode="bilinear",
        align_corners=False,
        antialias=fit.shape[-1] > size,
    )
    return torch.where(both[:, 4:] > 0.5, both[:, :4] / both[:, 4:], torch.nan)


def less_tilt(correction: Tensor) -> Tensor:
    """Corrections (B, S, S) of a fit, NaN beside it, with a quarter of the tilt in them; zero beside the fit.

    How a head is held is told by landmarks, which have seen photographs of people, and by the network, which learned it
    on rendered heads, where landmarks are worse: on people the landmarks err less, and the two apart.
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
    return torch.where(known, values - (1 - _TILT_TAKEN) * torch.einsum("rci,bi->brc", plane, tilt), 0.0)


def two_ways(seen: Prediction) -> tuple[Tensor, Tensor]:
    """Depth and face probability, the mean of B images and their mirror images, 2 B in that order."""
    depth, face = (values.chunk(2) for values in (seen.depth, seen.face.sigmoid()))
    return (depth[0] + depth[1].flip(-1)) / 2, (face[0] + face[1].flip(-1)) / 2


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
