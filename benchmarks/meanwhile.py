"""Something that is done again and again while other work goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_POLL = 0.05  # seconds between two times


@contextmanager
def meanwhile(act: Callable[[], None]) -> Iterator[None]:
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
