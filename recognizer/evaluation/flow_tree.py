"""Stand-ins for the trees of flow images that are passed around: their form, their numbers, and motion that is known.

    ROOT/<subject>/u_train|u_test/<0|1|2>/<subject>_<n>.png

442 images of 28 x 28 of 68 subjects: u, v and strain, each stretched to 0 to 255 image by image. Classes are negative,
positive and surprise, 250, 109 and 83 as in the trees. A class moves some regions of the face, not always all of them,
and other classes move some of the same; subjects differ in strength, in what they move, in symmetry and in where their
face lies; heads move; flow has smooth errors. Three datasets differ in all of that.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mvgen.dataset.motion_images import grey_levels, strain_of

Fields = NDArray[np.float32]
CLASSES: Mapping[str, tuple[str, ...]] = {"negative": ("0",), "positive": ("1",), "surprise": ("2",)}

# What a region does: (x, y) of the left one, spread, (u, v), shares of the side and of the strength. The right one
# mirrors it. Named by the action units of FACS.
_ACTIONS: Mapping[str, tuple[tuple[float, float], float, tuple[float, float]]] = {
    "AU1": ((0.42, 0.22), 0.07, (0.0, -1.0)),
    "AU2": ((0.22, 0.24), 0.08, (-0.2, -1.0)),
    "AU4": ((0.40, 0.25), 0.08, (0.6, 0.8)),
    "AU6": ((0.24, 0.50), 0.08, (0.0, -0.8)),
    "AU7": ((0.30, 0.42), 0.06, (0.0, -0.6)),
    "AU9": ((0.43, 0.50), 0.07, (0.0, -0.8)),
    "AU10": ((0.42, 0.66), 0.06, (0.0, -0.7)),
    "AU12": ((0.32, 0.74), 0.08, (-0.8, -0.7)),
    "AU14": ((0.33, 0.75), 0.06, (0.7, 0.0)),
    "AU15": ((0.33, 0.79), 0.07, (-0.2, 0.9)),
    "AU25": ((0.46, 0.82), 0.08, (0.0, 0.9)),
}
# Sets of actions of a class, from the common to the rare.
_EXPRESSIONS: tuple[tuple[tuple[str, ...], ...], ...] = (
    (("AU4",), ("AU4", "AU7"), ("AU14",), ("AU15", "AU4"), ("AU9", "AU10"), ("AU7", "AU10"), ("AU15",)),
    (("AU12",), ("AU6", "AU12"), ("AU12", "AU25"), ("AU6",)),
    (("AU1", "AU2"), ("AU1", "AU2", "AU25"), ("AU2",), ("AU25", "AU1")),
)


@dataclass(frozen=True, slots=True)
class Style:
    """One dataset.

    name : format of its subjects' names; subjects : how many; clips : of each class
    noise : of the flow, against a strength of 1; grain : its size, share of the side; head : motion of the head
    misplaced : of the face, share of the side; blur : of the flow, share of the side
    """

    name: str
    subjects: int
    clips: tuple[int, int, int]
    noise: float
    grain: float
    head: float
    misplaced: float
    blur: float


STYLES = (
    Style("s{:02d}", 16, (70, 51, 43), noise=0.65, grain=0.06, head=0.35, misplaced=0.035, blur=0.02),
    Style("sub{:02d}", 24, (88, 32, 25), noise=0.40, grain=0.09, head=0.20, misplaced=0.020, blur=0.03),
    Style("{:03d}", 28, (92, 26, 15), noise=0.55, grain=0.07, head=0.30, misplaced=0.030, blur=0.02),
)


@dataclass(frozen=True, slots=True)
class _Person:
    """strength, misplacement (2,), what each action is worth on the left and on the right (A, 2)"""

    strength: float
    shift: NDArray[np.float64]
    gains: NDArray[np.float64]


def write_flow_tree(root: Path, styles: tuple[Style, ...] = STYLES, seed: int = 0, size: int = 28) -> Path:
    """Write a tree; the same bytes for the same arguments. A training image is a second name of the tested one."""
    from PIL import Image as Picture

    tested: list[tuple[str, int, Path]] = []
    for number, style in enumerate(styles):
        draw = np.random.default_rng([seed, number])
        people = [_person(draw, style) for _ in range(style.subjects)]
        owners = _owners(draw, style)
        for index, (label, owner) in enumerate(owners):
            subject = style.name.format(owner + 1)
            path = root / subject / "u_test" / str(label) / f"{subject}_{index:03d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Picture.fromarray(flow_image(acted_flow(draw, style, people[owner], label, size))).save(path)
            tested.append((subject, label, path))
    for person in sorted({owner for owner, _, _ in tested}):
        for other, label, path in tested:
            if other != person:
                place = root / person / "u_train" / str(label) / path.name
                place.parent.mkdir(parents=True, exist_ok=True)
                os.link(path, place)
    return root


def flow_image(flow: Fields) -> NDArray[np.uint8]:
    """(S, S, 3) uint8, u, v and strain of a flow (S, S, 2), each from its least value to its greatest."""
    return grey_levels(np.stack([flow[..., 0], flow[..., 1], strain_of(flow)]))


def _person(draw: np.random.Generator, style: Style) -> _Person:
    return _Person(
        strength=float(np.exp(draw.normal(0, 0.35))),
        shift=draw.normal(0, style.misplaced, 2),
        gains=np.exp(draw.normal(0, 0.4, (len(_ACTIONS), 2))),
    )


def _owners(draw: np.random.Generator, style: Style) -> list[tuple[int, int]]:
    """(class, subject) of every clip: some subjects have many, each has one."""
    labels = np.repeat(np.arange(len(style.clips)), style.clips)
    shares = draw.dirichlet(np.full(style.subjects, 1.5))
    owners = draw.choice(style.subjects, len(labels), p=shares)
    first = draw.permutation(len(labels))[: style.subjects]
    owners[first] = np.arange(style.subjects)
    return list(zip(labels.tolist(), owners.tolist(), strict=True))


def acted_flow(draw: np.random.Generator, style: Style, person: _Person, label: int, size: int) -> Fields:
    """(S, S, 2) motion of one clip."""
    import cv2

    down, across = (np.mgrid[:size, :size] + 0.5) / size
    sets = _EXPRESSIONS[label]
    weights = 1 / np.arange(1, len(sets) + 1)
    actions = sets[draw.choice(len(sets), p=weights / weights.sum())]
    names, shift = list(_ACTIONS), person.shift + draw.normal(0, style.misplaced / 2, 2)
    flow = np.zeros((size, size, 2))
    for name in actions:
        (x, y), spread, (u, v) = _ACTIONS[name]
        loud = person.strength * np.exp(draw.normal(0, 0.3))
        for side, turn in enumerate((1, -1)):
            centre = 0.5 + turn * (x - 0.5) + shift[0], y + shift[1]
            away = ((across - centre[0]) ** 2 + (down - centre[1]) ** 2) / (2 * spread**2)
            flow += (loud * person.gains[names.index(name), side] * np.exp(-away))[..., None] * (turn * u, v)
    drift, turned = draw.normal(0, style.head, 2), draw.normal(0, style.head)
    flow += drift + turned * np.stack([-(down - 0.5), across - 0.5], axis=-1)
    errors = cv2.GaussianBlur(draw.normal(0, 1, (size, size, 2)), (0, 0), style.grain * size)
    flow += style.noise * errors / errors.std()
    return np.asarray(cv2.GaussianBlur(flow, (0, 0), style.blur * size), np.float32)
