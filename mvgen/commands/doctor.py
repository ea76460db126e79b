"""`mvgen doctor`."""

from __future__ import annotations

from mvgen.core.console import print_table
from mvgen.verification.machine import diagnose


def doctor() -> int:
    """Check this machine: versions, device, GL, weights, what is missing.

    Exit code: 0 everything a build needs is there, 1 something is missing; the last lines show how to get it.

    \b
    Example:
      mvgen doctor
    """
    checks = diagnose()
    print_table(("part", "state", "found"), [(check.name, check.state, check.found) for check in checks])
    missing = [check for check in checks if check.state == "missing"]
    for check in missing:
        print(f"{check.name} is missing: {check.fix}")
    return 1 if missing else 0
