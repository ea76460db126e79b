"""Digests of the code that results depend on, so that results of other code are never reused."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

import mvgen
from mvgen.pipeline.code_digest import files_digest, stage_digests

# Files and folders of this package that the bytes of samples, prepared inputs and trained systems depend on.
SAMPLE_CODE = ("records.py", "readers")
INPUT_CODE = (*SAMPLE_CODE, "learning/data.py", "ops", "systems")
TRAINING_CODE = (*INPUT_CODE, "evaluation/protocols.py", "learning/fit.py", "bench/units.py")


@cache
def code_digest(names: tuple[str, ...]) -> str:
    """sha256 of some files and folders of this package, of the stages of mvgen, and of its readers of stores."""
    reading = files_digest(Path(mvgen.__file__).parent, ("dataset",))
    digests = (*stage_digests().values(), reading, files_digest(Path(__file__).parent, names))
    return hashlib.sha256("".join(digests).encode()).hexdigest()
