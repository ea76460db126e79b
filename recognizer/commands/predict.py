"""`recognizer predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mvgen.core.extras import needs
from recognizer.commands.options import DeviceOption, device_of


@needs("recognizer", "`recognizer predict`")
def predict(
    videos: Annotated[list[Path], typer.Argument(help="videos, or folders of frames", show_default=False)],
    *,
    weights: Annotated[
        Path | None, typer.Option(help="weights that `recognizer train` wrote; by default those shipped, of stand-ins")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="folder for predictions.csv and timeline.png")] = None,
    views: Annotated[str | None, typer.Option(help="yaw angles to see each expression from, too: -30,30")] = None,
    whole: Annotated[bool, typer.Option("--whole", help="each video is one expression, from first to last")] = False,
    onset: Annotated[int | None, typer.Option(help="frame number where the one expression begins")] = None,
    apex: Annotated[int | None, typer.Option(help="frame where it is strongest; else that of largest change")] = None,
    offset: Annotated[int | None, typer.Option(help="frame number where it ends")] = None,
    threshold: Annotated[float | None, typer.Option(help="least score of an expression, see `mvgen spot`")] = None,
    device: DeviceOption = "auto",
) -> int:
    """Find the expressions in a video, and predict each.

    Expressions are found as by `mvgen spot`; mvgen's own stages register each face and measure its motion. With an
    onset, apex or offset, or --whole, the video is one expression. Exit code: 0 all videos were read, 1 some could not
    be.

    \b
    Examples:
      recognizer predict interview.mp4 --out predictions
      recognizer predict interview.mp4 --weights runs/multiview/weights.safetensors --views -30,30
      recognizer predict --weights runs/multiview/weights.safetensors frames --onset 12 --apex 20 --offset 31
    """
    import sys

    from mvgen.core.angles import parse_angles
    from mvgen.core.console import FrameProgress, print_table
    from mvgen.core.files import disk_errors, write_atomically
    from recognizer.errors import RecogniserError
    from recognizer.learning.prediction import Predicted, Predictor, Spot, load_tools, spotted
    from recognizer.learning.timeline import COLUMNS, rows, table, timeline
    from recognizer.learning.weights import SHIPPED, load_trained, provenance
    from recognizer.readers.source import read_video

    chosen = device_of(device)
    trained = load_trained(weights or SHIPPED, chosen)
    config, tools = load_tools(trained.size, chosen.name, () if views is None else parse_angles(views))
    predict_one = Predictor(trained, config, tools, chosen)
    one_each = whole or any(number is not None for number in (onset, apex, offset))
    found: list[Predicted] = []
    failed = 0

    def fail(error: RecogniserError) -> None:
        nonlocal failed
        failed += 1
        print(f"error: {error}", file=sys.stderr)

    for video in videos:
        try:
            clip = read_video(video, onset, apex, offset)
            with FrameProgress(video.name) as progress:
                parts = [Spot(clip)] if one_each else list(spotted(clip, video, config, threshold, progress))
        except RecogniserError as error:
            fail(error)
            continue
        for part in parts:
            try:
                found.append(predict_one(part, clip.frames[0].number))
            except RecogniserError as error:
                fail(error)
    note = provenance(trained)
    if found:
        print_table((*COLUMNS, *trained.classes), rows(found, trained.classes))
    print(f"{len(found)} expressions. {note}")
    if out is not None:
        with disk_errors(out):
            write_atomically(out / "predictions.csv", table(found, trained.classes).encode())
            write_atomically(out / "timeline.png", timeline(found, trained.classes, note))
        print(f"{out / 'predictions.csv'}, {out / 'timeline.png'}")
    return 1 if failed else 0
