"""Long recordings of stand-ins: minutes of video with subtle expressions at known frames, blinks, head and light drift.

A head is rendered once at rest, with its lids at several heights; a frame is that picture warped by the true motion of
the visible surface, which is a hundred times faster than rendering every frame. Shading does not follow the motion.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import EYE_DISTANCE, Camera, pixel_grid
from mvgen.core.errors import ConfigError, StoreError
from mvgen.morphable.action_units import facial_action_weights
from mvgen.scans.head import HeadModel, Identity
from mvgen.scans.imaging.lighting import Lighting
from mvgen.scans.imaging.rendering import TURN_CENTRE, DressedHead, PosedHead, render_colour, render_surface
from mvgen.scans.imaging.rotation import rotation
from mvgen.scans.looks.appearance import Look
from mvgen.scans.looks.backgrounds import draw_background
from mvgen.scans.looks.paint import to_srgb
from mvgen.sources.marks import write_mark
from mvgen.synth.emotions import combinations, one_sided
from mvgen.synth.performance import MACRO_PIXELS, MICRO_PIXELS, expression_curve
from mvgen.synth.plan import MACRO_SHARE, MICRO_SECONDS, ONE_SIDED_SHARE

if TYPE_CHECKING:
    from mvgen.scans.corpora.performing import Heads

Floats = NDArray[np.floating]
Pictures = NDArray[np.float32]
Kind = Literal["micro", "macro", "blink"]

FPS = 30
_EMOTIONS = {
    "happiness": "positive", "surprise": "surprise", "anger": "negative", "disgust": "negative", "fear": "negative",
    "sadness": "negative",
}  # fmt: skip
_MACRO_SECONDS = (0.7, 3.0)
_HOLD = 0.4  # largest share of a macro-expression that it stays at its apex
_FIRST_SECOND, _GAP_SECONDS = 3.0, (2.5, 7.0)
_BLINK_SECONDS, _BLINK_EVERY = (0.13, 0.35), (1.5, 7.0)
_LIDS = (0.0, 0.25, 0.5, 0.75, 1.0)  # strengths of the blink that are rendered
_CROP = 256
_FACE_SHARE = 0.17  # inter-ocular distance over the frames' height
_FINER = 2  # pixels of the picture at rest per pixel of the frames
_MARGIN = 24  # of the picture at rest, beyond the frames, pixels
_PIXEL = 0.3  # sigma that does as the mean over a frame's pixel, pixels
_BLUR = 0.35  # sigma of the lens, pixels
_SRGB = (255 * to_srgb(np.linspace(0, 1, 1 << 16))).astype(np.float32)  # grey level of linear light
_INVERSIONS = 3  # steps of the fixed point that inverts a motion
_QUALITY = "12"  # of x264: artefacts are hardly visible


@dataclass(frozen=True, slots=True)
class Event:
    """Something that a face does, by frames from 0: it begins to move after `onset`, and is at rest again at `offset`.

    hold : frames from the apex on that it stays there; action_units : FACS numbers; pixels : largest motion wanted, of
    a crop of 256 pixels; emotion : "" for a blink
    """

    kind: Kind
    onset: int
    apex: int
    offset: int
    hold: int
    action_units: tuple[str, ...]
    pixels: float
    emotion: str = ""

    def curve(self, frames: int) -> Floats:
        """Intensity (T,) in [0, 1]."""
        fallen = expression_curve(frames, self.onset, self.apex, self.offset - self.hold)
        late = np.r_[np.zeros(self.hold), fallen[: frames - self.hold]]
        rising = np.arange(frames) <= self.apex
        return np.where(rising, fallen, np.where(np.arange(frames) <= self.apex + self.hold, 1.0, late))


@dataclass(frozen=True, slots=True)
class Script:
    """What happens in a recording.

    angles : (T, 3) yaw, pitch, roll of the head from rest, degrees; shifts : (T, 3) world units
    light : (T, 2) gain of the light, and its slope from left to right
    """

    fps: int
    events: tuple[Event, ...]
    angles: Floats
    shifts: Floats
    light: Floats

    @classmethod
    def draw(cls, generator: np.random.Generator, seconds: float, fps: int = FPS) -> Script:
        """Draw expressions some seconds apart, blinks at any time, and slow head motion with changes of posture."""
        frames = round(seconds * fps)
        events = [*_expressions(generator, frames, fps), *_blinks(generator, frames, fps)]
        at = np.arange(frames) / fps
        quick, slow, sway = (_waves(generator, at, band) for band in ((0.15, 1.2), (0.01, 0.06), (0.01, 0.06)))
        turned, moved = _postures(generator, at)
        light = _waves(generator, at, (0.004, 0.05))[:, :2] * [0.06, 0.10] + [1.0, 0.0]
        return cls(
            fps,
            tuple(sorted(events, key=lambda event: event.onset)),
            0.25 * quick + [1.2, 1.0, 0.6] * slow + turned,
            0.004 * quick[:, ::-1] + 0.02 * sway + moved,
            light + generator.normal(0, 0.003, (frames, 1)) * [1.0, 0.0],
        )


def _expressions(generator: np.random.Generator, frames: int, fps: int) -> Iterator[Event]:
    at = _FIRST_SECOND + generator.uniform(0, 2)
    while True:
        macro = generator.random() < MACRO_SHARE
        length = round(float(generator.uniform(*(_MACRO_SECONDS if macro else MICRO_SECONDS))) * fps)
        length = max(length, 4)
        onset = round(at * fps)
        if onset + length > frames - fps:
            return
        hold = round(length * float(generator.uniform(0, _HOLD))) if macro else 0
        rise = round((length - hold) * float(generator.uniform(0.35, 0.6)))
        emotion = str(generator.choice(list(_EMOTIONS)))
        known = combinations(emotion)
        units = known[0 if generator.random() < 0.6 else generator.integers(len(known))]
        if generator.random() < ONE_SIDED_SHARE:
            units = one_sided(units, "L" if generator.random() < 0.5 else "R")
        pixels = float(generator.uniform(*(MACRO_PIXELS if macro else MICRO_PIXELS)))
        kind: Kind = "macro" if macro else "micro"
        yield Event(kind, onset, onset + rise, onset + length, hold, units, pixels, emotion)
        at += length / fps + float(generator.uniform(*_GAP_SECONDS))


def _blinks(generator: np.random.Generator, frames: int, fps: int) -> Iterator[Event]:
    at = float(generator.uniform(*_BLINK_EVERY))
    while True:
        length = max(round(float(generator.uniform(*_BLINK_SECONDS)) * fps), 3)
        onset = round(at * fps)
        if onset + length > frames - 2:
            return
        # Lids fall faster than they rise.
        yield Event("blink", onset, onset + max(1, round(0.4 * length)), onset + length, 0, ("45",), np.inf)
        at += float(generator.uniform(*_BLINK_EVERY))


def _waves(generator: np.random.Generator, at: Floats, band: tuple[float, float]) -> Floats:
    """(T, 3) slow drift of unit size, zero in the first frame; band : hertz"""
    rate, phase = generator.uniform(*band, (3, 3)), generator.uniform(0, 2 * np.pi, (3, 3))
    wave = np.sin(2 * np.pi * rate * at[:, None, None] + phase).sum(axis=1) / np.sqrt(3)
    return np.asarray(wave - wave[:1])


def _postures(generator: np.random.Generator, at: Floats) -> tuple[Floats, Floats]:
    """Turns (T, 3), degrees, and shifts (T, 3), world units, of a head that now and then takes another posture."""
    turned, moved = np.zeros((len(at), 3)), np.zeros((len(at), 3))
    when, angle, place = float(generator.uniform(15, 40)), np.zeros(3), np.zeros(3)
    while when < at[-1]:
        takes = float(generator.uniform(0.5, 1.2))
        part = np.clip((at - when) / takes, 0, 1)
        part = (part * part * (3 - 2 * part))[:, None]
        # Toward a new posture near rest, so that the head does not wander off.
        goal, there = generator.normal(0, [2.5, 2.0, 1.5]), generator.normal(0, [0.06, 0.04, 0.02])
        turned += part * (goal - angle)
        moved += part * (there - place)
        angle, place = goal, there
        when += float(generator.uniform(20, 60))
    return turned, moved


class Stage:
    """One person in front of the camera, at rest, ready to be warped into frames."""

    def __init__(
        self, model: HeadModel, person: tuple[Identity, Look], generator: np.random.Generator, size: tuple[int, int]
    ) -> None:
        """size : (width, height) of the frames"""
        self.width, self.height = size
        self._model, self._identity = model, person[0]
        self._dressed = DressedHead(model, person[1])
        scale = _FACE_SHARE * min(self.height, 0.75 * self.width) * generator.uniform(0.95, 1.05)
        centre = (self.width * generator.uniform(0.47, 0.53), self.height * generator.uniform(0.39, 0.43))
        self._rest = rotation(*generator.normal(0, (2.5, 2.5, 1.5)))
        self._lighting = Lighting.draw(generator)
        self._wall = draw_background(generator, self.height, self.width, plain=True)
        exposure, red, self._noise = (
            float(generator.uniform(*each)) for each in ((0.85, 1.15), (0.96, 1.05), (0.8, 1.8))
        )
        self._gain = np.array([exposure * red, exposure, exposure * 0.97], np.float32)
        wide = Camera(max(size) + 2 * _MARGIN, scale, (centre[0] + _MARGIN, centre[1] + _MARGIN))
        self._camera = wide
        self._pixels = pixel_grid(self.height + 2 * _MARGIN, self.width + 2 * _MARGIN)
        self._grid = self._pixels.astype(np.float32)
        head = self._posed(np.zeros(len(model.action_names)))
        seen = render_surface(head, wide, self._pixels)
        self._hits = seen.hits
        self._outside = _nearest(np.isfinite(seen.depth))
        depth = seen.depth[self._outside]
        self._points = wide.unproject(np.dstack([self._pixels, depth])).astype(np.float32)
        self._textures = [self._texture(strength) for strength in _LIDS]

    def field(self, weights: Floats) -> Pictures:
        """Motion (H, W, 3) of the visible points by facial actions at these weights, world units."""
        moved = (self._model.express(self._identity, weights) - self._identity.vertices) @ self._rest.T
        image = np.zeros((*self._pixels.shape[:2], 3), np.float32)
        image[self._hits.hit] = self._hits.where_hit().interpolate(self._model.triangles, moved.astype(np.float32))
        return image[self._outside]

    def strength(self, weights: Floats, pixels: float) -> float:
        """The share of the weights, at most 1, at which the face moves by so many pixels of a crop of 256."""
        model = self._model
        seen = (model.regions["face"] > 0.5) & (model.regions["mouth_cavity"] < 0.5)
        seen &= model.regions["eye_cavity"] < 0.5
        moved = (model.express(self._identity, weights) - self._identity.vertices)[seen]
        return min(1.0, pixels / (float(np.hypot(moved[:, 0], moved[:, 1]).max()) * EYE_DISTANCE * _CROP))

    def frame(
        self, motion: Pictures, head: Floats, lids: float, light: Floats, generator: np.random.Generator
    ) -> NDArray[np.uint8]:
        """A frame (H, W, 3). motion : see `field`; head : (6,) angles and shift; head and light : rows of the script"""
        import cv2

        turn = rotation(*head[:3])
        # The camera is orthographic and looks along z: two rows of the turn make pixels.
        flip = self._camera.scale * np.array([1.0, -1.0])
        shift = self._camera.centre + flip * (TURN_CENTRE - turn @ TURN_CENTRE + head[3:])[:2]
        rows = np.column_stack([flip[:, None] * turn[:2], shift]).astype(np.float32)
        ahead = cv2.transform(self._points + motion, rows) - self._grid
        target = self._grid[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN] - np.float32(0.5)
        at = target
        for _ in range(_INVERSIONS):
            at = target - cv2.remap(ahead, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
        fine = (at + np.float32(0.5)) * _FINER - np.float32(0.5)
        step = lids * (len(_LIDS) - 1)
        lower = min(int(step), len(_LIDS) - 2)
        texture = self._textures[lower]
        if step:
            texture = texture + np.float32(step - lower) * (self._textures[lower + 1] - texture)
        drawn = cv2.remap(texture, fine, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
        linear = drawn[..., :3] + (1 - drawn[..., 3:]) * self._wall
        slope = np.linspace(-0.5, 0.5, self.width)[:, None]
        linear *= (self._gain * (light[0] + light[1] * slope)).astype(np.float32)
        seen = cv2.GaussianBlur(linear, (0, 0), _BLUR)
        grey = _SRGB[np.clip(seen * 65535, 0, 65535).astype(np.uint16)]
        grey += np.float32(self._noise) * generator.standard_normal(grey.shape, np.float32)
        return np.clip(np.rint(grey), 0, 255).astype(np.uint8)

    def _posed(self, weights: Floats) -> PosedHead:
        return self._dressed.pose(self._model.express(self._identity, weights), self._rest, np.zeros(3))

    def _texture(self, blink: float) -> Pictures:
        """Colour and coverage (H, W, 4) at rest, `_FINER` times as fine; a value is the mean over a frame's pixel."""
        import cv2

        weights = blink * facial_action_weights(("45",), self._model.action_names)
        high, wide = (_FINER * side for side in self._pixels.shape[:2])
        pixels = pixel_grid(high, wide) / _FINER
        colour, cover = render_colour(self._posed(weights), self._lighting, self._camera, pixels, samples=1)
        return np.asarray(cv2.GaussianBlur(np.dstack([colour, cover]), (0, 0), _PIXEL * _FINER), np.float32)


