"""The settings of a build: typed, frozen, in parts. The one source of truth for defaults, flags and their help.

`mvgen.core.settings` reads them from files, `mvgen.commands.settings` makes flags of them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from mvgen.core.angles import parse_angles

# Side of a view, pixels: no setting asks for more, so no store holds more.
LARGEST_SIZE = 1024

# How the geometries of a clip come from the depth of its frames; see `mvgen.depth.clip_geometry`.
Geometry = Literal["clip", "model", "per-frame"]

# Given as text, which its field reads: the help shows it so.
_SWEEP: Any = "-45:45:10"

# The parts that have weights.
WEIGHTS = ("geometry", "flow")


class _Part(BaseModel):
    """Settings that belong together. A field's flag has its name, or the one in `json_schema_extra`."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    @field_validator("*")
    @classmethod
    def _check_local(cls, value: Any) -> Any:
        if isinstance(value, Path) and (remote := re.match(r"([a-z][a-z0-9]+):/", str(value))):
            raise ValueError(
                f"{remote[1]}:// is no folder, and a build locks and renames its files; give a disk that workers share"
            )
        return value


class SourceConfig(_Part):
    """Which clips are read, and from where."""

    dataset: str = Field(default="demo", description="which release to read; `mvgen datasets` lists them")
    root: Path | None = Field(default=None, description="folder of the release")
    annotations: Path | None = Field(default=None, description="workbook, or folder of it, when it is not in ROOT")
    variant: Literal["auto", "raw", "cropped"] = Field(
        default="auto", description="which of the release's trees to read"
    )
    limit: Annotated[int, Field(ge=1)] | None = Field(default=None, description="build the first N clips only")


class SplitConfig(_Part):
    """How subjects are dealt to training and test."""

    test_share: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.2, description="share of the subjects that the test split holds; a subject is never on both sides"
    )
    seed: int = Field(default=0, description="seed of every random choice")


class CameraConfig(_Part):
    """The camera that took the source, and those that the views are seen by."""

    angles: tuple[float, ...] = Field(
        default=_SWEEP, description="yaw sweep in degrees: first:last:step, both ends included, or a list"
    )
    size: Annotated[int, Field(ge=64, le=LARGEST_SIZE)] = Field(default=256, description="side of the views in pixels")
    model: Literal["orthographic", "pinhole"] = Field(
        default="orthographic", description="camera model of the source", json_schema_extra={"flag": "camera"}
    )
    focal: Annotated[float, Field(gt=0)] | None = Field(
        default=None, description="pinhole: focal length in source pixels"
    )
    principal: tuple[float, float] | None = Field(default=None, description="pinhole: principal point in source pixels")
    pivot_depth: Annotated[float, Field(ge=-3, le=1)] = Field(
        default=-0.9, description="depth of the axis the views turn about, inter-ocular distances behind the eyes"
    )

    @field_validator("angles", mode="before")
    @classmethod
    def _read_angles(cls, value: Any) -> Any:
        if isinstance(value, int | float) and not isinstance(value, bool):
            value = str(value)
        elif isinstance(value, list | tuple) and value:
            value = ",".join(str(angle) for angle in value)
        return parse_angles(value) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _check_pinhole(self) -> CameraConfig:
        if self.model == "pinhole" and (self.focal is None or self.principal is None):
            raise ValueError("a pinhole needs focal and principal, in source pixels")
        return self


class RegistrationConfig(_Part):
    """How the frames of a clip are brought onto its onset frame."""

    method: Literal["head", "paper", "none"] = Field(
        default="head",
        description="how frames are brought onto the onset frame: by the head's motion along one path through the clip "
        "(head), by landmarks, ORB and RANSAC homographies (paper), or not at all (none)",
        json_schema_extra={"flag": "registration"},
    )
    min_inliers: Annotated[int, Field(ge=4)] = Field(
        default=12, description="paper: a frame with fewer RANSAC inliers goes the way between its neighbours"
    )


class GeometryConfig(_Part):
    """The surface that the frames of a clip lie on."""

    method: Geometry = Field(
        default="clip",
        description="one geometry for the whole clip (clip), moved by the fitted facial actions of each frame (model), "
        "or each frame by itself, as the paper reads (per-frame)",
        json_schema_extra={"flag": "geometry"},
    )
    weights: Path | None = Field(default=None, description="depth weights (.safetensors); the shipped ones by default")


