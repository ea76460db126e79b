"""Action units of FACS, from the texts in which releases name them."""

from __future__ import annotations

import re
from collections.abc import Iterable

# Source: FACS, Ekman, Friesen & Hager 2002.
NAMES: dict[int, str] = {
    1: "inner brow raiser",
    2: "outer brow raiser",
    4: "brow lowerer",
    5: "upper lid raiser",
    6: "cheek raiser",
    7: "lid tightener",
    9: "nose wrinkler",
    10: "upper lip raiser",
    11: "nasolabial deepener",
    12: "lip corner puller",
    13: "sharp lip puller",
    14: "dimpler",
    15: "lip corner depressor",
    16: "lower lip depressor",
    17: "chin raiser",
    18: "lip pucker",
    20: "lip stretcher",
    22: "lip funneler",
    23: "lip tightener",
    24: "lip pressor",
    25: "lips part",
    26: "jaw drop",
    28: "lip suck",
    38: "nostril dilator",
    39: "nostril compressor",
    43: "eyes closed",
    45: "blink",
}


def unit_numbers(texts: Iterable[str]) -> tuple[int, ...]:
    """The units that the texts name for certain, ascending: "L4", "AU4" and "4B" are 4, "10or11" is none.

    Sides and intensities are left out.
    """
    found = (re.fullmatch(r"[LRTB]?(?:AU)?[LRTB]?0*(\d{1,2})[A-E]?", text, re.IGNORECASE) for text in texts)
    return tuple(sorted({int(match[1]) for match in found if match}))


def unit_words(text: str) -> str:
    """A unit by its name in FACS, "10or11" as one or the other; without sides. AU and the number if it has no name."""
    numbers = [int(number) for number in re.findall(r"\d+", text)]
    return " or ".join(NAMES.get(number, f"AU{number}") for number in numbers) or text
