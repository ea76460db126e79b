"""The Ray engine on real clusters of two nodes on this machine."""

from __future__ import annotations

import logging
import multiprocessing
import os
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from engine_work import cannot_start, make_worker
from fake_build import FakeStages, list_clips, make_config, make_source, tree_bytes

from mvgen.building.build import build
from mvgen.building.work import Progress
from mvgen.core.errors import ClipError
from mvgen.engine.base import EngineError, Limits, WorkerDiedError, WorkerStalledError
from mvgen.engine.ray import Cluster, run
from mvgen.evaluation.ray_cluster import actors_of, add_node, head, kill_an_actor
from mvgen.store import layout
from mvgen.store.manifest import Failure

pytestmark = pytest.mark.slow

ray = pytest.importorskip("ray", reason="ray is not installed: pip install 'mvgen[ray]'")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A cluster that this process is connected to; its workers find the modules of the tests."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        with head() as local:
            ray.init(local.address, log_to_driver=False, logging_level=logging.ERROR)
            yield local
            ray.shutdown()


@pytest.fixture(scope="module")
def nodes(cluster: Any) -> list[Any]:
    """Two nodes with a processor each; the last test removes one."""
    return [add_node(cluster) for _ in range(2)]


def test_outcomes_are_those_of_the_local_engine(nodes: list[Any]) -> None:
    limits: Limits[int] = Limits(2, seconds=lambda item: 0.2 if item > 1000 else 60.0)
    outcomes = {outcome.item: outcome for outcome in run([1, 13, 99, 5000, 2, 3], partial(make_worker, 2), 2, limits)}
    assert {item: outcomes[item].result for item in (1, 2, 3)} == {1: 2, 2: 4, 3: 6}
    error = outcomes[13].error
    assert isinstance(error, ClipError)
    assert (error.stage, error.reason, error.path) == ("face", "unlucky", Path("img.jpg"))
    assert isinstance(outcomes[99].error, WorkerDiedError)
    assert "SIGKILL" in str(outcomes[99].error)
    assert isinstance(outcomes[5000].error, WorkerStalledError)
    assert {item: outcome.attempts for item, outcome in outcomes.items()} == {1: 1, 13: 1, 99: 2, 5000: 2, 2: 1, 3: 1}
    assert not multiprocessing.active_children()


def test_a_worker_that_cannot_start_raises_in_the_parent(nodes: list[Any]) -> None:
    with pytest.raises(FileNotFoundError, match="no weights"):
        list(run([1, 2], cannot_start, 2))
    assert not list(run([], cannot_start, 2))


def test_slots_without_a_place_are_an_error(nodes: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mvgen.engine.ray._PLACING_SECONDS", 0.2)
    with pytest.raises(EngineError, match=r"needs 1 CPU and 0\.5 GPU, and the cluster has 2 CPU and 0 GPU"):
        list(run([1, 2], partial(make_worker, 1), 2, cluster=Cluster(gpus=0.5)))


class Havoc(Progress):
    """After a clip an actor is killed, after another a node is removed, with all that runs there."""

    def __init__(self, cluster: Any, nodes: list[Any]) -> None:
        self.nodes = nodes
        self.acts = [kill_an_actor, cluster.remove_node]

    def advance(self, clip: str, failure: Failure | None, trace: str | None) -> None:
        busy = next((node for node in self.nodes if actors_of(node)), None)
        if self.acts and busy is not None:
            self.acts.pop(0)(busy)


def test_a_killed_actor_and_a_removed_node_change_no_byte(cluster: Any, nodes: list[Any], tmp_path: Path) -> None:
    root = make_source(tmp_path / "root")
    die = frozenset({list_clips(root)[5].id})
    limits = {"attempts": 2, "clip_timeout": 60}
    build(make_config(root, tmp_path / "local", workers=2, **limits), FakeStages(root, die=die))
    havoc = Havoc(cluster, nodes)
    config = make_config(root, tmp_path / "ray", workers=2, engine="ray", **limits)
    summary = build(config, FakeStages(root, die=die, seconds=0.2), havoc)
    assert not havoc.acts
    assert (summary.clips, len(summary.failures)) == (5, 1)
    assert tree_bytes(tmp_path / "ray") == tree_bytes(tmp_path / "local")
    assert not (tmp_path / "ray" / layout.PARTIAL).exists()
