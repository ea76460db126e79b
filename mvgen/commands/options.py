"""Arguments and options that several commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Store = Annotated[Path, typer.Argument(metavar="OUT", help="folder that `mvgen build` wrote", show_default=False)]
Config = Annotated[Path | None, typer.Option(help="YAML file, or a name of `mvgen configs`; flags take precedence")]
NoReport = Annotated[bool, typer.Option("--no-report", help="do not write the HTML page")]
Verbose = Annotated[bool, typer.Option("--verbose", help="print every clip, and tracebacks of internal errors")]
