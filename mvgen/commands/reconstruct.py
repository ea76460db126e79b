"""`mvgen reconstruct`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mvgen.core.config import load_config


def reconstruct(
    *,
    images: Annotated[list[Path], typer.Argument(help="photographs", show_default=False)],
    out: Annotated[Path, typer.Option(help="folder for the results, one folder per photograph in it")],
    angles: Annotated[str, typer.Option(help="yaw angles of the views: first:last:step, or a list")] = "-45:45:10",
    size: Annotated[int | None, typer.Option(help="side of the views in pixels  [default: 256]")] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file with build settings")] = None,
    weights: Annotated[Path | None, typer.Option(help="depth weights (.safetensors)")] = None,
    device: Annotated[str | None, typer.Option(help="where the networks run", metavar="auto|cpu|cuda")] = None,
) -> int:
    """Reconstruct single photographs: depth, mesh and side views.

    Exit code: 0 all were done, 1 some could not be, 2 bad input.

    \b
    Examples:
      mvgen reconstruct photo.jpg --out faces
      mvgen reconstruct a.jpg b.png --out faces --angles -30,-15,15,30 --size 512
    """
    flags: dict[str, Any] = {"angles": angles, "size": size, "weights": weights, "device": device}
    settings = load_config(config, flags)
    from mvgen.pipeline.reconstruct import reconstruct as run_reconstruct

    outcomes = run_reconstruct(images, out, settings.angles, settings.size, settings)
    return 0 if all(outcome.folder is not None for outcome in outcomes) else 1
