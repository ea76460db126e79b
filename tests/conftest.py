"""Fixtures that are expensive to make and never changed."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def heads():
    """The parametric heads: seconds to load, so once for the whole run."""
    from mvgen.scans.anny import anny_heads

    return anny_heads()
