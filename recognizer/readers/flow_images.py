"""Folders of precomputed onset-to-apex flow images, as distributed with published code.

    ROOT/<class>/<clip>.png                          or, for leave-one-subject-out
    ROOT/<subject>/u_train|u_test/<class>/<clip>.png

The red channel is motion to the right and the green one motion down, 0 to 255 for -1 to 1, at an unknown scale; the
blue channel is ignored. There are no frames: systems that need more than the flow from onset to apex refuse these
samples.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from mvgen.core.config import file_digest
from mvgen.core.names import IMAGE_SUFFIXES
from recognizer.errors import RecogniserError
from recognizer.readers.base import Entry, Reader, sample_of
from recognizer.records import Sample

_TRAIN, _TEST = "u_train", "u_test"


class FlowImageReader(Reader):
    """Flow images of either tree.

    In a tree of subjects every clip is read from its subject's `u_test`; `u_train`, the clips of all others, is only
    checked to have none of this subject. In the other tree the subject is the file name up to the first `_` or `-`.
    Raises RecogniserError for a folder of another kind, an empty one, or a subject among its own training images.
    """

    def __init__(self, root: Path, classes: tuple[str, ...] | None = None) -> None:
        if not root.is_dir():
            raise RecogniserError(f"{root} is not a folder of flow images")
        subjects = sorted(folder for folder in root.iterdir() if (folder / _TEST).is_dir())
        found = [(path, folder.name) for folder in subjects for path in _images(folder / _TEST)]
        found = found or [(path, re.split(r"[_-]", path.stem)[0]) for path in _images(root)]
        if not found:
            raise RecogniserError(
                f"{root} contains no flow image; expected ROOT/<class>/*.png or ROOT/<subject>/{_TEST}/<class>/*.png"
            )
        for folder in subjects:
            _check_training(folder)
        self.classes = classes or tuple(sorted({path.parent.name for path, _ in found}))
        unknown = sorted({path.parent.name for path, _ in found} - set(self.classes))
        if unknown:
            raise RecogniserError(f"{root} has the class {unknown[0]!r}, which is none of {', '.join(self.classes)}")
        self._paths = [path for path, _ in found]
        self.entries = tuple(
            Entry(
                dataset=root.name,
                clip=f"{subject}/{path.stem}",
                subject=subject,
                label=self.classes.index(path.parent.name),
                view="source",
                kind="source",
                yaw=None,
                kept=True,
                split=None,
                key=file_digest(path),
            )
            for path, subject in found
        )
        names = [entry.clip for entry in self.entries]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise RecogniserError(f"{root} has two images of {twice[0]}; a clip belongs to one class only")

    def read(self, index: int) -> Sample:
        from PIL import Image as Picture

        path = self._paths[index]
        try:
            with Picture.open(path) as picture:
                image = np.asarray(picture.convert("RGB"))
        except OSError as error:
            raise RecogniserError(f"flow image {path} cannot be read: {error}; replace it") from None
        if image.shape[0] != image.shape[1]:
            raise RecogniserError(f"flow image {path} is {image.shape[1]}x{image.shape[0]}, not square; crop it")
        motion = image[..., :2].astype(np.float32) / 127.5 - 1
        still = np.zeros((0, *motion.shape), np.float32)
        everywhere = np.ones(image.shape[:2], bool)
        return sample_of(self.entries[index], image[None], still, motion, everywhere, (0, 0, 0), None)


def _images(root: Path) -> list[Path]:
    """Images one folder below a root, sorted by class and name."""
    folders = sorted(folder for folder in root.iterdir() if folder.is_dir())
    return [path for folder in folders for path in sorted(folder.iterdir()) if path.suffix.lower() in IMAGE_SUFFIXES]


def _check_training(folder: Path) -> None:
    """Raises RecogniserError where a subject's own images are among those it would be trained on."""
    training = {path.name for path in _images(folder / _TRAIN)} if (folder / _TRAIN).is_dir() else set()
    own = sorted(training & {path.name for path in _images(folder / _TEST)})
    if own:
        raise RecogniserError(
            f"{folder}: {own[0]} is in {_TRAIN} and in {_TEST}: the subject would be tested on what it was trained on; "
            f"remove it from {_TRAIN}"
        )
