"""`mvgen refine`."""

from __future__ import annotations

from typing import Annotated

import typer

from mvgen.commands.options import Store
from mvgen.commands.report import print_files
from mvgen.core.console import print_table
from mvgen.store import layout
from mvgen.store.refine import refine as run_refine


def refine(
    out: Store,
    threshold: Annotated[
        float,
        typer.Option(help="keep training views that see at least this share of the attention", show_default=False),
    ],
) -> int:
    """Change which views of a finished dataset are kept: another attention threshold, without building again.

    The dataset becomes what a build with that threshold would have made; resumed builds use it too. Test views are
    always kept. If it is interrupted, run the same command again.

    \b
    Examples:
      mvgen refine out --threshold 0.75     # stricter
      mvgen refine out --threshold 0        # every view
    """
    change = run_refine(out, threshold)
    rows = [(each.view, each.clips, each.before, each.after) for each in change.views]
    rows.append(("all", *(sum(column) for column in list(zip(*rows, strict=True))[1:])))
    print_table(("view", "training clips", f"kept at {change.before:g}", f"kept at {change.after:g}"), rows)
    if change.before == change.after:
        print(f"{out} already has this threshold: nothing changed.")
    print_files(out, write_page=(out / layout.REPORT).is_file())
    return 0
