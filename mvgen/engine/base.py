"""What every engine takes and gives: items in, outcomes out, and how long and how often an item may be tried."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from mvgen.core.errors import MvgenError

Item = TypeVar("Item")
Result = TypeVar("Result")
MakeWorker = Callable[[], Callable[[Item], Result]]


class EngineError(MvgenError):
    """An engine cannot begin, or has no place left to work in."""


class WorkerDiedError(MvgenError):
    """A worker process ended in the middle of an item, for example because memory ran out."""

    exit_code = 1


class WorkerStalledError(WorkerDiedError):
    """An item took longer than it may, so that its worker was ended."""


@dataclass(frozen=True, slots=True)
class Outcome(Generic[Item, Result]):
    """What became of an item: a result, or the exception that its worker raised.

    attempts : how many workers tried it
    starting : seconds until its worker was ready, told with the worker's first outcome
    """

    item: Item
    result: Result | None = None
    error: Exception | None = None
    attempts: int = 1
    starting: float = 0.0

    @property
    def cost_a_worker(self) -> bool:
        """Whether the item took its worker with it, which says less of the item than an exception of its own does."""
        return isinstance(self.error, WorkerDiedError)


@dataclass(frozen=True, slots=True)
class Limits(Generic[Item]):
    """How often an item is tried when its worker dies or stalls, and after how many seconds a worker has stalled.

    attempts : 1 or more; an exception that an item raises is final, whatever is left of them
    seconds : item -> its limit; None for none
    """

    attempts: int = 1
    seconds: Callable[[Item], float] | None = None

    def of(self, item: Item) -> float | None:
        """Seconds that an item may take, None for no limit."""
        return None if self.seconds is None else self.seconds(item)
