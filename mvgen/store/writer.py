"""Writes one clip, all or nothing: staged beside its final place, flushed, moved, and a marker last."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

import numpy as np

from mvgen.core.angles import view_name
from mvgen.core.config import BuildConfig
from mvgen.core.errors import ClipError
from mvgen.core.files import disk_errors, flush, write_atomically
from mvgen.core.records import BuiltClip, Clip, Image, Split, ViewClip
from mvgen.motion.flow.methods import ClipFlow
from mvgen.store import layout
from mvgen.store.arrays import ViewMaps, map_bytes, npz_bytes
from mvgen.store.checks import inside
from mvgen.store.coding.pictures import encode_frame
from mvgen.store.coding.video import encode_video
from mvgen.store.geometry import geometry_arrays
from mvgen.store.manifest import Failure, Marker, ViewRow, clip_digest, finite

_FLUSHED_AT_ONCE = 16  # files; the file system commits together what is flushed together


def write_clip(out: Path, clip: Clip, built: BuiltClip, split: Split, config: BuildConfig) -> Marker:
    """Put a built clip into the store.

    clip : as its source lists it; `built.clip` may know more, for example an estimated apex, and have fewer frames
    Returns the marker, written as the very last file. Raises ClipError when two frames share a name, StoreError when
    the disk is full or the folder cannot be written.
    """
    names = [layout.stored_name(frame.name, config.render.format) for frame in built.clip.frames]
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ClipError("store", f"two frames of the clip are both called {twice}")
    as_video = layout.as_video(config.render.format, built.clip.frames[0].index is not None)
    stage = out / layout.PARTIAL / clip.id
    with disk_errors(out):
        files = _Stage(stage)
        geometry = files.write(layout.geometry_path(clip.id), npz_bytes(geometry_arrays(built.reconstruction)))
        grey = _is_grey(built.frontal.colour)

        def write_view(view: ViewClip) -> ViewRow:
            folder = layout.frames_directory(view.yaw, clip.directory)
            if as_video:
                frames = [files.write(folder / layout.VIDEO, _video(view, clip.fps, config))]
            else:
                pictures = _pictures(view, names, grey, config)
                frames = [files.write(folder / name, content) for name, content in zip(names, pictures, strict=True)]
            arrays = ViewMaps(view.valid, view.depth, ClipFlow(view.flow, view.apex_flow))
            maps = files.write(layout.maps_path(view.yaw, clip.directory), map_bytes(arrays))
            row = _row(
                clip=clip,
                built=built,
                view=view,
                split=split,
                names=names,
                frames=frames,
                as_video=as_video,
                maps=maps,
                geometry=geometry,
            )
            return row.decided(config.attention.threshold)

        # `map` keeps no view while the next one is made: of a long clip each takes hundreds of megabytes.
        rows = tuple(map(write_view, built.views()))
        files.move_into(out)
        return write_marker(out, Marker(clip.id, clip_digest(clip), rows))


def _video(view: ViewClip, fps: float, config: BuildConfig) -> bytes:
    return encode_video(view.colour, fps, config.render.format == "mkv-lossless", rendered=view.yaw is not None)


def _pictures(view: ViewClip, names: list[str], grey: bool, config: BuildConfig) -> Iterator[bytes]:
    quality, rendered = config.render.jpeg_quality, view.yaw is not None
    for name, pixels in zip(names, view.colour, strict=True):
        yield encode_frame(pixels, layout.encoder(name), grey, quality, rendered)


def write_failure(out: Path, clip: Clip, failure: Failure) -> Marker:
    """Record that a clip could not be built, so that a resumed build does not try it again."""
    with disk_errors(out):
        return write_marker(out, Marker(clip.id, clip_digest(clip), failure=failure))


def write_marker(out: Path, marker: Marker) -> Marker:
    write_atomically(inside(out, layout.marker_path(marker.clip)), marker.to_json().encode())
    return marker


def remove_clip(out: Path, clip: Clip, yaws: tuple[float | None, ...]) -> None:
    """Remove what an unfinished clip left behind. Only its own files go: a clip's folder may hold another clip's."""
    with disk_errors(out):
        inside(out, layout.marker_path(clip.id)).unlink(missing_ok=True)
        inside(out, layout.geometry_path(clip.id)).unlink(missing_ok=True)
        for yaw in yaws:
            inside(out, layout.maps_path(yaw, clip.directory)).unlink(missing_ok=True)
            folder = inside(out, layout.frames_directory(yaw, clip.directory))
            for path in folder.iterdir() if folder.is_dir() else ():
                if path.is_file():
                    path.unlink()
        for yaw in yaws:
            _remove_empty(out / layout.frames_directory(yaw, clip.directory), out)
            _remove_empty((out / layout.maps_path(yaw, clip.directory)).parent, out)


class _Stage:
    """A folder for the files of one clip, numbered: to make a folder for each view, and remove it, takes longer."""

    def __init__(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self._folder = folder
        self._paths: list[PurePosixPath] = []

    def write(self, path: PurePosixPath, content: bytes) -> str:
        """Write what will be the store's file `path`, and return its sha256."""
        self._staged(len(self._paths)).write_bytes(content)
        self._paths.append(path)
        return hashlib.sha256(content).hexdigest()

    def move_into(self, out: Path) -> None:
        # Flushing after all files are written, and several at once, lets the file system commit them together.
        with ThreadPoolExecutor(_FLUSHED_AT_ONCE) as pool:
            list(pool.map(flush, map(self._staged, range(len(self._paths)))))
        for folder in {path.parent for path in self._paths}:
            inside(out, folder).mkdir(parents=True, exist_ok=True)
        for number, path in enumerate(self._paths):
            os.replace(self._staged(number), out / path)
        self._folder.rmdir()

    def _staged(self, number: int) -> Path:
        return self._folder / str(number)


