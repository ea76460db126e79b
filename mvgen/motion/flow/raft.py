"""Optical flow by a trained network: torchvision's RAFT.

Its weights do not come with mvgen: they are read from a safetensors file, or from torch's cache if torchvision has
downloaded them before. Nothing is downloaded, and only torchvision's own file is unpickled.
Source: Teed and Deng, RAFT: Recurrent All-Pairs Field Transforms for Optical Flow, ECCV 2020.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mvgen.core.device import resolved_device
from mvgen.core.errors import MissingPartError, WeightsError
from mvgen.core.records import Image

_LEAST_SIDE = 128  # the network compares maps of an eighth of the image on four scales
_WIDTH = "feature_encoder.convnormrelu.0.weight"  # 64 channels in the large network, 32 in the small one


class Raft:
    """The network, ready for pairs of frames."""

    def __init__(self, weights: Path | None = None, device: str = "auto") -> None:
        """Load the network.

        weights : safetensors with the state of torchvision's `raft_large` or `raft_small`; torch's cache by default
        Raises MissingPartError where there are none, WeightsError for a file that does not fit.
        """
        from torchvision.models.optical_flow import raft_large, raft_small

        state, name = (_read(weights), str(weights)) if weights else _cached()
        small = _WIDTH in state and state[_WIDTH].shape[0] == 32
        network = raft_small(weights=None) if small else raft_large(weights=None)
        try:
            network.load_state_dict(state)
        except RuntimeError:
            raise WeightsError(
                f"flow weights {name} are not those of torchvision's raft_large or raft_small; "
                "save one of their state_dicts with safetensors.torch.save_file"
            ) from None
        self._device = torch.device(resolved_device(device))
        self._network: Any = network.eval().to(self._device)

    @torch.inference_mode()
    def __call__(self, first: Image, second: Image) -> NDArray[np.float32]:
        """Motion from one (S, S, 3) uint8 frame to another: (S, S, 2) float32, pixels."""
        height, width = first.shape[:2]
        pair = torch.from_numpy(np.stack([first, second])).to(self._device).permute(0, 3, 1, 2).float() / 127.5 - 1
        side = [max(_LEAST_SIDE, -(-length // 8) * 8) for length in (height, width)]
        pair = torch.nn.functional.interpolate(pair, side, mode="bilinear", align_corners=False)
        motion = self._network(pair[:1], pair[1:])[-1]
        motion = torch.nn.functional.interpolate(motion, (height, width), mode="bilinear", align_corners=False)[0]
        stretch = torch.tensor([width / side[1], height / side[0]], device=motion.device)
        return np.asarray((motion.permute(1, 2, 0) * stretch).cpu().numpy(), np.float32)


def _read(path: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"flow weights {path} cannot be read as safetensors: {error}") from None


def _cached() -> tuple[dict[str, torch.Tensor], str]:
    """The weights that torchvision keeps in torch's cache, if the file is complete, and their name."""
    from torchvision.models.optical_flow import Raft_Large_Weights, Raft_Small_Weights

    folder = Path(torch.hub.get_dir()) / "checkpoints"
    for known in (Raft_Large_Weights.DEFAULT, Raft_Small_Weights.DEFAULT):
        name = known.url.rpartition("/")[2]
        path = folder / name
        # The name ends with the first digits of the file's sha256: only the file that torchvision offers is opened.
        if path.is_file():
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            if digest.startswith(path.stem.rpartition("-")[2]):
                return torch.load(path, map_location="cpu", weights_only=True), name
    raise MissingPartError(
        "a RAFT network's weights",
        "flow_method raft",
        'giving a safetensors file as flow_weights, or `python -c "from torchvision.models.optical_flow import '
        "raft_large; raft_large(weights='DEFAULT')\"` once where there is a network; dis needs no weights",
    )
