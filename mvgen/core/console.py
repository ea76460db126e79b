"""Running a command line, and printing tables: plain lines where the output is not a terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence

import typer
from typer.main import get_command

from mvgen.core.errors import MvgenError

HELP = {"help_option_names": ["-h", "--help"]}
_INTERRUPTED = 130


def run_app(which: typer.Typer, name: str, arguments: list[str] | None = None) -> int:
    """Run a command line and return its exit code; errors go to stderr as a message, never as a traceback."""
    try:
        code = get_command(which).main(args=arguments, prog_name=name, standalone_mode=False)
        if code == _INTERRUPTED:  # typer's code for Ctrl-C
            raise KeyboardInterrupt
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except MvgenError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except typer.TyperException as error:
        # Usage errors print themselves, with the usage line.
        if show := getattr(error, "show", None):
            show()
        else:
            print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except (typer.Abort, KeyboardInterrupt):
        print("\ninterrupted; run the same command again to resume", file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:
        # The reader has closed the pipe; nothing may be flushed into it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def print_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table: ruled on a terminal, aligned columns elsewhere."""
    table = [[str(cell) for cell in row] for row in rows]
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.markup import escape
        from rich.table import Table

        ruled = Table(*header, highlight=False)
        for row in table:
            ruled.add_row(*(escape(cell) for cell in row))
        Console().print(ruled)
        return
    lines = ([list(header)] if all(header) else []) + table
    widths = [max((len(line[column]) for line in lines), default=0) for column in range(len(header))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
