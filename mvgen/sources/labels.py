"""Labels as the cells of a workbook have them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from mvgen.core.records import Kind, Label
from mvgen.sources.workbook import is_blank, text

# Classes of the seven basic emotions as MEGC 2019 has them for SAMM (See et al. 2019).
MEGC_CLASSES: Mapping[str, Label | None] = {
    "anger": "negative",
    "contempt": "negative",
    "disgust": "negative",
    "fear": "negative",
    "sadness": "negative",
    "happiness": "positive",
    "surprise": "surprise",
}


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
