"""Folders of precomputed onset-to-apex flow images, as distributed with published code.

    ROOT/<class>/<clip>.png                          or, for leave-one-subject-out
    ROOT/<subject>/u_train|u_test/<class>/<clip>.png      or <clip>@<view>.png, as `mvgen export` writes other views

An image is one motion: its channels are u, motion to the right, v, motion down, and the optical strain. What a grey
level means depends on how the images were stretched, which only who made them knows, see `Stretch`. A sample has one
frame, the image itself, and no flow from frame to frame: systems that need frames are refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mvgen.core.config import file_digest
from mvgen.core.files import parse_json
from mvgen.core.names import IMAGE_SUFFIXES
from mvgen.store.manifest import digest_of
from recognizer.errors import RecogniserError
from recognizer.readers.base import Entry, Reader, sample_of
from recognizer.records import Sample

# How motion became grey levels:
#   image  each channel of each image from its least value to its greatest as 0 to 255 ("norm_u_v_os"). Neither scale
#          nor zero is known; most of a face rests, so the channel's median is taken as zero
#   fixed  -1 to 1 of a scale that all images share as 0 to 255, so that zero is at 127.5; strain 0 to 1
#   none   not at all: a grey level is a pixel of motion, zero at 128; strain as it is
Stretch = Literal["image", "fixed", "none"]

# Dataset -> what its subjects' names look like in the trees of 442 clips.
DATASETS: Mapping[str, str] = {"smic-hs": r"s\d+", "casme-ii": r"sub\d+", "samm": r"\d+"}
_TRAIN, _TEST = "u_train", "u_test"


class FlowImageReader(Reader):
    """Flow images of either tree.

    classes : class -> names of its folders, the class's own where there are none; every folder is a class by default
    stretch : how motion became grey levels; channels : which of u, v and s the red, green and blue ones are
    datasets : dataset -> regular expression that its subjects' whole names match; others are of the root's name
    In a tree of subjects every clip is read from its own subject's `u_test`; `u_train`, which repeats it for all other
    subjects, is only checked: none of its images may be of the subject. Otherwise the subject is what the file name
    begins with, up to the first `_` or `-`.
    Raises RecogniserError for a folder of another kind, an empty one, or a subject among its own training images.
    """

    gives = "motion"

    def __init__(
        self,
        root: Path,
        classes: Mapping[str, Sequence[str]] | None = None,
        stretch: Stretch = "image",
        channels: str = "uvs",
        datasets: Mapping[str, str] = DATASETS,
    ) -> None:
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
        folders = sorted({path.parent.name for path, _ in found})
        chosen = dict.fromkeys(folders, ()) if classes is None else classes
        self.classes = tuple(chosen)
        labels = {folder: label for label, (name, own) in enumerate(chosen.items()) for folder in own or (name,)}
        unknown = [folder for folder in folders if folder not in labels]
        if unknown:
            raise RecogniserError(f"{root} has the class {unknown[0]!r}, asked for are {', '.join(sorted(labels))}")
        self._paths = [path for path, _ in found]
        self._stretch, self._order = stretch, [channels.index(channel) for channel in "uvs"]
        shared = _expressions(root)
        entries = []
        for path, subject in found:
            clip, _, view = path.stem.strip().partition("@")
            angle = re.match(r"yaw([+-]\d+(?:\.\d+)?)", view)
            entries.append(
                Entry(
                    dataset=next((name for name, names in datasets.items() if re.fullmatch(names, subject)), root.name),
                    clip=f"{subject}/{clip}",
                    expression=f"{subject}/{shared.get(clip, clip)}",
                    subject=subject,
                    label=labels[path.parent.name],
                    view=view or "source",
                    kind="built" if view else "source",
                    yaw=float(angle[1]) if angle else None,
                    kept=True,
                    split=None,
                    key=digest_of([file_digest(path), stretch, channels]),
                )
            )
        self.entries = tuple(entries)
        names = [(entry.clip, entry.view) for entry in self.entries]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise RecogniserError(f"{root} has two images of {twice[0][0]}; a clip belongs to one class only")

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
        motion, strain = _motion(image[..., self._order].astype(np.float32), self._stretch)
        still = np.zeros((0, *motion.shape), np.float32)
        everywhere = np.ones(image.shape[:2], bool)
        sample = sample_of(self.entries[index], image[None], still, motion, everywhere, (0, 0, 0), None)
        return replace(sample, strain=strain)


def _motion(levels: NDArray[np.float32], stretch: Stretch) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Motion (S, S, 2) and strain (S, S) of grey levels (S, S, 3) in the order u, v, strain."""
    motion, strain = levels[..., :2], levels[..., 2]
    if stretch == "none":
        return motion - np.float32(128), strain
    zero = np.median(motion, axis=(0, 1)) if stretch == "image" else np.float32(127.5)
    return (motion - zero) / np.float32(127.5), strain / np.float32(255)


def _expressions(root: Path) -> dict[str, str]:
    """Clip -> its expression, which several cameras may have filmed; empty for trees that `mvgen export` did not write.

    Raises RecogniserError for a damaged file.
    """
    path = root / "export.json"
    if not path.is_file():
        return {}
    try:
        found = parse_json(path.read_bytes())["expressions"]
        if not all(isinstance(one, str) for pair in found.items() for one in pair):
            raise ValueError("an expression is no text")
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise RecogniserError(f"{path} is damaged: {error}; export the tree again") from None
    return dict(found)


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
