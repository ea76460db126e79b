"""`mvgen report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mvgen.store import layout


def report(
    out: Annotated[Path, typer.Argument(help="folder that `mvgen build` wrote", show_default=False)],
) -> int:
    """Write a page about a finished dataset: its contents, its quality, and a viewer of its clips.

    OUT/report/index.html is a single file that opens from disk in any browser and loads nothing. Large datasets are
    sampled, as the page states; it never exceeds 30 MB. It shows faces: share it only where you may share those.

    \b
    Example:
      mvgen report out
    """
    from mvgen.report.page import write_report

    path = write_report(out)
    print(f"report: {path} ({path.stat().st_size / 1e6:.1f} MB)")
    return 0


def tell_report(out: Path, write: bool) -> None:
    """Print where the page of a finished dataset is, if it has one. write : update the page first"""
    from mvgen.report.page import is_current, write_report

    path = out / layout.REPORT
    if write and not is_current(out):
        write_report(out)
    if path.is_file():
        stale = "" if is_current(out) else f" (out of date: `mvgen report {out}` updates it)"
        print(f"report:        {path}{stale}")
