"""Runs work items on this machine: in this process, or in several that are started fresh (never forked)."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from typing import Any

from mvgen.engine.base import Item, Limits, MakeWorker, Outcome, Result
from mvgen.engine.process import Process


class Crew:
    """Worker processes that wait between two runs, with all that they have loaded. Leaving the context ends them."""

    def __init__(self) -> None:
        self._waiting: list[Process] = []

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        self.dismiss()

    def hire(self, make_worker: MakeWorker[Any, Any]) -> Process:
        """One of them, else a new one; either says when it is ready."""
        while self._waiting:
            worker = self._waiting.pop()
            if not worker.connection.poll():
                worker.become(make_worker)
                return worker
            worker.kill()  # it has died while it waited
        return Process(make_worker)

    def rest(self, worker: Process) -> None:
        """Let a worker wait for the next run."""
        self._waiting.append(worker)

    def dismiss(self) -> None:
        """End all that wait."""
        while self._waiting:
            self._waiting.pop().stop()


def run(
    items: Sequence[Item],
    make_worker: MakeWorker[Item, Result],
    workers: int,
    limits: Limits[Item] | None = None,
    crew: Crew | None = None,
) -> Iterator[Outcome[Item, Result]]:
    """Work on every item and yield the outcomes as they come, in no particular order.

    make_worker : called once per process, returns the function that does an item; it, items and results are pickled
    workers : 1 works in this process unless there are limits, which take a process that can be ended; more start
        processes of their own
    crew : takes processes from an earlier run, and keeps them for a later one; None starts and ends them here
    An exception of an item is its outcome and the others go on. A process that dies, runs out of memory or stalls is
    replaced, and its item is tried again when the others are through, alone, so that no neighbour can be to blame;
    after the last attempt its outcome is a WorkerDiedError. An exception of `make_worker` is raised here. Leaving the
    loop early, or Ctrl-C, ends every process.
    """
    limits = limits or Limits()
    if limits == Limits() and (workers == 1 or len(items) == 1):
        return _run_here(items, make_worker)
    return _run_apart(items, make_worker, workers, limits, crew)


def _run_here(items: Sequence[Item], make_worker: MakeWorker[Item, Result]) -> Iterator[Outcome[Item, Result]]:
    began = time.monotonic()
    work = make_worker() if items else None
    starting = time.monotonic() - began
    for item in items:
        assert work is not None
        outcome: Outcome[Item, Result]
        try:
            outcome = Outcome(item, work(item), starting=starting)
        except Exception as error:
            outcome = Outcome(item, error=error, starting=starting)
        starting = 0.0
        yield outcome


def _run_apart(
    items: Sequence[Item],
    make_worker: MakeWorker[Item, Result],
    workers: int,
    limits: Limits[Item],
    crew: Crew | None,
) -> Iterator[Outcome[Item, Result]]:
    for attempt in range(1, limits.attempts + 1):
        again: list[Item] = []
        for outcome in _round(items, make_worker, workers, limits, crew):
            if outcome.cost_a_worker and attempt < limits.attempts:
                again.append(outcome.item)
            else:
                yield replace(outcome, attempts=attempt)
        items, workers = again, 1
        if again and crew is not None:
            crew.dismiss()  # alone, with all the memory there is
            crew = None


def _round(
    items: Sequence[Item],
    make_worker: MakeWorker[Item, Result],
    workers: int,
    limits: Limits[Item],
    lasting: Crew | None,
) -> Iterator[Outcome[Item, Result]]:
    """Try every item once."""
    waiting = deque(items)
    crew: dict[Connection, Process] = {}

    def hire() -> None:
        worker = Process(make_worker) if lasting is None else lasting.hire(make_worker)
        crew[worker.connection] = worker

    try:
        for _ in range(min(workers, len(items))):
            hire()
        while crew:
            for worker in _heard_from(crew):
                outcome = worker.receive() if worker.connection.poll() else worker.stall()
                if worker.alive and waiting:
                    item = waiting.popleft()
                    worker.give(item, limits.of(item))
                else:
                    del crew[worker.connection]
                    if worker.alive and lasting is not None:
                        lasting.rest(worker)
                    else:
                        worker.stop()
                    if waiting:
                        hire()
                if outcome is not None:
                    yield outcome
    finally:
        for worker in crew.values():
            worker.kill()


def _heard_from(crew: dict[Connection, Process]) -> list[Process]:
    """Workers that have something to say, have died, or are over their time; waits for the first."""
    soonest = min(worker.deadline for worker in crew.values())
    left: float | None = None if math.isinf(soonest) else max(soonest - time.monotonic(), 0.0)
    heard: list[Any] = wait(list(crew), left)
    return [worker for connection, worker in crew.items() if connection in heard or worker.overdue]
