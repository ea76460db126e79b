"""Markdown tables of figures."""

from __future__ import annotations

from collections.abc import Sequence


def table(header: Sequence[str], rows: Sequence[Sequence[str | float]], digits: int = 2) -> str:
    """A Markdown table; numbers with `digits` after the point, a dash for what is not a number."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    lines += ["| " + " | ".join(_cell(value, digits) for value in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def _cell(value: str | float, digits: int) -> str:
    if isinstance(value, str):
        return value
    return f"{value:.{digits}f}" if value == value else "-"  # noqa: PLR0124 (a NaN is not itself)
