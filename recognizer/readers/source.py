"""A release read directly: each clip goes through mvgen's own stages up to its registered frontal view."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from mvgen.core.config import BuildConfig
from mvgen.core.device import one_thread
from mvgen.core.errors import ClipError
from mvgen.core.records import Clip
from mvgen.pipeline.clip import Tools, build_clip
from mvgen.sources import get_source
from mvgen.sources.base import Variant
from mvgen.sources.frames import read_frames
from mvgen.store.manifest import clip_digest, digest_of
from recognizer.errors import RecogniserError
from recognizer.readers.base import ClassRule, Entry, Reader, excluded, on_face, sample_of
from recognizer.records import Sample


class SourceReader(Reader):
    """Frontal clips of a release: face, registration and flow are a build's, views and attention are not made.

    config : settings of a build, of which size, device, weights, registration and flow matter
    Raises SourceError for a root that is not the release.
    """

    def __init__(
        self,
        name: str,
        root: Path | None,
        rule: ClassRule,
        config: BuildConfig,
        *,
        annotations: Path | None = None,
        variant: Variant = "auto",
        exclude: Sequence[str] = (),
        least_frames: int = 1,
        face_only: bool = True,
    ) -> None:
        listing = get_source(name).read(root, annotations=annotations, variant=variant)
        self.classes, self.face_only = rule.names, face_only
        self._config = config.changed(camera={"angles": ()})
        settings = self._config.identity()
        self._clips: list[Clip] = []
        entries = []
        for clip in listing.clips:
            label = rule.of(clip.label, clip.emotion, clip.name)
            if label is None or len(clip.frames) < least_frames or excluded(clip.id, exclude):
                continue
            self._clips.append(clip)
            entries.append(
                Entry(
                    dataset=clip.dataset,
                    clip=clip.id,
                    subject=clip.subject_key,
                    label=label,
                    view="source",
                    kind="source",
                    yaw=None,
                    kept=True,
                    split=None,
                    key=digest_of([clip_digest(clip), settings, face_only]),
                )
            )
        self.entries = tuple(entries)

    @cached_property
    def _tools(self) -> Tools:
        one_thread()
        return Tools.load(self._config)

    def read(self, index: int) -> Sample:
        return frontal_sample(self._clips[index], self.entries[index], self._config, self._tools, self.face_only)

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in self.__dict__.items() if name != "_tools"}


def frontal_sample(clip: Clip, entry: Entry, config: BuildConfig, tools: Tools, face_only: bool) -> Sample:
    """The registered frontal view of a clip, as a build makes it. Raises RecogniserError naming the clip and why."""
    try:
        built = build_clip(clip, read_frames(clip), config, tools)
    except ClipError as error:
        raise RecogniserError(f"clip {clip.id} cannot be used: {error}; mend it, or exclude the clip") from None
    front, known = built.views[0], built.clip
    onset = known.position(known.onset, 0)
    times = (onset, known.position(known.apex, onset), known.position(known.offset, len(known.frames) - 1))
    frames = on_face(front.colour, np.isfinite(front.depth)) if face_only else front.colour
    return sample_of(entry, frames, front.flow, front.apex_flow, front.valid, times, built.face.landmarks)
