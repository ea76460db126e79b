"""A trained network as an ONNX file, for programs without Python or torch: `recognizer export`.

Its inputs are what the system's `prepare` gives, by name, each with a leading batch axis of any length; its output
`probabilities` is (B, classes). The file says in its metadata what `recognizer` is, see `_about`.
"""

from __future__ import annotations

import io
import json
import warnings
from contextlib import redirect_stderr
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mvgen import __version__
from mvgen.core.extras import import_part
from mvgen.core.files import disk_errors, write_atomically
from recognizer.errors import RecogniserError
from recognizer.evaluation.synthetic_samples import synthetic_sample
from recognizer.learning.calibration import tempered
from recognizer.learning.fit import Device
from recognizer.learning.weights import Trained
from recognizer.systems import NeuralSystem

OUTPUT = "probabilities"
_TOLERANCE = 1e-4  # of a probability
_FRAMES, _SIZE = 24, 128  # of the acted clip whose inputs give the shapes


class _Named(nn.Module):
    """A network whose inputs are given one by one, and whose output are probabilities, calibrated where it is."""

    def __init__(self, network: nn.Module, names: tuple[str, ...], temperature: float) -> None:
        super().__init__()
        self.network, self.names, self.temperature = network, names, temperature

    def forward(self, *inputs: Tensor) -> Tensor:
        return torch.softmax(self.network(dict(zip(self.names, inputs, strict=True))) / self.temperature, dim=-1)


def export_onnx(trained: Trained, path: Path) -> float:
    """Write a trained network and return the largest difference between its probabilities in ONNX Runtime and in torch.

    Raises RecogniserError for a classifier on hand-crafted features, a network that has no ONNX form, and probabilities
    that differ by over 1e-4; MissingPartError without the packages of the extra `onnx`. Then nothing is written.
    """
    if not isinstance(trained.system, NeuralSystem):
        raise RecogniserError(
            f"{trained.system.name} is a classifier on hand-crafted features, not a network, and has no ONNX form; "
            f"use its weights with `recognizer predict`"
        )
    import_part("onnxscript", "recognizer export")  # torch's exporter needs it
    onnxruntime = import_part("onnxruntime", "recognizer export")
    samples = [_acted(trained, seed) for seed in range(3)]
    inputs = {name: np.stack([sample[name] for sample in samples]) for name in samples[0]}
    model = _converted(trained, inputs)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    worst = 0.0
    for count in (1, len(samples)):
        some = {name: values[:count] for name, values in inputs.items()}
        torchs = tempered(trained.scores(some, Device()), trained.temperature)
        worst = max(worst, float(np.abs(session.run([OUTPUT], some)[0] - torchs).max()))
    if not worst <= _TOLERANCE:
        raise RecogniserError(
            f"{trained.system.name}: probabilities in ONNX Runtime differ by {worst:.1e} from torch's; the file is not "
            f"written; install other versions of torch, onnx and onnxscript"
        )
    with disk_errors(path.parent):
        write_atomically(path, model)
    return worst


def _acted(trained: Trained, seed: int) -> dict[str, NDArray[np.float32]]:
    """Inputs of an acted clip; their shapes are those of any clip."""
    options: Any = trained.system.options
    frames = max(_FRAMES, getattr(options, "depth", 0))  # the papers' depths refuse shorter clips
    sample = synthetic_sample(seed % len(trained.classes) % 4, seed, frames, _SIZE)
    if signals := getattr(options, "signals", 0):
        sample = replace(sample, signals=np.zeros((frames, signals), np.float32))
    return trained.system.prepare(sample)


def _converted(trained: Trained, inputs: dict[str, NDArray[np.float32]]) -> bytes:
    network = _Named(trained.model, tuple(inputs), trained.temperature).to("cpu").eval()
    batch = tuple({0: torch.export.Dim("batch")} for _ in inputs)
    try:
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()):  # on failure torch prints the whole graph
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                network,
                tuple(torch.from_numpy(values) for values in inputs.values()),
                input_names=list(inputs),
                output_names=[OUTPUT],
                dynamic_shapes=(batch,),
                dynamo=True,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        first = str(error.__cause__ or error).strip().splitlines()[0]
        raise RecogniserError(
            f"{trained.system.name} has no ONNX form: {first}; use its weights with `recognizer predict`"
        ) from None
    assert program is not None
    model = program.model_proto
    for node in (*model.graph.node, *(node for function in model.functions for node in function.node)):
        del node.metadata_props[:]  # where torch ran: paths of this machine
    for name in ("value_info", "initializer", "input", "output"):
        for value in getattr(model.graph, name):
            del value.metadata_props[:]
    del model.graph.metadata_props[:], model.metadata_props[:]
    model.metadata_props.add(key="recognizer", value=json.dumps(_about(trained), sort_keys=True))
    return model.SerializeToString(deterministic=True)


def _about(trained: Trained) -> dict[str, Any]:
    """What the file says of itself. size : side of the training images; classes : in the order of the probabilities"""
    return {
        "system": trained.system.name,
        "options": asdict(trained.system.options),
        "classes": list(trained.classes),
        "size": trained.size,
        "face_only": trained.face_only,
        "mvgen": __version__,
    }
