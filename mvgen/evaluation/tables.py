"""Tables of figures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

Cell = str | float
Rows = list[list[Cell]]


class Table(NamedTuple):
    """Column names, rows of cells, and the number of decimals of floats."""

    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    digits: int = 2

    def markdown(self) -> str:
        """The table in Markdown, with a dash for NaN."""
        lines = ["| " + " | ".join(self.header) + " |", "|" + "---|" * len(self.header)]
        lines += ["| " + " | ".join(_cell(value, self.digits) for value in row) + " |" for row in self.rows]
        return "\n".join(lines) + "\n"


def _cell(value: Cell, digits: int) -> str:
    if isinstance(value, (str, int)):
        return str(value)
    return "-" if math.isnan(value) else f"{value:.{digits}f}"
