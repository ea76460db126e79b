"""Stages without networks for tests of the store, the build and the engine: the pixels are drawn from the clip's id."""

from __future__ import annotations

import errno
import os
import signal
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from PIL import Image

from mvgen.building.build import build
from mvgen.building.work import Progress
from mvgen.core.camera import crop_camera
from mvgen.core.config import BuildConfig
from mvgen.core.errors import ClipError
from mvgen.core.records import BuiltClip, Clip, DepthMap, FaceFit, FaceTrack, Frame, Quality, Reconstruction, ViewClip
from mvgen.core.settings import by_part
from mvgen.core.stopwatch import Stopwatch
from mvgen.morphable.model import face_model
from mvgen.motion.registration import leave
from mvgen.motion.signals import with_head
from mvgen.sources.base import ClipFailure, Listing
from mvgen.store import layout
from mvgen.store.manifest import Failure, ViewRow, read_table

SIZE = 64


def make_source(root: Path, subjects: int = 3, clips: int = 2, frames: int = 4, suffix: str = ".jpg") -> Path:
    """A folder of real image files, `pics/s<n>/clip<n>/img<n>`, and a workbook; returns it."""
    rng = np.random.default_rng(7)
    for subject in range(subjects):
        for clip in range(clips):
            folder = root / "pics" / f"s{subject + 1}" / f"clip{clip + 1}"
            folder.mkdir(parents=True)
            for number in range(8, 8 + frames):  # img8, img9, img10: an order that names do not have
                Image.fromarray(rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)).save(folder / f"img{number}{suffix}")
    (root / "labels.xlsx").write_bytes(b"a workbook's bytes")
    return root


