"""A page of two stores side by side: clips matched by their id, what was set differently, and what came of it.

Convention: of two values the left is of the first store; a difference is the second's value less the first's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow

from mvgen import __version__
from mvgen.core.errors import StoreError
from mvgen.core.files import disk_errors, write_atomically
from mvgen.core.records import Image
from mvgen.report.facts import MAX_LINES, degrees
from mvgen.report.page import environment, own_file
from mvgen.report.viewer import choose_clips, data_uri, resized
from mvgen.sources.marks import find_mark
from mvgen.store import layout
from mvgen.store.about import read_about
from mvgen.store.frames import read_frame
from mvgen.store.manifest import ViewRow, read_table
from mvgen.store.sheet import spread

MAX_VIEWS = 7
_CELL = 128  # pixels
_QUALITY = 85
_ENLARGED = 4  # differences of pictures are small

# What is compared of a clip: title, unit, digits, and the value in a row; of the frontal row, and of every side view.
_OF_CLIP: tuple[tuple[str, str, int, Callable[[ViewRow], float]], ...] = (
    ("Frames", "", 0, lambda row: row.frames),
    ("Head motion", "px", 2, lambda row: row.head_pixels),
    ("Residual", "levels", 2, lambda row: row.residual),
    ("Largest jump", "px", 2, lambda row: row.largest_jump),
    ("Face seen", "%", 0, lambda row: 100 * row.face_seen),
    ("Occluded", "%", 1, lambda row: 100 * row.occlusion),
)
_OF_VIEW: tuple[tuple[str, str, int, Callable[[ViewRow], float]], ...] = (
    ("Visible attention", "%", 1, lambda row: 100 * row.visible_attention),
    ("Valid fraction", "%", 1, lambda row: 100 * row.valid_fraction),
)


@dataclass(frozen=True, slots=True)
class Measure:
    """A number of both stores. unit : after it; digits : decimals that are shown"""

    name: str
    unit: str
    digits: int
    left: float
    right: float

    @property
    def difference(self) -> float:
        return self.right - self.left


@dataclass(frozen=True, slots=True)
class Differing:
    """A setting, version or digest that differs. None : the store has none"""

    name: str
    left: Any
    right: Any


@dataclass(frozen=True, slots=True)
class Pair:
    """A clip that both stores have.

    row : of its frontal clip in the first store
    measures : medians over its views, and of its frames
    strips : pictures at the apex, first store, second, and how they differ where they are of one size, as data URIs
    views : names of the pictures in a strip
    """

    row: ViewRow
    measures: tuple[Measure, ...]
    strips: tuple[str, ...] = ()
    views: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two stores.

    name : of its folder, with the folder's own where both are called alike
    stand_in : the source is acted by parametric heads
    """

    root: Path
    name: str
    about: Mapping[str, Any]
    stand_in: bool
    rows: Mapping[tuple[str, float | None], ViewRow]

    @property
    def clips(self) -> list[str]:
        return [clip for clip, yaw in self.rows if yaw is None]


def write_comparison(left: Path, right: Path, path: Path) -> int:
    """Write a page about two finished stores, and return how many clips both have. The stores are not touched.

    Raises StoreError for a folder that is no finished store, missing or damaged files, stores without a clip in common,
    or a full disk.
    """
    names = _names(left.resolve(), right.resolve())
    sides = _read(left, names[0]), _read(right, names[1])
    common = [clip for clip in sides[0].clips if (clip, None) in sides[1].rows]
    if not common:
        raise StoreError(f"{left} and {right} have no clip in common; compare stores of one source")
    rows = [row for row in sides[0].rows.values() if row.clip in set(common)]
    shown = set(choose_clips(rows))
    pairs = [_pair(sides, clip, clip in shown) for clip in common]
    page = (
        environment()
        .get_template("compare.html")
        .render(
            sides=sides,
            counts=_counts(sides),
            medians=_measures(sides, common),
            differing=list(_differing(*(_facts(side.about) for side in sides))),
            pairs=pairs,
            missing=[[clip for clip in side.clips if clip not in set(common)] for side in sides],
            max_lines=MAX_LINES,
            enlarged=_ENLARGED,
            version=__version__,
            style=own_file("page.css"),
        )
    )
    with disk_errors(path):
        write_atomically(path, page.encode())
    return len(common)


