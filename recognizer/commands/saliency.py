"""`recognizer saliency`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mvgen.core.extras import needs
from recognizer.commands.options import DeviceOption, WeightsOption, device_of


@needs("recognizer", "`recognizer saliency`")
def saliency(
    video: Annotated[Path, typer.Argument(help="video, or folder of frames", show_default=False)],
    *,
    weights: WeightsOption,
    out: Annotated[Path, typer.Option(help="image to write, .png")],
    label: Annotated[str | None, typer.Option("--class", help="class to explain; by default the predicted one")] = None,
    onset: Annotated[int | None, typer.Option(help="frame number where the expression begins")] = None,
    apex: Annotated[int | None, typer.Option(help="frame where it is strongest; else that of largest change")] = None,
    offset: Annotated[int | None, typer.Option(help="frame number where it ends")] = None,
    device: DeviceOption = "auto",
) -> int:
    """Draw a saliency map: frames of a clip, and below each how strongly its pixels influence the score of a class.

    \b
    Examples:
      recognizer saliency --weights runs/stcnn/weights.safetensors clip.mp4 --out saliency.png
      recognizer saliency --weights runs/stcnn/weights.safetensors clip.mp4 --class surprise --out saliency.png
    """
    from mvgen.core.errors import ConfigError
    from mvgen.core.files import disk_errors, write_atomically
    from recognizer.learning.prediction import load_tools, predict, sample_of_video
    from recognizer.learning.saliency import saliency as find_saliency
    from recognizer.learning.saliency import sheet
    from recognizer.learning.weights import load_trained
    from recognizer.readers.source import read_video

    chosen = device_of(device)
    trained = load_trained(weights, chosen)
    if label is not None and label not in trained.classes:
        raise ConfigError(f"the weights do not know the class {label!r}; they know {', '.join(trained.classes)}")
    config, tools = load_tools(trained.size, chosen.name)
    sample = sample_of_video(read_video(video, onset, apex, offset), trained.face_only, config, tools)
    predicted = label or next(iter(predict(trained, sample, chosen)))
    inputs = trained.system.prepare(sample)
    maps = find_saliency(trained, inputs, trained.classes.index(predicted), chosen)
    with disk_errors(out.parent):
        write_atomically(out, sheet(inputs, maps, f"{trained.system.name}: saliency for {predicted} in {video.name}"))
    print(f"{out}: {predicted}")
    return 0
