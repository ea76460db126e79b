"""`mvgen train-depth`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mvgen.core.errors import ConfigError
from mvgen.core.extras import needs


@needs("build", "`mvgen train-depth`")
def train_depth(
    *,
    config: Annotated[Path, typer.Option(help="YAML of the data and the schedule, or a name of `mvgen configs`")],
    out: Annotated[Path, typer.Option(help="folder of the weights, their card, the log and the checkpoint")],
    scans: Annotated[
        str, typer.Option(help="3D faces to learn from, separated by commas: anny, ict, facescape, stirling, photos")
    ] = "anny",
    root: Annotated[
        list[str] | None,
        typer.Option(help="folder of a corpus, for each that is not built in", metavar="[CORPUS=]DIR"),
    ] = None,
    photos: Annotated[
        Path | None, typer.Option(help="folder of frontal photographs, for real skin and hair  [default: none]")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="folder of the rendered images  [default: OUT/data]")] = None,
    start: Annotated[Path | None, typer.Option(help="weights to start training from  [default: none]")] = None,
    workers: Annotated[int, typer.Option(help="processes that render images", min=1)] = 2,
    device: Annotated[str, typer.Option(help="device to train on", metavar="auto|cpu|cuda")] = "auto",
) -> int:
    """Train the depth network.

    An interrupted run resumes from its last epoch. The licences of the corpora decide who may use the weights; the card
    beside them names them.

    \b
    Examples:
      mvgen train-depth --config depth --out runs/depth
      mvgen train-depth --config depth --out runs/depth --scans anny,ict --root ict=ICT-FaceKit
      mvgen train-depth --config depth_paper --out runs/paper --scans facescape,stirling \\
          --root facescape=data/facescape --root stirling=data/stirling
      mvgen train-depth --config my_scans.yaml --out runs/mine --scans facescape --root data/facescape \\
          --start runs/depth/face_depth.safetensors
      mvgen train-depth --config depth --out runs/real --scans anny,ict --root ict=ICT-FaceKit \\
          --photos data/portraits
    """
    names = _names(scans)
    corpora = {name: _root_of(name, root or [], alone=len(names) == 1) for name in names}
    if photos is not None:
        corpora["photos"] = photos
    from mvgen.training.depth import load_training_config, train

    settings = load_training_config(config)
    weights = train(
        settings, out, corpora=corpora, data=data or out / "data", start=start, device=device, workers=workers
    )
    print(f"{weights}; its card is beside it. Use it: mvgen build --weights {weights} ...")
    return 0


def _names(scans: str) -> list[str]:
    """The corpora of `--scans`, each once. Raises ConfigError when there are none."""
    from mvgen.scans import CORPORA

    names = list(dict.fromkeys(name.strip() for name in scans.split(",") if name.strip()))
    if not names:
        raise ConfigError(f"--scans is empty; give one or more of {', '.join(CORPORA)}")
    return names


def _root_of(corpus: str, roots: list[str], *, alone: bool) -> Path | None:
    """The folder given for a corpus, None if none was. Raises ConfigError for a folder without a name among several."""
    from mvgen.scans import CORPORA

    for given in roots:
        name, separator, folder = given.partition("=")
        if not separator or name not in CORPORA:
            if not alone:
                raise ConfigError(
                    f"--root {given}: with several corpora name the one it belongs to, for example --root ict={given}"
                )
            return Path(given)
        if name == corpus:
            return Path(folder)
    return None
