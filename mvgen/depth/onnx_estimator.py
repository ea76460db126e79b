"""The depth network with the detail of a user's own model in place of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from mvgen.core.errors import ClipError
from mvgen.core.records import FacePrediction, Image
from mvgen.depth.alignment import MisfitError, depth_detail, normal_detail
from mvgen.depth.estimator import damp_tilt
from mvgen.depth.onnx_model import OnnxModel

Arrays = NDArray[np.float32]


class Network(Protocol):
    """`mvgen.depth.estimator.DepthEstimator`."""

    encoder: Callable[[Any], Sequence[Any]]

    def predict(self, crops: Image, fit: Arrays) -> FacePrediction:
        """Depth and face probability of crops."""
        ...

    def normalise(self, crops: Image) -> Any:
        """Crops as input of the encoder."""
        ...


class OnnxEstimator:
    """A depth predictor: the fit, and the detail of a model that sees one picture.

    network : still says what hides the face, and gives the attention head its features
    """

    def __init__(self, network: Network, model: OnnxModel) -> None:
        self._network, self._model = network, model
        self.encoder, self.normalise = network.encoder, network.normalise
        self._last: tuple[bytes, Arrays] | None = None

    def predict(self, crops: Image, fit: Arrays) -> FacePrediction:
        """As `DepthEstimator.predict`; where one fit is for all crops, the first of them stands for all.

        Raises ClipError("depth") where the model's map is not of this face.
        """
        seen = self._network.predict(crops, fit)
        if len(crops) == 0:
            return seen
        # As many as there are fits: one, or one for each crop.
        each = [self._surface(*one) for one in zip(crops, fit, seen.face, strict=False)]
        return FacePrediction(np.broadcast_to(np.stack(each), seen.face.shape), seen.face)

    def _surface(self, crop: Image, fit: Arrays, face: Arrays) -> Arrays:
        """(S, S) world units, NaN off the fit. face : (S, S), the share of the detail that is kept"""
        seen = _resized(self._map(crop), len(crop))
        try:
            detail = depth_detail(seen, fit) if seen.ndim == 2 else normal_detail(seen, fit)
        except MisfitError as error:
            raise ClipError(
                "depth", f"the map {error}; see --depth-onnx-input, or build without --depth-onnx", self._model.path
            ) from None
        added = np.where(np.isfinite(fit[..., 0]), detail * face, np.nan).astype(np.float32)
        return np.asarray(fit[..., 0] + damp_tilt(torch.from_numpy(added)[None])[0].numpy(), np.float32)

    def _map(self, crop: Image) -> Arrays:
        """The model's map. It is kept for the next call: registration and geometry mostly look at the same picture."""
        key = crop.tobytes()
        if self._last is None or self._last[0] != key:
            self._last = key, self._model(crop)
        return self._last[1]


def _resized(seen: Arrays, size: int) -> Arrays:
    """(h, w, 1) -> (S, S), (h, w, 3) -> (S, S, 3)."""
    import cv2

    how = cv2.INTER_AREA if len(seen) > size else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(seen, (size, size), interpolation=how), np.float32)
