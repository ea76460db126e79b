"""Forked processes of the soak: started in a group of their own, killed, and waited for."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

_ENDING = 20.0  # seconds in which the workers of a killed command end


def in_child(work: Callable[[], int], log: Path, place: Path) -> int:
    """Start a function in a forked process with a group of its own; returns its id."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    _begin(log, place)
    code = 99
    try:
        code = work()
    except BaseException:
        traceback.print_exc()
    end_child(code)


def _begin(log: Path, place: Path) -> None:
    os.setsid()
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for number, target in ((os.open(os.devnull, os.O_RDONLY), 0), (out, 1), (out, 2)):
        os.dup2(number, target)
    os.chdir(place)
    # Every command may write the user's cache and the system's temporary folder. Libraries leave files in the latter
    # when they are killed.
    temporary = Path(f"{log}-temporary")
    temporary.mkdir(exist_ok=True)
    os.environ.update(HOME=str(place), TMPDIR=str(temporary), NO_COLOR="1", MVGEN_CACHE_DIR=f"{log}-cache")
    tempfile.tempdir = None


def end_child(code: int) -> NoReturn:
    """Leave a forked process without what its parent would do at its end."""
    with suppress(Exception):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def waited(pid: int, seconds: float, kill: Callable[[int], None] | None = None) -> tuple[int | None, bool]:
    """Wait for a process; past its time, end it. Returns its exit code, None where it was ended; if others stay."""
    until, code, pause = time.monotonic() + seconds, None, 0.001
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            code = os.waitstatus_to_exitcode(status)
            break
        if time.monotonic() >= until:
            (kill or kill_group)(pid)
            os.waitpid(pid, 0)
            break
        time.sleep(pause)
        pause = min(2 * pause, 0.02)
    until = time.monotonic() + _ENDING
    while (left := _runs(pid)) and time.monotonic() < until:
        time.sleep(0.05)
    if left:
        kill_group(pid)
    return code, left


def kill_group(pid: int) -> None:
    """Kill a process and all it has started."""
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def kill_alone(pid: int) -> None:
    """Kill a process and leave those it has started."""
    os.kill(pid, signal.SIGKILL)


def _runs(group: int) -> bool:
    """Whether a process of the group is alive; one that has ended and that nobody has waited for is not."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, number = path.read_text().rpartition(")")[2].split()[:3]
            if int(number) == group and state != "Z":
                return True
    return False
