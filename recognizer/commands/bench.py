"""`recognizer bench`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mvgen.core.extras import needs
from recognizer.commands.options import DeviceOption, FlowImagesOption, PrecisionOption, device_of


@needs("recognizer", "`recognizer bench`")
def bench(
    config: Annotated[Path, typer.Argument(help="YAML file, or a name of `mvgen configs`", show_default=False)],
    *,
    out: Annotated[Path, typer.Option(help="folder for the tables, plots and finished runs")],
    data: Annotated[
        list[Path] | None, typer.Option(help="dataset instead of the YAML's; repeat it for a composite")
    ] = None,
    flow_images: FlowImagesOption = None,
    truth: Annotated[Path | None, typer.Option(help="true side views of the dataset's stand-in")] = None,
    only: Annotated[list[str] | None, typer.Option(help="only the systems of this label, repeatable")] = None,
    seeds: Annotated[int | None, typer.Option(help="how many, instead of the YAML's", min=1)] = None,
    epochs: Annotated[int | None, typer.Option(help="of every network, instead of the YAML's", min=1)] = None,
    shuffle_labels: Annotated[
        bool, typer.Option("--shuffle-labels", help="shuffle the labels of the clips: accuracy must fall to chance")
    ] = False,
    cache: Annotated[Path | None, typer.Option(help="folder of prepared inputs, shareable  [default: OUT]")] = None,
    workers: Annotated[int, typer.Option(help="parallel runs; results do not depend on it", min=1)] = 1,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    compile_network: Annotated[bool, typer.Option("--compile", help="compile the networks first")] = False,
    tensorboard: Annotated[bool, typer.Option(help="write curves of every run for tensorboard")] = False,
) -> int:
    """Compare systems: each is trained on every kind of training views, for every fold and seed.

    Writes results.json, results.md, results.tex and plots. After an interruption, even a crash, the same command
    continues and ends with the same tables.

    \b
    Examples:
      recognizer bench bench/novel_view_small --data out --truth truth --out runs/novel-view --workers 2
      recognizer bench bench/strcn_table2_casme_ii --data casme-ii --out runs/loso
      recognizer bench bench/megc_442 --flow-images norm_u_v_os --out runs/megc-442
      recognizer bench bench/novel_view --data out --out runs/chance --shuffle-labels
    """
    from mvgen.core.console import print_table
    from recognizer.bench.action_units import unit_rows
    from recognizer.bench.run import run_bench
    from recognizer.bench.tables import gain_lines, main_table
    from recognizer.config import choose_systems, load_bench

    overrides: dict[str, Any] = {}
    places = {"stores": tuple(data) if data else None, "truth": truth, "flow_images": flow_images}
    overrides["data"] = {name: value for name, value in places.items() if value is not None}
    if seeds is not None:
        overrides["seeds"] = seeds
    if shuffle_labels:
        overrides["shuffle_labels"] = True
    settings = choose_systems(load_bench(config, overrides), only, epochs)
    results = run_bench(
        settings,
        out,
        folder=cache,
        device=device_of(device, precision, compile_network),
        workers=workers,
        tensorboard=tensorboard,
    )
    print()
    units = results.get("task") == "action-units"
    if units:
        print_table(*unit_rows(results))
    else:
        table = main_table(results)
        print_table(table.header, table.rows)
    for line in [] if units else [*table.notes, *gain_lines(results)]:
        print(line)
    print(f"\n{out / 'results.md'}, {'' if units else 'results.tex and '}results.json beside it")
    return 0
