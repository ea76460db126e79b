"""`mvgen datasets`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from mvgen.commands.settings import takes_settings
from mvgen.core.console import print_table
from mvgen.core.records import Variant
from mvgen.core.settings import by_part, load_config
from mvgen.sources import Listing, describe_sources, get_source, summarise


@takes_settings("cameras", "kind", "video_frames")
def datasets(
    name: Annotated[str | None, typer.Argument(help="dataset to describe or check", show_default=False)] = None,
    root: Annotated[Path | None, typer.Option(help="folder of the release: check it")] = None,
    annotations: Annotated[Path | None, typer.Option(help="workbook, or its folder, if not in ROOT")] = None,
    variant: Annotated[Variant, typer.Option(help="form of the release's frames to read")] = "auto",
    **flags: Any,
) -> int:
    """List the datasets that can be read, or check one on disk.

    With --root: clips per class and subject, and every row or frame that had to be repaired or dropped.

    \b
    Examples:
      mvgen datasets
      mvgen datasets casme2
      mvgen datasets casme2 --root CASME2 --kind micro
    """
    if name is None:
        if root is not None:
            raise typer.BadParameter("--root needs the name of a dataset: mvgen datasets NAME --root DIR")
        _list()
        return 0
    source = get_source(name, load_config(None, by_part({"dataset": name, **flags})).source)
    if root is None and not source.embedded:
        print(f"{source.title}\nfps: {source.rate}\nlicence: {source.licence} ({source.redistribution})")
        print(f"access: {source.access}\n{source.expectation()}")
        if source.citation:
            print(f"cite:\n{source.citation.strip()}")
        return 0
    _check(source.read(root, annotations=annotations, variant=variant))
    return 0


def _list() -> None:
    described, problems = describe_sources()
    rows = [(one.name, one.title, one.fps, one.terms, one.licence) for one in described]
    print_table(("name", "title", "fps", "terms", "licence"), rows)
    print("\nHow to get access:")
    for one in described:
        print(f"  {one.name}: {one.access}")
    for problem in problems:
        print(f"warning: {problem}", file=sys.stderr)


def _check(listing: Listing) -> None:
    summary = summarise(listing)
    print(f"{listing.title}: {listing.version}")
    print(f"{summary.clips} clips, {summary.frames} frames, {len(summary.subjects)} subjects")
    for what, count in (("depth", summary.depths), ("a mesh", summary.meshes)):
        if count:
            print(f"{count} frames have {what}")
    print()
    labels = list(summary.labels)
    rows = [
        (subject, *(str(counts.get(label, 0)) for label in labels), str(sum(counts.values())))
        for subject, counts in summary.subjects.items()
    ]
    rows.append(("all", *(str(summary.labels[label]) for label in labels), str(summary.clips)))
    print_table(("subject", *labels, "clips"), rows)
    print("\nemotions: " + ", ".join(f"{emotion} {count}" for emotion, count in summary.emotions.items()))
    print(f"\nrepaired or dropped: {len(listing.problems)}")
    for problem in listing.problems:
        print(f"  {problem.where}: {problem.action}: {problem.reason}")
    if listing.failures:
        print(f"\ncannot be built: {len(listing.failures)}")
        for failure in listing.failures:
            print(f"  {failure.clip}: {failure.reason}")
