"""Peak memory of processes, as Linux counts it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from meanwhile import meanwhile


@contextmanager
def watched_children(peaks: list[float]) -> Iterator[None]:
    """Append the peak memory (MiB) of every child process that is seen meanwhile."""
    seen: dict[int, float] = {}

    def look() -> None:
        for child in children(os.getpid()):
            seen[child] = max(seen.get(child, 0.0), peak_memory(child))

    with meanwhile(look):
        yield
    peaks += seen.values()


def children(process: int) -> list[int]:
    """Process ids of the children of a process (Linux)."""
    found: list[int] = []
    for task in Path(f"/proc/{process}/task").glob("*"):
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread that ended between the two looks
            found += map(int, task.joinpath("children").read_text().split())
    return found


def peak_memory(process: int) -> float:
    """Largest resident memory of a process so far, MiB; 0 when it has ended. Linux."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0.0)
