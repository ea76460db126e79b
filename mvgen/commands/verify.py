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
    sample: Annotated[int, typer.Option(help="number of views whose geometry is checked", min=0)] = 100,
    seed: Annotated[int, typer.Option(help="of the random choice of these views")] = 0,
) -> int:
    """Check a finished dataset: every byte, the labels, the split and the geometry.

    Every file is compared with its digest. The table is checked in itself, against the build records and against the
    source's own workbook; no subject may be in both splits. Depth, mask, frames and flow of a sample of views are
    compared with the frontal clip. Nothing is changed.

    Exit code: 0 the dataset is intact, 1 problems were found and listed, 2 there is no dataset.

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
        print(f"{out} is intact: {result.files} files, geometry of {result.views} views")
    if result.stand_in:
        print("Its source is a stand-in made by mvgen synth: results on it are not results on the release.")
    return result.exit_code


def _advice(result: Verification) -> str:
    out, count = result.out, len(result.findings)
    summary = f"{count} finding{'s' if count > 1 else ''}."
    if not (out / layout.BUILD).is_file():
        return f"{summary} This copy has no build records: copy the files again from where they came from."
    # A build always writes the other files of the whole dataset; this one is fitted again only if it is missing.
    fitted = [finding.file for finding in result.findings if finding.file == layout.ATTENTION]
    removed = [layout.DATASET, *fitted, *(str(layout.marker_path(clip)) for clip in result.clips)]
    listed = "".join(f"\n  {printable(str(out / name))}" for name in removed)
    return f"{summary} To build the damaged parts again, remove these files and run the build command again:{listed}"
