"""`mvgen merge`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mvgen.building.merge import merge as run_merge
from mvgen.commands.options import NoReport
from mvgen.commands.report import print_files
from mvgen.core.errors import ConfigError


def merge(
    parts: Annotated[list[Path], typer.Argument(help="folders that contain the shards", show_default=False)],
    out: Annotated[Path | None, typer.Option(help="folder of the finished dataset  [default: a single PARTS]")] = None,
    no_report: NoReport = False,
) -> int:
    """Merge the shards of a build into one dataset, with the same bytes as a build without shards.

    If shards are missing or not finished, they are named and nothing is written. To resume, run the same command again.

    \b
    Examples:
      mvgen merge out                             # all shards are in one folder
      mvgen merge part-* --out out                # each has its own
    """
    if out is None and len(parts) > 1:
        raise ConfigError("several folders are given: choose the folder of the dataset with --out")
    merged = run_merge(parts, out or parts[0])
    print(f"{merged.shards} shards: {merged.clips} clips, {merged.failures} failures")
    print_files(merged.out, write_page=not no_report)
    return 0
