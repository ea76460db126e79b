"""Errors of the recogniser bench; see `mvgen.errors`."""

from __future__ import annotations

from mvgen.errors import MvgenError


class RecogniserError(MvgenError):
    """A system, its options, a clip or a dataset cannot be used; the message says which, why and what to do."""
