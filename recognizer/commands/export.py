"""`recognizer export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mvgen.core.extras import needs
from recognizer.commands.options import WeightsOption


@needs("recognizer", "`recognizer export`")
def export(
    *,
    weights: WeightsOption,
    out: Annotated[Path, typer.Option(help="file to write, .onnx")],
) -> int:
    """Write a trained network as an ONNX file, for programs without Python.

    The file takes what the system prepares of a clip, and gives probabilities; classes are named in its metadata. It is
    checked with ONNX Runtime before it is written. Needs the extra `onnx`.

    \b
    Example:
      recognizer export --weights runs/motion-views/weights.safetensors --out motion-views.onnx
    """
    from recognizer.learning.fit import Device
    from recognizer.learning.onnx import export_onnx
    from recognizer.learning.weights import load_trained

    trained = load_trained(weights, Device())
    difference = export_onnx(trained, out)
    print(f"{out}: {trained.system.name}; probabilities differ by at most {difference:.0e} from those of {weights}")
    return 0
