"""Runs work items on a Ray cluster: one actor per slot, each with a worker process of its own.

The process in the actor is that of the local engine. So a clip that dies or hangs does not affect the actor or Ray, and
can be told from a lost machine. Ray delivers at least once and out of order: an item may be worked on twice, and code
that writes results has to make sure that the first one counts.
"""

from __future__ import annotations

import logging
import os
import sys
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from mvgen.core.extras import import_part
from mvgen.engine.base import (
    FALSE_STARTS,
    EngineError,
    Item,
    Limits,
    MakeWorker,
    Outcome,
    Result,
    WorkerDiedError,
    cannot_load,
)
from mvgen.engine.process import Process

# An item is given up after its actor or node was lost this often, whatever the cause.
_LOSSES = 5
# Slots lost in a row before they were ready, after which the engine gives up.
_FALSE_STARTS = 5
# Seconds to wait until the cluster has placed a first slot and its networks are loaded.
_PLACING_SECONDS = 600.0
# Items, outcomes and paths go through the object store, but no frames: the minimum of Ray is plenty.
_OBJECT_STORE = 80 * 2**20


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where slots are placed.

    address : of a running cluster; None takes RAY_ADDRESS, or starts a cluster on this machine for the run
    gpus : share of a GPU for each slot, 0 for none; slots with fractions share a GPU
    """

    address: str | None = None
    gpus: float = 0.0


def run(
    items: Sequence[Item],
    make_worker: MakeWorker[Item, Result],
    workers: int,
    limits: Limits[Item] | None = None,
    cluster: Cluster | None = None,
) -> Iterator[Outcome[Item, Result]]:
    """Work on every item and yield the outcomes as they come; with the guarantees of `local.run`.

    workers : slots, each with a processor and its share of a GPU, and one item at a time; slots that cannot be placed
        yet join later
    An item whose worker process dies or stalls is tried again by any slot. So is one whose actor or node is lost, which
    does not count as an attempt. Raises MissingPartError without Ray, EngineError when no cluster answers or no slot
    can be placed.
    """
    limits, cluster = limits or Limits(), cluster or Cluster()
    if not items:
        return
    with connected(cluster.address, workers) as ray:
        slots = _Slots(ray, make_worker, cluster)
        try:
            yield from _work(items, slots, workers, limits)
        finally:
            slots.dismiss()


def _work(items: Sequence[Item], slots: _Slots, workers: int, limits: Limits[Item]) -> Iterator[Outcome[Item, Any]]:
    waiting = deque(range(len(items)))
    attempts: Counter[int] = Counter()
    losses: Counter[int] = Counter()
    for _ in range(min(workers, len(items))):
        slots.add()
    while waiting or slots.busy:
        slot, outcome = slots.next_answer()
        index, slot.index = slot.index, None
        if index is not None and outcome is None:
            losses[index] += 1
            if losses[index] < _LOSSES:
                waiting.appendleft(index)
            else:
                error = WorkerDiedError("the Ray actor or the machine that worked on it was lost")
                yield Outcome(items[index], error=error, attempts=losses[index])
        elif index is not None and outcome is not None:
            attempts[index] += 1
            if outcome.cost_a_worker and attempts[index] < limits.attempts:
                waiting.append(index)
            else:
                yield replace(outcome, item=items[index], attempts=attempts[index])
        if waiting and slot.lost:
            slots.add()
        elif waiting:
            slot.index = waiting.popleft()
            slots.give(slot, items[slot.index], limits.of(items[slot.index]))


class _Keeper:
    """The actor: keeps one worker process, and replaces it when it has died."""

    def __init__(self, make_worker: MakeWorker[Any, Any]) -> None:
        self.make_worker = make_worker
        self.process: Process | None = None
        # A spawned process loads the main module of its parent: here Ray's own, which is not needed.
        vars(sys.modules["__main__"]).pop("__file__", None)

    def begin(self) -> Exception | None:
        """Make sure that a process is ready. Returns the exception of one that could not start."""
        if self.process is not None and self.process.alive:
            return None
        if self.process is not None:
            self.process.stop()
        for _ in range(FALSE_STARTS):
            self.process = Process(self.make_worker)
            try:
                self.process.receive()
            except Exception as error:
                self.process.kill()
                return error
            if self.process.died is None:
                return None
            self.process.stop()
        assert self.process is not None
        assert self.process.died is not None
        return cannot_load(self.process.died)

    def do(self, item: Any, seconds: float | None) -> Outcome[Any, Any]:
        """The outcome of an item."""
        error = self.begin()
        if error is not None:
            return Outcome(item, error=error)
        assert self.process is not None
        return self.process.do(item, seconds)


@dataclass(slots=True, eq=False)
class _Slot:
    """An actor and its current item. index : of the item, None while the actor starts"""

    actor: Any
    index: int | None = None
    lost: bool = False


class _Slots:
    """The slots of a run, by the answers that are awaited from them."""

    def __init__(self, ray: Any, make_worker: MakeWorker[Any, Any], cluster: Cluster) -> None:
        self.ray = ray
        self.keeper = ray.remote(num_cpus=1, num_gpus=cluster.gpus, max_restarts=0)(_Keeper)
        self.make_worker = ray.put(make_worker)
        self.needs = "1 CPU" + (f" and {cluster.gpus:g} GPU" if cluster.gpus else "")
        self.awaited: dict[Any, _Slot] = {}
        self.false_starts = 0

    @property
    def busy(self) -> bool:
        """Whether an item is being worked on."""
        return any(slot.index is not None for slot in self.awaited.values())

    def add(self) -> None:
        """Request one more slot."""
        slot = _Slot(self.keeper.remote(self.make_worker))
        self.awaited[slot.actor.begin.remote()] = slot

    def give(self, slot: _Slot, item: Any, seconds: float | None) -> None:
        """Let a slot work on an item."""
        self.awaited[slot.actor.do.remote(item, seconds)] = slot

    def next_answer(self) -> tuple[_Slot, Outcome[Any, Any] | None]:
        """Wait for a slot that is ready, has an outcome, or is lost; the outcome is None when it is ready or lost.

        Raises the exception of a process that could not start, EngineError when no slot starts.
        """
        done: list[Any] = []
        while not done:
            done, _ = self.ray.wait(list(self.awaited), num_returns=1, timeout=_PLACING_SECONDS)
            if not done and not self.busy:
                raise EngineError(
                    f"no slot has started within {_PLACING_SECONDS:.0f} s; each needs {self.needs}, and the cluster "
                    f"has {self._resources()}. See `ray status`"
                )
        slot = self.awaited.pop(done[0])
        try:
            answer = self.ray.get(done[0])
        except self.ray.exceptions.RayActorError as error:
            return self._lose(slot, error), None
        except self.ray.exceptions.RayError as error:
            raise EngineError(f"Ray failed: {_last_line(error)}. Run the same command again to resume") from None
        if isinstance(answer, Exception):
            raise answer
        self.false_starts = 0
        return slot, answer

    def dismiss(self) -> None:
        """End every slot."""
        for slot in self.awaited.values():
            self.ray.kill(slot.actor)

    def _lose(self, slot: _Slot, error: Exception) -> _Slot:
        # An unreachable actor may still be working: its late results are no longer wanted.
        self.ray.kill(slot.actor)
        slot.lost = True
        self.false_starts += slot.index is None
        if self.false_starts >= _FALSE_STARTS:
            why = _last_line(error)
            raise EngineError(f"{self.false_starts} slots in a row were lost before they started; the last: {why}")
        return slot

    def _resources(self) -> str:
        there = self.ray.cluster_resources()
        return f"{there.get('CPU', 0):g} CPU and {there.get('GPU', 0):g} GPU"


@contextmanager
def connected(address: str | None, workers: int) -> Iterator[Any]:
    """Ray, connected to a cluster for all runs inside the context; a cluster started here ends with it.

    address : see `Cluster`; workers : processors of a cluster started here
    Raises MissingPartError without Ray, EngineError when no cluster answers.
    """
    # By default Ray reports usage statistics, and copies this folder to all nodes under `uv run`.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    ray = import_part("ray", "--engine ray")
    if ray.is_initialized():
        yield ray
        return
    known = address or os.environ.get("RAY_ADDRESS")
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if not known:
        options |= {"num_cpus": workers, "object_store_memory": _OBJECT_STORE, "include_dashboard": False}
    try:
        ray.init(known or "local", **options)
    except Exception as error:  # Ray raises errors of many kinds here, down to a plain Exception
        where = f"at {known}" if known else "on this machine"
        raise EngineError(f"no Ray cluster {where}: {_last_line(error)}. Start one with `ray start --head`") from None
    try:
        yield ray
    finally:
        ray.shutdown()


def _last_line(error: Exception) -> str:
    # Ray puts whole tracebacks into its messages; their last line is the error.
    return (str(error).strip().splitlines() or [type(error).__name__])[-1].strip().rstrip(".")
