"""Meshes of the frames of a release that was captured in 3D."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from mvgen.core.records import Clip
from mvgen.sources.frames import frame_number

SUFFIXES = (".obj", ".ply")


def with_meshes(clip: Clip, folder: Path) -> Clip:
    """The clip, its frames with the mesh of the same number in a folder, where there is one."""
    if not folder.is_dir():
        return clip
    meshes = (path for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES and path.is_file())
    files = {frame_number(path.name): path for path in meshes}
    return replace(clip, frames=tuple(replace(frame, mesh=files.get(frame.number)) for frame in clip.frames))
