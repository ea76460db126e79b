"""FACS action units as weights of the 52 ARKit-style facial actions.

Source: FACS (Ekman, Friesen & Hager 2002) for what each unit moves; the names of the actions describe what they move.
The mapping is by appearance: one unit may need two actions, and two units may share one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mvgen.core.errors import ConfigError

# Action unit -> facial actions at full strength. A name without side stands for its Left and Right.
FACIAL_ACTIONS: dict[str, dict[str, float]] = {
    "1": {"browInnerUp": 1.0},  # inner brow raiser
    "2": {"browOuterUp": 1.0},  # outer brow raiser
    "4": {"browDown": 1.0},  # brow lowerer
    "5": {"eyeWide": 1.0},  # upper lid raiser
    "6": {"cheekSquint": 1.0, "eyeSquint": 0.4},  # cheek raiser
    "7": {"eyeSquint": 1.0},  # lid tightener
    "9": {"noseSneer": 1.0, "mouthUpperUp": 0.2},  # nose wrinkler
    "10": {"mouthUpperUp": 1.0},  # upper lip raiser
    "12": {"mouthSmile": 1.0},  # lip corner puller
    "14": {"mouthDimple": 1.0},  # dimpler
    "15": {"mouthFrown": 1.0},  # lip corner depressor
    "16": {"mouthLowerDown": 1.0},  # lower lip depressor
    "17": {"mouthShrugLower": 1.0, "mouthShrugUpper": 0.3},  # chin raiser
    "18": {"mouthPucker": 1.0},  # lip pucker
    "20": {"mouthStretch": 1.0},  # lip stretcher
    "24": {"mouthPress": 1.0},  # lip presser
    "25": {"mouthLowerDown": 0.4},  # lips part
    "26": {"jawOpen": 0.5},  # jaw drop
    "45": {"eyeBlink": 1.0},  # blink
}


def facial_action_weights(units: tuple[str, ...], names: tuple[str, ...]) -> NDArray[np.float64]:
    """Weights (52,) of the facial actions for action units such as "12", "L12" (subject's left) or "R4".

    Raises ConfigError for a unit that is not in the table. Left and right are the subject's.
    """
    weights = np.zeros(len(names))
    for unit in units:
        side = {"L": ("Left",), "R": ("Right",)}.get(unit[0], ("Left", "Right"))
        number = unit.lstrip("LR")
        if number not in FACIAL_ACTIONS:
            raise ConfigError(f"action unit {unit!r} has no facial actions; known: {', '.join(FACIAL_ACTIONS)}")
        for action, strength in FACIAL_ACTIONS[number].items():
            targets = [f"{action}{one}" for one in side if f"{action}{one}" in names] or [action]
            for target in targets:
                index = names.index(target)
                # A one-sided unit whose action has no sides has half the strength.
                share = 0.5 if target == action and len(side) == 1 else 1.0
                weights[index] = max(weights[index], strength * share)
    return weights
