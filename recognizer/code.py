"""Digests of the code that results depend on, so that what other code has made is never taken for its own."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from mvgen.core.code_digest import files_digest, stage_digests

# What decides the bytes of a sample, of a prepared input, and of a trained system: files and folders of this package.
SAMPLE_CODE = ("records.py", "readers")
INPUT_CODE = (*SAMPLE_CODE, "learning/data.py", "ops", "systems")
TRAINING_CODE = (*INPUT_CODE, "evaluation/protocols.py", "learning/fit.py", "bench/units.py")


@cache
def code_digest(names: tuple[str, ...]) -> str:
    """sha256 over some parts of this package, by their names, and over the stages of mvgen that clips come through."""
    digests = (*stage_digests().values(), files_digest(Path(__file__).parent, names))
    return hashlib.sha256("".join(digests).encode()).hexdigest()
