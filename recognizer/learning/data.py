"""Inputs of a system, prepared once before training, so that an epoch runs only the network."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvgen.core.config import canonical_json
from mvgen.core.files import disk_errors, write_atomically
from mvgen.engine import local
from mvgen.store.manifest import digest_of
from recognizer.code import INPUT_CODE, code_digest
from recognizer.errors import RecogniserError
from recognizer.readers.base import Reader
from recognizer.systems import SYSTEMS
from recognizer.systems.base import Inputs, NeuralSystem, System

Progress = Callable[[int, int], None]  # (done, total)

_ABOUT = "about.json"


@dataclass(frozen=True, slots=True)
class Prepared:
    """Inputs of some entries.

    inputs : name -> (N x copies, ...), float16 for networks, float32 for features; the copies of an entry are adjacent
    position : entry -> its index; copies : number for each entry
    """

    inputs: Mapping[str, NDArray[np.floating]]
    position: Mapping[int, int]
    copies: int

    def rows(self, entries: Sequence[int]) -> NDArray[np.int64]:
        """Rows of some entries, all copies of each."""
        first = np.array([self.position[index] for index in entries], np.int64) * self.copies
        return (first[:, None] + np.arange(self.copies)).reshape(-1)


def prepare(
    reader: Reader,
    system: System[Any],
    entries: Sequence[int],
    *,
    expanded: bool = False,
    folder: Path | None = None,
    workers: int = 1,
    progress: Progress | None = None,
) -> Prepared:
    """Inputs of some entries of a reader.

    expanded : with the training copies of the system
    folder : cache on disk, by digest; None keeps them in memory only
    Raises RecogniserError for a clip that the system cannot use, or inputs that contain NaN.
    """
    place = None if folder is None else folder / _digest(reader, system, entries, expanded)[:24]
    position = {index: number for number, index in enumerate(entries)}
    if place is not None and (place / _ABOUT).is_file():
        return _stored(place, position)
    arrays: dict[str, NDArray[np.floating]] = {}
    copies = 0
    partial_place = None if place is None else place.with_name(f".{place.name}.tmp")
    if partial_place is not None:
        shutil.rmtree(partial_place, ignore_errors=True)
        with disk_errors(partial_place):
            partial_place.mkdir(parents=True)
    made = local.run(list(entries), partial(_make_worker, reader, system, expanded), workers)
    for done, outcome in enumerate(made, 1):
        if outcome.error is not None:
            raise outcome.error
        assert outcome.result is not None
        found = outcome.result
        if not arrays:
            copies = len(found)
            arrays = _room(found[0], len(entries) * copies, isinstance(system, NeuralSystem), partial_place)
        first = position[outcome.item] * copies
        _fill(arrays, first, found, copies, f"{system.name}: clip {reader.entries[outcome.item].clip}")
        if progress is not None:
            progress(done, len(entries))
    if place is None or partial_place is None:
        return Prepared(arrays, position, copies)
    for array in arrays.values():
        assert isinstance(array, np.memmap)
        array.flush()
    write_atomically(partial_place / _ABOUT, canonical_json({"copies": copies, "names": sorted(arrays)}).encode())
    shutil.rmtree(place, ignore_errors=True)
    os.replace(partial_place, place)
    return _stored(place, position)


def _make_worker(reader: Reader, system: System[Any], expanded: bool) -> Callable[[int], list[Inputs]]:
    def work(index: int) -> list[Inputs]:
        sample = reader.read(index)
        _check_sample(sample.flow, sample.clip, sample.view)
        _check_sample(sample.apex_flow, sample.clip, sample.view)
        return [system.prepare(each) for each in (system.expand(sample) if expanded else (sample,))]

    return work


def _check_sample(values: NDArray[np.float32], clip: str, view: str) -> None:
    if not np.isfinite(values).all():
        raise RecogniserError(f"clip {clip}, view {view}: its flow is not finite everywhere; build the clip again")


def _room(first: Inputs, rows: int, neural: bool, folder: Path | None) -> dict[str, NDArray[np.floating]]:
    kind = np.dtype(np.float16 if neural else np.float32)
    shapes = {name: (rows, *values.shape) for name, values in first.items()}
    if folder is None:
        return {name: np.empty(shape, kind) for name, shape in shapes.items()}
    with disk_errors(folder):
        return {
            name: np.lib.format.open_memmap(folder / f"{name}.npy", mode="w+", dtype=kind, shape=shape)
            for name, shape in shapes.items()
        }


def _fill(
    arrays: Mapping[str, NDArray[np.floating]], first: int, found: Sequence[Inputs], copies: int, what: str
) -> None:
    if len(found) != copies:
        raise RecogniserError(
            f"{what} has {len(found)} training copies, other clips have {copies}; they must be as many"
        )
    for offset, inputs in enumerate(found):
        if inputs.keys() != arrays.keys():
            raise RecogniserError(f"{what} has the inputs {', '.join(inputs)}, other clips have {', '.join(arrays)}")
        for name, values in inputs.items():
            if values.shape != arrays[name].shape[1:]:
                raise RecogniserError(
                    f"{what}: input {name} is {values.shape}, of other clips {arrays[name].shape[1:]}"
                )
            if not np.isfinite(values).all():
                raise RecogniserError(f"{what}: input {name} is not finite everywhere; its frames or flow are damaged")
            arrays[name][first + offset] = values


def _stored(place: Path, position: Mapping[int, int]) -> Prepared:
    about = json.loads((place / _ABOUT).read_text(encoding="utf-8"))
    arrays = {name: np.load(place / f"{name}.npy", mmap_mode="r") for name in about["names"]}
    return Prepared(arrays, position, about["copies"])


def _digest(reader: Reader, system: System[Any], entries: Sequence[int], expanded: bool) -> str:
    chosen = [reader.entries[index].key for index in entries]
    package = SYSTEMS.package(system.name)
    return digest_of([code_digest(INPUT_CODE), package, system.name, asdict(system.options), chosen, expanded])
