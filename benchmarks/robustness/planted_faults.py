"""Plants clips that do not show one face all along among good ones, and counts which of them a build notices.

    python benchmarks/robustness/planted_faults.py --photos PORTRAITS --good 100 --bad 20 --out faults.json

Every clip is a picture of a head whose skin and head move a little, filmed with noise, a flickering lamp and, in some,
JPEG. Heads are Anny's; with `--photos`, people of a folder of frontal photographs instead. The faults: two people by
turns, a cut to another person or to another scene, a blank apex, a face that leaves the picture, a face that is
covered, a drawing, a blur. Each clip goes the way of a build as far as its registered frontal clip. It is noticed where
it fails, or where a note says that frames were left out or do not show the face, or that the picture is poor. Limits
were chosen on the people of `--split dev`; `--split test`, the default, has others.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import cv2
import numpy as np

from benchmarks.common import Report, command_line, run_script
from mvgen.core.camera import pixel_grid
from mvgen.core.config import BuildConfig
from mvgen.core.errors import ClipError, ConfigError
from mvgen.core.records import Clip, Frame, Image
from mvgen.faces.crop import covered, crop_frames, track_face
from mvgen.pipeline.frontal import FrontalClip, frontal_clip
from mvgen.pipeline.reconstruct import read_photograph
from mvgen.pipeline.tools import Tools

SIDE, EYES = 320, (160.0, 130.0)  # pixels of a frame; where the middle of the eyes is
_MARGIN = 32
_FRAMES = 12


class Person(NamedTuple):
    """A picture (SIDE, SIDE, 3) uint8 with the face in its middle, and the name that failures are printed by."""

    picture: Image
    name: str


class Planted(NamedTuple):
    """A clip. fault : "" for a good one; frames : (T, H, W, 3) uint8; apex : its marked position"""

    fault: str
    frames: Image
    apex: int
    who: str


def photographed(folder: Path, split: str, tools: Tools) -> Iterator[Person]:
    """People of a folder of photographs: every other one is of the split "dev"."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    order = np.random.default_rng(1).permutation(len(paths))
    for number, path in enumerate(paths[index] for index in order[split == "test" :: 2]):
        try:
            image = read_photograph(path)
            face = track_face(image[None], 256, tools.detector)
        except ClipError:
            continue
        matrix = face.crop.copy()
        matrix[:, 2] += _MARGIN
        larger = replace(face, crop=matrix, size=SIDE, inside=np.ones((SIDE, SIDE), bool))
        if covered(matrix, SIDE, *image.shape[:2]).mean() > 0.75:
            yield Person(crop_frames(image[None], larger)[0], f"{split} {number}")


def rendered(split: str) -> Iterator[Person]:
    """Anny's people at rest."""
    from mvgen.evaluation.motion.heads import Performers

    casting, number = Performers("anny", split), 0
    while True:
        picture = casting.head(number, (), 0.0).frame(np.zeros(0), np.array([0, 0, 0, 0, 0, 1.0]))
        yield Person(np.asarray(np.rint(255 * picture), np.uint8), f"{split} {number}")
        number += 1


def act(
    picture: Image, rng: np.random.Generator, frames: int = _FRAMES, shifts: np.ndarray | None = None
) -> tuple[Image, int]:
    """A micro-expression (T, SIDE, SIDE, 3) uint8 of a picture whose head drifts, without noise, and its apex.

    shifts : (T, 2) pixels beside that
    """
    apex = int(rng.integers(frames // 3, 2 * frames // 3))
    grid = pixel_grid(SIDE, SIDE)
    far = rng.uniform(0, 4)
    waves = np.sin(np.linspace(0, 1, frames)[:, None] * rng.uniform(2, 6, 4) + rng.uniform(0, 6, 4))
    waves = (waves - waves[0]) * [far, far, 0.01 * far / 2, 0.004]
    places = [(EYES[0] + x, EYES[1] + y) for x, y in ((-40, 85), (40, 85), (-45, -30), (45, -30))]
    chosen = [place for place in places if rng.random() < 0.6] or places[:1]
    ways = rng.uniform(-3, 3, (len(chosen), 2))
    clip = np.empty((frames, *picture.shape), np.uint8)
    for index, (right, down, roll, zoom) in enumerate(waves):
        strength = max(0.0, 1 - abs(index - apex) / apex)
        at = grid.copy()
        for place, way in zip(chosen, ways, strict=True):
            near = np.exp(-((grid - place) ** 2).sum(axis=-1) / (2 * 14**2))
            at -= strength * near[..., None] * way
        turn = (1 + zoom) * np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])
        further = np.zeros(2) if shifts is None else shifts[index]
        at = (at - EYES - (right, down) - further) @ turn + EYES - 0.5
        x, y = np.moveaxis(at.astype(np.float32), -1, 0)
        clip[index] = cv2.remap(picture, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return clip, apex


def developed(clip: Image, rng: np.random.Generator) -> Image:
    """The frames as a camera records them: a flickering lamp, noise, sometimes grey, sometimes JPEG."""
    noise, flicker, grey, jpeg = rng.uniform(0.5, 4), rng.uniform(0, 0.03), rng.random() < 0.3, rng.random() < 0.4
    light = 1 + flicker * np.sin(np.arange(len(clip)) * rng.uniform(0.5, 3))
    seen = clip * light[:, None, None, None] + rng.normal(0, noise, clip.shape)
    seen = seen.round().clip(0, 255).astype(np.uint8)
    if grey:
        seen = np.stack([cv2.cvtColor(one, cv2.COLOR_RGB2GRAY) for one in seen])[..., None].repeat(3, axis=-1)
    if jpeg:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(80, 96))]
        seen = np.stack([cv2.imdecode(cv2.imencode(".jpg", one, quality)[1], cv2.IMREAD_COLOR) for one in seen])
    return seen


