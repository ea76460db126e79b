"""`mvgen reconstruct`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mvgen.commands.options import Config
from mvgen.commands.settings import takes_settings
from mvgen.core.extras import needs
from mvgen.core.settings import by_part, load_config


@takes_settings(
    "angles", "size", "detector", "weights", "depth_onnx", "depth_onnx_input", "depth_onnx_output", "device"
)
@needs("build", "`mvgen reconstruct`")
def reconstruct(
    *,
    images: Annotated[list[Path], typer.Argument(help="photographs", show_default=False)],
    out: Annotated[Path, typer.Option(help="folder for the results, one folder per photograph in it")],
    config: Config = None,
    **flags: Any,
) -> int:
    """Reconstruct single photographs: depth, mesh and side views.

    Exit code: 0 all were done, 1 some could not be, 2 bad input.

    \b
    Examples:
      mvgen reconstruct photo.jpg --out faces
      mvgen reconstruct a.jpg b.png --out faces --angles -30,-15,15,30 --size 512
      mvgen reconstruct photo.jpg --out faces --depth-onnx depth.onnx
    """
    settings = load_config(config, by_part(flags))
    from mvgen.pipeline.reconstruct import reconstruct as run_reconstruct

    outcomes = run_reconstruct(images, out, settings)
    return 0 if all(outcome.folder is not None for outcome in outcomes) else 1
