"""Sources: the datasets that clips are read from, by the name given to `--dataset`."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import get_args

from mvgen.core.config import SourceConfig
from mvgen.core.errors import SourceError
from mvgen.core.records import Redistribution
from mvgen.core.registry import Registry
from mvgen.sources.base import ClipFailure, Listing, Problem, Source

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
    """Counts of a listing. labels, emotions : name -> clips; subjects : subject -> label -> clips

    A clip without a 3-class label counts under "none". depths, meshes : frames that have them
    """

    clips: int
    frames: int
    depths: int
    meshes: int
    labels: dict[str, int]
    emotions: dict[str, int]
    subjects: dict[str, dict[str, int]]


SOURCES = Registry[type[Source]](
    "dataset",
    SourceError,
    [
        ("casme2", "mvgen.sources.casme2:Casme2"),
        ("casme-ii", "mvgen.sources.casme_ii:CasmeII"),
        ("smic", "mvgen.sources.smic:Smic"),
        ("samm", "mvgen.sources.samm:Samm"),
        ("casme", "mvgen.sources.casme:Casme"),
        ("mmew", "mvgen.sources.mmew:Mmew"),
        ("casme3", "mvgen.sources.casme3:Casme3"),
        ("casme3-c", "mvgen.sources.casme3_c:Casme3C"),
        ("samm-lv", "mvgen.sources.samm_lv:SammLv"),
        ("dfme", "mvgen.sources.dfme:Dfme"),
        ("4dme", "mvgen.sources.fourdme:FourDme"),
        ("folder", "mvgen.sources.folder:Folder"),
        ("demo", "mvgen.synth.demo:Demo"),
    ],
    group="mvgen.sources",
    base=Source,
)


def get_source(name: str, chosen: SourceConfig | None = None) -> Source:
    """The source with a name; chosen : which of its clips it reads, see `Source`.

    Raises SourceError with the nearest name for an unknown one.
    """
    source: Source = SOURCES.make(name) if chosen is None else SOURCES.make(name, chosen)
    if source.redistribution not in get_args(Redistribution):
        known = ", ".join(get_args(Redistribution))
        raise SourceError(f"dataset {name!r}: redistribution {source.redistribution!r} is none of {known}")
    return source


def describe_sources() -> tuple[list[SourceDescription], list[str]]:
    """All sources, in the order of display, and reasons why some sources of other packages cannot be used."""
    sources, problems = SOURCES.load_all()
    described = [
        SourceDescription(name, one.title, one.rate, one.licence, one.redistribution, one.access)
        for name, one in sources.items()
    ]
    return described, problems


def summarise(listing: Listing) -> Summary:
    """Count the clips of a listing by class and subject; subjects in natural order (s2 before s10)."""
    subjects: dict[str, Counter[str]] = {}
    for clip in sorted(listing.clips, key=lambda clip: _natural(clip.subject)):
        subjects.setdefault(clip.subject, Counter())[clip.label or "none"] += 1
    labels = Counter(clip.label or "none" for clip in listing.clips)
    emotions = Counter(clip.emotion for clip in listing.clips)
    return Summary(
        clips=len(listing.clips),
        frames=sum(len(clip.frames) for clip in listing.clips),
        depths=sum(frame.depth is not None for clip in listing.clips for frame in clip.frames),
        meshes=sum(frame.mesh is not None for clip in listing.clips for frame in clip.frames),
        labels=dict(sorted(labels.items())),
        emotions=dict(sorted(emotions.items())),
        subjects={subject: dict(sorted(counts.items())) for subject, counts in subjects.items()},
    )


def _natural(name: str) -> tuple[tuple[int, int, str], ...]:
    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", name) if part)
