"""Work items for the tests of the engines: numbers, some of which end or stall their worker. It imports little."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from mvgen.core.errors import ClipError


def make_worker(scale: int) -> Callable[[int], int]:
    """Multiplies; 13 raises, 99 ends its process, and numbers above 1000 take as many seconds."""
    return partial(work, scale)


def work(scale: int, item: int) -> int:
    """Do one item."""
    if item == 13:
        raise ClipError("face", "unlucky", Path("img.jpg"))
    if item == 99:
        os.kill(os.getpid(), signal.SIGKILL)
    if item > 1000:
        time.sleep(item)
    return item * scale


def make_diary(folder: Path) -> Callable[[str], int]:
    """Returns the number of live workers; one item ends its process unless the three others are done."""
    folder.joinpath(f"worker {os.getpid()}").touch()

    def write(item: str) -> int:
        if item == "comes last" and len(list(folder.glob("item *"))) < 3:
            os.kill(os.getpid(), signal.SIGKILL)
        folder.joinpath(f"item {item}").touch()
        return sum(runs(int(path.name.split()[1])) for path in folder.glob("worker *"))

    return write


def make_teller() -> Callable[[int], int]:
    """Returns the id of its process."""
    return lambda item: os.getpid()


def cannot_start() -> Callable[[int], int]:
    """Fails for lack of weights."""
    raise FileNotFoundError("no weights")


def make_late(folder: Path, starts: range) -> Callable[[int], int]:
    """Like `make_teller`, but the process ends itself in these starts of all that there are, from 0, as it loads."""
    number = 0
    while True:
        try:
            folder.joinpath(f"start {number}").touch(exist_ok=False)
            break
        except FileExistsError:
            number += 1
    if number in starts:
        os.kill(os.getpid(), signal.SIGKILL)
    return make_teller()


def runs(pid: int) -> bool:
    """Whether a process is alive; a zombie is not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
