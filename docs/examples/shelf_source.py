"""A dataset of our own: a folder for each subject, in it a folder of frames for each clip."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import ClassVar

from mvgen.core.errors import ClipError, SourceError
from mvgen.core.records import Clip, Label, Redistribution
from mvgen.sources.base import ClipFailure, Listing, Problem, Source, Variant, subject_key
from mvgen.sources.frames import list_frames
from mvgen.sources.spans import settle_span


class Shelf(Source):
    """A clip's folder is called by its emotion and a number, as in joy-1."""

    name = "shelf"
    title = "Shelf"
    rate = "100"
    licence = "CC-BY-4.0"
    redistribution: ClassVar[Redistribution] = "open"
    access = "https://example.org/shelf"
    tree = "ROOT/07/joy-1/001.png"
    labels: ClassVar[Mapping[str, Label]] = {"joy": "positive", "anger": "negative", "surprise": "surprise"}

    def _read(self, root: Path, annotations: Path | None, variant: Variant) -> Listing:
        clips: list[Clip] = []
        problems: list[Problem] = []
        failures: list[ClipFailure] = []
        for folder in sorted(path for path in root.glob("*/*-*") if path.is_dir()):
            try:
                clips.append(self._clip(folder, root, problems))
            except ClipError as error:
                failures.append(ClipFailure("__".join(folder.relative_to(root).parts), error.reason, folder))
        if not clips and not failures:
            raise SourceError(f"root {root} holds no clip of {self.title}.\n{self.expectation()}")
        return Listing(
            dataset=self.name,
            title=self.title,
            licence=self.licence,
            redistribution=self.redistribution,
            version="1",
            clips=tuple(clips),
            problems=tuple(problems),
            failures=tuple(failures),
        )

    def _clip(self, folder: Path, root: Path, problems: list[Problem]) -> Clip:
        directory = PurePosixPath(folder.relative_to(root).as_posix())
        frames, dropped = list_frames(folder)
        problems += [Problem(f"{directory}/{name}", "dropped", reason) for name, reason in dropped]
        span = settle_span(None, None, None, frames)  # ClipError for a clip that is too short
        emotion = folder.name.partition("-")[0]
        return Clip(
            dataset=self.name,
            subject=folder.parent.name,
            subject_key=subject_key(folder.parent.name),
            name=folder.name,
            emotion=emotion,
            label=self.labels.get(emotion),
            onset=span.onset,
            apex=span.apex,
            offset=span.offset,
            fps=100.0,
            directory=directory,
            frames=frames,
            licence=self.licence,
            redistribution=self.redistribution,
            notes=span.notes,
        )
