"""`mvgen merge`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mvgen.build.merge import merge as run_merge
from mvgen.commands.report import tell_report
from mvgen.core.errors import ConfigError
from mvgen.store import layout


def merge(
    parts: Annotated[list[Path], typer.Argument(help="folders that hold the shards", show_default=False)],
    out: Annotated[
        Path | None, typer.Option(help="folder of the finished dataset  [default: PARTS, if it is one]")
    ] = None,
    no_report: Annotated[bool, typer.Option("--no-report", help="write no page to look at the dataset")] = False,
) -> int:
    """Make one dataset of the shards of a build: the same bytes as if it had been built in one go.

    Shards that are missing or not finished are named, and nothing is written. Stopped in the middle, the same line goes
    on.

    \b
    Examples:
      mvgen merge out                             # all shards were built into one folder
      mvgen merge part-* --out out                # each into its own
    """
    if out is None and len(parts) > 1:
        raise ConfigError("several folders are given: say with --out where the dataset belongs")
    merged = run_merge(parts, out or parts[0])
    print(f"{merged.shards} shards: {merged.clips} clips, {merged.failures} failures")
    print(f"dataset:       {merged.out}")
    print(f"contact sheet: {merged.out / layout.SHEET}")
    tell_report(merged.out, write=not no_report)
    return 0
