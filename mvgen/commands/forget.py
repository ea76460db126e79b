"""`mvgen forget`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mvgen.commands.console import print_table
from mvgen.commands.report import print_files
from mvgen.core.names import printable
from mvgen.forget.store import Departure
from mvgen.forget.store import forget as forget_in_store
from mvgen.publish.forget import forget_published, is_published
from mvgen.store import layout

_UNDONE = (
    "copies that others made, and revisions, backups and snapshots of this place: ask their holders, or remove them "
    "yourself",
    "weights that were trained on this dataset, this store's attention head included: they saw the subject if the "
    "subject was in their training split",
    "the split: it was drawn with the subject, and nobody changes sides now",
)


def forget(
    store: Annotated[
        str,
        typer.Argument(
            help="folder that `mvgen build` wrote, or a publication of it",
            metavar="DIR|hf://datasets/USER/NAME|s3://BUCKET/PREFIX",
            show_default=False,
        ),
    ],
    *,
    subject: Annotated[str, typer.Option(help="who leaves, as the source writes it", metavar="ID", show_default=False)],
    reason: Annotated[
        str, typer.Option(help="why; it stays in the dataset, so name nobody", metavar="TEXT")
    ] = "consent was withdrawn",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="list what would go, and remove nothing")] = False,
) -> int:
    """Remove a subject from a dataset: every clip, view, map, geometry and record.

    A tombstone stays, `.forgotten.json`: a digest of the subject and the reason, no name. With it no build, merge or
    rebuild brings the subject back. All files of others stay as they are, byte for byte; the release's workbook goes,
    because it names everybody. Stopped in the middle, the same line finishes it.

    \b
    Examples:
      mvgen forget out --subject s15 --dry-run
      mvgen forget out --subject s15 --reason "withdrew on request"
      mvgen forget hf://datasets/USER/NAME --subject s15
    """
    out = Path(store)
    had_report = (out / layout.REPORT).parent.is_dir()
    if "://" in store or is_published(out):
        gone = forget_published(store, subject, reason, dry_run)
    else:
        gone = forget_in_store(out, subject, reason, dry_run)
    if dry_run:
        for path in gone.files:
            print(printable(path))
    _print(gone, dry_run)
    if dry_run:
        print("nothing was removed")
    elif had_report:
        print_files(out, write_page=True)
    return 0


def _print(gone: Departure, dry_run: bool) -> None:
    if gone.before:
        print(f"{gone.place}: this subject has left already, nothing of them is there")
        return
    would = "would go" if dry_run else "removed"
    counts = {"clips": len(gone.clips), "views": gone.views, "frames": gone.frames, "files": len(gone.files)}
    print_table(("", would), [(name, str(count)) for name, count in counts.items()])
    for name in gone.workbooks:
        print(f"{would}: {printable(name)}, which names everybody; `{layout.TABLE}` has what it says of the others")
    if gone.split is not None:
        fitted = "was fitted on their clips too, and stays" if gone.fitted else "never saw them"
        print(f"they were in the {gone.split} split; the attention head {fitted}")
    print("What this cannot undo:")
    for line in _UNDONE:
        print(f"- {line}")
