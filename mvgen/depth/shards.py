"""Training pictures on disk: rendered once, shard by shard, and kept."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from mvgen.depth.data import Samples, make_samples

Report = Callable[[str], None]

_PEOPLE_PER_SHARD = 16


@dataclass(frozen=True, slots=True)
class Recipe:
    """Which pictures: how many people, photographs of each, side in pixels, and the seed of all that is random."""

    identities: int
    per_identity: int
    size: int
    seed: int


def _make_shard(arguments: tuple[int, int, int, int, int], target: Path) -> None:
    import torch

    torch.set_num_threads(1)  # one process per core renders faster than many threads each
    samples = make_samples(*arguments)
    partial = target.with_suffix(".partial")
    with partial.open("wb") as file:
        np.savez(file, colour=samples.colour, depth=samples.depth, face=samples.face, identity=samples.identity)
    os.replace(partial, target)


def make_data(recipe: Recipe, folder: Path, workers: int, report: Report) -> list[Path]:
    """Render the training pictures into `folder`, shard by shard; shards that are there already are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    shards = []
    for first in range(0, recipe.identities, _PEOPLE_PER_SHARD):
        people = min(_PEOPLE_PER_SHARD, recipe.identities - first)
        name = f"anny-{recipe.seed}-{recipe.size}-{recipe.per_identity}-{first:06d}-{people}.npz"
        shards.append(((recipe.seed, first, people, recipe.per_identity, recipe.size), folder / name))
    missing = [shard for shard in shards if not shard[1].exists()]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(_make_shard, *shard) for shard in missing]
        for count, future in enumerate(futures, 1):
            future.result()
            if count % 10 == 0 or count == len(missing):
                report(f"data: {count} of {len(missing)} shards rendered")
    return [path for _, path in shards]


def read_data(shards: list[Path]) -> Samples:
    """All shards as one batch."""
    parts: dict[str, list[np.ndarray]] = {"colour": [], "depth": [], "face": [], "identity": []}
    for shard in shards:
        with np.load(shard, allow_pickle=False) as arrays:
            for name, collected in parts.items():
                collected.append(arrays[name])
    return Samples(**{name: np.concatenate(collected) for name, collected in parts.items()})
