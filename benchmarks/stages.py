"""Where the time of a build goes: the embedded demonstration, one worker, seconds per stage.

    uv run benchmarks/stages.py [--size 256] [--angles -45:45:10]

Prints a Markdown table with the hardware and the commit. The stand-in is acted, not a licensed release.
"""

from __future__ import annotations

import argparse
import platform
import subprocess
import tempfile
import time
from pathlib import Path

from mvgen.build.build import build
from mvgen.core.angles import parse_angles
from mvgen.core.config import BuildConfig
from mvgen.store.manifest import read_table


def hardware() -> str:
    """Processor, cores, and the GPU if torch sees one."""
    import torch

    info = Path("/proc/cpuinfo")
    models = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    processor = f"{len(models)} x {models[0]}" if models else platform.processor()
    return f"{processor}, {torch.cuda.get_device_name() if torch.cuda.is_available() else 'no GPU'}"


def commit() -> str:
    """Short hash of the checkout, with a plus where it has uncommitted changes."""
    found = subprocess.run(
        ["git", "describe", "--always", "--dirty=+"],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parent,
    )
    return found.stdout.strip() or "no checkout"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--angles", default="-45:45:10")
    # argparse takes "-45:45:10" for an option unless it is glued to the flag.
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        config = BuildConfig(
            camera={"size": chosen.size, "angles": parse_angles(chosen.angles)}, run={"out": Path(folder) / "out"}
        )
        start = time.perf_counter()
        summary = build(config)
        wall = time.perf_counter() - start
        rows = read_table(config.run.out / "clips.parquet")
    frames = sum(row.frames for row in rows if row.yaw is None)
    about = f"{summary.clips} clips, {frames} frames, {len(config.camera.angles)} views"
    print(f"{hardware()}; commit {commit()}; {about}\n")
    print("| stage | seconds | ms a frame |\n|---|---|---|")
    for stage, seconds in sorted(summary.seconds.items(), key=lambda item: -item[1]):
        print(f"| {stage} | {seconds:.1f} | {1000 * seconds / frames:.0f} |")
    print(f"| whole build, with start-up | {wall:.1f} | {1000 * wall / frames:.0f} |")


if __name__ == "__main__":
    main()
