"""`recognizer predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from recognizer.commands.options import DeviceOption, WeightsOption, device_of


def predict(
    videos: Annotated[list[Path], typer.Argument(help="videos, or folders of frames", show_default=False)],
    *,
    weights: WeightsOption,
    onset: Annotated[int | None, typer.Option(help="frame number where the expression begins")] = None,
    apex: Annotated[int | None, typer.Option(help="frame where it is strongest; else that of largest change")] = None,
    offset: Annotated[int | None, typer.Option(help="frame number where it ends")] = None,
    device: DeviceOption = "auto",
) -> int:
    """Predict the expression in a video.

    mvgen's own stages find and register the face and measure its motion. Each video is taken as one expression, from
    its onset to its offset. Exit code: 0 all videos were read, 1 some could not be.

    \b
    Examples:
      recognizer predict --weights runs/multiview/weights.safetensors clip.mp4
      recognizer predict --weights runs/multiview/weights.safetensors frames --onset 12 --apex 20 --offset 31
    """
    import sys

    from mvgen.core.console import print_table
    from recognizer.errors import RecogniserError
    from recognizer.learning.prediction import load_tools, sample_of_video
    from recognizer.learning.prediction import predict as predict_class
    from recognizer.learning.weights import load_trained
    from recognizer.readers.source import read_video

    chosen = device_of(device)
    trained = load_trained(weights, chosen)
    config, tools = load_tools(trained.size, chosen.name)
    rows, failed = [], 0
    for video in videos:
        try:
            sample = sample_of_video(read_video(video, onset, apex, offset), trained.face_only, config, tools)
            found = predict_class(trained, sample, chosen)
        except RecogniserError as error:
            failed += 1
            print(f"error: {error}", file=sys.stderr)
            continue
        rows.append((str(video), next(iter(found)), *(f"{found[name]:.3f}" for name in trained.classes)))
    if rows:
        print_table(("video", "expression", *trained.classes), rows)
    return 1 if failed else 0
