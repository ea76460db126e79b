"""The embedded demonstration: a small stand-in, and a clip of a real face that does not move."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np

from mvgen.core.files import cache_dir
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
        parts: dict[str, Listing] = {}
        # In a view of a store one may be missing: its clips were left out, or its subject has left.
        if (root / _STAND_IN).is_dir() or not (root / _PHOTOGRAPH).is_dir():
            stand_in = Casme2(self.chosen).read(root / _STAND_IN, annotations=annotations, variant=variant)
            parts[_STAND_IN] = self._adopted(stand_in, PurePosixPath(_STAND_IN))
        if (root / _PHOTOGRAPH).is_dir():
            # The folder source reads a folder of loose frames as one clip, named after the folder.
            still = replace(Folder().read(root / _PHOTOGRAPH), version="a photograph")
            parts[_PHOTOGRAPH] = self._adopted(still, PurePosixPath(), _PHOTOGRAPH)
        clips = [clip for part in parts.values() for clip in part.clips]
        return Listing(
            dataset=self.name,
            title=self.title,
            licence=self.licence,
            redistribution=self.redistribution,
            version="; ".join(part.version for part in parts.values()),
            clips=tuple(sorted(clips, key=lambda clip: clip.directory)),
            problems=tuple(problem for part in parts.values() for problem in part.problems),
            failures=tuple(failure for part in parts.values() for failure in part.failures),
            annotation_files=parts[_STAND_IN].annotation_files if _STAND_IN in parts else (),
        )

    def _adopted(self, part: Listing, below: PurePosixPath, subject: str | None = None) -> Listing:
        """A part as one of the demonstration. below : folder that its clips get; subject : whose they all are"""
        clips = tuple(
            replace(
                clip,
                dataset=self.name,
                directory=below / clip.directory,
                subject=subject or clip.subject,
                subject_key=subject or clip.subject_key,
                licence=self.licence,
                redistribution=self.redistribution,
            )
            for clip in part.clips
        )
        prefix = "__".join((*below.parts, ""))
        failures = tuple(replace(failure, clip=f"{prefix}{failure.clip}") for failure in part.failures)
        return replace(part, clips=clips, failures=failures)


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
