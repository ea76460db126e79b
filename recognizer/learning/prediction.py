"""Predict the expression of any video, with mvgen's own stages and a trained system: `recognizer predict`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mvgen.core.config import BuildConfig
from mvgen.core.device import one_thread
from mvgen.core.records import Clip
from mvgen.core.settings import load_config
from mvgen.pipeline.tools import Tools
from recognizer.learning.fit import Device
from recognizer.learning.weights import Trained
from recognizer.readers.base import Entry
from recognizer.readers.source import frontal_sample
from recognizer.records import Sample


def load_tools(size: int, device: str) -> tuple[BuildConfig, Tools]:
    """The settings and tools of a build that turn a video into a registered face."""
    one_thread()
    config = load_config(None, {"camera": {"size": size}, "run": {"device": device}})
    return config, Tools.load(config)


def sample_of_video(clip: Clip, face_only: bool, config: BuildConfig, tools: Tools) -> Sample:
    """The registered frontal view of an unlabelled clip."""
    entry = Entry("video", clip.id, clip.expression, clip.subject_key, 0, "source", "source", None, True, None, "")
    return frontal_sample(clip, entry, config, tools, face_only)


def predict(trained: Trained, sample: Sample, device: Device) -> Mapping[str, float]:
    """Class -> probability, the likeliest first."""
    inputs = {name: values[None] for name, values in trained.system.prepare(sample).items()}
    found = trained.scores(inputs, device)[0]
    return {trained.classes[index]: float(found[index]) for index in np.argsort(-found, kind="stable")}
