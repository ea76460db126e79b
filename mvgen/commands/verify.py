"""`mvgen verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mvgen.core.names import printable
from mvgen.store import layout
from mvgen.verify import Verification
from mvgen.verify import verify as run_verify


def verify(
    out: Annotated[Path, typer.Argument(help="folder that `mvgen build` wrote", show_default=False)],
    sample: Annotated[int, typer.Option(help="how many views have their geometry checked", min=0)] = 100,
    seed: Annotated[int, typer.Option(help="which views those are")] = 0,
) -> int:
    """Check a finished dataset: every byte, the labels, the split and the geometry.

    Every file is compared with its digest; the table with itself, with the build's records and with the source's own
    workbook; no subject may be on two sides of the split. Depth, mask, frames and flow of a sample of views are carried
    back to the frontal clip. Nothing is changed.

    Exit code: 0 all is as it was built, 1 something is off and listed, 2 there is no dataset.

    \b
    Examples:
      mvgen verify out
      mvgen verify out --sample 100000     # every view
    """
    result = run_verify(out, sample, seed)
    for finding in result.findings:
        print(finding)
    if result.findings:
        print("\n" + _advice(result))
    else:
        print(f"{out} is as it was built: {result.files} files, geometry of {result.views} views")
    if result.stand_in:
        print("Its source is a stand-in made by mvgen synth: no figure on it is one on the release.")
    return result.exit_code


def _advice(result: Verification) -> str:
    out, count = result.out, len(result.findings)
    said = f"{count} finding{'s' if count > 1 else ''}."
    if not (out / layout.BUILD).is_file():
        return f"{said} This copy has no records of its build: fetch the files again from where they came from."
    # A build makes the other files of the whole anew; this one it fits again only where there is none.
    fitted = [finding.file for finding in result.findings if finding.file == layout.ATTENTION]
    removed = [layout.DATASET, *fitted, *(str(layout.marker_path(clip)) for clip in result.clips)]
    listed = "".join(f"\n  {printable(str(out / name))}" for name in removed)
    return (
        f"{said} What has to be built again is, when these are removed and the build's own line is run again:{listed}"
    )