def by_turns(one: Person, other: Person, rng: np.random.Generator) -> tuple[Image, int]:
    clip, apex = act(one.picture, rng)
    others = act(other.picture, rng)[0]
    turn = int(rng.integers(1, 4))
    theirs = np.arange(len(clip)) // turn % 2 == 1
    clip[theirs] = others[theirs]
    return clip, apex


def cut_to_person(one: Person, other: Person, rng: np.random.Generator) -> tuple[Image, int]:
    clip, apex = act(one.picture, rng)
    cut = int(rng.integers(apex - 2, apex + 4))
    clip[cut:] = act(other.picture, rng)[0][cut:]
    return clip, apex


def cut_to_scene(one: Person, _: Person, rng: np.random.Generator) -> tuple[Image, int]:
    import skimage.data

    clip, apex = act(one.picture, rng)
    scene = getattr(skimage.data, ("coffee", "chelsea", "rocket")[int(rng.integers(3))])()
    cut = int(rng.integers(apex - 2, apex + 4))
    clip[cut:] = cv2.resize(scene, (SIDE, SIDE))
    return clip, apex


def blank_apex(one: Person, _: Person, rng: np.random.Generator) -> tuple[Image, int]:
    clip, apex = act(one.picture, rng)
    clip[apex : apex + int(rng.integers(1, 3))] = int(rng.choice([0, 128, 255]))
    return clip, apex


def leaving(one: Person, _: Person, rng: np.random.Generator) -> tuple[Image, int]:
    way = np.array([rng.choice([-1.0, 1.0]), rng.uniform(-0.5, 0.5)])
    gone = np.clip(np.arange(_FRAMES) - rng.integers(2, 6), 0, None)[:, None] * rng.uniform(15, 40) * way
    return act(one.picture, rng, shifts=gone)


def hidden(one: Person, _: Person, rng: np.random.Generator) -> tuple[Image, int]:
    """A hand before the face from some frame on, or before the lower half all along."""
    clip, apex = act(one.picture, rng)
    always = rng.random() < 0.3
    first = 0 if always else int(rng.integers(2, apex + 1))
    skin = one.picture[150:170, 150:170].mean(axis=(0, 1)) * rng.uniform(0.7, 1.0)
    for index in range(first, len(clip)):
        place = (int(EYES[0] + rng.uniform(-2, 2)), int(EYES[1] + (85 if always else 40)))
        cv2.ellipse(clip[index], place, (95, 60 if always else 95), 10, 0, 360, skin.tolist(), -1)
        for finger in range(4):
            at = (place[0] - 60 + 40 * finger, place[1])
            cv2.line(clip[index], at, (at[0] + 12, at[1] - 50), (0.6 * skin).tolist(), 3)
    return clip, apex


