"""The `recognizer` command line."""

from __future__ import annotations

import sys

import typer

from mvgen import __version__
from mvgen.core.console import HELP, run_app
from recognizer.commands.bench import bench
from recognizer.commands.data import data
from recognizer.commands.eval import evaluate
from recognizer.commands.export import export
from recognizer.commands.predict import predict
from recognizer.commands.saliency import saliency
from recognizer.commands.systems import systems
from recognizer.commands.train import train

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, context_settings=HELP)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"recognizer {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_print_version, is_eager=True, help="Print the version."),
) -> None:
    """Recognise micro-expressions in a multi-view dataset.

    Begin with: recognizer train --system multiview --data demo/dataset --out runs/multiview
    """


app.command("data")(data)
app.command("systems")(systems)
app.command("train")(train)
app.command("eval")(evaluate)
app.command("bench")(bench)
app.command("predict")(predict)
app.command("saliency")(saliency)
app.command("export")(export)


def main() -> None:
    """Run the command line and exit; codes as in `mvgen.cli.main`."""
    sys.exit(run_app(app, "recognizer"))


if __name__ == "__main__":
    main()
