"""Writes one clip, all or nothing: staged beside its final place, flushed, moved, and a marker last.

The quantisation of flow: int16 steps of 1/128 pixel, so the error is at most 1/256 pixel, well below what any flow
method resolves, and a clip takes half the room. Motion beyond 255 pixels a frame, which no face makes, is clipped.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import shutil
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvgen.core.angles import view_name
from mvgen.core.config import RenderConfig
from mvgen.core.errors import ClipError, StoreError
from mvgen.core.landmarks68 import COUNT
from mvgen.core.records import BuiltClip, Clip, FaceFit, Image, Mask, Split, ViewClip
from mvgen.store import layout
from mvgen.store.manifest import Failure, Marker, ViewRow, clip_digest, finite
from mvgen.store.png import png_bytes

FLOW_STEP = 1 / 128

_MOST_STEPS = 32767
_COMPRESSION = 2  # of ISA-L's 0 to 3: a quarter of the work of zlib's 1, and as small; zlib's 6 is a fifth smaller
_FLUSHED_AT_ONCE = 16  # files; the file system commits together what is flushed together


def write_clip(out: Path, clip: Clip, built: BuiltClip, split: Split, config: RenderConfig) -> Marker:
    """Put a built clip into the store.

    clip : as its source lists it; `built.clip` may know more, for example an estimated apex, and have fewer frames
    Returns the marker, written as the very last file. Raises ClipError when two frames share a name, StoreError when
    the disk is full or the folder cannot be written.
    """
    names = [layout.stored_name(frame.name, config.format) for frame in built.clip.frames]
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ClipError("store", f"two frames of the clip are both called {twice}")
    stage = out / layout.PARTIAL / clip.id
    with disk_errors(out):
        files = _Stage(stage)
        geometry = files.write(layout.geometry_path(clip.id), npz_bytes(_geometry(built)))
        grey = _is_grey(built.views[0].colour)
        rows = []
        for view in built.views:
            folder = layout.frames_directory(view.yaw, clip.directory)
            frames = [
                files.write(folder / name, encode_frame(pixels, layout.encoder(name), grey, config.jpeg_quality))
                for name, pixels in zip(names, view.colour, strict=True)
            ]
            maps = files.write(layout.maps_path(view.yaw, clip.directory), npz_bytes(_maps(view)))
            rows.append(
                _row(
                    clip=clip,
                    built=built,
                    view=view,
                    split=split,
                    names=names,
                    frames=frames,
                    maps=maps,
                    geometry=geometry,
                )
            )
        files.move_into(out)
        return write_marker(out, Marker(clip.id, clip_digest(clip), tuple(rows)))


def write_failure(out: Path, clip: Clip, failure: Failure) -> Marker:
    """Record that a clip could not be built, so that a resumed build does not try it again."""
    with disk_errors(out):
        return write_marker(out, Marker(clip.id, clip_digest(clip), failure=failure))


def write_marker(out: Path, marker: Marker) -> Marker:
    write_atomically(out / layout.marker_path(marker.clip), marker.to_json().encode())
    return marker


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file beside its place, flush it, and move it there: a reader sees the old bytes or the new ones."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.tmp")
    beside.write_bytes(content)
    _flush(beside)
    os.replace(beside, path)


def remove_clip(out: Path, clip: Clip, yaws: tuple[float | None, ...]) -> None:
    """Remove what an unfinished clip left behind. Only its own files go: a clip's folder may hold another clip's."""
    (out / layout.marker_path(clip.id)).unlink(missing_ok=True)
    (out / layout.geometry_path(clip.id)).unlink(missing_ok=True)
    for yaw in yaws:
        (out / layout.maps_path(yaw, clip.directory)).unlink(missing_ok=True)
        folder = out / layout.frames_directory(yaw, clip.directory)
        for path in folder.iterdir() if folder.is_dir() else ():
            if path.is_file():
                path.unlink()
    for yaw in yaws:
        _remove_empty(out / layout.frames_directory(yaw, clip.directory), out)
        _remove_empty((out / layout.maps_path(yaw, clip.directory)).parent, out)


@contextmanager
def disk_errors(out: Path) -> Iterator[None]:
    """Turn a full or unwritable disk into a StoreError; anything else passes."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreError(
                f"no space left for {out}; what is finished is safe: free some space and run the same line again"
            ) from None
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise StoreError(f"cannot write {error.filename or out}: {error.strerror}; choose another --out") from None
        raise


def encode_frame(pixels: Image, image_format: str, grey: bool, quality: int) -> bytes:
    """Encode one frame, (S, S, 3) uint8 RGB, as JPEG (4:4:4: chroma blocks are motion too), PNG or BMP."""
    picture = np.ascontiguousarray(pixels[..., 0] if grey else pixels)
    if image_format == "PNG":
        return png_bytes(picture)
    if image_format == "JPEG":
        return _jpeg_bytes(picture, quality)
    from PIL import Image as Pillow

    buffer = io.BytesIO()
    Pillow.fromarray(picture).save(buffer, format=image_format)
    return buffer.getvalue()


def _jpeg_bytes(picture: Image, quality: int) -> bytes:
    import cv2

    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    if picture.ndim == 3:
        picture = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), np.uint8)
        options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    return cv2.imencode(".jpg", picture, options)[1].tobytes()


def npz_bytes(arrays: dict[str, NDArray[Any]]) -> bytes:
    """A compressed `.npz`; its members are dated 1980-01-01, so equal arrays give equal bytes."""
    from isal import isal_zlib

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                # Neither numpy nor zipfile can be told what to compress with.
                member._compressor = isal_zlib.compressobj(_COMPRESSION, isal_zlib.DEFLATED, -isal_zlib.MAX_WBITS)  # type: ignore[attr-defined]
                np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)
    return buffer.getvalue()