def drawing(one: Person, _: Person, rng: np.random.Generator) -> tuple[Image, int]:
    """A face made of a few lines and areas, or a photograph turned into a comic."""
    if rng.random() < 0.5:
        soft = one.picture
        for _ in range(6):
            soft = np.asarray(cv2.bilateralFilter(soft, 9, 40, 9), np.uint8)
        grey = cv2.medianBlur(cv2.cvtColor(one.picture, cv2.COLOR_RGB2GRAY), 5)
        ink = cv2.adaptiveThreshold(grey, 255, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY, 9, 4)
        return act(np.asarray((soft // 48 * 48 + 24) * (ink[..., None] > 0), np.uint8), rng)
    picture = np.full((SIDE, SIDE, 3), 235, np.uint8)
    x, y = int(EYES[0]), int(EYES[1])
    ink, skin = (20, 20, 30), (240, 200, 160)
    cv2.ellipse(picture, (x, y + 40), (105, 140), 0, 0, 360, skin, -1)
    cv2.ellipse(picture, (x, y + 40), (105, 140), 0, 0, 360, ink, 3)
    for side in (-46, 46):
        cv2.ellipse(picture, (x + side, y), (26, 14), 0, 0, 360, (255, 255, 255), -1)
        cv2.ellipse(picture, (x + side, y), (26, 14), 0, 0, 360, ink, 2)
        cv2.circle(picture, (x + side, y), 9, (60, 90, 60), -1)
        cv2.line(picture, (x + side - 26, y - 26), (x + side + 26, y - 30), (90, 60, 40), 6)
    cv2.line(picture, (x, y), (x - 12, y + 52), ink, 2)
    cv2.line(picture, (x - 12, y + 52), (x + 12, y + 54), ink, 2)
    cv2.ellipse(picture, (x, y + 90), (38, 12), 0, 0, 180, (180, 60, 70), -1)
    cv2.ellipse(picture, (x, y - 60), (112, 60), 0, 180, 360, (80, 50, 30), -1)
    return act(picture, rng)


def blurred(one: Person, _: Person, rng: np.random.Generator) -> tuple[Image, int]:
    clip, apex = act(one.picture, rng)
    sigma = rng.uniform(8, 14)
    first = 0 if rng.random() < 0.5 else apex
    for index in range(first, len(clip)):
        clip[index] = cv2.GaussianBlur(clip[index], (0, 0), sigma)
    return clip, apex


FAULTS: dict[str, Callable[[Person, Person, np.random.Generator], tuple[Image, int]]] = {
    "two people by turns": by_turns,
    "a cut to another person": cut_to_person,
    "a cut to another scene": cut_to_scene,
    "a blank apex": blank_apex,
    "the face leaves the picture": leaving,
    "the face is covered": hidden,
    "a drawing": drawing,
    "extreme blur": blurred,
}


def planted(people: Iterator[Person], good: int, bad: int, seed: int) -> Iterator[Planted]:
    """So many good clips, then so many with a fault, its kinds in turn; nobody is in two good clips."""
    before = next(people)
    for number in range(good + bad):
        rng, who = np.random.default_rng([seed, number]), next(people)
        fault = "" if number < good else list(FAULTS)[(number - good) % len(FAULTS)]
        clip, apex = FAULTS[fault](who, before, rng) if fault else act(who.picture, rng)
        yield Planted(fault, developed(clip, rng), apex, who.name)
        before = who


def record(apex: int, frames: int) -> Clip:
    """A clip as a source would list it."""
    listed = tuple(Frame(Path(f"{number}.png"), number, f"{number}.png") for number in range(1, frames + 1))
    return Clip(
        dataset="benchmark", subject="1", subject_key="1", name="1", emotion="happiness", label="positive",
        onset=1, apex=apex + 1, offset=frames, fps=60.0, directory=PurePosixPath("1"), frames=listed,
        licence="none", redistribution="open",
    )  # fmt: skip


def noticed(clip: Planted, config: BuildConfig, tools: Tools) -> tuple[str, FrontalClip | None]:
    """What a build says of a clip, "" for nothing; and its frontal clip where there is one."""
    try:
        found = frontal_clip(record(clip.apex, len(clip.frames)), config, tools, lambda _: clip.frames)
    except ClipError as error:
        return f"failed: {error}", None
    return "; ".join(found.clip.notes), found


def table(rows: Sequence[tuple[str, str]]) -> list[list[str | int]]:
    """(fault, what was said) -> a row for good clips and for each fault: clips, failed, noted, unnoticed."""
    lines: list[list[str | int]] = []
    for fault in ("", *FAULTS):
        said = [words for kind, words in rows if kind == fault]
        if said:
            failed = sum(words.startswith("failed") for words in said)
            noted = sum(bool(words) for words in said) - failed
            lines.append([fault or "none", len(said), failed, noted, len(said) - failed - noted])
    return lines


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--photos", type=Path, help="a folder of frontal photographs; Anny's heads otherwise")
    parser.add_argument("--split", choices=("dev", "test"), default="test")
    parser.add_argument("--good", type=int, default=100)
    parser.add_argument("--bad", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    if chosen.photos is not None and not chosen.photos.is_dir():
        raise ConfigError(f"--photos {chosen.photos} is no folder")
    config = BuildConfig()
    tools = Tools.load(config)
    people = rendered(chosen.split) if chosen.photos is None else photographed(chosen.photos, chosen.split, tools)
    report = Report(__file__, chosen, f"{chosen.good} good clips, {chosen.bad} planted, people of {chosen.split}")
    said, start = [], time.perf_counter()
    try:
        for clip in planted(people, chosen.good, chosen.bad, chosen.seed + (chosen.split == "test")):
            words, _ = noticed(clip, config, tools)
            said.append((clip.fault, words))
            if bool(words) != bool(clip.fault):
                print(f"{clip.who}, {clip.fault or 'good'}: {words or 'nothing is said'}", flush=True)
    except RuntimeError:
        raise ConfigError(f"--photos {chosen.photos} holds too few frontal faces for so many clips") from None
    print(f"\n{(time.perf_counter() - start) / max(len(said), 1):.1f} s a clip\n")
    report.table(["fault", "clips", "failed", "noted", "nothing said"], table(said))


if __name__ == "__main__":
    run_script(main)
