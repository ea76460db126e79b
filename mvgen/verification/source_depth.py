"""How far a store's depth is from what the depth sensor of its source measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mvgen.core.errors import ClipError, MvgenError, SourceError
from mvgen.core.records import Clip
from mvgen.depth.sensor import fitted_line
from mvgen.pipeline.sensed import sensed_distance
from mvgen.pipeline.stages import PipelineStages
from mvgen.store import layout
from mvgen.store.about import read_about, stored_config
from mvgen.store.geometry import read_geometry
from mvgen.store.manifest import ViewRow, read_rows

ALL = "all"
_LEAST = 100  # pixels to compare


@dataclass(frozen=True, slots=True)
class DepthDifference:
    """How the depth of a clip, or of all clips of an emotion, differs from the sensor's.

    clips : how many; median, largest : of the absolute difference over the pixels of the face that both know, % of the
        inter-ocular distance, `largest` the 90th percentile; median_mm, largest_mm : the same in millimetres
    covered : share of the face that the sensor measured
    unit : millimetres that the alignment gave an inter-ocular distance; people have about 63
    Of several clips, all are means.
    """

    name: str
    emotion: str
    clips: int
    median: float
    largest: float
    median_mm: float
    largest_mm: float
    covered: float
    unit: float


@dataclass(frozen=True, slots=True)
class DepthComparison:
    """clips : in the order of the table; skipped : (clip, why it was not compared)

    from_sensor : whether the store's own depth came from the sensor, so that little is left to differ
    """

    clips: tuple[DepthDifference, ...]
    skipped: tuple[tuple[str, str], ...]
    from_sensor: bool

    def emotions(self) -> tuple[DepthDifference, ...]:
        """Means over the clips of each emotion, sorted, then over all."""
        named = sorted({one.emotion for one in self.clips})
        groups = [(name, [one for one in self.clips if one.emotion == name]) for name in named]
        return tuple(_mean(name, some) for name, some in [*groups, (ALL, list(self.clips))])


def compare_source_depth(out: Path, root: Path, note: Callable[[str], None] = lambda _: None) -> DepthComparison:
    """Compare a store's depth, at the onset frame of each clip, with the sensor's depth in its source.

    root : folder of the release that the store was built from; note : receives each clip's id before it is compared
    One offset and one scale per clip are removed before: `mvgen.depth.sensor.fitted_line`. What is left are errors of
    form and of tilt, and the sensor's own noise; how far away the face is and how deep as a whole are not judged.
    Raises StoreError for a folder that holds no finished dataset, SourceError for a root without its clips or depth.
    """
    about = read_about(out)
    config = stored_config(about)
    annotations = out / layout.ANNOTATIONS
    source = {"root": root, "annotations": annotations if annotations.is_dir() else None}
    # `source` is asked for, so that a release without depth is an error.
    listing = PipelineStages().read(config.changed(source=source, geometry={"method": "source"}))
    clips = {clip.id: clip for clip in listing.clips}
    rows = [row for row in read_rows(out / layout.TABLE) if row.yaw is None]
    if not any(row.clip in clips for row in rows):
        raise SourceError(f"root {root} holds none of the clips of {out}; give the folder that it was built from")
    done, skipped = [], []
    for row in rows:
        note(row.clip)
        try:
            done.append(_compare(out, row, clips.get(row.clip)))
        except MvgenError as error:
            skipped.append((row.clip, str(error)))
    return DepthComparison(tuple(done), tuple(skipped), config.geometry.method == "source")


def _compare(out: Path, row: ViewRow, clip: Clip | None) -> DepthDifference:
    if clip is None:
        raise ClipError("source", "the source has no such clip")
    frames = {frame.name: frame for frame in clip.frames}
    # A store may have frames of another format.
    stems = {name.partition(".")[0]: frame for name, frame in frames.items()}
    here = [frames.get(name) or stems.get(name.partition(".")[0]) for name in row.frame_names]
    found = read_geometry(out, row)
    if None in here:
        raise ClipError("source", "the source lacks some of its frames")
    depth = found.depth.depth
    used = [frame for frame in here if frame is not None]
    distance, _ = sensed_distance(used, row.onset_index, found.face, found.registration, depth)
    return difference(row.clip, row.emotion, depth, np.where(found.face.inside, distance, np.float32(np.nan)))


def difference(name: str, emotion: str, depth: NDArray[np.float32], distance: NDArray[np.float32]) -> DepthDifference:
    """Compare depth (S, S), world units, with a sensor's distance (S, S), mm; NaN where unknown.

    Raises ClipError("depth") for too few pixels, or depth that does not vary with the sensor's.
    """
    face = np.isfinite(depth)
    known = face & np.isfinite(distance)
    if known.sum() < _LEAST:
        raise ClipError("depth", f"the sensor saw {known.sum()} pixels of the face, {_LEAST} are needed")
    line = fitted_line(distance, depth)
    if line.unit <= 0:
        raise ClipError("depth", "the sensor's depth has nothing in common with the store's")
    away = np.abs(distance[known] - line.distance(depth[known]))
    median, largest = np.percentile(away, [50, 90]).tolist()
    covered = float(known.sum() / face.sum())
    share = 100 / line.unit
    return DepthDifference(name, emotion, 1, share * median, share * largest, median, largest, covered, line.unit)


def _mean(name: str, some: Sequence[DepthDifference]) -> DepthDifference:
    def mean(values: Iterable[float]) -> float:
        return float(np.mean(list(values))) if some else float("nan")

    return DepthDifference(
        name,
        name,
        len(some),
        mean(one.median for one in some),
        mean(one.largest for one in some),
        mean(one.median_mm for one in some),
        mean(one.largest_mm for one in some),
        mean(one.covered for one in some),
        mean(one.unit for one in some),
    )


HEADER = ("clip, or mean of", "clips", "median, %", "p90, %", "median, mm", "p90, mm", "covered, %", "unit, mm")


def table(compared: DepthComparison) -> Iterator[tuple[str, ...]]:
    """Rows of text for `HEADER`: every clip, then the mean of every emotion and of all clips."""
    for one in (*compared.clips, *compared.emotions()):
        shares = f"{one.median:.1f}", f"{one.largest:.1f}"
        millimetres = f"{one.median_mm:.1f}", f"{one.largest_mm:.1f}"
        yield one.name, str(one.clips), *shares, *millimetres, f"{100 * one.covered:.0f}", f"{one.unit:.0f}"
