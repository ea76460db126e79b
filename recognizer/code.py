"""Digests of the code that results depend on, so that what other code has made is never taken for its own."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from mvgen import __version__

# What decides the bytes of a sample, of a prepared input, and of a trained system: files and folders of this package.
SAMPLE_CODE = ("records.py", "readers")
INPUT_CODE = (*SAMPLE_CODE, "learning/data.py", "ops", "systems")
TRAINING_CODE = (*INPUT_CODE, "evaluation/protocols.py", "learning/fit.py", "bench/units.py")


@cache
def code_digest(names: tuple[str, ...]) -> str:
    """sha256 over the version of mvgen and the files of some parts of this package, by their names."""
    here = Path(__file__).parent
    digest = hashlib.sha256(__version__.encode())
    for name in names:
        for path in sorted([here / name] if name.endswith(".py") else (here / name).rglob("*.py")):
            digest.update(path.relative_to(here).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()
