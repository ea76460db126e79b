"""What may be published of a dataset, according to the terms of its source."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from mvgen.core.errors import LicenceError, SourceError
from mvgen.core.records import Redistribution
from mvgen.publish.targets.base import Visibility
from mvgen.sources import Source, get_source

_FEWEST_WORDS = 3  # who, when, for what
_STRICTEST = ("forbidden", "gated", "open")


def terms_of(source: Mapping[str, Any]) -> Redistribution:
    """Terms of a source: those in `dataset.json` or those of its reader, whichever are stricter.

    source : of `dataset.json`. A source without a reader, and unknown terms, count as "forbidden".
    """
    reader = _reader(source)
    stated: list[Any] = [source.get("redistribution"), reader.redistribution if reader else "forbidden"]
    terms: list[Redistribution] = [one if one in _STRICTEST else "forbidden" for one in stated]
    return min(terms, key=_STRICTEST.index)


def access_to(source: Mapping[str, Any]) -> str:
    """How to get a source, in words."""
    reader = _reader(source)
    return reader.access if reader else "not stated"


def citation_of(source: Mapping[str, Any]) -> str | None:
    """BibTeX of the paper that describes a source, or None."""
    reader = _reader(source)
    return reader.citation.strip() or None if reader else None


def _reader(source: Mapping[str, Any]) -> Source | None:
    with suppress(SourceError):
        return get_source(str(source.get("name")))
    return None


def check_permission(permission: str | None) -> str | None:
    """A permission as it is recorded. Raises LicenceError for one that says nothing."""
    words = re.findall(r"\w{2,}", permission or "")
    if permission is not None and len(words) < _FEWEST_WORDS:
        said = "says too little" if permission.strip() else "is empty"
        raise LicenceError(f"--i-have-permission {said}; write who gave the permission, when, and for what")
    return permission.strip() if permission else None


def check_pixels_allowed(source: Mapping[str, Any], permission: str | None, visibility: Visibility) -> None:
    """Check that frames, depth, flow and landmarks, all of which show faces, may be published.

    visibility : who can read the target
    Raises LicenceError for a source that forbids redistribution, unless a permission is given, and for a public target
    unless the terms are open.
    """
    terms = terms_of(source)
    if terms == "forbidden" and permission is None:
        raise LicenceError(
            f"{source.get('title')} and data made from its pixels may not be passed on ({source.get('licence')}). "
            "Without --pixels a recipe is published, from which others with a copy of the source rebuild the dataset. "
            'With written permission of its owner, add --i-have-permission "who, when, for what"; it is recorded'
        )
    if terms != "open" and visibility == "public":
        raise LicenceError(
            f"the terms of {source.get('title')} are {terms}: data that show its subjects may go to a private or gated "
            "target only; leave out --public"
        )
