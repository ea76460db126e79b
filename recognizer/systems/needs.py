"""What a system needs of the data: asked before anything is prepared or trained."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from recognizer.errors import RecogniserError
from recognizer.readers.base import Reader
from recognizer.systems import SYSTEMS
from recognizer.systems.base import System


def check_needs(reader: Reader, systems: Iterable[System[Any]]) -> None:
    """Raises RecogniserError for a system that needs frames where the data hold motion only, and names those that run.

    Pictures over time hold the motion from onset to apex as well, so that every system reads them.
    """
    if reader.gives == "frames":
        return
    refused = [system.name for system in systems if system.needs == "frames"]
    if refused:
        raise RecogniserError(
            f"{refused[0]} needs frames, and the data hold nothing but the motion from onset to apex; "
            f"use systems that need no more: {', '.join(motion_systems())}"
        )


def motion_systems() -> list[str]:
    """Names of the systems that read nothing but the motion from onset to apex."""
    return [name for name, system in SYSTEMS.load_all()[0].items() if system.needs == "motion"]
