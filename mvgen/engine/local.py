"""Runs work items on this machine: in this process, or in several that are started fresh (never forked)."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Generic, TypeVar

from mvgen.errors import MvgenError

Item = TypeVar("Item")
Result = TypeVar("Result")
MakeWorker = Callable[[], Callable[[Item], Result]]


class WorkerDiedError(MvgenError):
    """A worker process ended in the middle of an item, for example because memory ran out."""

    exit_code = 1


@dataclass(frozen=True, slots=True)
class Outcome(Generic[Item, Result]):
    """What became of an item: a result, or the exception that its worker raised."""

    item: Item
    result: Result | None = None
    error: Exception | None = None


def run(items: Sequence[Item], make_worker: MakeWorker[Item, Result], workers: int) -> Iterator[Outcome[Item, Result]]:
    """Work on every item and yield the outcomes as they come, in no particular order.

    make_worker : called once per process, returns the function that does an item; it, items and results are pickled
    workers : 1 works in this process; more start processes of their own
    An exception of an item is its outcome and the others go on; a process that dies gives a WorkerDiedError and is
    replaced. An exception of `make_worker` is raised here. Leaving the loop early, or Ctrl-C, ends every process.
    """
    if workers == 1 or len(items) == 1:
        return _run_here(items, make_worker)
    return _run_apart(items, make_worker, min(workers, len(items)))


def _run_here(items: Sequence[Item], make_worker: MakeWorker[Item, Result]) -> Iterator[Outcome[Item, Result]]:
    work = make_worker() if items else None
    for item in items:
        assert work is not None
        outcome: Outcome[Item, Result]
        try:
            outcome = Outcome(item, work(item))
        except Exception as error:
            outcome = Outcome(item, error=error)
        yield outcome


def _run_apart(
    items: Sequence[Item], make_worker: MakeWorker[Item, Result], workers: int
) -> Iterator[Outcome[Item, Result]]:
    waiting = deque(items)
    crew: dict[Connection, _Process] = {}
    try:
        for _ in range(workers):
            _hire(crew, make_worker)
        while crew:
            for connection in wait(list(crew)):
                assert isinstance(connection, Connection)
                worker = crew[connection]
                outcome = worker.receive()
                if worker.alive and waiting:
                    worker.give(waiting.popleft())
                else:
                    del crew[connection]
                    worker.stop()
                    if waiting:
                        _hire(crew, make_worker)
                if outcome is not None:
                    yield outcome
    finally:
        for worker in crew.values():
            worker.kill()


class _Process:
    """One worker process and the item it is at."""

    def __init__(self, process: BaseProcess, connection: Connection) -> None:
        self.process = process
        self.connection = connection
        self.alive = True
        self.busy = False
        self.item: Any = None

    def give(self, item: Any) -> None:
        self.item, self.busy = item, True
        # A process that has just died is found out by the next `receive`, which then knows the item.
        with suppress(BrokenPipeError):
            self.connection.send(item)

    def receive(self) -> Outcome[Any, Any] | None:
        """The outcome of the item, or None when the process says that it is ready.

        Raises the exception of a process that could not begin: another one in its place could not either.
        """
        busy, self.busy = self.busy, False
        result: Any = None
        error: Exception | None
        try:
            result, error = self.connection.recv()
        except (EOFError, ConnectionResetError):
            self.alive = False
            error = self._death()
        if busy:
            return Outcome(self.item, result, error)
        if error is not None:
            raise error
        return None

    def stop(self) -> None:
        self.connection.close()
        self.process.join()

    def kill(self) -> None:
        self.process.kill()
        self.stop()

    def _death(self) -> WorkerDiedError:
        self.process.join()
        code = self.process.exitcode or 0
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        hint = "; memory may have run out: try fewer --workers" if code == -signal.SIGKILL else ""
        return WorkerDiedError(f"a worker process ended with {how}{hint}")


def _hire(crew: dict[Connection, _Process], make_worker: MakeWorker[Any, Any]) -> None:
    # Started fresh, because a forked copy of a process that has used OpenMP or GL may hang.
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, make_worker), daemon=True)
    with _no_interrupt():
        process.start()
    theirs.close()
    crew[ours] = _Process(process, ours)


@contextmanager
def _no_interrupt() -> Iterator[None]:
    # Ctrl-C reaches every process of the group, but the parent decides; a new process inherits what is ignored here.
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
    try:
        work = make_worker()
    except Exception as error:
        connection.send((None, _portable(error)))
        return
    connection.send((None, None))
    while True:
        try:
            item = connection.recv()
        except EOFError:
            return
        try:
            message: tuple[Any, Exception | None] = (work(item), None)
        except Exception as error:
            message = (None, _portable(error))
        connection.send(message)


def _die_with_parent() -> None:
    # A worker that outlives a killed parent would write into a folder that the next build already holds.
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


def _portable(error: Exception) -> Exception:
    """The exception itself where it can cross to the parent, else its text."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
