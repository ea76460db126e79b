"""Expressions in any video, with mvgen's own stages and a trained system: `recognizer predict`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mvgen.core.angles import view_name
from mvgen.core.config import BuildConfig
from mvgen.core.device import one_thread
from mvgen.core.errors import ClipError
from mvgen.core.records import BuiltClip, Clip, ViewClip
from mvgen.core.settings import load_config
from mvgen.pipeline.spot import FaceMotion, Progress, build_part, spot_video
from mvgen.pipeline.tools import Tools
from recognizer.errors import RecogniserError
from recognizer.learning.calibration import tempered
from recognizer.learning.fit import Device
from recognizer.learning.weights import Trained
from recognizer.readers.base import Entry, on_face
from recognizer.readers.source import frontal_sample, part_of
from recognizer.records import Sample


@dataclass(frozen=True, slots=True)
class Predicted:
    """An expression in a video.

    onset, apex, offset : frame numbers; start : number of the video's first frame; fps : frames per second
    kind : "micro" or "macro" by its duration, "" where the frames were given; score : see `mvgen spot`, NaN likewise
    views : view -> class -> probability, the likeliest first
    """

    video: str
    onset: int
    apex: int
    offset: int
    start: int
    fps: float
    kind: str
    score: float
    views: Mapping[str, Mapping[str, float]]

    def seconds(self, frame: int) -> float:
        """Time of a frame since the video's first."""
        return (frame - self.start) / self.fps


class Spot(NamedTuple):
    """An expression in a video, before it is classified; kind and score as of `Predicted`."""

    clip: Clip
    kind: str = ""
    score: float = float("nan")


def load_tools(size: int, device: str, angles: Sequence[float] = ()) -> tuple[BuildConfig, Tools]:
    """The settings and tools of a build that turn a video into a registered face, seen from these yaw angles too."""
    one_thread()
    config = load_config(None, {"camera": {"size": size}, "run": {"device": device}})
    config = config.changed(camera={"angles": tuple(angles)})
    return config, Tools.load(config)


def sample_of_video(clip: Clip, face_only: bool, config: BuildConfig, tools: Tools) -> Sample:
    """The registered frontal view of an unlabelled clip."""
    entry = Entry("video", clip.id, clip.expression, clip.subject_key, 0, "source", "source", None, True, None, "")
    return frontal_sample(clip, entry, config, tools, face_only)


def spotted(clip: Clip, path: Path, config: BuildConfig, threshold: float | None, progress: Progress) -> Iterator[Spot]:
    """The expressions that `mvgen spot` finds in a video, a part of its clip each.

    Raises RecogniserError for a video without a face.
    """
    measure = partial(FaceMotion.load, config.run.device)
    try:
        for one in spot_video(path, measure, threshold=threshold, progress=progress):
            yield Spot(part_of(clip, one.onset, one.apex, one.offset), one.kind, one.score)
    except ClipError as error:
        raise RecogniserError(f"video {path} cannot be searched: {error}") from None


@dataclass(frozen=True, slots=True)
class Predictor:
    """A trained system with the settings and tools that turn clips into its samples, see `load_tools`."""

    trained: Trained
    config: BuildConfig
    tools: Tools
    device: Device

    def __call__(self, spot: Spot, start: int) -> Predicted:
        """Register one expression and classify it in the frontal view and those of the config.

        start : number of the video's first frame. Raises RecogniserError naming the clip and the reason.
        """
        clip = spot.clip
        try:
            built = build_part(clip, self.config, self.tools)
            samples = [_sample(built, view, self.trained.face_only) for view in built.views()]
        except ClipError as error:
            raise RecogniserError(f"{clip.name}, frames {clip.onset} to {clip.offset}: {error}") from None
        numbers = [frame.number for frame in built.clip.frames]
        onset, apex, offset = (
            number if number is not None else otherwise
            for number, otherwise in (
                (built.clip.onset, numbers[0]), (built.clip.apex, numbers[0]), (built.clip.offset, numbers[-1]),
            )
        )  # fmt: skip
        views = {sample.view: predict(self.trained, sample, self.device) for sample in samples}
        return Predicted(clip.name, onset, apex, offset, start, clip.fps, spot.kind, spot.score, views)


def _sample(built: BuiltClip, view: ViewClip, face_only: bool) -> Sample:
    """One view of an unlabelled clip; landmarks of a side view are those of a mean face."""
    clip, landmarks = built.clip, built.reconstruction.face.landmarks
    onset = clip.position(clip.onset, 0)
    apex = max(clip.position(clip.apex, onset), onset)
    shown = np.isfinite(view.depth)
    return Sample(
        frames=on_face(view.colour, shown) if face_only else view.colour,
        flow=view.flow,
        apex_flow=view.apex_flow,
        valid=view.valid,
        onset=onset,
        apex=apex,
        offset=max(clip.position(clip.offset, len(clip.frames) - 1), apex),
        landmarks=None if view.yaw is not None or landmarks is None else landmarks.astype(np.float32),
        label=0,
        clip=clip.id,
        subject=clip.subject_key,
        view=view_name(view.yaw),
    )


def predict(trained: Trained, sample: Sample, device: Device) -> Mapping[str, float]:
    """Class -> calibrated probability, the likeliest first."""
    inputs = {name: values[None] for name, values in trained.system.prepare(sample).items()}
    found = tempered(trained.scores(inputs, device), trained.temperature)[0]
    return {trained.classes[index]: float(found[index]) for index in np.argsort(-found, kind="stable")}
