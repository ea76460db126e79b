"""Reads a release or a video directly: mvgen's own stages turn each clip into its registered frontal view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path, PurePosixPath

from mvgen.core.config import BuildConfig
from mvgen.core.device import one_thread
from mvgen.core.errors import ClipError
from mvgen.core.records import Clip, Variant
from mvgen.pipeline.frontal import frontal_clip
from mvgen.pipeline.tools import Tools
from mvgen.sources import get_source
from mvgen.sources.folder import DEFAULT_FPS
from mvgen.sources.frames import list_frames, list_video
from mvgen.sources.parts import around
from mvgen.store.manifest import clip_digest, digest_of
from recognizer.errors import RecogniserError
from recognizer.readers.base import ClassRule, Entry, Reader, excluded, on_face, sample_of
from recognizer.records import Sample


class SourceReader(Reader):
    """Frontal clips of a release, with face, registration and flow as in a build, but without views and attention.

    config : settings of a build; only size, device, weights, registration, flow, and what is read of the source
    Raises SourceError if the root is not the release.
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
        listing = get_source(name, config.source).read(root, annotations=annotations, variant=variant)
        usable = [one for one in listing.clips if len(one.frames) >= least_frames and not excluded(one.id, exclude)]
        rule = rule.over(usable)
        self.classes, self.face_only = rule.names, face_only
        self._config = config.changed(camera={"angles": ()})
        settings = self._config.identity()
        self._clips: list[Clip] = []
        entries = []
        for clip in usable:
            label = rule.of(clip)
            if label is None:
                continue
            self._clips.append(clip)
            entries.append(
                Entry(
                    dataset=clip.dataset,
                    clip=clip.id,
                    expression=clip.expression,
                    subject=clip.subject_key,
                    label=label,
                    view="source",
                    kind="source",
                    yaw=None,
                    kept=True,
                    split=None,
                    key=digest_of([clip_digest(clip), settings, face_only]),
                    units=rule.units(clip),
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
    """The registered frontal view of a clip, as a build makes it. Raises RecogniserError naming clip and reason."""
    try:
        front = frontal_clip(clip, config, tools)
    except ClipError as error:
        raise RecogniserError(f"clip {clip.id} cannot be used: {error}; fix it, or exclude the clip") from None
    times = (front.onset, front.apex, front.clip.position(front.clip.offset, len(front.crops) - 1))
    frames = on_face(front.crops, front.shown) if face_only else front.crops
    flow, seen = front.flow.on(front.shown), front.shown & front.inside
    return sample_of(entry, frames, *flow, seen, times, front.face.landmarks)


def read_video(path: Path, onset: int | None = None, apex: int | None = None, offset: int | None = None) -> Clip:
    """A video, or a folder of frames, as a clip; onset, apex and offset are frame numbers.

    By default the expression spans the whole clip, and its apex is the frame of largest change from the first.
    Raises RecogniserError for an unreadable video, or frames that do not exist.
    """
    if not path.exists():
        raise RecogniserError(f"video {path} does not exist")
    try:
        frames, rate = (list_frames(path)[0], None) if path.is_dir() else list_video(path)
    except (ClipError, OSError) as error:
        raise RecogniserError(f"video {path} cannot be read: {error}") from None
    if not frames:
        raise RecogniserError(f"{path} contains no frame; give a video, or a folder of numbered images")
    numbers = [frame.number for frame in frames]
    for name, number in (("onset", onset), ("apex", apex), ("offset", offset)):
        if number is not None and number not in numbers:
            raise RecogniserError(
                f"{path} has no frame {number}, which --{name} names; it has {numbers[0]} to {numbers[-1]}"
            )
    given = [number for number in (onset, apex, offset) if number is not None]
    if given != sorted(given):
        raise RecogniserError(f"{path}: onset, apex and offset must be in this order, got {given}")
    name = path.resolve().stem
    return Clip(
        dataset="video", subject=name, subject_key=name, name=name, emotion="", label=None,
        onset=onset, apex=apex, offset=offset, fps=rate or DEFAULT_FPS, directory=PurePosixPath(name),
        frames=frames, licence="the owner's", redistribution="gated",
    )  # fmt: skip


def part_of(clip: Clip, onset: int, apex: int, offset: int) -> Clip:
    """An expression in a video as a clip of its own, by frame numbers, with a few frames before and after."""
    return replace(clip, onset=onset, apex=apex, offset=offset, frames=around(clip.frames, onset, offset))
