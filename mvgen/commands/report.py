"""`mvgen report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mvgen.commands.options import Store
from mvgen.core.errors import ConfigError
from mvgen.store import layout


def report(
    out: Store,
    *,
    compare: Annotated[
        Path | None, typer.Option(metavar="STORE", help="write a page of STORE, left, beside OUT, right")
    ] = None,
    page: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE.html", help="--compare: file to write  [default: compare.html]"),
    ] = None,
) -> int:
    """Write an HTML page about a finished dataset: what is in it, how good it is, and a viewer of its clips.

    OUT/report/index.html is one file that opens from the disk in any browser and loads nothing else. It stays under
    30 MB: large datasets are sampled, and the page says so. It shows faces: their licence holds for it too.

    With --compare, a page of two datasets side by side is written instead, to a file of its own: the clips that both
    have, their numbers and pictures, and the settings that differ.

    \b
    Examples:
      mvgen report out
      mvgen report --compare before after --out before-and-after.html
    """
    from mvgen.report.compare import write_comparison
    from mvgen.report.page import write_report

    if compare is None:
        if page is not None:
            raise ConfigError("--out goes with --compare: the page of one dataset lies in it")
        path = write_report(out)
    else:
        path = page or Path("compare.html")
        if path.suffix.lower() != ".html":
            raise ConfigError(f"--out {path} is no HTML file; give it a name that ends in .html")
        print(f"clips in both: {write_comparison(compare, out, path)}")
    print(f"report: {path} ({path.stat().st_size / 1e6:.1f} MB)")
    return 0


def print_files(out: Path, write_page: bool) -> None:
    """Print where a dataset, its contact sheet and its page are. write_page : bring the page up to date first"""
    from mvgen.report.page import is_current, write_report

    print(f"dataset:       {out}")
    print(f"contact sheet: {out / layout.SHEET}")
    path = out / layout.REPORT
    if write_page and not is_current(out):
        write_report(out)
    if path.is_file():
        stale = "" if is_current(out) else f" (out of date: `mvgen report {out}` updates it)"
        print(f"report:        {path}{stale}")
