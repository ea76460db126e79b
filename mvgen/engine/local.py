"""Runs work items on this machine: in this process, or in several spawned (never forked) ones."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from typing import Any

from mvgen.engine.base import FALSE_STARTS, Item, Limits, MakeWorker, Outcome, Result, WorkerDiedError, cannot_load
from mvgen.engine.process import Process


class WorkerPool:
    """Idle worker processes, kept between runs with all that they have loaded. Leaving the context ends them."""

    def __init__(self) -> None:
        self._waiting: list[Process] = []

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, *_: object) -> None:
        self.dismiss()

    def take(self, make_worker: MakeWorker[Any, Any]) -> Process:
        """An idle process, else a new one; `receive` then waits until it is ready."""
        while self._waiting:
            worker = self._waiting.pop()
            if not worker.connection.poll():
                worker.become(make_worker)
                return worker
            worker.kill()  # it died while idle
        return Process(make_worker)

    def give_back(self, worker: Process) -> None:
        """Keep a worker for the next run."""
        self._waiting.append(worker)

    def dismiss(self) -> None:
        """End all idle processes."""
        while self._waiting:
            self._waiting.pop().stop()


def run(
    items: Sequence[Item],
    make_worker: MakeWorker[Item, Result],
    workers: int,
    limits: Limits[Item] | None = None,
    pool: WorkerPool | None = None,
) -> Iterator[Outcome[Item, Result]]:
    """Work on every item and yield the outcomes as they come, in no particular order.

    make_worker : called once per process, returns the function that does an item; it, items and results are pickled
    workers : number of processes; 1 without limits works in this process
    pool : provides processes of an earlier run, and keeps them for a later one; None starts and ends them here
    An exception of an item is its outcome, and the other items go on. A process that dies, runs out of memory or stalls
    is replaced. Its item is tried again after all others and alone, so that no other item can be the cause; after the
    last attempt its outcome is a WorkerDiedError. A process that dies while it loads is replaced a few times; then the
    others go on without it, and EngineError is raised where there are none. An exception of `make_worker` is raised
    here. Leaving the loop early, or Ctrl-C, ends every process.
    """
    limits = limits or Limits()
    if limits == Limits() and (workers == 1 or len(items) == 1):
        return _run_here(items, make_worker)
    return _run_in_processes(items, make_worker, workers, limits, pool)


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


def _run_in_processes(
    items: Sequence[Item],
    make_worker: MakeWorker[Item, Result],
    workers: int,
    limits: Limits[Item],
    pool: WorkerPool | None,
) -> Iterator[Outcome[Item, Result]]:
    for attempt in range(1, limits.attempts + 1):
        again: list[Item] = []
        for outcome in _round(items, make_worker, workers, limits, pool):
            if outcome.cost_a_worker and attempt < limits.attempts:
                again.append(outcome.item)
            else:
                yield replace(outcome, attempts=attempt)
        items, workers = again, 1
        if again and pool is not None:
            pool.dismiss()  # to run alone, with all memory
            pool = None


def _round(
    items: Sequence[Item],
    make_worker: MakeWorker[Item, Result],
    workers: int,
    limits: Limits[Item],
    pool: WorkerPool | None,
) -> Iterator[Outcome[Item, Result]]:
    """Try every item once."""
    waiting = deque(items)
    running: dict[Connection, Process] = {}
    false_starts: list[WorkerDiedError] = []  # in a row

    def start() -> None:
        worker = Process(make_worker) if pool is None else pool.take(make_worker)
        running[worker.connection] = worker

    def leave(worker: Process) -> None:
        del running[worker.connection]
        if worker.alive and pool is not None:
            pool.give_back(worker)
        else:
            worker.stop()

    try:
        for _ in range(min(workers, len(items))):
            start()
        while running:
            for worker in _ready(running):
                outcome = worker.receive() if worker.connection.poll() else worker.stall()
                if outcome is None:
                    false_starts = [*false_starts, worker.died] if worker.died else []
                if worker.alive and waiting:
                    item = waiting.popleft()
                    worker.give(item, limits.of(item))
                else:
                    leave(worker)
                    if waiting and (worker.died is None or len(false_starts) < FALSE_STARTS):
                        start()
                if outcome is not None:
                    yield outcome
        if waiting:
            raise cannot_load(false_starts[-1])
    finally:
        for worker in running.values():
            worker.kill()


def _ready(running: dict[Connection, Process]) -> list[Process]:
    """Workers that have sent a message, have died, or are over their time limit; waits for the first."""
    soonest = min(worker.deadline for worker in running.values())
    left: float | None = None if math.isinf(soonest) else max(soonest - time.monotonic(), 0.0)
    heard: list[Any] = wait(list(running), left)
    return [worker for connection, worker in running.items() if connection in heard or worker.overdue]
