"""The facial action units that show each emotion.

Sources: FACS and its emotion table (Ekman, Friesen & Hager 2002; EMFACS, Friesen & Ekman 1983), and the releases'
codings: CASME II (Yan et al. 2014) for repression and others, SAMM (Davison et al. 2018) for contempt, CAS(ME)²
(Qu et al. 2018) for anger and disgust. Micro-expressions show one to three units, seldom the full pattern.
"""

from __future__ import annotations

from collections.abc import Sequence

# Emotion -> combinations of action units, the most usual one first. 1 inner brow raiser, 2 outer brow raiser,
# 4 brow lowerer, 5 upper lid raiser, 6 cheek raiser, 7 lid tightener, 9 nose wrinkler, 10 upper lip raiser,
# 12 lip corner puller, 14 dimpler, 15 lip corner depressor, 17 chin raiser, 20 lip stretcher, 24 lip presser,
# 25 lips part, 26 jaw drop.
ACTION_UNITS: dict[str, tuple[tuple[str, ...], ...]] = {
    "anger": (("4", "7"), ("4",), ("4", "7", "24")),
    "contempt": (("14",), ("12", "14")),
    "disgust": (("9", "10"), ("4", "9"), ("10", "17")),
    "fear": (("1", "2", "4", "5"), ("1", "4", "20"), ("5", "20", "25")),
    "happiness": (("6", "12"), ("12",), ("6", "12", "25")),
    "others": (("4", "14"), ("7", "24"), ("14",)),
    "repression": (("14", "17"), ("17", "24"), ("15", "17")),
    "sadness": (("1", "4", "15"), ("1", "15"), ("15", "17")),
    "surprise": (("1", "2", "5"), ("1", "2"), ("1", "2", "5", "26")),
}

# Objective class of the action units of each performed emotion (Davison et al. 2018b, arXiv:1708.07549).
_OBJECTIVE = {"happiness": "I", "surprise": "II", "anger": "III", "disgust": "IV", "sadness": "V", "fear": "VI"}

# Action units on the middle line of the face; they have no side.
_MEDIAN = frozenset({"17", "25", "26"})


def combinations(emotion: str) -> tuple[tuple[str, ...], ...]:
    """Combinations of action units that show an emotion. Raises KeyError for an unknown emotion."""
    return ACTION_UNITS[emotion]


def objective_class(emotion: str) -> str:
    """The objective class of a performed emotion, "I" to "VII"."""
    return _OBJECTIVE.get(emotion.lower(), "VII")


def one_sided(units: Sequence[str], side: str) -> tuple[str, ...]:
    """The same units on one side of the face, as FACS writes them: "L12" is the subject's left, "R4" the right.

    side : "L" or "R"
    """
    if side not in ("L", "R"):
        raise ValueError(f"side {side!r} is neither 'L' nor 'R'")
    return tuple(unit if unit in _MEDIAN else f"{side}{unit}" for unit in units)