def _names(left: Path, right: Path) -> tuple[str, str]:
    if left.name != right.name:
        return left.name, right.name
    return f"{left.parent.name}/{left.name}", f"{right.parent.name}/{right.name}"


def _read(root: Path, name: str) -> Side:
    about = read_about(root)
    stand_in = find_mark([root / layout.ANNOTATIONS]) is not None
    return Side(root, name, about, stand_in, {(row.clip, row.yaw): row for row in read_table(root / layout.TABLE)})


def _counts(sides: Sequence[Side]) -> list[Measure]:
    names = ("clips", "subjects", "views", "frames", "kept", "failures")
    return [Measure(name, "", 0, *(side.about["counts"][name] for side in sides)) for name in names]


def _measures(sides: Sequence[Side], clips: Sequence[str]) -> tuple[Measure, ...]:
    """Medians over some clips, and over those of their side views that both stores have."""
    wanted = set(clips)
    places = [place for place in sides[0].rows if place[0] in wanted and place in sides[1].rows]
    frontal, swept = [[place for place in places if (place[1] is None) == front] for front in (True, False)]
    named = [(each, frontal) for each in _OF_CLIP] + [(each, swept) for each in _OF_VIEW if swept]
    return tuple(
        Measure(name, unit, digits, *(_median(value(side.rows[place]) for place in of) for side in sides))
        for (name, unit, digits, value), of in named
    )


def _median(values: Iterable[float]) -> float:
    known = [value for value in values if np.isfinite(value)]
    return float(np.median(known)) if known else float("nan")


def _facts(about: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that a store was made from and with, by name."""
    settings = {f"{part}.{name}": value for part, values in about["config"].items() for name, value in values.items()}
    source = {
        f"source: {name}": about["source"][name] for name in ("name", "version", "digest") if name in about["source"]
    }
    weights = {f"weights: {name}": value for name, value in about["weights"].items()}
    return {**settings, **source, **about["software"], **weights}


def _differing(left: Mapping[str, Any], right: Mapping[str, Any]) -> Iterable[Differing]:
    for name in [*left, *(name for name in right if name not in left)]:
        if left.get(name) != right.get(name):
            yield Differing(name, left.get(name), right.get(name))


def _pair(sides: tuple[Side, Side], clip: str, pictured: bool) -> Pair:
    row, measures = sides[0].rows[clip, None], _measures(sides, [clip])
    if not pictured:
        return Pair(row, measures)
    yaws = sorted(
        yaw for name, yaw in sides[0].rows if name == clip and yaw is not None and (clip, yaw) in sides[1].rows
    )
    views = (None, *spread(yaws, MAX_VIEWS))
    pictures = [[_apex(side, side.rows[clip, yaw]) for yaw in views] for side in sides]
    strips = [_strip(each) for each in pictures]
    if {len(picture) for each in pictures for picture in each} == {len(pictures[0][0])}:
        strips.append(_strip([_difference(*each) for each in zip(*pictures, strict=True)]))
    return Pair(row, measures, tuple(strips), tuple(degrees(yaw) for yaw in views))


def _apex(side: Side, row: ViewRow) -> Image:
    return read_frame(side.root, row, row.apex_index)


def _difference(left: Image, right: Image) -> Image:
    """(S, S, 3) how far two pictures are apart, enlarged, black where they agree."""
    apart = np.abs(left.astype(np.int16) - right) * _ENLARGED
    return apart.clip(0, 255).astype(np.uint8)


def _strip(pictures: Sequence[Image]) -> str:
    strip = Pillow.new("RGB", (len(pictures) * _CELL, _CELL))
    for index, pixels in enumerate(pictures):
        strip.paste(resized(Pillow.fromarray(pixels), _CELL), (index * _CELL, 0))
    return data_uri(strip, "WEBP", _QUALITY)
