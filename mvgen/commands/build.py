"""`mvgen build`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import typer

from mvgen.build.build import build as run_build
from mvgen.commands.console import BuildProgress, print_summary
from mvgen.commands.report import tell_report
from mvgen.core.config import BuildConfig, load_config
from mvgen.store.shards import Shard


def _flag(name: str) -> Any:
    """An option for a setting; its help and default are the setting's own."""
    field = BuildConfig.model_fields[name]
    default = field.default
    if name == "angles":
        default = "-45:45:10"
    shown = "" if default is None else f"  [default: {default}]"
    choices = "|".join(get_args(field.annotation)) if get_origin(field.annotation) is Literal else None
    return typer.Option(help=f"{field.description}{shown}", show_default=False, metavar=choices)


def build(
    *,
    dataset: Annotated[str | None, _flag("dataset")] = None,
    root: Annotated[Path | None, _flag("root")] = None,
    out: Annotated[Path | None, _flag("out")] = None,
    angles: Annotated[str | None, _flag("angles")] = None,
    config: Annotated[
        Path | None, typer.Option(help="YAML file with these settings, dashes as underscores; flags go over it")
    ] = None,
    annotations: Annotated[Path | None, _flag("annotations")] = None,
    variant: Annotated[str | None, _flag("variant")] = None,
    size: Annotated[int | None, _flag("size")] = None,
    format: Annotated[str | None, _flag("format")] = None,
    jpeg_quality: Annotated[int | None, _flag("jpeg_quality")] = None,
    camera: Annotated[str | None, _flag("camera")] = None,
    focal: Annotated[float | None, _flag("focal")] = None,
    principal: Annotated[tuple[float, float] | None, _flag("principal")] = None,
    pivot_depth: Annotated[float | None, _flag("pivot_depth")] = None,
    geometry: Annotated[str | None, _flag("geometry")] = None,
    renderer: Annotated[str | None, _flag("renderer")] = None,
    grazing: Annotated[float | None, _flag("grazing")] = None,
    fill: Annotated[str | None, _flag("fill")] = None,
    background: Annotated[str | None, _flag("background")] = None,
    registration: Annotated[str | None, _flag("registration")] = None,
    min_inliers: Annotated[int | None, _flag("min_inliers")] = None,
    flow: Annotated[str | None, _flag("flow")] = None,
    flow_method: Annotated[str | None, _flag("flow_method")] = None,
    flow_weights: Annotated[Path | None, _flag("flow_weights")] = None,
    attention_threshold: Annotated[float | None, _flag("attention_threshold")] = None,
    test_share: Annotated[float | None, _flag("test_share")] = None,
    weights: Annotated[Path | None, _flag("weights")] = None,
    seed: Annotated[int | None, _flag("seed")] = None,
    limit: Annotated[int | None, _flag("limit")] = None,
    workers: Annotated[int | None, _flag("workers")] = None,
    device: Annotated[str | None, _flag("device")] = None,
    engine: Annotated[str | None, _flag("engine")] = None,
    address: Annotated[str | None, _flag("address")] = None,
    worker_gpus: Annotated[float | None, _flag("worker_gpus")] = None,
    attempts: Annotated[int | None, _flag("attempts")] = None,
    clip_timeout: Annotated[float | None, _flag("clip_timeout")] = None,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N", help="build every N-th clip from the I-th on; `mvgen merge` makes a dataset of all shards"
        ),
    ] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="try clips again that failed before")] = False,
    no_report: Annotated[bool, typer.Option("--no-report", help="write no page to look at the dataset")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="print every clip and the traceback of mistakes")] = False,
) -> int:
    """Build a multi-view dataset from a frontal one.

    Stopped in the middle, by Ctrl-C or worse, the same line goes on where it was.
    Exit code: 0 built (failures are listed), 1 no clip could be built, 2 bad input.

    \b
    Examples:
      mvgen build --dataset demo --angles -45:45:10 --out demo/dataset
      mvgen build --dataset casme2 --root CASME2 --angles -30,0,30 --out out --workers 4
      mvgen build --config configs/default.yaml --dataset samm --root SAMM --format png
      mvgen build --dataset casme2 --root CASME2 --out out --engine ray --address auto --workers 64
      mvgen build --dataset casme2 --root CASME2 --out out --shard 2/8
    """
    flags = {name: value for name, value in locals().items() if name in BuildConfig.model_fields}
    settings = load_config(config, flags)
    part = None if shard is None else Shard.parse(shard)
    with BuildProgress(verbose) as progress:
        summary = run_build(settings, progress=progress, retry_failed=retry_failed, shard=part)
    if part is not None and not summary.nothing_to_do:
        print(f"shard {part}: {summary.clips} clips, {summary.views} views, {len(summary.failures)} failures")
        print(f"when all {part.count} are through: mvgen merge {settings.out}")
        return 0
    print_summary(summary)
    tell_report(settings.out, write=not no_report)
    return summary.exit_code
