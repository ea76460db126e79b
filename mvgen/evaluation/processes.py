"""Work in processes: something done again and again while they run, their children, and peak memory (Linux)."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_POLL = 0.05  # seconds between two times


@contextmanager
def repeatedly(act: Callable[[], None]) -> Iterator[None]:
    """Do `act` every now and then, in a thread, until the body ends."""
    stop = threading.Event()

    def repeat() -> None:
        while not stop.wait(_POLL):
            act()

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@contextmanager
def watched_children(peaks: list[float]) -> Iterator[None]:
    """Append the peak memory (MiB) of every child process that runs during the body."""
    seen: dict[int, float] = {}

    def look() -> None:
        for child in children(os.getpid()):
            seen[child] = max(seen.get(child, 0.0), peak_memory(child))

    with repeatedly(look):
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