def _nearest(known: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Indices that read at every pixel the nearest known one."""
    from scipy.ndimage import distance_transform_edt

    rows, columns = distance_transform_edt(~known, return_distances=False, return_indices=True)
    return rows, columns


def film(stage: Stage, script: Script, model: HeadModel, seed: int) -> Iterator[NDArray[np.uint8]]:
    """The frames (H, W, 3) of a script."""
    frames = len(script.angles)
    acts = [event for event in script.events if event.kind != "blink"]
    fields: dict[int, tuple[Pictures, Floats]] = {}
    lids = np.zeros(frames)
    for event in script.events:
        if event.kind == "blink":
            lids = np.maximum(lids, event.curve(frames))
    heads = np.column_stack([script.angles, script.shifts])
    still = np.zeros((1, 1, 3), np.float32)
    for frame in range(frames):
        motion = still
        for number, event in enumerate(acts):
            if event.onset < frame < event.offset:
                if number not in fields:
                    weights = facial_action_weights(event.action_units, model.action_names)
                    own = stage.field(weights * stage.strength(weights, event.pixels))
                    fields = {number: (own, event.curve(frames))}
                own, curve = fields[number]
                motion = motion + np.float32(curve[frame]) * own
        generator = np.random.default_rng([seed, 3, frame])
        yield stage.frame(motion, heads[frame], lids[frame], script.light[frame], generator)


def record(
    *,
    out: Path,
    truth: Path | None = None,
    subjects: int = 1,
    seconds: float = 600.0,
    size: tuple[int, int] | None = None,
    seed: int = 0,
    heads: Heads | None = None,
    spread: float = 0.25,
    report: Callable[[str], None] = print,
) -> None:
    """Write one recording of each subject, OUT/s01.mkv and so on.

    truth : folder for clips.csv, the expressions as `mvgen spot` writes them, and blinks.csv; frames count from 1
    size : (width, height), 320x240 by default
    heads : the model that people are drawn from, Anny's by default; spread : how much they differ
    Raises ConfigError for a recording that is too short, StoreError when a folder is not empty.
    """
    width, height = size or (320, 240)
    if seconds < 5 or subjects < 1:
        raise ConfigError(f"a recording needs a subject and at least 5 seconds, not {subjects} and {seconds:g}")
    if min(width, height) < 96 or max(width, height) > 4096 or width % 2 or height % 2:
        raise ConfigError(f"size {width}x{height} is out of range; frames are 96 to 4096 pixels on each side, and even")
    for folder in (out, truth):
        if folder is not None and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise StoreError(f"{folder} is not an empty folder; a stand-in needs one: remove it, or give another")
    if heads is None:
        from mvgen.scans.corpora.anny import anny_heads

        report("loading the parametric heads (about a minute the first time on a machine)")
        heads = anny_heads()
    out.mkdir(parents=True, exist_ok=True)
    write_mark(out, "recordings of several minutes")
    scripts = {}
    for subject in range(subjects):
        name = f"s{subject + 1:02d}.mkv"
        generator = np.random.default_rng([seed, subject, *b"long"])
        person = heads.sample_identities(generator, 1, spread)[0], Look.draw(generator, plain=True)
        stage = Stage(heads.model, person, generator, (width, height))
        scripts[name] = script = Script.draw(generator, seconds)
        write_recording(out / name, film(stage, script, heads.model, seed), script.fps, (width, height))
        shown = sum(event.kind != "blink" for event in script.events)
        report(f"[{subject + 1}/{subjects}] {name}: {seconds:g} s, {shown} expressions")
    if truth is not None:
        truth.mkdir(parents=True, exist_ok=True)
        write_events(truth / "clips.csv", scripts, ("micro", "macro"))
        write_events(truth / "blinks.csv", scripts, ("blink",))


def write_recording(path: Path, frames: Iterator[NDArray[np.uint8]], fps: int, size: tuple[int, int]) -> None:
    """Write frames, (H, W, 3) uint8 RGB, as a video; equal frames give equal bytes. size : width and height"""
    import av

    # Without the flag the file gets a random identity, and the same recording other bytes.
    with av.open(str(path), "w", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        # One thread: the bytes must not depend on the machine.
        stream.options = {"crf": _QUALITY, "preset": "veryfast", "threads": "1"}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def write_events(path: Path, scripts: dict[str, Script], kinds: Sequence[str]) -> None:
    """Write the events of recordings as a table: file, frames from 1, kind, emotion, label, units, pixels."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("file", "onset", "apex", "offset", "kind", "emotion", "label", "action_units", "pixels"))
        for name, script in scripts.items():
            for event in script.events:
                if event.kind in kinds:
                    frames = (event.onset + 1, event.apex + event.hold // 2 + 1, event.offset + 1)
                    units = "+".join(event.action_units)
                    label = _EMOTIONS.get(event.emotion, "")
                    table.writerow((name, *frames, event.kind, event.emotion, label, units, f"{event.pixels:.2f}"))
