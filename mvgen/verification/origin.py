"""The clips of a store in the release that it was built from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mvgen.core.config import BuildConfig
from mvgen.core.errors import ClipError, SourceError
from mvgen.core.records import Clip, Frame
from mvgen.pipeline.stages import PipelineStages
from mvgen.store import layout
from mvgen.store.manifest import ViewRow, read_rows


def read_origin(out: Path, root: Path, config: BuildConfig) -> dict[str, Clip]:
    """The clips of the release that a store was built from, by id. root : its folder; config : of the store

    Raises SourceError for a root that holds none of the store's clips.
    """
    annotations = out / layout.ANNOTATIONS
    source = {"root": root, "annotations": annotations if annotations.is_dir() else None}
    clips = {clip.id: clip for clip in PipelineStages().read(config.changed(source=source)).clips}
    if not any(row.clip in clips for row in read_rows(out / layout.TABLE)):
        raise SourceError(f"root {root} holds none of the clips of {out}; give the folder that it was built from")
    return clips


def frames_of(row: ViewRow, clips: Mapping[str, Clip]) -> tuple[Frame, ...]:
    """The frames of a row in its release. Raises ClipError("source") where it lacks the clip, or one of its frames."""
    if row.clip not in clips:
        raise ClipError("source", "the source has no such clip")
    # A store may have frames of another format.
    found = {frame.name.partition(".")[0]: frame for frame in clips[row.clip].frames}
    names = [name.partition(".")[0] for name in row.frame_names]
    if missing := [name for name in names if name not in found]:
        raise ClipError("source", f"the source has no frame {missing[0]}")
    return tuple(found[name] for name in names)
