"""Sources: the datasets that clips are read from, by the name that `--dataset` takes."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from mvgen.core.errors import SourceError
from mvgen.core.records import Redistribution
from mvgen.sources.base import ClipFailure, Listing, Problem, Source
from mvgen.sources.casme2 import Casme2
from mvgen.sources.casme_ii import CasmeII
from mvgen.sources.demo import Demo
from mvgen.sources.folder import Folder
from mvgen.sources.samm import Samm
from mvgen.sources.smic import Smic

__all__ = [
    "SOURCES",
    "ClipFailure",
    "Listing",
    "Problem",
    "Source",
    "SourceDescription",
    "Summary",
    "describe_sources",
    "get_source",
    "register",
    "summarise",
]


@dataclass(frozen=True, slots=True)
class SourceDescription:
    """One row of `mvgen datasets`. `terms` is the redistribution class: forbidden, gated or open."""

    name: str
    title: str
    fps: str
    licence: str
    terms: Redistribution
    access: str


@dataclass(frozen=True, slots=True)
class Summary:
    """How many clips a listing holds. Labels and emotions count whole; subjects hold their counts per label.

    A clip without a 3-class label counts under "none".
    """

    clips: int
    frames: int
    labels: dict[str, int]
    emotions: dict[str, int]
    subjects: dict[str, dict[str, int]]


def register(sources: Iterable[Source]) -> dict[str, Source]:
    """Sources by name. Raises ValueError when two have the same one."""
    registry: dict[str, Source] = {}
    for source in sources:
        if source.name in registry:
            raise ValueError(f"two sources are named {source.name!r}: {registry[source.name]!r} and {source!r}")
        registry[source.name] = source
    return registry


SOURCES = register([Casme2(), CasmeII(), Smic(), Samm(), Folder(), Demo()])


def get_source(name: str) -> Source:
    """The source of a name. Raises SourceError with the nearest name for an unknown one."""
    if name in SOURCES:
        return SOURCES[name]
    close = difflib.get_close_matches(name.lower(), SOURCES, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    raise SourceError(f"unknown dataset {name!r}; {hint}Known: {', '.join(SOURCES)}")


def describe_sources() -> tuple[SourceDescription, ...]:
    """All sources, in the order they are listed to people."""
    return tuple(
        SourceDescription(one.name, one.title, one.rate, one.licence, one.redistribution, one.access)
        for one in SOURCES.values()
    )


def summarise(listing: Listing) -> Summary:
    """Count the clips of a listing per class and subject; subjects in the order of their numbers."""
    subjects: dict[str, Counter[str]] = {}
    for clip in sorted(listing.clips, key=lambda clip: _natural(clip.subject)):
        subjects.setdefault(clip.subject, Counter())[clip.label or "none"] += 1
    labels = Counter(clip.label or "none" for clip in listing.clips)
    emotions = Counter(clip.emotion for clip in listing.clips)
    return Summary(
        clips=len(listing.clips),
        frames=sum(len(clip.frames) for clip in listing.clips),
        labels=dict(sorted(labels.items())),
        emotions=dict(sorted(emotions.items())),
        subjects={subject: dict(sorted(counts.items())) for subject, counts in subjects.items()},
    )


def _natural(name: str) -> tuple[tuple[int, int, str], ...]:
    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", name) if part)