def _remove_empty(folder: Path, stop: Path) -> None:
    while folder != stop and folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent


def _is_grey(colour: Image) -> bool:
    # A grey source comes out with three equal channels; one is written, as the source has it.
    return bool(np.array_equal(colour[..., 0], colour[..., 1]) and np.array_equal(colour[..., 1], colour[..., 2]))


def _row(
    *,
    clip: Clip,
    built: BuiltClip,
    view: ViewClip,
    split: Split,
    names: list[str],
    frames: list[str],
    as_video: bool,
    maps: str,
    geometry: str,
) -> ViewRow:
    known, face, registration = built.clip, built.reconstruction.face, built.reconstruction.registration
    last = len(known.frames) - 1
    return ViewRow(
        dataset=clip.dataset,
        clip=clip.id,
        expression=clip.expression,
        subject=clip.subject,
        subject_key=clip.subject_key,
        name=clip.name,
        emotion=clip.emotion,
        label=clip.label,
        action_units=list(clip.action_units),
        objective_class=clip.objective_class,
        kind=clip.kind,
        split=split,
        onset=known.onset,
        apex=known.apex,
        offset=known.offset,
        onset_index=known.position(known.onset, 0),
        apex_index=known.position(known.apex, last // 2),
        offset_index=known.position(known.offset, last),
        apex_estimated=clip.apex is None,
        fps=float(clip.fps),
        frames=len(names),
        left_out=len(clip.frames) - len(known.frames),
        view=view_name(view.yaw),
        yaw=view.yaw,
        visible_attention=finite(view.visible_attention),
        valid_fraction=finite(view.valid_fraction),
        kept=True,
        registered=finite(float(np.mean(registration.applied))),
        head_pixels=finite(float(registration.length.max())),
        head_degrees=finite(registration.degrees),
        residual=finite(built.quality.residual),
        largest_jump=finite(built.quality.largest_jump),
        face_seen=finite(built.quality.face_seen),
        blur=finite(built.quality.blur),
        exposure=finite(built.quality.exposure),
        occlusion=finite(built.quality.occlusion),
        faces=face.faces,
        frames_directory=str(layout.frames_directory(view.yaw, clip.directory)),
        frame_names=names,
        frames_sha256=frames,
        video=str(layout.video_path(view.yaw, clip.directory)) if as_video else None,
        maps=str(layout.maps_path(view.yaw, clip.directory)),
        maps_sha256=maps,
        geometry=str(layout.geometry_path(clip.id)),
        geometry_sha256=geometry,
        notes=list(known.notes),
    )
