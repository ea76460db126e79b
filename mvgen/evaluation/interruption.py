"""What a build that was killed left behind, and whether all that it vouches for is there."""

from __future__ import annotations

import random
from pathlib import Path

from mvgen.store import layout
from mvgen.store.manifest import Marker

REACHED = ("nothing", "settings", "attention head", "some clips", "all clips", "a dataset", "a dataset and its page")


def tree(out: Path) -> dict[str, bytes]:
    """Every file of a store, hidden ones and its page included."""
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


def differing(ours: dict[str, bytes], whole: dict[str, bytes]) -> list[str]:
    """Paths that only one of two stores has, or that differ in a byte."""
    return sorted(name for name in {*ours, *whole} if ours.get(name) != whole.get(name))


def clips_of(files: dict[str, bytes]) -> frozenset[str]:
    """Ids of the clips whose markers are there."""
    return frozenset(Path(name).stem for name in files if name.startswith(f"{layout.DONE}/") and name.endswith(".json"))


def falsely_done(ours: dict[str, bytes], whole: dict[str, bytes]) -> list[str]:
    """Files that a marker, or `dataset.json`, vouches for in a killed build, and that are not as they should be."""
    if layout.DATASET in ours:
        return [name for name in differing(ours, whole) if name in whole and not name.startswith("report/")]
    vouched: set[str] = set()
    for clip in clips_of(ours):
        marker = str(layout.marker_path(clip))
        vouched |= {marker, *(path for row in Marker.from_json(whole[marker].decode()).rows for path in row.files())}
    return sorted(name for name in vouched if ours.get(name) != whole.get(name))


def left_behind(ours: dict[str, bytes], clips: int) -> str:
    """The last thing that a killed build finished, one of `REACHED`. clips : how many there are to build"""
    done = len(clips_of(ours))
    reached = (
        layout.BUILD in ours,
        layout.ATTENTION in ours,
        done > 0,
        done == clips,
        layout.DATASET in ours,
        layout.REPORT in ours,
    )
    return REACHED[sum(reached)]


def moments(kills: int, longest: float, seed: int) -> list[float]:
    """Seconds after which to kill: one at random in each of `kills` equal spans up to `longest`, in random order."""
    rng = random.Random(seed)
    drawn = [longest * (index + rng.random()) / kills for index in range(kills)]
    rng.shuffle(drawn)
    return drawn
