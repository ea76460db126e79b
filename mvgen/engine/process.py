"""One worker process: spawned, given one item at a time, ended when it stalls."""

from __future__ import annotations

import math
import multiprocessing
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from mvgen.engine.base import MakeWorker, Outcome, WorkerDiedError, WorkerStalledError

# A process that waits for an unresponsive disk cannot be ended; wait for its end no longer than this.
_ENDING_SECONDS = 5.0


class Process:
    """A worker process and its current item. It first reports that it is ready, then one outcome for each item.

    alive : whether it may be given another item
    died : why it died before it was ready, None where it did not
    deadline : time of `time.monotonic` after which it counts as stalled
    """

    def __init__(self, make_worker: MakeWorker[Any, Any]) -> None:
        # Spawned, because a forked copy of a process that has used OpenMP or GL may hang.
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._began, self._starting = time.monotonic(), 0.0
        self._process = context.Process(target=_serve, args=(theirs, make_worker), daemon=True)
        with _no_interrupt():
            self._process.start()
        theirs.close()
        self.alive = True
        self.died: WorkerDiedError | None = None
        self.deadline = math.inf
        self._busy = False
        self._item: Any = None
        self._seconds: float | None = None

    @property
    def overdue(self) -> bool:
        """Whether the item has exceeded its time limit."""
        return time.monotonic() >= self.deadline

    def become(self, make_worker: MakeWorker[Any, Any]) -> None:
        """Switch to another kind of work. It reports when it is ready; loaded modules stay loaded."""
        self._began = time.monotonic()
        with suppress(BrokenPipeError):
            self.connection.send(_OtherWork(make_worker))

    def give(self, item: Any, seconds: float | None = None) -> None:
        """Let it work on an item, for at most that many seconds."""
        self._item, self._seconds, self._busy = item, seconds, True
        self.deadline = math.inf if seconds is None else time.monotonic() + seconds
        # If the process has just died, the next `receive` notices it and attributes it to this item.
        with suppress(BrokenPipeError):
            self.connection.send(item)

    def receive(self) -> Outcome[Any, Any] | None:
        """The outcome of the item; None when the process is ready, or died before it was (`died`).

        Raises the exception of a process that could not start: a replacement could not either.
        """
        result: Any = None
        error: Exception | None
        try:
            result, error = self.connection.recv()
        except (EOFError, ConnectionResetError):
            self.alive = False
            error = self._death()
        if isinstance(error, MemoryError):
            self.alive = False
            error = WorkerDiedError("memory ran out")
        if self._busy:
            return self._end_item(result, error)
        if isinstance(error, WorkerDiedError):
            self.died = error  # for lack of memory, say, or while idle: a new one may start
            return None
        if error is not None:
            raise error
        self._starting += time.monotonic() - self._began
        return None

    def stall(self) -> Outcome[Any, Any]:
        """End the process because its item exceeds the time limit, and return that outcome."""
        self.alive = False
        self._process.kill()
        return self._end_item(None, WorkerStalledError(f"it took longer than {self._seconds:g} s"))

    def do(self, item: Any, seconds: float | None = None) -> Outcome[Any, Any]:
        """Give an item and wait for its outcome."""
        self.give(item, seconds)
        if not self.connection.poll(seconds):
            return self.stall()
        outcome = self.receive()
        assert outcome is not None
        return outcome

    def stop(self) -> None:
        """Let it finish and end by itself."""
        self.connection.close()
        self._process.join(None if self.alive else _ENDING_SECONDS)

    def kill(self) -> None:
        """End it now."""
        self.alive = False
        self._process.kill()
        self.stop()

    def _end_item(self, result: Any, error: Exception | None) -> Outcome[Any, Any]:
        item, self._item, self._busy, self.deadline = self._item, None, False, math.inf
        starting, self._starting = self._starting, 0.0
        return Outcome(item, result, error, starting=starting)

    def _death(self) -> WorkerDiedError:
        self._process.join(_ENDING_SECONDS)
        code = self._process.exitcode or 0
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        hint = "; memory may have run out" if code == -signal.SIGKILL else ""
        return WorkerDiedError(f"the worker process ended with {how}{hint}")


@dataclass(frozen=True, slots=True)
class _OtherWork:
    """Sent instead of an item, to switch to other work."""

    make_worker: MakeWorker[Any, Any]


@contextmanager
def _no_interrupt() -> Iterator[None]:
    # Ctrl-C reaches every process of the group, but only the parent reacts; new processes inherit ignored signals.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _serve(connection: Connection, make_worker: MakeWorker[Any, Any]) -> None:
    threading.Thread(target=_die_with_parent, daemon=True).start()
    with suppress(BrokenPipeError, ConnectionResetError):  # the parent was killed, and nobody reads what is said
        _work(connection, make_worker)


def _work(connection: Connection, make_worker: MakeWorker[Any, Any]) -> None:
    work = _begin(connection, make_worker)
    while work is not None:
        try:
            item = connection.recv()
        except EOFError:
            # All results are written. An orderly shutdown of torch and its thread pools would take seconds.
            os._exit(0)
        if isinstance(item, _OtherWork):
            work = None  # never hold two in memory
            work = _begin(connection, item.make_worker)
            continue
        try:
            message: tuple[Any, Exception | None] = (work(item), None)
        except Exception as error:
            message = (None, _portable(error))
        connection.send(message)


def _begin(connection: Connection, make_worker: MakeWorker[Any, Any]) -> Callable[[Any], Any] | None:
    """Report that the process is ready, or why it cannot start; the latter ends the process."""
    try:
        work = make_worker()
    except Exception as error:
        connection.send((None, _portable(error)))
        return None
    connection.send((None, None))
    return work


def _die_with_parent() -> None:
    # A worker that outlives a killed parent would write into a folder that the next build already uses.
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


def _portable(error: Exception) -> Exception:
    """The exception itself if it can be pickled, else its text."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
