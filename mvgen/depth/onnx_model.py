"""A user's monocular depth or normal model, an ONNX file: what it expects and what it gives.

Such a file comes from a stranger: it is read whole, refused when it names other files, and run once on a grey picture,
so that a model that cannot be used is refused before the first clip.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mvgen.core.config import GeometryConfig, PictureScale
from mvgen.core.device import resolved_device
from mvgen.core.errors import MissingPartError, WeightsError
from mvgen.core.files import read_regular, reason_of
from mvgen.core.records import Image

Arrays = NDArray[np.float32]

_LARGEST_FILE = (2 << 30) - 1  # bytes: no larger protobuf can be read
# Side of the input where the file leaves it open: a multiple of 32, as U-nets need, and of 14, as vision transformers.
_FREE_SIDE, _LARGEST_SIDE = 448, 2048
_SECONDS = 120.0  # for one picture: large models take seconds on one core
_TOKENS = 1800  # MoGe-2 takes their number as a second input; the middle of its range
_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8}
# What is subtracted from RGB in [0, 1], and by what it is divided then.
_SCALES: dict[PictureScale, tuple[Any, Any]] = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "unit": (0.0, 1.0),
    "symmetric": (0.5, 0.5),
    "byte": (0.0, 1 / 255),
}


class _Input(NamedTuple):
    """The picture that a model takes. side : pixels; first : whether the channels come before rows and columns"""

    name: str
    side: int
    first: bool
    dtype: type[Any]


class OnnxModel:
    """A model of depth or normals in ONNX Runtime.

    scale : how it expects RGB; output : which of several maps is meant, by name; device : "cpu" or "cuda"
    Raises WeightsError for a file that is no such model, naming it; MissingPartError without the extra `onnx`.
    """

    def __init__(
        self, path: Path, scale: PictureScale = "imagenet", output: str | None = None, device: str = "cpu"
    ) -> None:
        self.path, self._scale = path, scale
        self._session = _session(path, _checked(path), device)
        self._input, self._others = self._inputs()
        self._output = self._chosen(self._maps(np.full((64, 64, 3), 128, np.uint8)), output)

    def __call__(self, crop: Image) -> Arrays:
        """The map of one (S, S, 3) uint8 RGB crop: (h, w, 1) depth or (h, w, 3) normals, as the model gives it.

        Three channels of an output that has "point" in its name are positions, of which z is the depth.
        """
        seen = self._maps(crop)[self._output]
        return seen[..., 2:] if seen.shape[2] == 3 and "point" in self._output.lower() else seen

    def _maps(self, crop: Image) -> dict[str, Arrays]:
        """The outputs that are pictures of one or three channels, by name."""
        fed = {self._input.name: _picture(crop, self._input, self._scale), **self._others}
        try:
            found = _run(self._session, fed)
        except Exception as error:  # ONNX Runtime's errors have no common type
            raise self._unusable(f"cannot be run: {_first_line(error)}") from None
        named = zip((output.name for output in self._session.get_outputs()), found, strict=True)
        maps = {name: _as_map(values) for name, values in named}
        return {name: values for name, values in maps.items() if values is not None}

    def _chosen(self, maps: dict[str, Arrays], wanted: str | None) -> str:
        if wanted is None and len(maps) == 1:
            return next(iter(maps))
        if wanted in maps:
            return str(wanted)
        if not maps:
            raise self._unusable("has no output of one channel (depth) or three (normals) for a picture")
        what = "has several maps as output" if wanted is None else f"has no map {wanted!r} as output"
        raise self._unusable(f"{what}: choose with --depth-onnx-output, one of {', '.join(maps)}")

    def _inputs(self) -> tuple[_Input, dict[str, Any]]:
        pictures, others = [], {}
        for each in self._session.get_inputs():
            if each.name == "num_tokens" and each.type == "tensor(int64)":
                others[each.name] = np.full([1] * len(each.shape), _TOKENS, np.int64)
            else:
                pictures.append(each)
        if len(pictures) != 1:
            raise self._unusable(f"takes {len(pictures)} inputs, not one picture")
        (picture,) = pictures
        shape = [side if isinstance(side, int) else None for side in picture.shape]
        if picture.type not in _TYPES or len(shape) != 4 or shape[0] not in (None, 1):
            raise self._unusable(f"takes {picture.type} of shape {picture.shape}, not one RGB picture")
        if 3 not in (shape[1], shape[3]):
            raise self._unusable(f"takes an input of shape {picture.shape}, without three channels for RGB")
        first = shape[1] == 3
        height, width = shape[2:] if first else shape[1:3]
        side = height or width or _FREE_SIDE
        if (width or side) != side or side > _LARGEST_SIDE:
            raise self._unusable(f"takes pictures of {height} x {width} pixels, not squares of at most {_LARGEST_SIDE}")
        return _Input(picture.name, side, first, _TYPES[picture.type]), others

    def _unusable(self, reason: str) -> WeightsError:
        return _unusable(self.path, reason)


def load_onnx(config: GeometryConfig, device: str = "auto") -> OnnxModel:
    """The model of `--depth-onnx`. Raises as `OnnxModel`."""
    assert config.depth_onnx is not None
    return OnnxModel(config.depth_onnx, config.depth_onnx_input, config.depth_onnx_output, resolved_device(device))


def _unusable(path: Path, reason: str) -> WeightsError:
    return WeightsError(f"depth model {path} {reason}; give another --depth-onnx, or leave it out")


def _checked(path: Path) -> bytes:
    """The bytes of an ONNX file that is complete in itself."""
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError as error:
        raise MissingPartError(str(error.name), "--depth-onnx", "pip install 'mvgen[onnx]'") from None
    try:
        content = read_regular(path, _LARGEST_FILE)
        model = onnx.load_model_from_string(content)
    except OSError as error:
        raise _unusable(path, f"cannot be read: {reason_of(error)}") from None
    except (DecodeError, ValueError):
        raise _unusable(path, "is not an ONNX file") from None
    if not model.graph.node:
        raise _unusable(path, "is not an ONNX file")
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in _tensors(model)):
        raise _unusable(path, "keeps weights in other files, which are not read: save it as one file")
    return content


def _tensors(model: Any) -> Iterator[Any]:
    """Every constant of a model, also those in branches, loops and functions."""
    graphs, nodes = [model.graph], [node for function in model.functions for node in function.node]
    while graphs or nodes:
        if graphs:
            graph = graphs.pop()
            yield from graph.initializer
            for sparse in graph.sparse_initializer:
                yield from (sparse.values, sparse.indices)
            nodes.extend(graph.node)
            continue
        for attribute in nodes.pop().attribute:
            yield from (attribute.t, *attribute.tensors)
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)
            graphs.extend(graph for graph in (attribute.g, *attribute.graphs) if graph.node)


def _session(path: Path, content: bytes, device: str) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingPartError(str(error.name), "--depth-onnx", "pip install 'mvgen[onnx]'") from None
    import torch

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # its errors are raised as well
    options.intra_op_num_threads = torch.get_num_threads()
    wanted = ["CUDAExecutionProvider"] * (device == "cuda") + ["CPUExecutionProvider"]
    try:
        return onnxruntime.InferenceSession(
            content, options, providers=[each for each in wanted if each in onnxruntime.get_available_providers()]
        )
    except Exception as error:  # as in `OnnxModel._maps`
        raise _unusable(path, f"cannot be loaded by ONNX Runtime: {_first_line(error)}") from None


def _run(session: Any, fed: dict[str, Any]) -> list[Any]:
    """Outputs of a model. Raises an error of ONNX Runtime, or TimeoutError: a stranger's loop may never end."""
    import onnxruntime

    options = onnxruntime.RunOptions()
    late = threading.Event()

    def stop() -> None:
        late.set()
        options.terminate = True

    timer = threading.Timer(_SECONDS, stop)
    timer.daemon = True
    timer.start()
    try:
        return list(session.run(None, fed, options))
    except Exception:
        if late.is_set():
            raise TimeoutError(f"one picture takes over {_SECONDS:g} seconds") from None
        raise
    finally:
        timer.cancel()


