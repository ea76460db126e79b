"""Where things lie in a store. Paths are relative to its root and POSIX, so they mean the same on every machine.

dataset.json  clips.parquet  failures.jsonl  contact_sheet.png  annotations/  report/
views/<view>/<clip directory>/<frame>    colour frames, under the source's own names; or frames.mkv, which holds all
maps/<view>/<clip directory>.npz         valid, depth, flow and onset-to-apex flow of the view
geometry/<clip id>.npz                   what the views were made from; geometry/attention.safetensors
.build.json  .done/<clip id>.json        what the folder is being built from; one marker per finished clip
.partial/  .lock                         only while a build runs; .refining.json, only while `mvgen refine` does
.turns/                                  only while a build runs: who is at what
.forgotten.json                          who has left, by digest; .forgetting.json, only while `mvgen forget` runs
.shards/<i>-of-<n>.json                  what each shard of a build holds, until `mvgen merge` puts them together
"""

from __future__ import annotations

from pathlib import PurePosixPath

from mvgen.core.angles import view_name
from mvgen.core.names import VIEW_VIDEO

SCHEMA = 7
DATASET = "dataset.json"
TABLE = "clips.parquet"
FAILURES = "failures.jsonl"
SHEET = "contact_sheet.png"
REPORT = "report/index.html"
ANNOTATIONS = "annotations"
ATTENTION = "geometry/attention.safetensors"
BUILD = ".build.json"
REFINING = ".refining.json"
FORGOTTEN = ".forgotten.json"
FORGETTING = ".forgetting.json"
DONE = ".done"
VIDEO = VIEW_VIDEO
PARTIAL = ".partial"
LOCK = ".lock"
SHARDS = ".shards"
TURNS = ".turns"

# Image formats a frame keeps; anything else becomes PNG.
_FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".bmp": "BMP"}


def frames_directory(yaw: float | None, directory: PurePosixPath) -> PurePosixPath:
    """Folder of a view's colour frames; `yaw` in degrees, None for the frontal clip."""
    return PurePosixPath("views", view_name(yaw)) / directory


def video_path(yaw: float | None, directory: PurePosixPath) -> PurePosixPath:
    """The file that holds a view's colour frames where they are one video."""
    return frames_directory(yaw, directory) / VIDEO


def maps_path(yaw: float | None, directory: PurePosixPath) -> PurePosixPath:
    """The view's valid mask, depth and flow: int16 steps of `flow_step` pixels, `apex_flow` from onset to apex."""
    return PurePosixPath("maps", view_name(yaw)) / directory.parent / f"{directory.name}.npz"


def geometry_path(clip_id: str) -> PurePosixPath:
    """The clip's depth, crop, camera, registration, fit, signals and attention.

    Signals, see `mvgen.core.records.Signals`: `head_pose` (T, 6), from which yaw, pitch, roll, dx, dy and scale follow;
    `signal_names` (A,) action units, `signal_actions` and `signal_deviation` (T, A) float32, crop pixels.
    """
    return PurePosixPath("geometry", f"{clip_id}.npz")


def marker_path(clip_id: str) -> PurePosixPath:
    """The marker that says a clip is finished, or has failed."""
    return PurePosixPath(DONE, f"{clip_id}.json")


def stored_name(name: str, image_format: str) -> str:
    """Name of a frame in the store: the source's own, with `.png` for lossless stores and unknown formats.

    In a video the name says what `mvgen export --to frames` makes of it.
    """
    path = PurePosixPath(name)
    keeps = image_format in ("source", "mkv") and path.suffix.lower() in _FORMATS
    return name if keeps or path.suffix.lower() == ".png" else path.with_suffix(".png").name


def as_video(image_format: str, filmed: bool) -> bool:
    """Whether the frames of a view are one video. filmed : the clip was read from a video"""
    return image_format.startswith("mkv") or (image_format == "source" and filmed)


def is_frame(name: str) -> bool:
    """Whether a frame of a store may be called so."""
    return PurePosixPath(name).suffix.lower() in _FORMATS


def encoder(name: str) -> str:
    """Pillow's name of the format that a stored frame's extension stands for."""
    return _FORMATS[PurePosixPath(name).suffix.lower()]
