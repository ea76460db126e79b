"""Networks, face model and renderer, loaded once for all clips."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from mvgen.core.config import BuildConfig
from mvgen.core.device import resolved_device
from mvgen.core.errors import WeightsError
from mvgen.core.records import Image
from mvgen.depth.clip_geometry import DepthPredictor
from mvgen.faces.detection import Detector
from mvgen.faces.landmarks import Landmarker
from mvgen.morphable.model import FaceModel
from mvgen.render import Renderer, get_renderer
from mvgen.views.attention import AttentionModel


class DepthEstimator(DepthPredictor, Protocol):
    """The depth network: see `mvgen.depth.estimator`."""

    @property
    def encoder(self) -> Callable[[Any], Sequence[Any]]:
        """(N, 3, S, S) -> feature maps."""
        ...

    def normalise(self, crops: Image) -> Any:
        """Crops as input of the encoder."""
        ...


@dataclass(frozen=True, slots=True)
class Tools:
    """Loaded once per process and used for every clip."""

    detector: Detector
    landmarker: Landmarker
    model: FaceModel
    estimator: DepthEstimator
    attention: AttentionModel
    renderer: Renderer

    @classmethod
    def load(cls, config: BuildConfig, attention: Path | None = None) -> Tools:
        """Load the networks and open the renderer.

        attention : the head that `fit_attention_for` gave, as safetensors; None before there is one
        Raises WeightsError for weights that do not fit, MissingPartError where a library of the renderer is missing.
        """
        from mvgen.faces.detectors import get_detector
        from mvgen.faces.face_mesh import FaceMesh
        from mvgen.morphable.model import face_model

        return cls(
            detector=get_detector(config.face.detector, config.run.device),
            landmarker=FaceMesh(config.run.device),
            model=face_model(),
            estimator=_estimator(config),
            attention=AttentionModel.empty() if attention is None else read_attention(attention),
            renderer=get_renderer(config.render.renderer, resolved_device(config.run.device)),
        )


def _estimator(config: BuildConfig) -> DepthEstimator:
    """The depth network, or it with the detail of the user's own model."""
    from mvgen.depth.estimator import DepthEstimator as Network

    network = Network(config.geometry.weights, config.run.device)
    if config.geometry.depth_onnx is None:
        return network
    from mvgen.depth.onnx_estimator import OnnxEstimator
    from mvgen.depth.onnx_model import load_onnx

    return OnnxEstimator(network, load_onnx(config.geometry, config.run.device))


def read_attention(path: Path) -> AttentionModel:
    """The attention head of a safetensors file. Raises WeightsError for one that cannot be read."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return AttentionModel.from_tensors(load_file(path))
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"attention weights {path} cannot be read: {error}; remove them to fit them again") from None
