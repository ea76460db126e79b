"""Speed of the depth network on the CPU of this machine by backend, and whether the backends agree.

    python benchmarks/speed/inference.py --threads 2 --rounds 8 --out inference.json

Per backend and batch: pictures per second, the same over plain torch (fp32, channels first), seconds until it is ready,
and the difference of depth to plain torch in the face, millionths of the inter-ocular distance. The backends take turns
and the best round of each counts, since the machine may do other work. `--compile` adds torch.compile, which takes a
minute; onnxruntime joins where onnx and onnxruntime are installed. Prints a Markdown table with hardware and commit.
"""

from __future__ import annotations

import argparse
import copy
import io
import time
import warnings
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.common import Report, command_line, run_script
from mvgen.core.files import shipped_weights
from mvgen.core.records import FaceTrack
from mvgen.depth.backends import OpenVinoBackend, TorchBackend, openvino_installed
from mvgen.depth.estimator import load_network
from mvgen.depth.network import FaceDepthNetwork, Prediction, network_input, normalise
from mvgen.evaluation.tables import Rows
from mvgen.faces.crop import crop_frames, crop_from_points, transform_points
from mvgen.training.depth_data import fitter

BATCHES = (1, 8, 32)
# Eyes, nose and mouth corners of the photograph that comes with scikit-image.
POINTS = np.array([[205.0, 101.7], [247.9, 103.9], [226.2, 130.2], [202.1, 140.2], [245.9, 142.5]])

Runner = Callable[[Tensor], object]


def pictures(count: int, size: int, fitted: bool) -> Tensor:
    """(count, C, S, S), a face and its fit in crops that differ a little, as bright and noisy as cameras make them."""
    from skimage.data import astronaut

    generator = np.random.default_rng(0)
    crops = []
    for _ in range(count):
        points = POINTS + generator.normal(0, 1.5, POINTS.shape)
        crop = crop_from_points(points, size)
        face = FaceTrack(crop, size, transform_points(crop, points), 1.0, 1, np.ones((size, size), bool))
        bright = crop_frames(astronaut()[None], face)[0] * generator.uniform(0.6, 1.2)
        crops.append(np.clip(bright + generator.normal(0, 2, (size, size, 3)), 0, 255).astype(np.uint8))
    fits = torch.tensor(np.stack([fitter()(crop) for crop in crops]).astype(np.float32)).permute(0, 3, 1, 2)
    return network_input(normalise(np.stack(crops)), fits if fitted else None).contiguous()


def folded(network: nn.Module) -> nn.Module:
    """The network with every batch normalisation folded into the convolution before it."""
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    network = copy.deepcopy(network)
    for module in list(network.modules()):
        children = list(module.named_children())
        for (first, convolution), (second, normalisation) in pairwise(children):
            if isinstance(convolution, nn.Conv2d) and isinstance(normalisation, nn.BatchNorm2d):
                setattr(module, first, fuse_conv_bn_eval(convolution, normalisation))
                setattr(module, second, nn.Identity())
    return network.eval()


def compiled(network: nn.Module, example: Tensor) -> Runner:
    engine = torch.compile(copy.deepcopy(network), dynamic=True)
    with torch.inference_mode():
        engine(example)
    return engine


def through_onnx(network: nn.Module, example: Tensor, threads: int) -> Runner:
    """onnxruntime on the exported network."""
    import onnxruntime

    class Plain(nn.Module):
        def forward(self, images: Tensor) -> tuple[Tensor, ...]:
            return tuple(network(images))

    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Plain().eval(), (example,), file, dynamo=False, opset_version=17,
            input_names=["images"], output_names=list(Prediction._fields),
            dynamic_axes={name: {0: "batch"} for name in ("images", *Prediction._fields)},
        )  # fmt: skip
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(file.getvalue(), options, providers=["CPUExecutionProvider"])

    def run(images: Tensor) -> Prediction:
        return Prediction(*map(torch.from_numpy, session.run(None, {"images": images.numpy()})))

    return run


def engines(network: FaceDepthNetwork, size: int, chosen: argparse.Namespace) -> dict[str, tuple[Runner, float]]:
    """Backends by name: the function that runs the network, and the seconds to create it; plain torch is the first."""
    example = pictures(2, size, network.fitted)
    makers: dict[str, Callable[[], Runner]] = {
        "torch, channels first": lambda: network,
        "torch, channels last": lambda: TorchBackend(copy.deepcopy(network)),
        "torch, folded, channels last": lambda: TorchBackend(folded(network)),
    }
    if chosen.compile:
        makers["torch.compile"] = lambda: compiled(network, example)
    makers["onnxruntime"] = lambda: through_onnx(network, example, chosen.threads)
    if openvino_installed():
        makers["openvino"] = lambda: OpenVinoBackend(network, size)
    made = {}
    for name, make in makers.items():
        start = time.perf_counter()
        try:
            made[name] = make(), time.perf_counter() - start
        except ImportError as error:
            print(f"{name} is left out: {error}\n")
    return made


@torch.inference_mode()
def measure(made: dict[str, tuple[Runner, float]], images: Tensor, rounds: int) -> Rows:
    """A row per backend for one batch, (B, 3, S, S)."""
    first = next(iter(made))
    plain = made[first][0](images)
    assert isinstance(plain, Prediction)
    away, best = {}, dict.fromkeys(made, float("inf"))
    for name, (run, _) in made.items():
        seen = run(images)
        assert isinstance(seen, Prediction)
        away[name] = 1e6 * (seen.depth - plain.depth).abs()[plain.face > 0].numpy()
    for _ in range(rounds):
        for name, (run, _) in made.items():
            start = time.perf_counter()
            run(images)
            best[name] = min(best[name], time.perf_counter() - start)
    return [
        [
            name, len(images), len(images) / best[name], best[first] / best[name], ready,
            float(away[name].max(initial=0)), float(away[name].mean()) if away[name].size else 0.0,
        ]
        for name, (_, ready) in made.items()
    ]  # fmt: skip


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--weights", type=Path, default=shipped_weights())
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--compile", action="store_true")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    network, size = load_network(chosen.weights)
    made = engines(network.eval().requires_grad_(False), size, chosen)
    rows = [row for batch in BATCHES for row in measure(made, pictures(batch, size, network.fitted), chosen.rounds)]
    report = Report(__file__, chosen, f"{size} x {size} pixels, {chosen.threads} threads, fp32")
    header = ["engine", "batch", "pictures/s", "x plain torch", "s to start", "max change, ppm", "mean change, ppm"]
    report.table(header, rows)


if __name__ == "__main__":
    run_script(main)
