"""A Ray cluster of several nodes on this machine, and faults to inject into it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mvgen.evaluation.processes import children

# Ray reads these when it is imported. Under `uv run` it would start each worker through another uv.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")

# The minimum that Ray accepts; only paths go through its store.
_OBJECT_STORE = 80 * 2**20


@contextmanager
def head() -> Iterator[Any]:
    """A cluster whose first node has no processors, so that all work is on nodes that can be removed."""
    from ray.cluster_utils import Cluster

    options = {"num_cpus": 0, "object_store_memory": _OBJECT_STORE, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=options)
    try:
        yield cluster
    finally:
        cluster.shutdown()


def add_node(cluster: Any, processors: int = 1) -> Any:
    """One more node."""
    return cluster.add_node(num_cpus=processors, object_store_memory=_OBJECT_STORE)


def actors_of(node: Any) -> list[int]:
    """Process ids of the actors on a node; none on one that was removed, which has no raylet any more."""
    raylets = [raylet.process.pid for raylet in node.all_processes.get("raylet", ())]
    running = [process for raylet in raylets for process in children(raylet)]
    return [process for process in running if _title(process).startswith("ray::_Keeper")]


def kill_an_actor(node: Any) -> None:
    """Kill an actor of a node, as the kernel does when memory runs out."""
    os.kill(actors_of(node)[0], signal.SIGKILL)


def _title(process: int) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_text()
    except (FileNotFoundError, ProcessLookupError):  # it has just ended
        return ""