class RenderConfig(_Part):
    """How the pictures of a view are drawn and kept."""

    renderer: str = Field(
        default="grid",
        description="what draws the views: grid (fast), or a reference by rays (raycast) or OpenGL (pyrender)",
    )
    grazing: Annotated[float, Field(gt=0, le=90)] = Field(
        default=65.0, description="surface seen in the source at more than this angle counts as unseen, degrees"
    )
    fill: Literal["mirror", "none"] = Field(
        default="mirror",
        description="colour of surface that the source's picture cuts off: that of the face's other side (mirror), or "
        "black (none); it is never marked as valid",
    )
    background: str = Field(
        default="black", description="what is behind the face: black, blurred (the source's), or #rrggbb"
    )
    format: Literal["source", "png"] = Field(
        default="source", description="image format: the source's own, or lossless png"
    )
    jpeg_quality: Annotated[int, Field(ge=97, le=100)] = Field(
        default=98, description="quality of JPEG frames, always 4:4:4"
    )

    @field_validator("background")
    @classmethod
    def _read_background(cls, value: str) -> str:
        if value not in ("black", "blurred") and re.fullmatch(r"#[0-9a-f]{6}", value.lower()) is None:
            raise ValueError(f"{value!r} is no background: use black, blurred or a colour as #rrggbb")
        return value.lower()


class FlowConfig(_Part):
    """How the motion of a view is found."""

    kind: Literal["geometric", "image"] = Field(
        default="geometric",
        description="motion of a view: the frontal clip's, carried through the face's surface (geometric), or found in "
        "the view's own pictures (image)",
        json_schema_extra={"flag": "flow"},
    )
    method: str = Field(
        default="joint",
        description="what finds motion: joint (in all frames at once), dis, farneback, tvl1, or raft, which needs "
        "--flow-weights",
        json_schema_extra={"flag": "flow-method"},
    )
    weights: Path | None = Field(
        default=None,
        description="RAFT weights (.safetensors); torch's cache by default",
        json_schema_extra={"flag": "flow-weights"},
    )


class AttentionConfig(_Part):
    """Which training views are kept."""

    threshold: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.6,
        description="a training view is kept when it sees at least this share of the attention",
        json_schema_extra={"flag": "attention-threshold"},
    )


class RunConfig(_Part):
    """Where and how fast a build runs. It may change between a build and its resumption: no byte depends on it."""

    out: Path = Field(default=Path("mvgen-out"), description="folder of the finished dataset")
    workers: Annotated[int, Field(ge=1)] = Field(
        default=1, description="clips built at a time; results do not depend on it"
    )
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="where the networks run")
    engine: Literal["local", "ray"] = Field(
        default="local", description="who builds the clips: this machine, or a Ray cluster; results do not depend on it"
    )
    address: str | None = Field(
        default=None, description="ray: address of the cluster; by default RAY_ADDRESS, or a new one on this machine"
    )
    worker_gpus: Annotated[float, Field(ge=0)] | None = Field(
        default=None,
        description="ray: share of a GPU that a worker takes; by default 1 where the networks run on one, else 0",
    )
    attempts: Annotated[int, Field(ge=1)] = Field(
        default=2, description="a clip whose worker dies or stalls this often is given up and listed as a failure"
    )
    clip_timeout: Annotated[float, Field(ge=0)] | None = Field(
        default=None,
        description="seconds that a clip may take, 0 for no limit; by default 5 minutes, and 5 seconds for every frame "
        "of every view at 256 pixels",
    )


class BuildConfig(BaseModel):
    """Everything a build depends on, by parts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: SourceConfig = SourceConfig()
    split: SplitConfig = SplitConfig()
    camera: CameraConfig = CameraConfig()
    registration: RegistrationConfig = RegistrationConfig()
    geometry: GeometryConfig = GeometryConfig()
    render: RenderConfig = RenderConfig()
    flow: FlowConfig = FlowConfig()
    attention: AttentionConfig = AttentionConfig()
    run: RunConfig = RunConfig()

    def changed(self, **parts: Mapping[str, Any]) -> BuildConfig:
        """The same with other settings, part -> name -> value, which are not checked."""
        return self.model_copy(
            update={part: getattr(self, part).model_copy(update=values) for part, values in parts.items()}
        )

    def absolute(self) -> BuildConfig:
        """The same with absolute paths, which mean the same to a process that runs in another folder."""
        return self.changed(
            **{part: {n: v.absolute() for n, v in values if isinstance(v, Path)} for part, values in self}
        )

    def seconds_for(self, frames: int) -> float | None:
        """How long a clip of so many frames may take, in seconds, None for no limit.

        The default is far above what the slowest settings need: it finds what hangs, not what is slow.
        """
        if self.run.clip_timeout is None:
            return 300.0 + 5.0 * frames * (len(self.camera.angles) + 1) * (self.camera.size / 256) ** 2
        return self.run.clip_timeout or None

    def identity(self) -> dict[str, dict[str, Any]]:
        """The settings that decide the bytes of the result, as plain JSON values. Weights enter by their digest."""
        values = self.model_dump(mode="json", exclude={"source": {"root", "annotations"}, "run": True})
        for part in WEIGHTS:
            path = getattr(self, part).weights
            values[part]["weights"] = None if path is None else file_digest(path)
        return values


def file_digest(path: Path) -> str:
    """sha256 of a file as lower-case hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces to disagree about: the form that is digested and compared."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, indent=2) + "\n"
