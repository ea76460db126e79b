"""How the releases count, name and distribute what they hold, for stand-ins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mvgen.core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Layout:
    """How one release counts and names things.

    name : what `--layout` takes
    frames : default length of a clip
    size : (width, height) of the release's frames, pixels
    emotions : the release's word -> how often it occurs there
    labels : the release's word -> 3-class label, for words that have one
    subjects : subjects' names in order; stand-ins with more subjects go on counting
    cut : clips begin at onset and end at offset
    first_number : range of the first frame's number
    """

    name: str
    fps: float
    frames: int
    size: tuple[int, int]
    emotions: Mapping[str, int]
    labels: Mapping[str, str]
    subjects: Callable[[int], str]
    file_name: Callable[[str, int], str]
    first_number: tuple[int, int]
    cut: bool = False
    grey: bool = False
    jpeg_quality: int = 95


def _numbered(present: tuple[int, ...], write: Callable[[int], str]) -> Callable[[int], str]:
    """The release's subject numbers, which have gaps, and on from the last one."""
    return lambda index: write(present[index] if index < len(present) else present[-1] + index - len(present) + 1)


_CASME2_SUBJECTS = tuple(number for number in range(15, 41) if number not in (17, 18, 28, 39))
_SMIC_SUBJECTS = (1, 2, 3, 4, 5, 6, 8, 9, 11, 12, 13, 14, 15, 18, 19, 20)
_SAMM_SUBJECTS = (6, 7, *range(9, 27), 28, *range(30, 38))

_LAYOUTS = (
    Layout(
        name="casme2",
        fps=30.0,
        frames=14,
        size=(640, 480),
        emotions={"negative": 21, "others": 19, "surprise": 9, "positive": 8},
        labels={"negative": "negative", "positive": "positive", "surprise": "surprise"},
        subjects=_numbered(_CASME2_SUBJECTS, "s{}".format),
        file_name=lambda _, number: f"img{number}.jpg",
        first_number=(40, 2600),
    ),
    Layout(
        name="casme-ii",
        fps=200.0,
        frames=40,
        size=(640, 480),
        emotions={
            "others": 99,
            "disgust": 63,
            "happiness": 32,
            "repression": 27,
            "surprise": 25,
            "sadness": 7,
            "fear": 2,
        },
        labels={"disgust": "negative", "repression": "negative", "happiness": "positive", "surprise": "surprise"},
        subjects=_numbered(tuple(range(1, 27)), "sub{:02d}".format),
        file_name=lambda _, number: f"img{number}.jpg",
        first_number=(1, 300),
    ),
    Layout(
        name="smic",
        fps=100.0,
        frames=24,
        size=(640, 480),
        emotions={"negative": 70, "positive": 51, "surprise": 43},
        labels={"negative": "negative", "positive": "positive", "surprise": "surprise"},
        subjects=_numbered(_SMIC_SUBJECTS, "s{}".format),
        file_name=lambda _, number: f"image{number:06d}.jpg",
        first_number=(1000, 190000),
        cut=True,
    ),
    Layout(
        name="samm",
        fps=200.0,
        frames=40,
        size=(960, 650),
        emotions={
            "Anger": 57,
            "Happiness": 26,
            "Other": 26,
            "Surprise": 15,
            "Contempt": 12,
            "Disgust": 9,
            "Fear": 8,
            "Sadness": 6,
        },
        labels={
            "Anger": "negative",
            "Contempt": "negative",
            "Disgust": "negative",
            "Fear": "negative",
            "Sadness": "negative",
            "Happiness": "positive",
            "Surprise": "surprise",
        },
        subjects=_numbered(_SAMM_SUBJECTS, "{:03d}".format),
        file_name=lambda subject, number: f"{subject}_{number:05d}.jpg",
        first_number=(20, 8000),
        grey=True,
    ),
)
LAYOUTS: dict[str, Layout] = {layout.name: layout for layout in _LAYOUTS}


def get_layout(name: str) -> Layout:
    """The layout of a release. Raises ConfigError naming the known ones."""
    if name not in LAYOUTS:
        raise ConfigError(f"unknown layout {name!r}; known: {', '.join(LAYOUTS)}")
    return LAYOUTS[name]
