"""Labels as the cells of a workbook have them."""

from __future__ import annotations

import re

from mvgen.core.records import Kind
from mvgen.sources.workbook import is_blank, text


def action_units(cell: object) -> tuple[str, ...]:
    """The action units of a cell, one text each, as released but without spaces: "4+L10" is 4 and L10.

    Signs between units are +, commas and semicolons; "10or11" stays one. A blank cell and a `?` give none.
    """
    units = (re.sub(r"\s+", "", unit) for unit in re.split(r"[+,;，；]", text(cell)))
    return tuple(dict.fromkeys(unit for unit in units if unit != "?" and not is_blank(unit)))


def expression_kind(cell: object) -> Kind | None:
    """Micro or macro, of a cell such as "micro-expression"; None where it says neither."""
    found = re.match(r"micro|macro", text(cell).lower())
    return None if found is None else found[0]  # type: ignore[return-value]
