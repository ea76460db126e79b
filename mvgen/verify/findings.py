"""What a check finds, and what it advises."""

from __future__ import annotations

from dataclasses import dataclass

from mvgen.core.names import printable

WHOLE = "build the dataset again"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is off.

    file : relative to the store; problem : what is wrong with it; remedy : what to do
    clip : id of the clip that has to be built again, where that mends it
    """

    file: str
    problem: str
    remedy: str
    clip: str | None = None

    def __str__(self) -> str:
        return printable(f"{self.file}: {self.problem}; {self.remedy}")


def of_clip(file: str, problem: str, clip: str) -> Finding:
    """A finding that building one clip again mends."""
    return Finding(file, problem, f"build clip {clip} again", clip)
