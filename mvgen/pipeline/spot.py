"""Spot expressions in recordings of any length: frames are read one at a time, only numbers are kept, and not for long.

The face is held in one crop until it leaves its place there; its frames are measured against a reference frame, which
is renewed with the crop, see `mvgen.motion.reference`. The motion of successive references is joined end to end. Every
few minutes the motion is searched for expressions, see `mvgen.motion.spotting`, and forgotten.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import crop_camera
from mvgen.core.config import BuildConfig
from mvgen.core.device import one_thread
from mvgen.core.errors import ClipError
from mvgen.core.records import BuiltClip, Clip, FaceTrack, Floats, Image
from mvgen.faces.crop import crop_frames, track_face
from mvgen.faces.detection import Detector
from mvgen.faces.landmarks import Landmarker, find_landmarks
from mvgen.morphable.fitting import fit_face
from mvgen.morphable.model import FaceModel, face_model
from mvgen.motion.head_motion import POSE
from mvgen.motion.reference import LOOKED_AT, Reference
from mvgen.motion.spotting import LONGEST_SECONDS, THRESHOLD, Interval, Kind, spot_intervals
from mvgen.pipeline.clip import build_clip
from mvgen.pipeline.tools import Tools
from mvgen.sources.folder import DEFAULT_FPS
from mvgen.sources.frames import read_frames, stream_frames

Progress = Callable[[int, int | None], None]  # frames read so far, and of how many, if known

_SIZE = 128  # side of the crop that is measured, pixels
_PER_PIXEL = 256 / _SIZE
_BLOCK_SECONDS = 120.0  # of motion that is searched at once
_MARGIN_SECONDS = 2 * LONGEST_SECONDS  # before and after a block, which are searched with its neighbours
_RETRY = 10  # frames from one that shows no face to the next that is searched for one
# A reference is renewed when the head has turned or moved so far from it, or it is so old; while the eyes are closed
# it is kept until the head is twice as far.
_TURN, _SHIFT, _ZOOM, _AGE_SECONDS = 2.5, 0.05, 0.05, 20.0  # degrees; share of the crop; share; seconds
_OPEN_EYES, _SAME_FACE = 0.7, 0.3  # least correlations with the reference


@dataclass(frozen=True, slots=True)
class Spotted:
    """An expression in a recording.

    file : the recording, relative to the folder that was searched
    onset, apex, offset : frame numbers: of a video from 1, of a folder those in the names; fps : frames per second
    """

    file: str
    onset: int
    apex: int
    offset: int
    kind: Kind
    score: float
    fps: float
    first: int

    def row(self) -> tuple[str | int, ...]:
        """The cells of `mvgen.pipeline.recordings.COLUMNS`."""
        frames = (self.onset, self.apex, self.offset)
        seconds = (f"{(frame - self.first) / self.fps:.3f}" for frame in frames)
        return (self.file, *frames, *seconds, self.kind, f"{self.score:.2f}")


class Measurer(Protocol):
    """Measures the face of one frame after another: `FaceMotion`, or one with known motion."""

    def __call__(self, frame: Image) -> tuple[NDArray[np.float32], float]:
        """(H, W, 3) uint8 -> motion (K,), pixels of a crop of 256, NaN without a face; how far the eyes are closed."""
        ...


class FaceMotion:
    """The motion of a face through a recording, frame by frame."""

    def __init__(self, detector: Detector, landmarker: Landmarker, model: FaceModel, fps: float) -> None:
        self._detector, self._landmarker, self._model = detector, landmarker, model
        self._camera = crop_camera(_SIZE)
        self._oldest = round(_AGE_SECONDS * fps)
        self._face: FaceTrack | None = None
        self._reference: Reference | None = None
        self._pose: Floats = np.zeros(POSE)
        self._before: Floats = np.zeros((len(LOOKED_AT), 2))
        self._latest = self._before
        self._age = self._waits = 0

    @classmethod
    def load(cls, device: str, fps: float) -> FaceMotion:
        """With the project's own networks."""
        from mvgen.faces.detection import FaceDetector
        from mvgen.faces.face_mesh import FaceMesh

        one_thread()
        return cls(FaceDetector(device), FaceMesh(device), face_model(), fps)

    def __call__(self, frame: Image) -> tuple[NDArray[np.float32], float]:
        """See `Measurer`."""
        if self._reference is None and not self._begin(frame):
            return np.full(2 * len(LOOKED_AT), np.nan, np.float32), 0.0
        assert self._reference is not None
        assert self._face is not None
        measured = self._reference.measure(crop_frames(frame[None], self._face)[0], self._pose)
        self._pose, self._age = measured.pose, self._age + 1
        away = self._away()
        if measured.likeness < _SAME_FACE or away > 4:
            # Something hides the face, or it jumped: the next frame is searched for it.
            self._reference = None
            return np.full(2 * len(LOOKED_AT), np.nan, np.float32), 0.0
        self._latest = self._before + _PER_PIXEL * measured.places
        if away > 2 or ((away > 1 or self._age > self._oldest) and measured.eyes > _OPEN_EYES):
            self._begin(frame)
        return self._latest.reshape(-1).astype(np.float32), float(np.clip(1 - measured.eyes, 0, 1))

    def _away(self) -> float:
        """How far the head is from the reference; 1 is far enough to renew it."""
        turn, shift = np.degrees(np.linalg.norm(self._pose[2:5])), np.abs(self._pose[:2]).max() / _SIZE
        return float(max(turn / _TURN, shift / _SHIFT, abs(self._pose[5]) / _ZOOM))

    def _begin(self, frame: Image) -> bool:
        """Make a frame the reference, if it shows a face."""
        if self._waits:
            self._waits -= 1
            return False
        face = self._found(frame)
        if face is None:
            self._waits, self._reference, self._face = _RETRY, None, None
            return False
        crop = crop_frames(frame[None], face)
        fit = fit_face(self._landmarker.find(crop).points, self._camera, self._model)
        self._face, self._reference = face, Reference(crop[0], fit, self._camera)
        self._pose, self._before, self._age = np.zeros(POSE), self._latest, 0
        return True

    def _found(self, frame: Image) -> FaceTrack | None:
        """The face of a frame: near its last place, or anywhere."""
        for known in (self._face, None):
            try:
                face = known or track_face(frame[None], _SIZE, self._detector)
                return find_landmarks(frame[None], face, self._landmarker)
            except ClipError:
                continue
        return None