def list_clips(root: Path) -> tuple[Clip, ...]:
    """The clips under a folder of `make_source`."""
    clips = []
    for folder in sorted((root / "pics").glob("*/*")):
        paths = sorted(folder.iterdir(), key=lambda path: int(path.stem[3:]))
        frames = tuple(Frame(path, int(path.stem[3:]), path.name) for path in paths)
        clips.append(
            Clip(
                dataset="fake",
                subject=folder.parent.name,
                subject_key=folder.parent.name[1:],
                name=folder.name,
                emotion="happy",
                label="positive",
                onset=frames[0].number,
                apex=frames[len(frames) // 2].number,
                offset=frames[-1].number,
                fps=30.0,
                directory=PurePosixPath(folder.relative_to(root).as_posix()),
                frames=frames,
                licence="none",
                redistribution="open",
            )
        )
    return tuple(clips)


def make_built(clip: Clip, config: BuildConfig, grey: bool = False) -> BuiltClip:
    """A built clip whose arrays are a function of the clip's id and the config."""
    rng = np.random.default_rng(zlib.crc32(f"{clip.id} {config.split.seed}".encode()))
    count, size = len(clip.frames), SIZE
    camera = crop_camera(size)

    def colour() -> np.ndarray:
        base = rng.integers(0, 255, (count, 8, 8, 1 if grey else 3), dtype=np.uint8)
        return np.broadcast_to(base.repeat(8, axis=1).repeat(8, axis=2), (count, size, size, 3)).copy()

    def share(yaw: float | None) -> float:
        return 1.0 if yaw is None else 1 - abs(yaw) / 60

    depth = rng.normal(0, 0.2, (size, size)).astype(np.float32)
    depth[:8] = np.nan
    seen = np.isfinite(depth)
    views = tuple(
        ViewClip(
            yaw=yaw,
            camera=camera.at(yaw or 0.0),
            colour=colour(),
            flow=rng.normal(0, 1, (count - 1, size, size, 2)).astype(np.float32),
            apex_flow=rng.normal(0, 1, (size, size, 2)).astype(np.float32),
            valid=seen & (rng.random((size, size)) > 0.3),
            depth=depth,
            visible_attention=share(yaw),
        )
        for yaw in (None, *config.camera.angles)
    )
    registration = replace(leave(count), length=np.arange(count, dtype=float))
    face = FaceTrack(np.eye(3)[:2], size, np.zeros((5, 2)), 0.99, 1, np.ones((size, size), bool))
    confidence = np.ones((size, size), np.float32)
    attention = np.full((size, size), 1 / size**2, np.float32)
    surface = DepthMap(depth, confidence, camera)
    names = ("AU1", "AU12L", "AU12R", "AU45")
    strength, doubt = rng.random((2, count, len(names)))
    signals = with_head(registration.pose, strength, 0.1 + doubt, names)
    found = Reconstruction(face, registration, signals, surface, resting_fit(), attention)
    quality = Quality(face_seen=1.0, residual=0.5, largest_jump=0.1, blur=2.0, exposure=0.0, occlusion=0.02)
    return BuiltClip(clip, found, quality, views[0], views[1:])


def resting_fit() -> FaceFit:
    """The mean face at rest, upright."""
    model = face_model()
    return FaceFit(
        vertices=model.mean[None].astype(np.float64),
        identity=np.zeros(len(model.identity)),
        actions=np.zeros((1, len(model.actions))),
        rotation=np.eye(3)[None],
        shift=np.zeros((1, 3)),
        scale=1.0,
        residual=np.zeros(1),
    )


@dataclass(frozen=True)
class FakeStages:
    """`build.Stages` without networks.

    seconds : time per clip; face, crash, die, hang : ids of clips that have no face, hit a mistake of ours, end their
        process, take for ever
    failures : clips that the source gives up
    """

    root: Path
    seconds: float = 0.0
    face: frozenset[str] = frozenset()
    crash: frozenset[str] = frozenset()
    die: frozenset[str] = frozenset()
    hang: frozenset[str] = frozenset()
    failures: tuple[ClipFailure, ...] = ()
    version: str = "1"

    def read(self, config: BuildConfig) -> Listing:
        return Listing(
            dataset="fake",
            title="Fake",
            licence="none",
            redistribution="open",
            version="tree",
            clips=list_clips(self.root),
            failures=self.failures,
            annotation_files=(self.root / "labels.xlsx",),
        )

    def software(self, config: BuildConfig) -> dict[str, str | None]:
        return {"fake": self.version}

    def weights(self, config: BuildConfig) -> dict[str, str]:
        return {"depth": "0" * 64}

    def observer(self, config: BuildConfig) -> Callable[[Clip], str]:
        return lambda clip: clip.id

    def fit_attention(self, observed: Sequence[str], config: BuildConfig) -> bytes:
        return "\n".join(observed).encode()

    def builder(self, config: BuildConfig, attention: Path) -> Callable[[Clip, Stopwatch], BuiltClip]:
        assert attention.is_file()

        def build_one(clip: Clip, clock: Stopwatch) -> BuiltClip:
            time.sleep(self.seconds)
            if clip.id in self.face:
                raise ClipError("face", "no face was found", clip.frames[0].path)
            if clip.id in self.crash:
                raise ZeroDivisionError(f"cannot divide {clip.frames[0].path}")
            if clip.id in self.die:
                os.kill(os.getpid(), signal.SIGKILL)
            if clip.id in self.hang:
                time.sleep(1e6)
            return make_built(clip, config)

        return build_one


def make_config(root: Path, out: Path, **settings: object) -> BuildConfig:
    """Settings of a small build; without limits, one worker builds in this process, which is faster."""
    free = {"attempts": 1, "clip_timeout": 0}
    values = {"root": root, "out": out, "angles": "-45,0,45", "size": SIZE, **free, **settings}
    return BuildConfig.model_validate(by_part({"dataset": "fake", **values}))


def without(clip: Clip, **changes: object) -> Clip:
    """The clip with other fields."""
    return replace(clip, **changes)  # type: ignore[arg-type]


def tree_bytes(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, hidden ones included, by its relative path."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def fill_up(patch: pytest.MonkeyPatch, room: int) -> list[Path]:
    """After so many writes every one finds no more room in the middle. Returns the paths of those that did."""
    really, written, cut = Path.write_bytes, [], []

    def write_bytes(path: Path, content: bytes) -> int:
        if len(written) < room:
            written.append(path)
            return really(path, content)
        cut.append(path)
        really(path, content[: len(content) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    patch.setattr(Path, "write_bytes", write_bytes)
    return cut


class Told(Progress):
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.started: tuple[int, int, int] | None = None
        self.clips: list[str] = []
        self.traces: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def start(self, total: int, done: int, frames: Mapping[str, int]) -> None:
        self.started = (total, done, sum(frames.values()))

    def advance(self, clip: str, failure: Failure | None, trace: str | None) -> None:
        self.clips.append(clip)
        self.traces += [trace] if trace else []


def rows_of(root: Path, out: Path) -> list[ViewRow]:
    """The table of a build of a source."""
    build(make_config(root, out), FakeStages(root))
    return read_table(out / layout.TABLE)
