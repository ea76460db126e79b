"""`mvgen spot`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mvgen.commands.settings import takes_settings
from mvgen.core.extras import needs
from mvgen.core.settings import by_part, load_config


@takes_settings("device")
@needs("build", "`mvgen spot`")
def spot(
    place: Annotated[
        Path, typer.Argument(metavar="VIDEO|ROOT", help="a video, or a folder of them or of frames", show_default=False)
    ],
    *,
    out: Annotated[Path, typer.Option(help="table of the expressions found")] = Path("clips.csv"),
    threshold: Annotated[
        float | None, typer.Option(help="least score, in units of the recording's noise; 2.3 by default", min=0)
    ] = None,
    fps: Annotated[float | None, typer.Option(help="frames per second, if the file does not state it", min=1)] = None,
    **flags: Any,
) -> int:
    """Find expressions in long recordings: onset, apex and offset.

    By what moves in the face apart from the head, and comes back; blinks are left out. Expressions of half a second or
    less are micro-expressions. Frames are read one at a time, so that an hour takes no more memory than a minute.
    Exit code: 0 all recordings were searched, 1 some could not be, 2 bad input.

    \b
    Examples:
      mvgen spot interview.mp4 --out clips.csv
      mvgen spot recordings --out clips.csv --threshold 3
      mvgen build --dataset folder --root recordings --clips clips.csv --out out
    """
    import sys
    from functools import partial

    from mvgen.core.console import FrameProgress, print_table
    from mvgen.pipeline.recordings import COLUMNS, spot_recordings
    from mvgen.pipeline.spot import FaceMotion

    settings = load_config(None, by_part(flags))
    measure = partial(FaceMotion.load, settings.run.device)
    spotted = spot_recordings(place, measure, fps=fps, threshold=threshold, progress=FrameProgress)
    for name, why in spotted.failures.items():
        print(f"error: {name}: {why}", file=sys.stderr)
    spotted.save(out)
    print_table(COLUMNS, [one.row() for one in spotted.expressions])
    micro = sum(one.kind == "micro" for one in spotted.expressions)
    counted = f"{len(spotted.expressions)} expressions, {micro} of them micro"
    print(f"{counted}, in {len(spotted.recordings)} recordings: {out}")
    return 1 if spotted.failures else 0
