"""Any video through mvgen's own stages and a trained system: what `recognizer predict` does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import numpy as np

from mvgen.core.config import BuildConfig
from mvgen.core.device import one_thread
from mvgen.core.errors import ClipError
from mvgen.core.records import Clip
from mvgen.core.settings import load_config
from mvgen.pipeline.clip import Tools
from mvgen.sources.folder import DEFAULT_FPS
from mvgen.sources.frames import list_frames, list_video
from recognizer.errors import RecogniserError
from recognizer.learning.fit import Device
from recognizer.learning.weights import Trained
from recognizer.readers.base import Entry
from recognizer.readers.source import frontal_sample
from recognizer.records import Sample


def load_tools(size: int, device: str) -> tuple[BuildConfig, Tools]:
    """The stages that bring a video to a registered face, as a build has them."""
    one_thread()
    config = load_config(None, {"camera": {"size": size}, "run": {"device": device}}).changed(camera={"angles": ()})
    return config, Tools.load(config)


def read_video(path: Path, onset: int | None = None, apex: int | None = None, offset: int | None = None) -> Clip:
    """A video, or a folder of frames, as a clip; onset, apex and offset count from 1, as frames do.

    Without them the clip is the expression, and its apex the frame of largest change from the first.
    Raises RecogniserError for something that cannot be read, or frames that are not there.
    """
    if not path.exists():
        raise RecogniserError(f"video {path} does not exist")
    try:
        frames, rate = (list_frames(path)[0], None) if path.is_dir() else list_video(path)
    except (ClipError, OSError) as error:
        raise RecogniserError(f"video {path} cannot be read: {error}") from None
    if not frames:
        raise RecogniserError(f"{path} holds no frame; give a video, or a folder of numbered images")
    numbers = [frame.number for frame in frames]
    for name, number in (("onset", onset), ("apex", apex), ("offset", offset)):
        if number is not None and number not in numbers:
            raise RecogniserError(
                f"{path} has no frame {number}, which --{name} names; it has {numbers[0]} to {numbers[-1]}"
            )
    given = [number for number in (onset, apex, offset) if number is not None]
    if given != sorted(given):
        raise RecogniserError(f"{path}: onset, apex and offset must follow one another, got {given}")
    name = path.resolve().stem
    return Clip(
        dataset="video", subject=name, subject_key=name, name=name, emotion="", label=None,
        onset=onset, apex=apex, offset=offset, fps=rate or DEFAULT_FPS, directory=PurePosixPath(name),
        frames=frames, licence="the owner's", redistribution="gated",
    )  # fmt: skip


def sample_of_video(clip: Clip, face_only: bool, config: BuildConfig, tools: Tools) -> Sample:
    """The registered frontal view of a clip that nobody has labelled."""
    entry = Entry("video", clip.id, clip.subject_key, 0, "source", "source", None, True, None, "")
    return frontal_sample(clip, entry, config, tools, face_only)


def predict(trained: Trained, sample: Sample, device: Device) -> Mapping[str, float]:
    """Class -> probability, the likeliest first."""
    inputs = {name: values[None] for name, values in trained.system.prepare(sample).items()}
    found = trained.scores(inputs, device)[0]
    return {trained.classes[index]: float(found[index]) for index in np.argsort(-found, kind="stable")}
