"""Clips per second of the recognisers in training and inference.

    python benchmarks/recognisers/speed.py --systems multiview,tscnn --seconds 5 --out speed.json

Every network as its paper has it, on inputs prepared from a clip of noise; no files are read while timed. Eager float32
is compared with bfloat16, channels-last convolutions and torch.compile. On a GPU also the share of its peak, from the
operations that torch counts in a forward and a backward pass. Prints a Markdown table with hardware and commit; a dash
marks what cannot be run.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.common import Report, command_line, run_script
from mvgen.core.camera import crop_camera
from mvgen.core.device import resolved_device
from mvgen.core.landmarks68 import CANONICAL
from mvgen.evaluation.tables import Rows
from recognizer.learning.fit import Device, training_loss
from recognizer.records import Sample
from recognizer.systems import SYSTEMS, NeuralSystem, get_system

CLASSES = 3
WARM_UP = 2
# Dense bfloat16 and float32 (with TF32 off) operations a second, as the makers state them.
PEAKS = {"H100": (989e12, 67e12), "H200": (989e12, 67e12), "A100": (312e12, 19.5e12), "L40S": (362e12, 91.6e12)}


def noise_sample(size: int, frames: int) -> Sample:
    """A clip of noise with the landmarks of a mean face."""
    rng = np.random.default_rng(0)
    landmarks = crop_camera(size).project(CANONICAL)[:, :2].astype(np.float32)
    pictures = rng.integers(0, 256, (frames, size, size, 3), dtype=np.uint8)
    flow = rng.normal(0, 1, (frames, size, size, 2)).astype(np.float32)
    return Sample(
        frames=pictures, flow=flow[1:], apex_flow=flow[0], valid=None, onset=0, apex=frames // 2, offset=frames - 1,
        landmarks=landmarks, label=0, clip="noise", subject="nobody", view="source",
    )  # fmt: skip


def rate(step: Callable[[], Any], clips: int, seconds: float, device: str) -> float:
    """Clips per second of a step on a batch; at least three steps are timed."""
    for _ in range(WARM_UP):
        step()
    _wait(device)
    start, steps = time.perf_counter(), 0
    while steps < 3 or time.perf_counter() - start < seconds:
        step()
        steps += 1
    _wait(device)
    return clips * steps / (time.perf_counter() - start)


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def operations(step: Callable[[], Any]) -> int:
    """Floating point operations of a step, as torch counts them."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops()


def steps_of(
    system: NeuralSystem[Any], inputs: dict[str, Tensor], device: Device
) -> tuple[Callable[[], None], Callable[[], Tensor]]:
    """(a training step, a forward pass without gradients) on one batch."""
    torch.manual_seed(0)
    network = device.place(system.network(CLASSES))
    system.initialise(network, [inputs])
    optimiser = torch.optim.SGD(network.parameters(), lr=1e-3)
    model: Any = torch.compile(network) if device.compile else network
    labels = torch.arange(len(next(iter(inputs.values())))) % CLASSES
    labels = labels.to(device.name)

    def learn() -> None:
        network.train()
        with device.autocast():
            logits = model(inputs)
        loss = training_loss(logits.float(), labels, system.training.loss)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()

    def read() -> Tensor:
        network.eval()
        with torch.inference_mode(), device.autocast():
            return model(inputs)

    return learn, read


def measure(name: str, sample: Sample, batch: int, seconds: float, device: str, *, compiled: bool) -> Rows:
    """Rows of the table for one system."""
    system = get_system(name)
    assert isinstance(system, NeuralSystem)
    prepared = system.prepare(sample)
    inputs = {key: torch.from_numpy(np.stack([value] * batch)).float().to(device) for key, value in prepared.items()}
    ways = {
        "eager float32": Device(device, "float32", channels_last=False),
        "bfloat16": Device(device, "bfloat16", channels_last=False),
        "bfloat16, channels last": Device(device, "bfloat16", channels_last=True),
    }
    if compiled:
        ways["bfloat16, channels last, compiled"] = Device(device, "bfloat16", channels_last=True, compile=True)
    rows: Rows = []
    for way, chosen in ways.items():
        learn, read = steps_of(system, inputs, chosen)
        # The counter does not see into a compiled network: operations are those of the eager one.
        work = operations(steps_of(system, inputs, Device(device, "float32"))[0]) if device == "cuda" else 0
        learned = rate(learn, batch, seconds, device)
        seen = rate(read, batch, seconds, device)
        rows.append([name, way, learned, seen, share_of_peak(work * learned / batch, chosen)])
    return rows


def share_of_peak(per_second: float, device: Device) -> str:
    """Operations per second as a share of the peak that the maker of the GPU states."""
    name = torch.cuda.get_device_name() if device.name == "cuda" else ""
    known = next((peaks for model, peaks in PEAKS.items() if model in name), None)
    return "-" if known is None else f"{per_second / known[0 if device.half else 1]:.1%}"


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--systems", help="names, separated by commas; all networks by default")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=5.0, help="that each figure is measured for")
    parser.add_argument("--size", type=int, default=128, help="side of the clip's frames, pixels")
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--no-compile", action="store_true", help="leave out torch.compile, which takes minutes")
    parser.add_argument("--device", default="auto")
    chosen = parser.parse_args()
    device = resolved_device(chosen.device)
    names = chosen.systems.split(",") if chosen.systems else list(SYSTEMS)
    networks = [name for name in names if isinstance(get_system(name), NeuralSystem)]
    sample = noise_sample(chosen.size, chosen.frames)
    threads = f"{torch.get_num_threads()} threads" if device == "cpu" else "one GPU"
    report = Report(__file__, chosen, f"{threads}; batch {chosen.batch}, clips of {chosen.frames} frames")
    run = partial(measure, sample=sample, batch=chosen.batch, seconds=chosen.seconds, device=device)
    rows = [row for name in networks for row in run(name, compiled=not chosen.no_compile)]
    report.table(("system", "way", "training, clips/s", "inference, clips/s", "share of peak"), rows, digits=1)


if __name__ == "__main__":
    run_script(main)
