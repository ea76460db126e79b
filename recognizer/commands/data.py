"""`recognizer data`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer


def data(out: Annotated[Path, typer.Argument(help="folder that `mvgen build` wrote", show_default=False)]) -> int:
    """Summarise a dataset: clips per split and class, and kept views per angle.

    \b
    Example:
      recognizer data demo/dataset
    """
    from mvgen.core.console import print_table
    from mvgen.store import layout
    from mvgen.store.about import read_about
    from mvgen.store.manifest import read_table

    about = read_about(out)
    rows = read_table(out / layout.TABLE)
    source = about["source"]
    print(f"{out}: {source['title']} ({source['redistribution']}), {about['counts']['clips']} clips\n")
    clips = {(row.split, row.label or "none", row.clip) for row in rows}
    subjects = {(row.split, row.label or "none", row.subject_key) for row in rows}
    clip_counts = Counter((split, label) for split, label, _ in clips)
    subject_counts = Counter((split, label) for split, label, _ in subjects)
    classes = [(*key, str(subject_counts[key]), str(clip_counts[key])) for key in sorted(clip_counts)]
    print_table(("split", "class", "subjects", "clips"), classes)
    print()
    views = []
    for view in about["views"]:
        train = [row for row in rows if row.view == view and row.split == "train"]
        test = [row for row in rows if row.view == view and row.split == "test"]
        seen = [row.visible_attention for row in train + test]
        mean = f"{sum(seen) / len(seen):.0%}" if seen else "-"
        views.append((view, str(len(train)), str(sum(row.kept for row in train)), str(len(test)), mean))
    print_table(("view", "train", "train kept", "test", "visible attention"), views)
    return 0
