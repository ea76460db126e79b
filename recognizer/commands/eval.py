"""`recognizer eval`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mvgen.core.extras import needs
from recognizer.commands.options import (
    AnglesOption,
    DataOption,
    DeviceOption,
    SourceOption,
    TruthOption,
    WeightsOption,
    data_of,
    device_of,
)


@needs("recognizer", "`recognizer eval`")
def evaluate(
    *,
    weights: WeightsOption,
    data: DataOption,
    source: SourceOption = None,
    angles: AnglesOption = None,
    truth: TruthOption = None,
    split: Annotated[
        str, typer.Option(help="clips to test on; train shows how much was memorised", metavar="test|train|all")
    ] = "test",
    out: Annotated[Path | None, typer.Option(help="also write the results to this JSON file")] = None,
    workers: Annotated[int, typer.Option(help="processes that prepare the inputs", min=1)] = 1,
    device: DeviceOption = "auto",
) -> int:
    """Test a trained system: accuracy, UF1 and UAR in every view.

    Clips that the system was trained on are refused.

    \b
    Examples:
      recognizer eval --weights runs/multiview/weights.safetensors --data out
      recognizer eval --weights runs/multiview/weights.safetensors --data out --truth truth
      recognizer eval --weights runs/multiview/weights.safetensors --data out --angles -60:60:10 --out figures.json
    """
    from mvgen.core.config import canonical_json
    from mvgen.core.console import print_table
    from mvgen.core.files import disk_errors, write_atomically
    from recognizer.evaluation.evaluate import evaluate as run_evaluation
    from recognizer.learning.weights import describe, load_trained
    from recognizer.readers.config import open_data

    chosen = device_of(device)
    trained = load_trained(weights, chosen)
    config = data_of(data, source, angles, truth, trained.size).model_copy(update={"face_only": trained.face_only})
    found = run_evaluation(trained, open_data(config), split, chosen, workers)
    print(f"{describe(trained)}\n{found['clips']} clips of {found['subjects']} subjects, split {split}\n")
    rows = [
        (
            view,
            str(figures["views"]),
            f"{figures['accuracy']:.3f}",
            f"{figures['interval'][0]:.3f} to {figures['interval'][1]:.3f}",
            f"{figures['uf1']:.3f}",
            f"{figures['uar']:.3f}",
        )
        for view, figures in found["views"].items()
    ]
    print_table(("view", "views", "accuracy", "95 %", "UF1", "UAR"), rows)
    if out is not None:
        with disk_errors(out.parent):
            write_atomically(out, canonical_json(found).encode())
    return 0
