"""`recognizer train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mvgen.core.extras import needs
from recognizer.commands.options import (
    AnglesOption,
    DeviceOption,
    FlowImagesOption,
    PrecisionOption,
    SourceOption,
    TrainingDataOption,
    TruthOption,
    asked_data,
    device_of,
    settings_of,
)


@needs("recognizer", "`recognizer train`")
def train(
    *,
    system: Annotated[str, typer.Option(help="which recogniser; see `recognizer systems`")],
    out: Annotated[Path, typer.Option(help="folder for the weights, checkpoint and curves")],
    data: TrainingDataOption = None,
    flow_images: FlowImagesOption = None,
    source: SourceOption = None,
    angles: AnglesOption = None,
    truth: TruthOption = None,
    views: Annotated[
        str, typer.Option(help="training views; true needs --truth", metavar="source|kept|all|true")
    ] = "all",
    split: Annotated[
        str, typer.Option(help="the dataset's training subjects, or all clips", metavar="train|all")
    ] = "train",
    option: Annotated[list[str] | None, typer.Option(help="system option, repeatable", metavar="NAME=VALUE")] = None,
    training: Annotated[
        list[str] | None, typer.Option("--set", help="epochs, batch, rate ..., repeatable", metavar="NAME=VALUE")
    ] = None,
    validation: Annotated[
        float, typer.Option(help="share of training subjects held out to choose the epoch; 0: the last", min=0, max=0.9)
    ] = 0.0,
    patience: Annotated[int | None, typer.Option(help="stop after so many epochs without a lower loss")] = None,
    calibrate: Annotated[
        int, typer.Option(help="calibrate probabilities on this many folds of held-out training subjects", min=0)
    ] = 0,
    seed: Annotated[int, typer.Option(help="seed of the training")] = 0,
    workers: Annotated[int, typer.Option(help="processes that prepare the inputs", min=1)] = 1,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    compile_network: Annotated[bool, typer.Option("--compile", help="compile the network first")] = False,
) -> int:
    """Train a system. After an interruption the same command continues.

    The test subjects of a dataset are left out, for `recognizer eval`.

    \b
    Examples:
      recognizer train --system multiview --data out --out runs/multiview
      recognizer train --system tscnn --data out --views source --out runs/frontal --set epochs=50 --set batch=64
      recognizer train --system lbp-top --data CASME2 --source casme-ii --split all --out runs/lbp
      recognizer train --system ststnet --flow-images norm_u_v_os --split all --out runs/ststnet
      recognizer train --system multiview --data out --angles -40:40:20 --option no_snn=true --out runs/no-snn
    """
    from recognizer.learning.train import TrainingRun, run_training

    run = TrainingRun(
        system=system,
        options=settings_of(option, "--option"),
        training=settings_of(training, "--set"),
        data=asked_data(data, flow_images, source, angles, truth),
        views=views,
        split=split,
        validation=validation,
        patience=patience,
        calibrate=calibrate,
        seed=seed,
    )
    chosen = device_of(device, precision, compile_network)
    weights = run_training(run, out, chosen, workers=workers, say=print)
    print(f"{weights}; test it with: recognizer eval --weights {weights} --data {data or flow_images}")
    return 0
