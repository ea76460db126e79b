"""`mvgen build` with the stages of `fake_build`, as a process of its own that tests can interrupt and kill."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from fake_build import FakeStages

import mvgen.building.build
import mvgen.cli

if __name__ == "__main__":
    # Tests that run in the background have Ctrl-C switched off and hand that down; this stands for a job in front.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    root = Path(sys.argv[sys.argv.index("--root") + 1])
    stages = FakeStages(root, seconds=float(os.environ.get("FAKE_SECONDS", "0")))
    mvgen.building.build._real_stages = lambda: stages
    mvgen.cli.main(sys.argv[1:])