def _picture(crop: Image, wanted: _Input, scale: PictureScale) -> NDArray[Any]:
    """(1, 3, h, w) or (1, h, w, 3), a crop as a model expects it."""
    import cv2

    how = cv2.INTER_AREA if wanted.side < len(crop) else cv2.INTER_CUBIC
    picture = np.asarray(cv2.resize(crop, (wanted.side, wanted.side), interpolation=how))
    if wanted.dtype is not np.uint8:
        mean, deviation = _SCALES[scale]
        picture = (picture / 255.0 - mean) / deviation
    laid = picture.transpose(2, 0, 1) if wanted.first else picture
    return np.ascontiguousarray(laid[None], wanted.dtype)


def _as_map(values: Any) -> Arrays | None:
    """(h, w, 1) or (h, w, 3) of an output with or without a batch axis and channels; None for one that is no map."""
    if not isinstance(values, np.ndarray) or values.dtype.kind != "f":
        return None
    if values.ndim == 4 and len(values) == 1:
        values = values[0]
        values = values if values.shape[2] in (1, 3) else np.moveaxis(values, 0, -1)
    elif values.ndim == 3 and len(values) == 1:
        values = values[0, ..., None]
    elif values.ndim == 2:
        values = values[..., None]
    else:
        return None
    if values.shape[2] not in (1, 3) or min(values.shape[:2]) < 8 or max(values.shape[:2]) > _LARGEST_SIDE:
        return None
    return np.asarray(values, np.float32)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
