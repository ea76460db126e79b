"""`recognizer systems`."""

from __future__ import annotations

import sys

from mvgen.core.extras import needs


@needs("recognizer", "`recognizer systems`")
def systems() -> int:
    """List the systems: kind, source, and number of parameters for three classes.

    \b
    Example:
      recognizer systems
    """
    from mvgen.core.console import print_table
    from recognizer.systems.listing import describe_systems

    described, problems = describe_systems()
    rows = [
        (each.name, each.kind, "-" if each.parameters is None else f"{each.parameters:,}", each.source)
        for each in described
    ]
    print_table(("system", "kind", "parameters", "source"), rows)
    for problem in problems:
        print(f"warning: {problem}", file=sys.stderr)
    return 0
