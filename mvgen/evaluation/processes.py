"""Watching processes: polling while they run, their children, and peak memory (Linux)."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_POLL = 0.05  # seconds between two calls


@contextmanager
def repeatedly(action: Callable[[], None]) -> Iterator[None]:
    """Call `action` at intervals, in a thread, until the body ends."""
    stop = threading.Event()

    def repeat() -> None:
        while not stop.wait(_POLL):
            action()

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

    def poll() -> None:
        for child in children(os.getpid()):
            seen[child] = max(seen.get(child, 0.0), peak_memory(child))

    with repeatedly(poll):
        yield
    peaks += seen.values()


def children(process: int) -> list[int]:
    """Process ids of the children of a process (Linux)."""
    found: list[int] = []
    for task in Path(f"/proc/{process}/task").glob("*"):
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread that has just ended
            found += map(int, task.joinpath("children").read_text().split())
    return found


def peak_memory(process: int) -> float:
    """Largest resident memory of a process so far, MiB; 0 when it has ended. Linux."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0.0)
