"""`mvgen refine`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mvgen.commands.console import print_table
from mvgen.commands.report import tell_report
from mvgen.store import layout
from mvgen.store.refine import ViewChange
from mvgen.store.refine import refine as run_refine


def refine(
    out: Annotated[Path, typer.Argument(help="folder that `mvgen build` wrote", show_default=False)],
    threshold: Annotated[
        float,
        typer.Option(
            help="a training view is kept when it sees at least this share of the attention", show_default=False
        ),
    ],
) -> int:
    """Keep other views of a finished dataset: change the attention threshold without building anything again.

    The dataset ends as if it had been built with that threshold, and its build goes on with it. Test views are all
    kept, whatever the threshold. Stopped in the middle, the same line mends it.

    \b
    Examples:
      mvgen refine out --threshold 0.75     # stricter
      mvgen refine out --threshold 0        # every view
    """
    change = run_refine(out, threshold)
    total = ViewChange(
        "all",
        sum(each.clips for each in change.views),
        sum(each.before for each in change.views),
        sum(each.after for each in change.views),
    )
    rows = [(each.view, str(each.clips), str(each.before), str(each.after)) for each in (*change.views, total)]
    print_table(("view", "training clips", f"kept at {change.before:g}", f"kept at {change.after:g}"), rows)
    if change.before == change.after:
        print(f"{out} has this threshold already: nothing changed.")
    else:
        print(f"dataset:       {out}")
        print(f"contact sheet: {out / layout.SHEET}")
    tell_report(out, write=(out / layout.REPORT).is_file())
    return 0
