"""Builds that read real sources and real frames, without networks: only what is made of the frames is not real."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fake_build import FakeStages, make_built, tree_bytes

from mvgen.building.build import build
from mvgen.core.config import BuildConfig
from mvgen.core.records import BuiltClip, Clip
from mvgen.core.stopwatch import Stopwatch
from mvgen.sources import Listing, get_source
from mvgen.sources.frames import read_frames
from mvgen.store import layout
from mvgen.store.manifest import Failure, read_failures
from mvgen.verification import verify


class ReadingStages(FakeStages):
    """`build.Stages` that reads what lies at the root of the settings."""

    def read(self, config: BuildConfig) -> Listing:
        return get_source(config.source.dataset).read(config.source.root)

    def builder(self, config: BuildConfig, attention: Path) -> Callable[[Clip, Stopwatch], BuiltClip]:
        return lambda clip, clock: (read_frames(clip), make_built(clip, config))[1]


def build_all(dataset: str, root: Path) -> tuple[set[str], dict[str, Failure]]:
    """Build a source into `root/../out`; ids of the clips that were built, and the failures by their ids.

    Nothing else may be written, and what is written has to be in order.
    """
    out = root.parent / "out"
    before = tree_bytes(root.parent)
    config = BuildConfig(
        source={"dataset": dataset, "root": root},
        camera={"angles": (0.0,), "size": 64},
        run={"out": out, "attempts": 1, "clip_timeout": 0},
    )
    build(config, ReadingStages(root))
    beside = {name: content for name, content in tree_bytes(root.parent).items() if not name.startswith("out/")}
    assert beside == before
    assert not verify(out, sample=0).findings
    built = {path.stem for path in (out / "geometry").glob("*.npz")}
    return built, {failure.clip: failure for failure in read_failures(out / layout.FAILURES)}
