"""The embedded demonstration: a small stand-in, and a clip of a real face that does not move."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np

from mvgen.core.files import cache_dir
from mvgen.core.records import Clip
from mvgen.sources.base import Listing, Source, Variant, store_annotations
from mvgen.sources.casme2 import Casme2
from mvgen.sources.folder import Folder

_STAND_IN = "casme2"
_PHOTOGRAPH = "astronaut"
# Raise this when the demonstration's content changes, so that cached copies are made anew.
_VERSION = 2
_FRAMES = 10
_NOISE = 2.0


class Demo(Source):
    """Made on first use and kept in the cache. Its two parts are read by other sources; this one joins them."""

    name = "demo"
    title = "demonstration"
    rate = "30"
    licence = "CC0-1.0 / public domain (NASA)"
    redistribution = "open"
    access = "embedded: made on first use"
    embedded = True
    tree = f"""
ROOT/{_STAND_IN}/         a stand-in in the layout of CAS(ME)²
ROOT/{_PHOTOGRAPH}/      img1.jpg ..., one still clip
"""

    def read(self, root: Path | None, *, annotations: Path | None = None, variant: Variant = "auto") -> Listing:
        if root is None:
            root = ensure_demo(cache_dir())
        return super().read(root, annotations=annotations, variant=variant)

    def _read(self, root: Path, annotations: Path | None, variant: Variant) -> Listing:
        if annotations is None:
            annotations = next(iter(store_annotations(root)), None)
        stand_in = Casme2(self.chosen).read(root / _STAND_IN, annotations=annotations, variant=variant)
        # The folder source reads the other part: a folder of loose frames is one clip, named after the folder.
        still = Folder().read(root / _PHOTOGRAPH)
        clips = [self._adopt(clip, PurePosixPath(_STAND_IN) / clip.directory) for clip in stand_in.clips]
        clips += [
            replace(self._adopt(clip, PurePosixPath(_PHOTOGRAPH)), subject=_PHOTOGRAPH, subject_key=_PHOTOGRAPH)
            for clip in still.clips
        ]
        failures = [replace(failure, clip=f"{_STAND_IN}__{failure.clip}") for failure in stand_in.failures]
        return Listing(
            dataset=self.name,
            title=self.title,
            licence=self.licence,
            redistribution=self.redistribution,
            version=f"{stand_in.version}; a photograph",
            clips=tuple(sorted(clips, key=lambda clip: clip.directory)),
            problems=(*stand_in.problems, *still.problems),
            failures=(*failures, *still.failures),
            annotation_files=stand_in.annotation_files,
        )

    def _adopt(self, clip: Clip, directory: PurePosixPath) -> Clip:
        return replace(
            clip, dataset=self.name, directory=directory, licence=self.licence, redistribution=self.redistribution
        )


def ensure_demo(cache_root: Path, report: Callable[[str], None] = print) -> Path:
    """The folder of the demonstration, made on first use: `casme2/`, a stand-in, and `astronaut/`, a still clip."""
    target = cache_root / f"demo-{_VERSION}"
    if target.is_dir():
        return target
    from mvgen.synth.commands import synth  # needed to make the demonstration, not to read it

    partial = cache_root / f"demo-{_VERSION}.partial-{os.getpid()}"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        report("making the demonstration's source clips, once")
        synth(
            layout=_STAND_IN,
            out=partial / _STAND_IN,
            subjects=3,
            clips=2,
            frames=_FRAMES,
            size=(480, 360),
            report=report,
        )
        write_astronaut(partial / _PHOTOGRAPH)
        os.replace(partial, target)
    except OSError:
        # Another process may have finished the same folder first.
        if not target.is_dir():
            raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def write_astronaut(folder: Path) -> None:
    """A clip of a real face that does not move: the photograph with fresh sensor noise in every frame."""
    from PIL import Image
    from skimage.data import astronaut

    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    photograph = astronaut().astype(np.float64)
    for number in range(1, _FRAMES + 1):
        noisy = photograph + generator.normal(0, _NOISE, photograph.shape)
        frame = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
        Image.fromarray(frame).save(folder / f"img{number}.jpg", quality=97)
