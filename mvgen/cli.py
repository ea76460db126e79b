"""The `mvgen` command line: it imports a command only to run it."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from mvgen import __version__
from mvgen.core.console import HELP, run_app

# Command -> (function in mvgen.commands.<name with underscores>, what it does), in the order of the help.
COMMANDS = {
    "build": "Build a multi-view dataset from a frontal one.",
    "merge": "Merge the shards of `mvgen build --shard` into one dataset.",
    "spot": "Find expressions in long recordings: onset, apex and offset.",
    "reconstruct": "Reconstruct single photographs: depth, mesh and side views.",
    "report": "Write an HTML page about a finished dataset: counts, quality, and a viewer.",
    "refine": "Change which views of a finished dataset are kept: another attention threshold.",
    "forget": "Remove a subject from a dataset, or from a publication of it.",
    "verify": "Check a finished dataset: every byte, the labels, the split and the geometry.",
    "publish": "Publish a finished dataset, or only its recipe where its licence forbids more.",
    "export": "Write a finished dataset in a form that published code reads: flow images, MEB, ME-VQA.",
    "rebuild": "Build the dataset of a recipe again, and compare every byte.",
    "datasets": "List the datasets that can be read, or check one on disk.",
    "synth": "Make a synthetic stand-in of a licensed release, with ground truth.",
    "train-depth": "Train the depth network.",
    "make-face-model": "Make the linear face model.",
    "configs": "List the settings that come with mvgen, or print one.",
    "doctor": "Check this machine: versions, device, GL, weights, what is missing.",
}


class _LazyGroup(TyperGroup):
    """Knows every command by its summary; imports one only to run it."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = dict.fromkeys(COMMANDS)  # type: ignore[assignment]  # names alone: "did you mean"

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        return list(COMMANDS)

    def get_command(self, ctx: typer.Context, cmd_name: str) -> TyperCommand | None:  # type: ignore[override]
        return _load(cmd_name) if cmd_name in COMMANDS else None

    def format_commands(self, ctx, formatter) -> None:  # type: ignore[no-untyped-def]
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _load(name: str) -> TyperCommand:
    function = name.replace("-", "_")
    single = typer.Typer(add_completion=False, rich_markup_mode=None, context_settings=HELP)
    single.command(name)(getattr(import_module(f"mvgen.commands.{function}"), function))
    command = get_command(single)
    assert isinstance(command, TyperCommand)
    return command


# Plain help loads in half the time, and reads the same in a log.
app = typer.Typer(cls=_LazyGroup, no_args_is_help=True, rich_markup_mode=None, context_settings=HELP)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mvgen {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_print_version, is_eager=True, help="Print the version."),
) -> None:
    """Turn a frontal micro-expression dataset into a multi-view one.

    Begin with: mvgen build --dataset demo --angles -45:45:10 --out demo/dataset
    """


def main(arguments: list[str] | None = None) -> None:
    """Run a command line and exit. 0 = done, 1 = nothing could be built, 2 = bad input, 130 = interrupted."""
    sys.exit(run(arguments))


def run(arguments: list[str] | None = None) -> int:
    """Run an `mvgen` command line and return its exit code."""
    return run_app(app, "mvgen", arguments)


if __name__ == "__main__":
    main()
