from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from engine_work import cannot_start, make_diary, make_late, make_teller, make_worker, runs

from mvgen.core.errors import ClipError
from mvgen.engine.base import EngineError, Limits, WorkerDiedError, WorkerStalledError
from mvgen.engine.local import WorkerPool, run
from mvgen.engine.process import Process


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


def test_an_item_that_stalls_ends_its_worker_and_the_others_go_on() -> None:
    limits = Limits(seconds=lambda item: 0.5 if item > 1000 else 60.0)
    outcomes = {outcome.item: outcome for outcome in run([5000, 1, 2], partial(make_worker, 1), 1, limits)}
    assert isinstance(outcomes[5000].error, WorkerStalledError)
    assert str(outcomes[5000].error) == "it took longer than 0.5 s"
    assert [outcomes[item].result for item in (1, 2)] == [1, 2]
    assert not multiprocessing.active_children()


def test_an_item_is_tried_again_alone_after_the_others(tmp_path: Path) -> None:
    outcomes = list(run(["comes last", "a", "b", "c"], partial(make_diary, tmp_path), 2, Limits(attempts=3)))
    assert (outcomes[-1].item, outcomes[-1].result, outcomes[-1].attempts) == ("comes last", 1, 2)
    assert [outcome.attempts for outcome in outcomes[:-1]] == [1, 1, 1]


def test_an_item_is_given_up_after_so_many_attempts() -> None:
    outcomes = list(run([99, 1], partial(make_worker, 1), 1, Limits(attempts=2)))
    assert [(outcome.item, outcome.attempts, outcome.cost_a_worker) for outcome in outcomes] == [
        (1, 1, False),
        (99, 2, True),
    ]


def test_an_exception_of_an_item_is_final() -> None:
    (outcome,) = run([13], partial(make_worker, 1), 1, Limits(attempts=3))
    assert isinstance(outcome.error, ClipError)
    assert outcome.attempts == 1


@pytest.mark.parametrize("workers", [1, 2])
def test_a_worker_that_cannot_start_raises_in_the_parent(workers: int) -> None:
    with pytest.raises(FileNotFoundError, match="no weights"):
        list(run([1, 2], cannot_start, workers))


@pytest.mark.parametrize("starts", [range(2), range(1, 1000)])
def test_workers_that_die_while_they_load_cost_no_item(tmp_path: Path, starts: range) -> None:
    outcomes = list(run([1, 2, 3, 4], partial(make_late, tmp_path, starts), 2, Limits(attempts=2)))
    assert sorted(outcome.item for outcome in outcomes) == [1, 2, 3, 4]
    assert all(outcome.error is None and outcome.attempts == 1 for outcome in outcomes)
    assert not multiprocessing.active_children()


def test_workers_that_always_die_while_they_load_end_the_run_in_words(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"3 workers in a row died while they loaded.* SIGKILL.*fewer --workers"):
        list(run([1, 2], partial(make_late, tmp_path, range(1000)), 2, Limits(attempts=2)))
    assert not multiprocessing.active_children()


def test_leaving_early_ends_every_process() -> None:
    outcomes = run([1, 5000, 6000], partial(make_worker, 1), 3)
    assert next(outcomes).result == 1
    outcomes.close()  # type: ignore[attr-defined]
    assert not multiprocessing.active_children()


def test_a_pool_does_other_work_in_the_same_processes() -> None:
    with WorkerPool() as pool:
        first = {outcome.result for outcome in run([1, 2, 3], make_teller, 1, Limits(attempts=2), pool)}
        doubled = list(run([1, 2, 3], partial(make_worker, 2), 1, Limits(attempts=2), pool))
        again = {outcome.result for outcome in run([1, 2, 3], make_teller, 1, Limits(attempts=2), pool)}
        assert first == again
        assert len(first) == 1
        assert sorted(outcome.result or 0 for outcome in doubled) == [2, 4, 6]
    assert not multiprocessing.active_children()


def test_a_pool_replaces_workers_that_died_while_idle() -> None:
    with WorkerPool() as pool:
        (first,) = run([1], make_teller, 1, Limits(attempts=2), pool)
        assert first.result is not None
        os.kill(first.result, signal.SIGKILL)
        deadline = time.monotonic() + 20
        while runs(first.result) and time.monotonic() < deadline:
            time.sleep(0.05)
        (second,) = run([1], make_teller, 1, Limits(attempts=2), pool)
    assert second.error is None
    assert second.result != first.result


def test_a_pool_that_cannot_start_other_work_raises_in_the_parent() -> None:
    with WorkerPool() as pool:
        list(run([1], make_teller, 1, Limits(attempts=2), pool))
        with pytest.raises(FileNotFoundError, match="no weights"):
            list(run([1, 2], cannot_start, 1, Limits(attempts=2), pool))
    assert not multiprocessing.active_children()


def test_an_item_is_tried_again_without_idle_workers(tmp_path: Path) -> None:
    with WorkerPool() as pool:
        outcomes = list(run(["comes last", "a", "b", "c"], partial(make_diary, tmp_path), 2, Limits(attempts=3), pool))
    assert (outcomes[-1].item, outcomes[-1].result, outcomes[-1].attempts) == ("comes last", 1, 2)


def test_the_starting_time_is_reported_once() -> None:
    outcomes = list(run([1, 2, 3], partial(make_worker, 1), 1, Limits(attempts=2)))
    assert [outcome.starting > 0 for outcome in outcomes] == [True, False, False]


def test_no_items_need_no_worker() -> None:
    assert not list(run([], cannot_start, 1))
    assert not list(run([], cannot_start, 4))


def test_a_worker_whose_parent_hears_nothing_ends_without_a_traceback() -> None:
    worker = Process(make_teller)
    (child,) = multiprocessing.active_children()
    worker.connection.close()
    child.join(60)
    assert child.exitcode == 0


def test_workers_do_not_outlive_a_killed_parent() -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from functools import partial\n"
        "from mvgen.engine.local import run\n"
        "from engine_work import make_worker\n"
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
    while any(runs(pid) for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [pid for pid in workers if runs(pid)]
