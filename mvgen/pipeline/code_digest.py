"""Digests of source code, so that results of other code are never taken for results of this code."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

# The folders of mvgen whose code decides the bytes of a store.
_STAGES = ("core", "sources", "faces", "morphable", "depth", "motion", "render", "views", "store", "pipeline")


@cache
def stage_digests() -> dict[str, str]:
    """Digest of the code of every stage of a build, by the name of its package."""
    root = Path(__file__).parents[1]
    return {f"mvgen.{stage}": files_digest(root, (stage,))[:12] for stage in _STAGES}


def files_digest(root: Path, names: Iterable[str]) -> str:
    """sha256 over paths and contents of the Python files among `names`, and in the folders among them, below `root`."""
    digest = hashlib.sha256()
    for name in names:
        for path in sorted([root / name] if name.endswith(".py") else (root / name).rglob("*.py")):
            digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()
