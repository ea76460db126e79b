"""The demonstration: a small stand-in of CAS(ME)², and a still clip made from a photograph of a real face."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path, PurePosixPath

from mvgen.core.paths import cache_dir
from mvgen.core.records import Clip
from mvgen.sources.base import Listing, Source, Variant, store_annotations
from mvgen.sources.casme2 import Casme2
from mvgen.sources.folder import Folder

_STAND_IN = "casme2"
_PHOTOGRAPH = "astronaut"


class Demo(Source):
    """Made on first use and kept in the cache. Other sources read its two parts; this one only joins them."""

    name = "demo"
    title = "demonstration"
    rate = "30"
    licence = "CC0-1.0 / public domain (NASA)"
    redistribution = "open"
    access = "embedded: made on first use"
    tree = f"""
ROOT/{_STAND_IN}/         a stand-in in the layout of CAS(ME)²
ROOT/{_PHOTOGRAPH}/      img1.jpg ..., one still clip
"""

    def read(self, root: Path | None, *, annotations: Path | None = None, variant: Variant = "auto") -> Listing:
        if root is None:
            from mvgen.synth.demo import ensure_demo

            root = ensure_demo(cache_dir())
        return super().read(root, annotations=annotations, variant=variant)

    def _read(self, root: Path, annotations: Path | None, variant: Variant) -> Listing:
        if annotations is None:
            annotations = next(iter(store_annotations(root)), None)
        acted = Casme2().read(root / _STAND_IN, annotations=annotations, variant=variant)
        # The folder source reads the root's other part only: a folder of loose frames is one clip named after it.
        still = Folder().read(root / _PHOTOGRAPH)
        clips = [self._adopt(clip, PurePosixPath(_STAND_IN) / clip.directory) for clip in acted.clips]
        clips += [
            replace(self._adopt(clip, PurePosixPath(_PHOTOGRAPH)), subject=_PHOTOGRAPH, subject_key=_PHOTOGRAPH)
            for clip in still.clips
        ]
        failures = [replace(failure, clip=f"{_STAND_IN}__{failure.clip}") for failure in acted.failures]
        return Listing(
            dataset=self.name,
            title=self.title,
            licence=self.licence,
            redistribution=self.redistribution,
            version=f"{acted.version}; a photograph",
            clips=tuple(sorted(clips, key=lambda clip: clip.directory)),
            problems=(*acted.problems, *still.problems),
            failures=(*failures, *still.failures),
            annotation_files=acted.annotation_files,
        )

    def _adopt(self, clip: Clip, directory: PurePosixPath) -> Clip:
        return replace(
            clip, dataset=self.name, directory=directory, licence=self.licence, redistribution=self.redistribution
        )
