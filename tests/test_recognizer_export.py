"""Networks as ONNX files: they say what torch says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from recognizer_trees import install_systems

from mvgen.core.console import run_app
from recognizer.cli import app
from recognizer.errors import RecogniserError
from recognizer.evaluation.synthetic_samples import synthetic_sample
from recognizer.learning.fit import Device, Rows
from recognizer.learning.onnx import export_onnx
from recognizer.learning.weights import Trained, load_trained, save_trained
from recognizer.systems import NeuralSystem, get_system

pytestmark = pytest.mark.slow

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
CLASSES = ("negative", "positive", "surprise")


def trained(name: str, **options: Any) -> Trained:
    """A network that was never trained, but whose mask and statistics are set."""
    system = get_system(name, **options)
    assert isinstance(system, NeuralSystem)
    torch.manual_seed(0)
    network = system.network(len(CLASSES))
    system.initialise(network, [{name: torch.from_numpy(values) for name, values in inputs(system).items()}])
    return Trained(system, CLASSES, 64, True, network.eval(), 0, {})


def inputs(system: Any, count: int = 3) -> dict[str, np.ndarray]:
    prepared = [system.prepare(synthetic_sample(label % 3, label, 20, 64)) for label in range(count)]
    return {name: np.stack([one[name] for one in prepared]) for name in prepared[0]}


@pytest.mark.parametrize(("name", "options"), [("motion-views", {"members": 1}), ("strcn-a", {"maps": 4})])
def test_an_exported_network_gives_the_same_probabilities(name: str, options: dict[str, Any], tmp_path: Path) -> None:
    weights, out = tmp_path / "weights.safetensors", tmp_path / "network.onnx"
    save_trained(trained(name, **options), weights)
    assert run_app(app, "recognizer", ["export", "--weights", str(weights), "--out", str(out)]) == 0
    session = onnxruntime.InferenceSession(str(out))
    loaded = load_trained(weights, Device())
    for count in (1, 2, 5):
        some = inputs(loaded.system, count)
        found = session.run(["probabilities"], some)[0]
        np.testing.assert_allclose(found, loaded.scores(some, Device()), atol=1e-4)
    about = json.loads(session.get_modelmeta().custom_metadata_map["recognizer"])
    assert (about["system"], about["classes"]) == (name, list(CLASSES))
    assert str(Path(__file__).parents[1]).encode() not in out.read_bytes()  # no path of this machine


def test_what_has_no_onnx_form_is_refused_by_name(tmp_path: Path) -> None:
    class Peeks(torch.nn.Module):
        def forward(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
            flow = inputs["flow"].flatten(1)
            return flow[:, :3] * (2.0 if float(flow.sum()) > 0 else 3.0)

    install_systems()
    out = tmp_path / "network.onnx"
    with pytest.raises(RecogniserError, match=r"tiny-network has no ONNX form: .*use its weights"):
        export_onnx(Trained(get_system("tiny-network"), CLASSES, 64, True, Peeks(), 0, {}), out)
    rows = Rows({"features": np.zeros((2, 4), np.float32)}, np.arange(2), np.arange(2))
    with pytest.raises(RecogniserError, match="lbp-top is a classifier on hand-crafted features"):
        export_onnx(Trained(get_system("lbp-top"), CLASSES, 64, True, (None, rows), 0, {}), out)
    assert not out.exists()
