"""Shared parts of the benchmarks: hardware and commit, tables, and the common format of results.

    {"benchmark": "speed/throughput", "commit": "1a2b3c4", "hardware": "2 x ...", "settings": {option: value},
     "rows": [{column: value}, ...]}

Where there are several sections, a row also has the "section" in which it was printed. `null` means unknown.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mvgen.core.errors import ConfigError, MvgenError
from mvgen.evaluation.tables import Cell, Table


def command_line(description: str | None) -> argparse.ArgumentParser:
    """A command line with `--out`; description : of the script, with an example."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="write the results here, too")
    return parser


class Report:
    """The results of a run: printed as Markdown at once, and all so far written to `--out`.

    script : its `__file__`; chosen : its options; about : what was measured, for the line with hardware and commit
    """

    def __init__(self, script: str, chosen: argparse.Namespace, about: str = "") -> None:
        self._name = _name(script)
        self._settings = {name: value for name, value in vars(chosen).items() if name != "out"}
        self._out: Path | None = chosen.out
        self._section: dict[str, str] = {}
        self._rows: list[Mapping[str, Any]] = []
        self._hardware, self._commit = hardware(), commit()
        print("; ".join(filter(None, (self._hardware, f"commit {self._commit}", about))) + "\n", flush=True)

    def section(self, title: str) -> None:
        """Print a heading; the rows that follow belong to it."""
        self._section = {"section": title}
        print(f"## {title}\n")

    def table(self, header: Sequence[str], rows: Sequence[Sequence[Cell]], digits: int = 2) -> None:
        """Print a table and keep its rows. Raises ValueError for two columns with the same name."""
        if len(set(header)) < len(header):
            raise ValueError(f"two columns have the same name: {', '.join(header)}")
        print(Table(header, rows, digits).markdown(), flush=True)
        self.keep([dict(zip(header, row, strict=True)) for row in rows])

    def keep(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Keep rows without a table."""
        self._rows += [{**self._section, **row} for row in rows]
        if self._out is not None:
            found = {
                "benchmark": self._name, "commit": self._commit, "hardware": self._hardware,
                "settings": self._settings, "rows": self._rows,
            }  # fmt: skip
            self._out.parent.mkdir(parents=True, exist_ok=True)
            self._out.write_text(json.dumps(_plain(found), indent=1, ensure_ascii=False) + "\n")


def read_rows(path: Path, script: str) -> list[dict[str, Any]]:
    """The rows that `--out` of a script, its `__file__`, wrote. Raises ConfigError for another file."""
    try:
        found = json.loads(path.read_text())
        if found["benchmark"] == _name(script):
            return list(found["rows"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path} holds no results of a benchmark, as --out writes them: {error!r}") from None
    raise ConfigError(f"{path} holds results of {found['benchmark']}, not of {_name(script)}")


def run_script(main: Callable[[], None]) -> None:
    """Run a script; bad input ends it with an error message, not a traceback."""
    try:
        main()
    except MvgenError as error:
        raise SystemExit(f"error: {error}") from None


def hardware() -> str:
    """Processor, cores, and the GPU if torch sees one."""
    import torch

    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    processor = f"{len(models)} x {models[0]}" if models else platform.processor()
    return f"{processor}, {torch.cuda.get_device_name() if torch.cuda.is_available() else 'no GPU'}"


def commit() -> str:
    """Short hash of the checkout, with a plus where it has uncommitted changes."""
    line = ["git", "describe", "--always", "--dirty=+"]
    found = subprocess.run(line, capture_output=True, text=True, check=False, cwd=Path(__file__).parent)
    return found.stdout.strip() or "no checkout"


def _name(script: str) -> str:
    path = Path(script).resolve()
    return f"{path.parent.name}/{path.stem}"


def _plain(value: Any) -> Any:
    """The value for JSON; NaN and infinity become null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, Path):
        return str(value)
    return float(value) if math.isfinite(value) else None