def spot_video(
    path: Path,
    measure: Callable[[float], Measurer],
    *,
    name: str | None = None,
    fps: float | None = None,
    threshold: float | None = None,
    progress: Progress | None = None,
) -> Iterator[Spotted]:
    """The expressions of one recording, a video or a folder of frames, by onset.

    measure : makes a measurer for so many frames per second; name : see `Spotted`; fps : if the recording states none
    Raises ClipError("source") for a recording that cannot be read, ClipError("face") for one that shows no face.
    """
    stream = stream_frames(path)
    rate = fps or stream.rate or DEFAULT_FPS
    of_frame = measure(rate)
    blocks = _Blocks(rate, THRESHOLD if threshold is None else threshold)
    first = None
    numbers: list[int] = []  # of the frames, where they are not simply consecutive
    seen = False
    for index, (number, frame) in enumerate(stream.frames):
        first = number if first is None else first
        if path.is_dir():
            numbers.append(number)
        motion, lids = of_frame(frame)
        seen = seen or bool(np.isfinite(motion).all())
        if progress is not None:
            progress(index + 1, stream.count)
        for one in blocks.add(motion, lids):
            yield _spotted(one, name or path.name, rate, numbers, first)
    if first is None:
        raise ClipError("source", "the recording has no frames", path)
    if not seen:
        raise ClipError("face", "no frame shows a face that can be followed", path)
    for one in blocks.finish():
        yield _spotted(one, name or path.name, rate, numbers, first)


def _spotted(found: Interval, file: str, fps: float, numbers: Sequence[int], first: int) -> Spotted:
    onset, apex, offset = (
        numbers[index] if numbers else index + first for index in (found.onset, found.apex, found.offset)
    )
    return Spotted(file, onset, apex, offset, found.kind, found.score, fps, first)


class _Blocks:
    """The motion of the last minutes, which is searched block by block."""

    def __init__(self, fps: float, threshold: float) -> None:
        self._fps, self._threshold = fps, threshold
        self._block, self._margin = round(_BLOCK_SECONDS * fps), round(_MARGIN_SECONDS * fps)
        self._rows: list[NDArray[np.float32]] = []
        self._lids: list[float] = []
        self._first = 0  # index of the first frame that is kept
        self._searched = 0  # expressions with an apex before this frame are known
        self._last = -1  # offset of the last one

    def add(self, motion: NDArray[np.float32], lids: float) -> list[Interval]:
        """Add a frame; returns expressions that are now known."""
        self._rows.append(motion)
        self._lids.append(lids)
        until = self._first + len(self._rows) - self._margin
        return self._search(until) if until - self._searched >= self._block else []

    def finish(self) -> list[Interval]:
        """The expressions in the rest."""
        return self._search(self._first + len(self._rows))

    def _search(self, until: int) -> list[Interval]:
        found = []
        for one in spot_intervals(np.stack(self._rows), np.array(self._lids), self._fps, self._threshold):
            onset, apex, offset = (self._first + frame for frame in (one.onset, one.apex, one.offset))
            if self._searched <= apex < until and onset >= self._last:
                found.append(Interval(onset, apex, offset, one.kind, one.score))
                self._last = offset
        keep = max(until - self._margin - self._first, 0)
        del self._rows[:keep], self._lids[:keep]
        self._first, self._searched = self._first + keep, until
        return found


def build_part(clip: Clip, config: BuildConfig, tools: Tools) -> BuiltClip:
    """An expression of a recording, registered and seen from the config's angles; its frames are read.

    Raises ClipError naming the stage that failed.
    """
    return build_clip(clip, read_frames(clip), config, tools)
