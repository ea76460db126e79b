"""`mvgen report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mvgen.store import layout


def report(
    out: Annotated[Path, typer.Argument(help="folder that `mvgen build` wrote", show_default=False)],
) -> int:
    """Write a page to look at a finished dataset: what is in it, how well it went, and a viewer of its clips.

    OUT/report/index.html is one file that opens from the disk in any browser and loads nothing. Large datasets are
    sampled, and the page says so; it never exceeds 30 MB. It shows the faces: pass it on where you may pass on those.

    \b
    Example:
      mvgen report out
    """
    from mvgen.report.page import write_report

    path = write_report(out)
    print(f"report: {path} ({path.stat().st_size / 1e6:.1f} MB)")
    return 0


def tell_report(out: Path, write: bool) -> None:
    """Say where the page of a finished dataset is, if there is one. write : bring it up to date before"""
    from mvgen.report.page import is_current, write_report

    path = out / layout.REPORT
    if write and not is_current(out):
        write_report(out)
    if path.is_file():
        stale = "" if is_current(out) else f" (out of date: `mvgen report {out}` writes it anew)"
        print(f"report:        {path}{stale}")
