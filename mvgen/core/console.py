"""Running a command line, and printing tables: plain lines where the output is not a terminal."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any

import typer
from typer.main import get_command

from mvgen.core.errors import MvgenError, StoreError
from mvgen.core.extras import missing_part
from mvgen.core.files import FULL

HELP = {"help_option_names": ["-h", "--help"]}
_INTERRUPTED = 130
_PLAIN_SECONDS, _TERMINAL_SECONDS = 10.0, 0.2  # between two lines, or two pictures of a bar


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
    except (ModuleNotFoundError, OSError) as error:
        explained = _explained(error, name)
        if explained is None:
            raise
        print(f"error: {explained}", file=sys.stderr)
        return explained.exit_code


def _explained(error: ModuleNotFoundError | OSError, name: str) -> MvgenError | None:
    """What to say of an extra that is not installed and of a full disk; None where the cause is another one."""
    if isinstance(error, ModuleNotFoundError):
        return missing_part(error, "this command", "recognizer" if name == "recognizer" else "build")
    if error.errno not in FULL:
        return None
    where = f" for {error.filename}" if error.filename else ""
    return StoreError(f"no space left{where}; free some space and run the same command again")


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


class FrameProgress:
    """Progress of one recording by its frames, on stderr: a bar on a terminal, a line every few seconds elsewhere.

    Calling it with the frames read so far, and how many there are if that is known, shows them.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._began = self._shown = time.monotonic()
        self._bar: Any = None

    def __enter__(self) -> FrameProgress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, done: int, total: int | None) -> None:
        """Show how many frames are done."""
        now = time.monotonic()
        if now - self._shown < (_TERMINAL_SECONDS if sys.stderr.isatty() else _PLAIN_SECONDS):
            return
        self._shown = now
        if sys.stderr.isatty():
            self._draw(done, total)
            return
        of = f" of {total}" if total else ""
        print(f"{self._what}: {done}{of} frames, {done / (now - self._began):.0f} a second", file=sys.stderr)

    def _draw(self, done: int, total: int | None) -> None:
        from rich.console import Console
        from rich.markup import escape
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        if self._bar is None:
            columns = (TextColumn(escape(self._what)), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._bar = Progress(*columns, console=Console(stderr=True))
            self._bar.add_task("frames", total=total)
            self._bar.start()
        self._bar.update(self._bar.task_ids[0], completed=done, total=max(total, done) if total else None)
