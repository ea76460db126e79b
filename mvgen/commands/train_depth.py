"""`mvgen train-depth`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def train_depth(
    *,
    config: Annotated[Path, typer.Option(help="YAML recipe of the training data and the schedule")],
    out: Annotated[Path, typer.Option(help="folder for the weights, their card, the log and the checkpoint")],
    data: Annotated[Path | None, typer.Option(help="folder of rendered pictures, kept  [default: OUT/data]")] = None,
    workers: Annotated[int, typer.Option(help="processes that render pictures", min=1)] = 2,
    device: Annotated[str, typer.Option(help="where the network is trained", metavar="auto|cpu|cuda")] = "auto",
) -> int:
    """Train the depth network.

    A run that was stopped goes on from its last epoch.

    \b
    Example:
      mvgen train-depth --config configs/depth_anny.yaml --out runs/depth
    """
    from mvgen.depth.train import load_training_config, train

    settings = load_training_config(config)
    train(settings, out, data=data or out / "data", device=device, workers=workers)
    return 0
