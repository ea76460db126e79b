"""Training pictures on disk: rendered once, in shards, and kept."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from mvgen.core.device import one_thread
from mvgen.engine import local
from mvgen.engine.base import Limits
from mvgen.scans import open_corpus
from mvgen.scans.records import Corpus
from mvgen.training.depth_data import Samples, make_samples

Report = Callable[[str], None]

_PEOPLE_PER_SHARD = 16


@dataclass(frozen=True, slots=True)
class Recipe:
    """The pictures of one corpus: number of people, photographs of each, side in pixels, random seed.

    corpus : as in `--scans`; root : its folder, None for a corpus that is embedded
    """

    corpus: str
    root: Path | None
    people: int
    per_person: int
    size: int
    seed: int

    def shard(self, first: int, people: int) -> str:
        """The file name of a shard, which contains everything that its pictures depend on."""
        place = f"-{hashlib.sha256(str(self.root.resolve()).encode()).hexdigest()[:8]}" if self.root else ""
        return f"{self.corpus}{place}-{self.seed}-{self.size}-{self.per_person}-{first:06d}-{people}.npz"


@lru_cache(maxsize=1)
def _corpus(name: str, root: Path | None) -> Corpus:
    return open_corpus(name, root)


def _make_shard(recipe: Recipe, first: int, people: int, target: Path) -> list[str]:
    """Render one shard; returns the problems of scans that are not used."""
    one_thread()
    corpus = _corpus(recipe.corpus, recipe.root)
    samples = make_samples(
        corpus, recipe.seed, first=first, people=people, per_person=recipe.per_person, size=recipe.size
    )
    unfinished = target.with_suffix(".partial")
    with unfinished.open("wb") as file:
        np.savez(file, **{field.name: getattr(samples, field.name) for field in fields(Samples)})
    os.replace(unfinished, target)
    return [f"{problem.where}: {problem.reason}" for problem in corpus.problems]


def _shard_maker(recipe: Recipe, shards: Mapping[int, int], paths: Mapping[int, Path]) -> Callable[[int], list[str]]:
    """The work of a worker process, given the number of the first person of a shard."""
    return lambda first: _make_shard(recipe, first, shards[first], paths[first])


def make_data(recipe: Recipe, folder: Path, workers: int, report: Report) -> list[Path]:
    """Render the training pictures into `folder`, shard by shard; existing shards are kept.

    Reports progress, and each scan that cannot be used, once.
    """
    folder.mkdir(parents=True, exist_ok=True)
    starts = range(0, recipe.people, _PEOPLE_PER_SHARD)
    shards = {first: min(_PEOPLE_PER_SHARD, recipe.people - first) for first in starts}
    paths = {first: folder / recipe.shard(first, people) for first, people in shards.items()}
    missing = [first for first, path in paths.items() if not path.exists()]
    reported: set[str] = set()
    make_worker = partial(_shard_maker, recipe, shards, paths)
    # Limits make the work run in other processes: it sets the number of torch's threads, which training needs.
    for count, outcome in enumerate(local.run(missing, make_worker, workers, Limits(attempts=2)), 1):
        if outcome.error is not None:
            raise outcome.error
        for problem in outcome.result or ():
            if problem not in reported:
                report(f"{recipe.corpus}: not used: {problem}")
                reported.add(problem)
        if count % 10 == 0 or count == len(missing):
            report(f"{recipe.corpus}: {count} of {len(missing)} shards rendered")
    return list(paths.values())


def read_data(shards: list[Path]) -> Samples:
    """All shards as one batch."""
    names = [field.name for field in fields(Samples)]
    parts: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for shard in shards:
        with np.load(shard, allow_pickle=False) as arrays:
            for name in names:
                parts[name].append(arrays[name])
    return Samples(**{name: np.concatenate(collected) for name, collected in parts.items()})
