"""Problems that a check finds, and their remedies."""

from __future__ import annotations

from dataclasses import dataclass

from mvgen.core.names import printable

WHOLE = "build the dataset again"


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem in a store.

    file : relative to the store; problem : what is wrong with it; remedy : how to fix it
    clip : id of the clip to build again, where that fixes it
    """

    file: str
    problem: str
    remedy: str
    clip: str | None = None

    def __str__(self) -> str:
        return printable(f"{self.file}: {self.problem}; {self.remedy}")


def of_clip(file: str, problem: str, clip: str) -> Finding:
    """A finding that is fixed by building one clip again."""
    return Finding(file, problem, f"build clip {clip} again", clip)
