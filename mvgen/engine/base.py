"""Interface of all engines: work items, their outcomes, and limits on time and attempts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from mvgen.core.errors import MvgenError

Item = TypeVar("Item")
Result = TypeVar("Result")
MakeWorker = Callable[[], Callable[[Item], Result]]


class EngineError(MvgenError):
    """An engine cannot start, or has lost all places to run workers."""


# Workers that may die one after the other while they load, before no further one is started.
FALSE_STARTS = 3


class WorkerDiedError(MvgenError):
    """A worker process ended while working on an item, for example because memory ran out."""

    exit_code = 1


class WorkerStalledError(WorkerDiedError):
    """An item exceeded its time limit, and its worker was ended."""


def cannot_load(reason: WorkerDiedError) -> EngineError:
    """The error of workers that died while they loaded, each time. reason : of the last one"""
    return EngineError(
        f"{FALSE_STARTS} workers in a row died while they loaded, the last one because {reason}. Nothing is lost: with "
        "more memory or fewer --workers, run the same command again"
    )


@dataclass(frozen=True, slots=True)
class Outcome(Generic[Item, Result]):
    """Outcome of an item: a result, or the exception that its worker raised.

    attempts : number of attempts
    starting : seconds until its worker was ready, in the first outcome of that worker; else 0
    """

    item: Item
    result: Result | None = None
    error: Exception | None = None
    attempts: int = 1
    starting: float = 0.0

    @property
    def cost_a_worker(self) -> bool:
        """Whether the worker died or stalled. That may have causes other than the item, unlike its own exceptions."""
        return isinstance(self.error, WorkerDiedError)


@dataclass(frozen=True, slots=True)
class Limits(Generic[Item]):
    """Limits on the attempts for an item whose worker dies or stalls, and on the time of an item.

    attempts : 1 or more; an exception raised by an item is final, whatever this limit
    seconds : item -> its time limit; None for no limit
    """

    attempts: int = 1
    seconds: Callable[[Item], float] | None = None

    def of(self, item: Item) -> float | None:
        """Time limit of an item in seconds, None for no limit."""
        return None if self.seconds is None else self.seconds(item)
