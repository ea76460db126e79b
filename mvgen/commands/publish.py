"""`mvgen publish`."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from mvgen.commands.options import Store
from mvgen.publish.plan import Plan
from mvgen.publish.recipe import RECIPE
from mvgen.publish.targets.folder import Folder
from mvgen.publish.writing import plan_publishing


def publish(
    out: Store,
    *,
    to: Annotated[
        str,
        typer.Option(help="target", metavar="DIR|hf://datasets/USER/NAME|s3://BUCKET/PREFIX", show_default=False),
    ],
    pixels: Annotated[
        bool | None,
        typer.Option(
            "--pixels/--recipe",
            help="publish the dataset itself, or its recipe  [default: recipe where the licence forbids more]",
        ),
    ] = None,
    kind: Annotated[
        Literal["parquet", "webdataset"] | None,
        typer.Option("--format", help="file format of the views  [default: parquet]"),
    ] = None,
    permission: Annotated[
        str | None,
        typer.Option(
            "--i-have-permission",
            help="permission of the source's owner: by whom, when, for what; it is recorded",
            metavar="TEXT",
        ),
    ] = None,
    public: Annotated[bool, typer.Option("--public", help="on the Hub: public; else private and gated")] = False,
    creator: Annotated[str | None, typer.Option(help="publisher  [default: USER on the Hub]", metavar="NAME")] = None,
    url: Annotated[str | None, typer.Option(help="address of the dataset  [default: its page on the Hub]")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="print what would be written, and write nothing")] = False,
) -> int:
    """Publish a finished dataset, or only its recipe where its licence forbids more.

    A recipe has settings, versions and digests, but no pixels: with the source, `mvgen rebuild` builds the same dataset
    from it. The dataset itself is published as Parquet or WebDataset, with a card, croissant.json and a manifest. It is
    verified first. To resume, run the same command again.

    \b
    Examples:
      mvgen publish out --to recipe
      mvgen publish out --to shared --pixels --format webdataset
      mvgen publish out --to hf://datasets/USER/NAME --dry-run
    """
    plan = plan_publishing(
        out, to, pixels=pixels, kind=kind, public=public, permission=permission, creator=creator, url=url
    )
    print(f"target: {plan.target.address} ({plan.target.visibility})")
    if plan.guarded and isinstance(plan.target, Folder):
        print("a folder counts as private: give access only to people who may see the source's subjects")
    if dry_run:
        _print_plan(plan)
        print("nothing was written")
        return 0
    outcome = plan.write(lambda name, size, sent: print(f"{name}  {_size(size)}{'' if sent else ', already there'}"))
    total = sum(file.size for file in outcome.files.values())
    print(f"{len(outcome.files)} files, {_size(total)}; {len(outcome.sent)} of them written in this run")
    if RECIPE in plan.names:
        folder = to if isinstance(plan.target, Folder) else "FOLDER_OF_THE_RECIPE"
        print(f"recipe: {to}; rebuild the dataset with: mvgen rebuild {folder} --root SOURCE --out OUT")
    return 0


def _print_plan(plan: Plan) -> None:
    for part in plan.parts:
        size = "made from the others" if part.size is None else _size(part.size)
        print(f"{part.name}  {size if part.exact else f'about {size}'}")
    print(f"{len(plan.parts)} files, about {_size(sum(part.size or 0 for part in plan.parts))}")


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count} bytes"
