"""`mvgen build`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from mvgen.building.build import build as run_build
from mvgen.commands.console import BuildProgress, print_summary
from mvgen.commands.options import Config, NoReport, Verbose
from mvgen.commands.report import print_files
from mvgen.commands.settings import takes_settings
from mvgen.core.extras import needs
from mvgen.core.settings import by_part, load_config
from mvgen.store.shards import Shard


@takes_settings()
@needs("build", "`mvgen build`")
def build(
    *,
    config: Config = None,
    shard: Annotated[
        str | None,
        typer.Option(metavar="I/N", help="build every N-th clip, from the I-th; `mvgen merge` joins all N shards"),
    ] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="build clips again that failed before")] = False,
    no_report: NoReport = False,
    verbose: Verbose = False,
    **flags: Any,
) -> int:
    """Build a multi-view dataset from a frontal one.

    To resume a build that was interrupted, run the same command again.
    Exit code: 0 built (failures are listed), 1 no clip could be built, 2 bad input.

    \b
    Examples:
      mvgen build --dataset demo --angles -45:45:10 --out demo/dataset
      mvgen build --dataset casme2 --root CASME2 --angles -30,0,30 --out out --workers 4
      mvgen build --config default --dataset samm --root SAMM --format png
      mvgen build --dataset casme2 --root CASME2 --out out --engine ray --address auto --workers 64
      mvgen build --dataset casme2 --root CASME2 --out out --shard 2/8
      mvgen build --dataset casme2 --root CASME2 --out out --depth-onnx depth.onnx --depth-onnx-input unit
    """
    settings = load_config(config, by_part(flags))
    part = None if shard is None else Shard.parse(shard)
    with BuildProgress(verbose) as progress:
        summary = run_build(settings, progress=progress, retry_failed=retry_failed, shard=part)
    if part is not None and not summary.nothing_to_do:
        print(f"shard {part}: {summary.clips} clips, {summary.views} views, {len(summary.failures)} failures")
        print(f"when all {part.count} shards are built: mvgen merge {settings.run.out}")
        return 0
    print_summary(summary)
    print_files(settings.run.out, write_page=not no_report)
    return summary.exit_code
