"""How far a store's depth is from what the depth sensor of its source measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mvgen.core.errors import ClipError, MvgenError
from mvgen.core.records import Frame
from mvgen.depth.sensor import fitted_line
from mvgen.pipeline.sensed import sensed_distance
from mvgen.store import layout
from mvgen.store.about import read_about, stored_config
from mvgen.store.geometry import read_geometry
from mvgen.store.manifest import ViewRow, read_rows
from mvgen.verification.differences import Comparison, DepthDifference, difference
from mvgen.verification.origin import frames_of, read_origin

EXPLAINED = """\
Difference from the depth of the source's sensor, at the onset frame. One offset and one scale per clip are removed:
what is left is form and tilt, and the sensor's noise. %: of the inter-ocular distance; p90: the 90th percentile; unit:
mm that the scale gives an inter-ocular distance, about 63 in people."""


def compare_source_depth(out: Path, root: Path) -> Comparison:
    """Compare a store's depth, at the onset frame of each clip, with the sensor's depth in its source.

    root : folder of the release that the store was built from; clips are grouped by their emotion
    One offset and one scale per clip are removed before: `mvgen.depth.sensor.fitted_line`. What is left are errors of
    form and of tilt, and the sensor's own noise; how far away the face is and how deep as a whole are not judged.
    Raises StoreError for a folder that holds no finished dataset, SourceError for a root without its clips or depth.
    """
    config = stored_config(read_about(out))
    # `source` is asked for, so that a release without depth is an error.
    clips = read_origin(out, root, config.changed(geometry={"method": "source"}))
    done, skipped = [], []
    for row in read_rows(out / layout.TABLE):
        if row.yaw is not None:
            continue
        try:
            with np.errstate(all="ignore"):
                done.append(_compare(out, row, frames_of(row, clips)))
        except (MvgenError, ValueError) as error:  # numbers of a stranger may have no inverse
            skipped.append((row.clip, str(error)))
    return Comparison(tuple(done), tuple(skipped), config.geometry.method == "source")


def _compare(out: Path, row: ViewRow, frames: Sequence[Frame]) -> DepthDifference:
    found = read_geometry(out, row)
    depth = found.depth.depth
    distance, _ = sensed_distance(frames, row.onset_index, found.face, found.registration, depth)
    distance = np.where(found.face.inside, distance, np.float32(np.nan))
    if not np.isfinite(distance).any():
        raise ClipError("depth", "the sensor saw nothing of the face")
    line = fitted_line(distance, depth)
    if line.unit <= 0:
        raise ClipError("depth", "the sensor's depth has nothing in common with the store's")
    return difference(row.clip, row.emotion, depth, line.depth(distance), line.unit)
