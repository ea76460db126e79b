from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from mvgen.engine.local import WorkerDiedError, run
from mvgen.errors import ClipError


def make_worker(scale: int) -> Callable[[int], int]:
    return partial(work, scale)


def work(scale: int, item: int) -> int:
    if item == 13:
        raise ClipError("face", "unlucky", Path("img.jpg"))
    if item == 99:
        os.kill(os.getpid(), signal.SIGKILL)
    if item > 1000:
        time.sleep(item)
    return item * scale


def cannot_begin() -> Callable[[int], int]:
    raise FileNotFoundError("no weights")


@pytest.mark.parametrize("workers", [1, 3])
def test_every_item_is_done_once_whatever_the_number_of_workers(workers: int) -> None:
    outcomes = list(run(range(20), partial(make_worker, 2), workers))
    assert sorted(outcome.item for outcome in outcomes) == list(range(20))
    assert {outcome.item: outcome.result for outcome in outcomes if outcome.item != 13} == {
        item: 2 * item for item in range(20) if item != 13
    }
    error = next(outcome.error for outcome in outcomes if outcome.item == 13)
    assert isinstance(error, ClipError)
    assert (error.stage, error.reason, error.path) == ("face", "unlucky", Path("img.jpg"))


def test_a_dying_process_is_named_and_the_others_go_on() -> None:
    outcomes = {outcome.item: outcome for outcome in run([1, 99, 2, 3, 4], partial(make_worker, 1), 2)}
    assert isinstance(outcomes[99].error, WorkerDiedError)
    assert "SIGKILL" in str(outcomes[99].error)
    assert [outcomes[item].result for item in (1, 2, 3, 4)] == [1, 2, 3, 4]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_worker_that_cannot_begin_is_an_error_here(workers: int) -> None:
    with pytest.raises(FileNotFoundError, match="no weights"):
        list(run([1, 2], cannot_begin, workers))


def test_leaving_early_ends_every_process() -> None:
    outcomes = run([1, 5000, 6000], partial(make_worker, 1), 3)
    assert next(outcomes).result == 1
    outcomes.close()  # type: ignore[attr-defined]
    assert not multiprocessing.active_children()


def test_no_items_need_no_worker() -> None:
    assert not list(run([], cannot_begin, 1))
    assert not list(run([], cannot_begin, 4))


def test_workers_do_not_outlive_a_killed_parent() -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from functools import partial\n"
        "from mvgen.engine.local import run\n"
        "from test_engine import make_worker\n"
        "import multiprocessing, threading, time\n"
        "if __name__ == '__main__':\n"
        "    def tell():\n"
        "        while len(multiprocessing.active_children()) < 2: time.sleep(0.05)\n"
        "        time.sleep(1)\n"
        "        print(*[child.pid for child in multiprocessing.active_children()], flush=True)\n"
        "    threading.Thread(target=tell).start()\n"
        "    list(run([2000, 3000], partial(make_worker, 1), 2))\n"
    )
    script = Path(__file__).parent
    parent = subprocess.Popen([sys.executable, "-c", code, str(script)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    workers = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(workers) == 2
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 20
    while any(_runs(pid) for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [pid for pid in workers if _runs(pid)]


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
