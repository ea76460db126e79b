"""`report/index.html`: the template filled with the facts and images of a store."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from mvgen import __version__
from mvgen.core.config import file_digest
from mvgen.core.errors import ConfigError, StoreError
from mvgen.core.files import disk_errors, write_atomically
from mvgen.report import facts, layers, signals, surface, viewer
from mvgen.report.charts import bin_edges
from mvgen.store import layout
from mvgen.store.about import read_about, stored_config
from mvgen.store.checks import inside
from mvgen.store.geometry import read_geometry
from mvgen.store.manifest import ViewRow, read_failures, read_table

# Limits on the characters of all images and of all surfaces: a page has to stay below 30 MB.
_PICTURES, _SURFACES = 21_000_000, 5_000_000
_SCRIPTS = ("vendor/three.min.js", "surface.js", "viewer.js")
_TEMPLATES = Path(__file__).parent / "templates"
_HEAD = 4096  # bytes at the start of a page that contain the digest of its store


def write_report(out: Path) -> Path:
    """Write the page of a finished store, its `report/index.html`, and return its path.

    Nothing else in the store is touched. The same store gives the same bytes.
    Raises StoreError for a folder that is not a finished store, for missing or damaged files, or when the disk is full.
    """
    about = read_about(out)
    inside(out, layout.REPORT)  # before the work
    rows = read_table(out / layout.TABLE)
    found = facts.gather(out, about, rows, read_failures(out / layout.FAILURES))
    chosen = viewer.choose_clips(rows)
    grazing = float(_config(about)["render"]["grazing"])
    clips = [_show_clip(out, of_clip, grazing, len(chosen)) for of_clip in _by_clip(rows, chosen)]
    charts = [signals.show_signals(out, of_clip) for of_clip in _by_clip(rows, chosen)]
    page = render(found, clips, file_digest(out / layout.DATASET), charts)
    path = inside(out, layout.REPORT)
    with disk_errors(out):
        write_atomically(path, page.encode())
    return path


def _show_clip(out: Path, rows: Sequence[ViewRow], grazing: float, clips: int) -> dict[str, Any]:
    """Images and surface of one of so many clips."""
    shown = viewer.show_clip(out, rows, _PICTURES // clips)
    found = read_geometry(out, rows[0])
    return {**shown, "surface": surface.show_surface(found, shown["positions"], grazing, _SURFACES // clips)}


def is_current(out: Path) -> bool:
    """Whether the store has a page that matches its present state."""
    path = out / layout.REPORT
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file_digest(out / layout.DATASET).encode() in file.read(_HEAD)


def _config(about: Mapping[str, Any]) -> dict[str, Any]:
    """Every setting, each of its kind. Raises StoreError where `dataset.json` has others."""
    try:
        return stored_config(about).identity()
    except ConfigError as error:
        raise StoreError(f"{layout.DATASET} is damaged: {error}; build the dataset again") from None


def render(
    found: facts.Facts, clips: list[dict[str, Any]], digest: str, charts: Sequence[signals.ClipSignals] = ()
) -> str:
    """The page's HTML.

    clips : as `viewer.show_clip` gives them; digest : sha256 of the store's `dataset.json`
    charts : of the same clips
    """
    style, *scripts = (own_file(name) for name in ("page.css", *_SCRIPTS))
    template = environment().get_template("page.html")
    return template.render(
        facts=found,
        config=_config(found.about),
        clips=clips,
        charts=charts,
        digest=digest,
        version=__version__,
        style=style,
        scripts=scripts,
        script_digests=[_digest(script) for script in scripts],
        depth_colours=layers.depth_legend(),
        heat_colours=layers.heat_legend(),
        max_lines=facts.MAX_LINES,
        no_class=facts.NO_CLASS,
    )


def own_file(name: str) -> Markup:
    """A style sheet or script of ours, which is not escaped."""
    return Markup((_TEMPLATES / name).read_text(encoding="utf-8"))


def _digest(script: str) -> str:
    """A script as a Content-Security-Policy allows it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


@cache
def environment() -> Environment:
    """Templates of the pages: whatever they are filled with is escaped."""
    made = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["edges"] = bin_edges
    made.filters["points"] = _points
    return made


def _points(points: Iterable[tuple[float, float]]) -> str:
    """Points of a 1 x 1 chart, as an SVG polyline of a chart 272 wide and 104 high."""
    return " ".join(f"{272 * x:.1f},{8 + 104 * y:.1f}" for x, y in points)


def _by_clip(rows: Iterable[ViewRow], clips: list[str]) -> list[list[ViewRow]]:
    by_clip: dict[str, list[ViewRow]] = {clip: [] for clip in clips}
    for row in rows:
        if row.clip in by_clip:
            by_clip[row.clip].append(row)
    return list(by_clip.values())
