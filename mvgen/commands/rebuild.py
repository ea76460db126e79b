"""`mvgen rebuild`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mvgen.commands.console import BuildProgress, print_summary
from mvgen.commands.options import Verbose
from mvgen.commands.settings import takes_settings
from mvgen.core.console import print_table
from mvgen.core.extras import needs
from mvgen.core.settings import by_part
from mvgen.publish.rebuild import Comparison, rebuild_config
from mvgen.publish.rebuild import rebuild as run_rebuild
from mvgen.publish.recipe import read_recipe

_SHOWN = 20


@takes_settings(
    "root",
    "annotations",
    "workers",
    weights="depth weights, if the recipe has its own",
    depth_onnx="monocular depth or normal model (.onnx), if the recipe has one",
    flow_weights="RAFT weights, if the recipe has its own",
    device="device that the networks run on  [default: the recipe's]",
)
@needs("build", "`mvgen rebuild`")
def rebuild(
    recipe: Annotated[Path, typer.Argument(help="folder that `mvgen publish` wrote", show_default=False)],
    *,
    out: Annotated[Path, typer.Option(help="folder of the rebuilt dataset", show_default=False)],
    verbose: Verbose = False,
    **flags: Any,
) -> int:
    """Rebuild the dataset of a recipe, and compare every byte.

    A source or weights other than the recipe's are refused before anything is built. To resume, run the same command
    again.

    Exit code: 0 every byte is the same, 1 there are differences, which are listed, 2 bad input.

    \b
    Examples:
      mvgen rebuild recipe --root CASME2 --out out
      mvgen rebuild recipe --root CASME2 --out out --workers 4
    """
    read, manifest = read_recipe(recipe)
    config = rebuild_config(read, by_part({**flags, "out": out}))
    with BuildProgress(verbose) as progress:
        summary, result = run_rebuild(read, manifest, config, progress=progress)
    print_summary(summary)
    print(f"dataset:       {summary.out}")
    _print(result, len(manifest))
    return 0 if result.same else 1


def _print(result: Comparison, total: int) -> None:
    kinds = {"different": result.different, "missing": result.missing, "extra": result.extra}
    share = len(result.equal) / max(total, 1)
    rows = [("equal", f"{len(result.equal)} of {total} ({share:.2%})")]
    print_table(("", "files"), rows + [(kind, str(len(paths))) for kind, paths in kinds.items()])
    if result.same:
        print("every byte is the same")
        return
    for kind, paths in kinds.items():
        for path in paths[:_SHOWN]:
            print(f"{kind}: {path}")
        if len(paths) > _SHOWN:
            print(f"{kind}: {len(paths) - _SHOWN} more")
    for line in result.software:
        print(f"software differs: {line}")
