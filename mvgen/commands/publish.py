"""`mvgen publish`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mvgen.publish.writing import plan_publishing


def publish(
    out: Annotated[Path, typer.Argument(help="folder that `mvgen build` wrote", show_default=False)],
    to: Annotated[str, typer.Option(help="folder to publish to", metavar="DIR", show_default=False)],
    pixels: Annotated[bool, typer.Option("--pixels", help="publish the dataset itself, not its recipe")] = False,
    permission: Annotated[
        str | None,
        typer.Option(
            "--i-have-permission",
            help="permission of the source's owner: who gave it, when, for what; it is recorded",
            metavar="TEXT",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would be written, and write nothing")] = False,
) -> int:
    """Publish a finished dataset, or the recipe of one that may not be passed on.

    A recipe holds settings, versions and digests, and not one pixel: whoever holds the source builds the same dataset
    from it with `mvgen rebuild`. The dataset is verified first.

    \b
    Examples:
      mvgen publish out --to recipe
      mvgen publish out --to recipe --dry-run
    """
    plan = plan_publishing(out, to, pixels=pixels, permission=permission)
    for name, content in plan.files.items():
        print(f"{plan.folder / name}  {len(content)} bytes")
    if dry_run:
        print("nothing was written")
        return 0
    plan.write()
    print(f"recipe: {plan.folder}; build it again with: mvgen rebuild {plan.folder} --root SOURCE --out OUT")
    return 0
