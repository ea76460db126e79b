"""Fixtures that are expensive to make and never changed."""

from __future__ import annotations

import pytest
from hypothesis import settings

# A busy machine is no error.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def heads():
    """The parametric heads: seconds to load, so once for the whole run."""
    from mvgen.scans.corpora.anny import anny_heads

    return anny_heads()
