"""Speed on a CUDA device beside the CPU of the same machine: views, a whole build, training of a recogniser.

    python benchmarks/speed/gpu.py --clips 6 --out gpu.json

Milliseconds a view of the `grid` renderer; frames a second of a build of a stand-in by one worker, once it has started;
clips a second of training and inference of a recogniser in float32, and on the GPU in bfloat16. Each device has a row;
where torch sees no CUDA device, the report says so and has the CPU's alone. Whether both give the same is tested by
`tests/test_cuda.py`. Prints Markdown tables with hardware and commit.
"""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from benchmarks.common import Report, command_line, run_script
from benchmarks.recognisers.speed import noise_sample, rate, steps_of
from benchmarks.speed.renderers import GRAZING, YAWS, cameras, face
from mvgen.core.camera import crop_camera
from mvgen.evaluation.tables import Rows
from mvgen.evaluation.throughput import Job, afresh, film, repeat, run_build, steady
from mvgen.render.grid import GridRenderer
from recognizer.learning.fit import Device
from recognizer.systems import NeuralSystem, get_system


def milliseconds_a_view(device: str, size: int, seconds: float) -> float:
    """Of ten yaws of one mesh, geometry only, with the copies to this process's memory."""
    source = crop_camera(size)
    mesh, renderer, views = face(source), GridRenderer(device), cameras(source)
    renderer.render(mesh, source, GRAZING)
    start, rounds = time.perf_counter(), 0
    while rounds < 3 or time.perf_counter() - start < seconds:
        for camera in views:
            renderer.render(mesh, camera, GRAZING)
        rounds += 1
    return 1000 * (time.perf_counter() - start) / (rounds * len(YAWS))


def frames_a_second(device: str, job: Job) -> float:
    """Of a build by one worker, once it has finished its first clip; in a process of its own."""
    with TemporaryDirectory() as folder:
        root = repeat(film(Path(folder) / "filmed", job.frames), Path(folder) / "tree", job)
        run = afresh(partial(run_build, root, Path(folder) / "out", job, device=device))
    return steady(job, run)


def clips_a_second(name: str, device: Device, batch: int, seconds: float) -> tuple[float, float]:
    """Training and inference of a recogniser."""
    system = get_system(name)
    assert isinstance(system, NeuralSystem)
    prepared = system.prepare(noise_sample(128, 32))
    inputs = {
        key: torch.from_numpy(np.stack([value] * batch)).float().to(device.name) for key, value in prepared.items()
    }
    learn, read = steps_of(system, inputs, device)
    return rate(learn, batch, seconds, device.name), rate(read, batch, seconds, device.name)


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--clips", type=int, default=6, help="of the build, at least 2")
    parser.add_argument("--frames", type=int, default=14)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--system", default="tscnn", help="recogniser")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=5.0, help="that each rate is measured for")
    chosen = parser.parse_args()
    there = torch.cuda.is_available()
    about = "" if there else "NO CUDA DEVICE: every figure is the CPU's"
    report = Report(__file__, chosen, about)
    devices = ["cpu", "cuda"] if there else ["cpu"]
    report.section("Views")
    rows: Rows = [[each, milliseconds_a_view(each, chosen.size, chosen.seconds)] for each in devices]
    report.table(["device", "ms a view"], rows)
    report.section("Build")
    job = replace(Job(), clips=chosen.clips, frames=chosen.frames, size=chosen.size, workers=1)
    report.table(["device", "frames/s"], [[each, frames_a_second(each, job)] for each in devices])
    report.section("Recogniser")
    ways = [Device("cpu", "float32")]
    ways += [Device("cuda", "float32"), Device("cuda", "bfloat16")] if there else []
    rows = [
        [way.name, way.precision, *clips_a_second(chosen.system, way, chosen.batch, chosen.seconds)] for way in ways
    ]
    report.table(["device", "precision", "training, clips/s", "inference, clips/s"], rows, digits=1)


if __name__ == "__main__":
    run_script(main)
