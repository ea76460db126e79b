"""Numbering, naming and class frequencies of the releases, for stand-ins; one file per release in `stand_ins/`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from mvgen.core.errors import ConfigError
from mvgen.core.registry import Registry
from mvgen.sources import get_source
from mvgen.sources.release import Release

if TYPE_CHECKING:
    from mvgen.synth.plan import ClipPlan

Rows = list[list[object]]


@dataclass(frozen=True, slots=True)
class ClipName:
    """name : of a clip, unique within the subject; directory : of its frames; performed : emotion shown"""

    name: str
    directory: PurePosixPath
    performed: str


@dataclass(frozen=True, slots=True)
class Cropping:
    """The tree in which a release has its frames cropped to the face.

    place : (folder of a clip, name of a frame) -> file of the cropped frame
    size : (width, height) of cropped frames, pixels; assumed but for CASME II
    """

    place: Callable[[PurePosixPath, str], PurePosixPath]
    size: tuple[int, int] = (280, 340)


@dataclass(frozen=True, slots=True)
class Layout:
    """Numbers and names in one release.

    name : as in `--layout`
    frames : default length of a clip
    size : (width, height) of the release's frames, pixels
    emotions : emotion as in the release -> how often it occurs there
    subjects : index -> subject's name; beyond the release numbers go on
    name_clip : (subject's name, emotion, random generator, how often each name's stem was used) -> the clip's name
    file_name : (subject's name, clip's name, frame number) -> name of the frame
    first_number : range of the first frame's number
    workbook : its file name; sheets : plans -> sheet name -> rows; None for a release without a workbook
    cut : clips begin at onset and end at offset
    macros : the release has macro-expressions too
    face_share : inter-ocular distance over the picture's height, or 3/4 of its width if that is less
    doubled_suffix : the last frame of the first clip is a .jpg.jpg
    depth_file : (folder of a clip, frame number) -> file of the depth that a sensor saw with it; None without a sensor
    mesh_file : the same for the mesh of the head
    cropping : of the release's cropped frames; None where it has none beside others
    """

    name: str
    frames: int
    size: tuple[int, int]
    emotions: Mapping[str, int]
    subjects: Callable[[int], str]
    name_clip: Callable[[str, str, np.random.Generator, Counter[str]], ClipName]
    file_name: Callable[[str, str, int], str]
    first_number: tuple[int, int]
    workbook: str | None = None
    sheets: Callable[[Sequence[ClipPlan]], dict[str, Rows]] | None = None
    cut: bool = False
    grey: bool = False
    macros: bool = False
    doubled_suffix: bool = False
    face_share: float = 0.17
    jpeg_quality: int = 95
    depth_file: Callable[[PurePosixPath, int], PurePosixPath] | None = None
    mesh_file: Callable[[PurePosixPath, int], PurePosixPath] | None = None
    cropping: Cropping | None = None

    @property
    def fps(self) -> float:
        """Frames per second."""
        return self._release.fps

    @property
    def labels(self) -> dict[str, str]:
        """Emotion as in the release -> 3-class label, for emotions that have one."""
        labels = self._release.labels
        return {word: label for word in self.emotions if (label := labels[word.lower()])}

    @property
    def _release(self) -> Release:
        source = get_source(self.name)
        assert isinstance(source, Release)
        return source


def numbered(present: Sequence[int], write: Callable[[int], str]) -> Callable[[int], str]:
    """Names of subjects by index: the numbers of the release, which have gaps, then on from the last one."""
    return lambda index: write(present[index] if index < len(present) else present[-1] + index - len(present) + 1)


LAYOUTS = Registry[Layout](
    "layout",
    ConfigError,
    [
        ("casme2", "mvgen.synth.stand_ins.casme2:LAYOUT"),
        ("casme-ii", "mvgen.synth.stand_ins.casme_ii:LAYOUT"),
        ("smic", "mvgen.synth.stand_ins.smic:LAYOUT"),
        ("samm", "mvgen.synth.stand_ins.samm:LAYOUT"),
        ("casme", "mvgen.synth.stand_ins.casme:LAYOUT"),
        ("mmew", "mvgen.synth.stand_ins.mmew:LAYOUT"),
        ("casme3", "mvgen.synth.stand_ins.casme3:LAYOUT"),
        ("samm-lv", "mvgen.synth.stand_ins.samm_lv:LAYOUT"),
        ("dfme", "mvgen.synth.stand_ins.dfme:LAYOUT"),
        ("4dme", "mvgen.synth.stand_ins.fourdme:LAYOUT"),
    ],
)


def get_layout(name: str) -> Layout:
    """The layout of a release. Raises ConfigError that names the closest known one."""
    return LAYOUTS.get(name)
