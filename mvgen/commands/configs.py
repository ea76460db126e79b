"""`mvgen configs`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mvgen.core.console import print_table
from mvgen.core.files import config_names, find_config

_USED_BY = {"default": "mvgen build", "depth": "mvgen train-depth", "depth_paper": "mvgen train-depth"}
_BENCH = "recognizer bench"


def configs(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="print this one, to change a copy of it", show_default=False)
    ] = None,
) -> int:
    """List the settings that come with mvgen, or print one. Commands take them by name, or a file by its path.

    \b
    Examples:
      mvgen configs
      mvgen configs default > mine.yaml
      mvgen build --config mine.yaml --dataset samm --root SAMM --out out
      recognizer bench bench/novel_view_small --data out --truth truth --out runs/novel-view
    """
    if name is not None:
        print(find_config(Path(name), "config file").read_text(encoding="utf-8"), end="")
        return 0
    found = config_names()
    rows = [(known, _USED_BY.get(known, _BENCH), _about(path)) for known, path in found.items()]
    print_table(("name", "used by", "what"), rows)
    return 0


def _about(path: Path) -> str:
    """The title of a benchmark, else the first sentence of the comment that a file begins with."""
    lines = path.read_text(encoding="utf-8").splitlines()
    titles = [line.removeprefix("title:").strip(" \"'") for line in lines if line.startswith("title:")]
    return titles[0] if titles else lines[0].removeprefix("#").strip(" :").partition(";")[0]
