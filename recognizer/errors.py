"""Errors of the recogniser bench; see `mvgen.core.errors`."""

from __future__ import annotations

from mvgen.core.errors import MvgenError


class RecogniserError(MvgenError):
    """A system, its options, a clip or a dataset cannot be used; the message names it, the reason and the next step."""
