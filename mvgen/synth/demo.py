"""The embedded demonstration: a small stand-in with acted faces, and a real face that keeps still."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np

from mvgen.synth.commands import Report, synth

# Raise this when the demonstration's content changes, so that cached copies are made anew.
_VERSION = 2
_FRAMES = 10
_NOISE = 2.0


def ensure_demo(cache_root: Path, report: Report = print) -> Path:
    """The folder of the demonstration, made on first use: `casme2/`, a stand-in, and `astronaut/`, a still clip."""
    target = cache_root / f"demo-{_VERSION}"
    if target.is_dir():
        return target
    partial = cache_root / f"demo-{_VERSION}.partial-{os.getpid()}"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        report("making the demonstration's source clips, once")
        synth(
            layout="casme2", out=partial / "casme2", subjects=3, clips=2, frames=_FRAMES, size=(480, 360), report=report
        )
        write_astronaut(partial / "astronaut")
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