def quantise_flow(flow: NDArray[np.float32], surface: Mask) -> NDArray[np.int16]:
    """(..., S, S, 2) pixels -> int16 steps of FLOW_STEP, zero outside the (S, S) surface and where it is NaN."""
    import cv2

    farthest, shown = _MOST_STEPS * FLOW_STEP, surface.astype(np.uint8)
    steps = np.empty(flow.shape, np.int16)
    fields = zip(flow.reshape(-1, *flow.shape[-3:]), steps.reshape(-1, *flow.shape[-3:]), strict=True)
    for field, rounded in fields:
        known = cv2.copyTo(np.clip(field, -farthest, farthest, dtype=np.float32), shown)
        cv2.patchNaNs(known, 0.0)
        # Rounds to the nearest, which takes numpy three passes.
        rounded[:] = cv2.addWeighted(known, 1 / FLOW_STEP, known, 0.0, 0.0, dtype=cv2.CV_16S)
    return steps


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
            list(pool.map(_flush, map(self._staged, range(len(self._paths)))))
        for folder in {path.parent for path in self._paths}:
            (out / folder).mkdir(parents=True, exist_ok=True)
        for number, path in enumerate(self._paths):
            os.replace(self._staged(number), out / path)
        self._folder.rmdir()

    def _staged(self, number: int) -> Path:
        return self._folder / str(number)


def _flush(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _remove_empty(folder: Path, stop: Path) -> None:
    while folder != stop and folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent


def _is_grey(colour: Image) -> bool:
    # A grey source comes out with three equal channels; one is written, as the source has it.
    return bool(np.array_equal(colour[..., 0], colour[..., 1]) and np.array_equal(colour[..., 1], colour[..., 2]))


def _maps(view: ViewClip) -> dict[str, NDArray[Any]]:
    surface = np.isfinite(view.depth)
    return {
        "valid": view.valid.astype(bool),
        "depth": view.depth.astype(np.float32),
        "flow": quantise_flow(view.flow, surface),
        "apex_flow": quantise_flow(view.apex_flow, surface),
        "flow_step": np.array(FLOW_STEP),
    }


def _geometry(built: BuiltClip) -> dict[str, NDArray[Any]]:
    camera, registration = built.depth.camera, built.registration
    return {
        "depth": built.depth.depth.astype(np.float32),
        "confidence": built.depth.confidence.astype(np.float32),
        "crop": np.asarray(built.face.crop, dtype=np.float64),
        "points": np.asarray(built.face.points, dtype=np.float64),
        "landmarks": _or_nan(built.face.landmarks, (COUNT, 2)),
        "landmarks_visible": _or_nan(built.face.visible, (COUNT,)),
        "inside": built.face.inside.astype(bool),
        "camera_kind": np.array(camera.kind),
        "camera_scale": np.array(camera.scale, dtype=np.float64),
        "camera_centre": np.asarray(camera.centre, dtype=np.float64),
        "camera_pivot": np.asarray(camera.pivot, dtype=np.float64),
        "camera_focal": np.array(np.nan if camera.focal is None else camera.focal),
        "camera_principal": np.asarray(camera.principal or (np.nan, np.nan), dtype=np.float64),
        "homography": np.asarray(registration.homography, dtype=np.float64),
        "parallax": np.asarray(registration.parallax, dtype=np.float64),
        "head_pose": np.asarray(registration.pose, dtype=np.float64),
        "head_length": np.asarray(registration.length, dtype=np.float64),
        "reasons": np.array(registration.reasons, dtype=np.str_),
        "signal_names": np.array(built.signals.names, dtype=np.str_),
        "signal_actions": built.signals.actions.astype(np.float32),
        "signal_deviation": built.signals.deviation.astype(np.float32),
        **_fit(built.fit),
        **({} if built.lift is None else {"lift": built.lift.astype(np.float16)}),
        "attention": built.attention.astype(np.float32),
    }


def _fit(fit: FaceFit) -> dict[str, NDArray[Any]]:
    """The fit of the clip's geometry, its first frame."""
    return {
        "fit_vertices": fit.vertices[0].astype(np.float32),
        "fit_identity": fit.identity.astype(np.float32),
        "fit_actions": fit.actions[0].astype(np.float32),
        "fit_rotation": fit.rotation[0].astype(np.float64),
        "fit_shift": fit.shift[0].astype(np.float64),
        "fit_scale": np.array(fit.scale, dtype=np.float64),
    }


def _or_nan(values: NDArray[np.floating] | None, shape: tuple[int, ...]) -> NDArray[np.float64]:
    return np.full(shape, np.nan) if values is None else values.astype(np.float64)


def _row(
    *,
    clip: Clip,
    built: BuiltClip,
    view: ViewClip,
    split: Split,
    names: list[str],
    frames: list[str],
    maps: str,
    geometry: str,
) -> ViewRow:
    known = built.clip
    last = len(known.frames) - 1
    return ViewRow(
        dataset=clip.dataset,
        clip=clip.id,
        subject=clip.subject,
        subject_key=clip.subject_key,
        name=clip.name,
        emotion=clip.emotion,
        label=clip.label,
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
        kept=bool(view.kept) or split != "train",
        registered=finite(float(np.mean(built.registration.applied))),
        head_pixels=finite(float(built.registration.length.max())),
        head_degrees=finite(built.registration.degrees),
        faces=built.face.faces,
        frames_directory=str(layout.frames_directory(view.yaw, clip.directory)),
        frame_names=names,
        frames_sha256=frames,
        maps=str(layout.maps_path(view.yaw, clip.directory)),
        maps_sha256=maps,
        geometry=str(layout.geometry_path(clip.id)),
        geometry_sha256=geometry,
        notes=list(known.notes),
    )
