"""`mvgen build` with the stages of `fake_build`, as a process of its own that tests can interrupt and kill."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from fake_build import FakeStages

import mvgen.build
import mvgen.cli

if __name__ == "__main__":
    root = Path(sys.argv[sys.argv.index("--root") + 1])
    stages = FakeStages(root, seconds=float(os.environ.get("FAKE_SECONDS", "0")))
    mvgen.build._real_stages = lambda: stages
    mvgen.cli.main(sys.argv[1:])
