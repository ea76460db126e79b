"""The files that a killed build leaves behind, and whether those that it marks as finished are complete."""

from __future__ import annotations

import random
from pathlib import Path

from mvgen.store import layout
from mvgen.store.manifest import Marker

REACHED = ("nothing", "settings", "attention head", "some clips", "all clips", "a dataset", "a dataset and its page")


def tree(out: Path) -> dict[str, bytes]:
    """Every file of a store, hidden ones and its page included."""
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


def differing(found: dict[str, bytes], whole: dict[str, bytes]) -> list[str]:
    """Paths that only one of two stores has, or that differ in a byte."""
    return sorted(name for name in {*found, *whole} if found.get(name) != whole.get(name))


def clips_of(files: dict[str, bytes]) -> frozenset[str]:
    """Ids of the clips that have markers."""
    return frozenset(Path(name).stem for name in files if name.startswith(f"{layout.DONE}/") and name.endswith(".json"))


def falsely_done(found: dict[str, bytes], whole: dict[str, bytes]) -> list[str]:
    """Files that a marker or `dataset.json` of a killed build marks as finished, but that differ from `whole`."""
    if layout.DATASET in found:
        return [name for name in differing(found, whole) if name in whole and not name.startswith("report/")]
    finished: set[str] = set()
    for clip in clips_of(found):
        marker = str(layout.marker_path(clip))
        finished |= {marker, *(path for row in Marker.from_json(whole[marker].decode()).rows for path in row.files())}
    return sorted(name for name in finished if found.get(name) != whole.get(name))


def left_behind(found: dict[str, bytes], clips: int) -> str:
    """The last step that a killed build finished, one of `REACHED`. clips : how many the build has"""
    done = len(clips_of(found))
    reached = (
        layout.BUILD in found,
        layout.ATTENTION in found,
        done > 0,
        done == clips,
        layout.DATASET in found,
        layout.REPORT in found,
    )
    return REACHED[sum(reached)]


def moments(kills: int, longest: float, seed: int) -> list[float]:
    """Seconds after which to kill: one at random in each of `kills` equal spans up to `longest`, in random order."""
    rng = random.Random(seed)
    drawn = [longest * (index + rng.random()) / kills for index in range(kills)]
    rng.shuffle(drawn)
    return drawn
