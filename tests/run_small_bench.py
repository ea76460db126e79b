"""`recognizer` with the systems of `recognizer_trees`, as a process of its own that tests can kill."""

from __future__ import annotations

import os
import sys
import time

from recognizer_trees import install_systems

import recognizer.bench.units
from recognizer.cli import main

if __name__ == "__main__":
    install_systems()
    run_unit, seconds = recognizer.bench.units.run_unit, float(os.environ.get("UNIT_SECONDS", "0"))

    def slowly(*arguments: object) -> object:
        time.sleep(seconds)
        return run_unit(*arguments)  # type: ignore[arg-type]

    recognizer.bench.units.run_unit = slowly  # type: ignore[assignment]
    sys.exit(main())
