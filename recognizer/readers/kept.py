"""A disk cache of samples that are slow to read, so that every system after the first gets them at once."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mvgen.core.files import disk_errors, write_atomically
from mvgen.store.arrays import npz_bytes
from mvgen.store.coding.steps import FLOW_STEP, quantise_flow
from mvgen.store.manifest import digest_of
from recognizer.code import SAMPLE_CODE, code_digest
from recognizer.readers.base import Reader, sample_of
from recognizer.records import Sample


class KeptReader(Reader):
    """Caches the samples of another reader.

    Flow is quantised in steps of 1/128 pixel, as in a store, also in the sample returned first.
    """

    def __init__(self, reader: Reader, folder: Path) -> None:
        self.classes, self.entries, self.gives = reader.classes, reader.entries, reader.gives
        self._reader, self._folder = reader, folder

    def read(self, index: int) -> Sample:
        entry = self.entries[index]
        path = self._folder / f"{digest_of([entry.key, code_digest(SAMPLE_CODE)])}.npz"
        arrays = _read(path)
        if arrays is None:
            arrays = _arrays(self._reader.read(index))
            with disk_errors(self._folder):
                write_atomically(path, npz_bytes(arrays))
        flow, apex_flow = (np.float32(FLOW_STEP) * arrays[name] for name in ("flow", "apex_flow"))
        onset, apex, offset = arrays["times"].tolist()
        landmarks = arrays["landmarks"] if len(arrays["landmarks"]) else None
        sample = sample_of(entry, arrays["frames"], flow, apex_flow, arrays["valid"], (onset, apex, offset), landmarks)
        return replace(sample, signals=arrays["signals"] if len(arrays["signals"]) else None)


def _arrays(sample: Sample) -> dict[str, np.ndarray]:
    everywhere = np.ones(sample.apex_flow.shape[:2], bool)
    return {
        "frames": sample.frames,
        "flow": quantise_flow(sample.flow, everywhere),
        "apex_flow": quantise_flow(sample.apex_flow, everywhere),
        "valid": everywhere if sample.valid is None else sample.valid,
        "times": np.array([sample.onset, sample.apex, sample.offset]),
        "landmarks": np.zeros((0, 2), np.float32) if sample.landmarks is None else sample.landmarks,
        "signals": np.zeros((0, 0), np.float32) if sample.signals is None else sample.signals,
    }


def _read(path: Path) -> Mapping[str, Any] | None:
    """The arrays of a file; None if it is missing or damaged."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (OSError, ValueError, zipfile.BadZipFile):
        return None
