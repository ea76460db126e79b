"""Contents of the page, except its images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mvgen.core.records import LABELS
from mvgen.core.settings import SETTINGS
from mvgen.report.charts import Histogram, Spread, histogram, spreads
from mvgen.sources.marks import find_mark
from mvgen.store import layout
from mvgen.store.manifest import Failure, ViewRow

NO_CLASS = "no class"
MAX_LINES = 200
"""Largest number of subjects and of failures listed."""


@dataclass(frozen=True, slots=True)
class ClassCount:
    """Clips of one class. name : the class, or NO_CLASS; emotions : emotion as released -> clips"""

    name: str
    train: int
    test: int
    subjects: int
    emotions: Mapping[str, int]

    @property
    def clips(self) -> int:
        return self.train + self.test


@dataclass(frozen=True, slots=True)
class SubjectCount:
    """Clips of one subject. classes : class -> clips"""

    name: str
    split: str
    clips: int
    classes: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class ViewCount:
    """One view over all clips. train, kept : training clips, and how many of them keep the view; test : test clips"""

    name: str
    train: int
    kept: int
    test: int

    @property
    def dropped(self) -> int:
        return self.train - self.kept

    @property
    def clips(self) -> int:
        return self.train + self.test


@dataclass(frozen=True, slots=True)
class Facts:
    """All texts, tables and charts of the page.

    about : `dataset.json`; stand_in : whether the source is a stand-in
    settings : name, value, meaning
    attention, valid : visible attention and valid fraction of every view of the sweep, over its clips
    head_pixels, head_degrees : largest head motion (crop pixels) and head turn of every clip
    shortened, left_out : number of clips with frames that could not be registered, and of these frames
    """

    about: Mapping[str, Any]
    stand_in: bool
    settings: tuple[tuple[str, Any, str], ...]
    clips: int
    classes: tuple[ClassCount, ...]
    subjects: tuple[SubjectCount, ...]
    views: tuple[ViewCount, ...]
    failures: tuple[Failure, ...]
    stages: Mapping[str, int]
    attention: tuple[Spread, ...]
    valid: tuple[Spread, ...]
    head_pixels: Histogram | None
    head_degrees: Histogram | None
    shortened: int
    left_out: int


def gather(out: Path, about: Mapping[str, Any], rows: Sequence[ViewRow], failures: Sequence[Failure]) -> Facts:
    """Collect the facts about a store.

    about, rows, failures : its `dataset.json`, table and failures
    """
    frontal = [row for row in rows if row.yaw is None]
    swept = {row.yaw: degrees(row.yaw) for row in sorted(_swept(rows), key=_yaw)}
    return Facts(
        about=about,
        stand_in=find_mark([out / layout.ANNOTATIONS]) is not None,
        settings=tuple(_settings(about["config"])),
        clips=len(frontal),
        classes=_classes(frontal),
        subjects=_subjects(frontal),
        views=tuple(_view(degrees(yaw), [row for row in rows if row.yaw == yaw]) for yaw in (None, *swept)),
        failures=tuple(failures),
        stages=dict(sorted(Counter(failure.stage for failure in failures).items())),
        attention=spreads(
            {name: [row.visible_attention for row in rows if row.yaw == yaw] for yaw, name in swept.items()}
        ),
        valid=spreads({name: [row.valid_fraction for row in rows if row.yaw == yaw] for yaw, name in swept.items()}),
        head_pixels=histogram(row.head_pixels for row in frontal),
        head_degrees=histogram(row.head_degrees for row in frontal),
        shortened=sum(row.left_out > 0 for row in frontal),
        left_out=sum(row.left_out for row in frontal),
    )


def degrees(yaw: float | None) -> str:
    """A view's angle as displayed: `+15°`, `−45°`, `source`."""
    return "source" if yaw is None else f"{yaw:+g}°".replace("-", "−").replace("+0°", "0°")


def _yaw(row: ViewRow) -> float:
    return row.yaw or 0.0


def _swept(rows: Sequence[ViewRow]) -> list[ViewRow]:
    return [row for row in rows if row.yaw is not None]


def _settings(config: Mapping[str, Any]) -> list[tuple[str, Any, str]]:
    named = {f"{part}.{name}": value for part, values in config.items() for name, value in values.items()}
    described = {setting.path: setting.field.description or "" for setting in SETTINGS.values()}
    return [(name, value, described.get(name, "")) for name, value in named.items()]


def _classes(frontal: Sequence[ViewRow]) -> tuple[ClassCount, ...]:
    found = []
    for label in (*LABELS, None):
        some = [row for row in frontal if row.label == label]
        if some:
            found.append(
                ClassCount(
                    name=label or NO_CLASS,
                    train=sum(row.split == "train" for row in some),
                    test=sum(row.split == "test" for row in some),
                    subjects=len({row.subject_key for row in some}),
                    emotions=dict(Counter(row.emotion for row in some).most_common()),
                )
            )
    return tuple(found)


def _subjects(frontal: Sequence[ViewRow]) -> tuple[SubjectCount, ...]:
    by_key: dict[str, list[ViewRow]] = {}
    for row in frontal:
        by_key.setdefault(row.subject_key, []).append(row)
    return tuple(
        SubjectCount(some[0].subject, some[0].split, len(some), Counter(row.label or NO_CLASS for row in some))
        for some in by_key.values()
    )


def _view(name: str, rows: Sequence[ViewRow]) -> ViewCount:
    training = [row for row in rows if row.split == "train"]
    return ViewCount(name, len(training), sum(row.kept for row in training), len(rows) - len(training))
