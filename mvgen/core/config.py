"""The settings of a build: typed, frozen, in parts. The single source of defaults, flags and their help.

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
Geometry = Literal["clip", "model", "per-frame", "source"]

# As text, which its field parses, so that the help shows it in this form.
_SWEEP: Any = "-45:45:10"
_CAMERAS: Any = "HS"

# How a model of the user's expects its picture: the range of RGB in it, or ImageNet's normalisation.
PictureScale = Literal["imagenet", "unit", "symmetric", "byte"]

# The settings that name a file of weights: part and name.
WEIGHTS = (("geometry", "weights"), ("geometry", "depth_onnx"), ("flow", "weights"))


class _Part(BaseModel):
    """Settings that belong together. A field's flag has its name, or the one in `json_schema_extra`."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    @field_validator("*")
    @classmethod
    def _check_local(cls, value: Any) -> Any:
        if isinstance(value, Path) and (remote := re.match(r"([a-z][a-z0-9]+):/", str(value))):
            raise ValueError(
                f"{remote[1]}:// is not a folder, and a build locks and renames files; give a disk that workers share"
            )
        return value


class SourceConfig(_Part):
    """The clips to read, and where they are."""

    dataset: str = Field(default="demo", description="release to read; `mvgen datasets` lists them")
    root: Path | None = Field(default=None, description="folder of the release")
    annotations: Path | None = Field(default=None, description="workbook, or its folder, if not in ROOT")
    variant: Literal["auto", "raw", "cropped"] = Field(
        default="auto", description="form of the release's frames to read"
    )
    cameras: tuple[Literal["HS", "VIS", "NIR"], ...] = Field(
        default=_CAMERAS, description="cameras of SMIC to read: HS, VIS, NIR; its clips are one expression seen thrice"
    )
    kind: Literal["both", "micro", "macro"] = Field(default="both", description="expressions to read")
    video_frames: Annotated[int, Field(ge=2)] | None = Field(
        default=None,
        description="read the long videos (rawpic of CAS(ME)², SMIC-E), and at least N frames around each expression",
    )
    limit: Annotated[int, Field(ge=1)] | None = Field(default=None, description="build the first N clips only")
    clips: Path | None = Field(
        default=None, description="folder: table of `mvgen spot`; each expression in a recording is a clip"
    )
    first: Annotated[int, Field(ge=0)] | None = Field(
        default=None, description="folder: number of the first frame to read", json_schema_extra={"flag": "from"}
    )
    last: Annotated[int, Field(ge=0)] | None = Field(
        default=None, description="folder: number of the last frame to read", json_schema_extra={"flag": "to"}
    )
    every: Annotated[int, Field(ge=1)] = Field(default=1, description="folder: read one of every N frames")

    @field_validator("cameras", mode="before")
    @classmethod
    def _read_cameras(cls, value: Any) -> Any:
        return tuple(part.strip().upper() for part in value.split(",")) if isinstance(value, str) else value


class SplitConfig(_Part):
    """How subjects are divided between training and test."""

    test_share: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.2, description="share of the subjects in the test split; no subject is in both splits"
    )
    seed: int = Field(default=0, description="seed of every random choice")


class CameraConfig(_Part):
    """The camera of the source, and the cameras of the views."""

    angles: tuple[float, ...] = Field(
        default=_SWEEP, description="yaw angles in degrees: first:last:step, both ends included, or a list"
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
        default=-0.9,
        description="depth of the axis that views turn about, inter-ocular distances; behind the eyes if negative",
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
            raise ValueError("a pinhole camera needs focal and principal, in source pixels")
        return self


class FaceConfig(_Part):
    """How the face of a clip is found."""

    detector: Literal["mtcnn", "blazeface"] = Field(
        default="mtcnn",
        description="face detector: mtcnn (also finds small faces), or blazeface (faster, for faces of a sixth of "
        "the picture or more)",
    )


class RegistrationConfig(_Part):
    """How the frames of a clip are aligned with its onset frame."""

    method: Literal["head", "paper", "none"] = Field(
        default="head",
        description="how frames are aligned with the onset frame: by head motion, smooth over the clip (head), "
        "by homographies from landmarks and ORB with RANSAC (paper), or not at all (none)",
        json_schema_extra={"flag": "registration"},
    )
    min_inliers: Annotated[int, Field(ge=4)] = Field(
        default=12, description="paper: the homography of a frame with fewer RANSAC inliers is interpolated"
    )


class GeometryConfig(_Part):
    """The geometry of a clip's face."""

    method: Geometry = Field(
        default="clip",
        description="one geometry for the whole clip (clip), the same deformed by each frame's facial actions (model), "
        "a geometry for every frame, as in the paper (per-frame), or one from the depth that the source's sensor saw "
        "(source)",
        json_schema_extra={"flag": "geometry"},
    )
    weights: Path | None = Field(
        default=None, description="depth weights (.safetensors); by default those shipped with mvgen"
    )
    depth_onnx: Path | None = Field(
        default=None,
        description="monocular depth or normal model (.onnx) whose detail replaces the depth network's; needs "
        "mvgen[onnx]",
    )
    depth_onnx_input: PictureScale = Field(
        default="imagenet",
        description="how that model expects RGB: ImageNet's mean and deviation (imagenet), 0 to 1 (unit), -1 to 1 "
        "(symmetric) or 0 to 255 (byte)",
    )
    depth_onnx_output: str | None = Field(
        default=None, description="name of that model's output to read, where several are maps of depth or normals"
    )


class RenderConfig(_Part):
    """How the images of a view are rendered and stored."""

    renderer: str = Field(
        default="grid",
        description="renderer: grid (fast), or a reference by ray casting (raycast) or OpenGL (pyrender)",
    )
    grazing: Annotated[float, Field(gt=0, le=90)] = Field(
        default=65.0, description="surface that the source sees at more than this angle counts as unseen, degrees"
    )
    fill: Literal["mirror", "none"] = Field(
        default="mirror",
        description="colour of surface outside the source image: mirrored from the other side of the face (mirror), or "
        "black (none); it is never marked as valid",
    )
    background: str = Field(
        default="black", description="background of the views: black, blurred (the source's), or #rrggbb"
    )
    format: Literal["source", "png", "mkv", "mkv-lossless"] = Field(
        default="source",
        description="format of the frames: the source's, which is mkv where it is a video (source); png; or a video of "
        "each view, nearly lossless (mkv) or lossless (mkv-lossless)",
    )
    jpeg_quality: Annotated[int, Field(ge=97, le=100)] = Field(default=98, description="JPEG quality, always 4:4:4")

    @field_validator("background")
    @classmethod
    def _read_background(cls, value: str) -> str:
        if value not in ("black", "blurred") and re.fullmatch(r"#[0-9a-f]{6}", value.lower()) is None:
            raise ValueError(f"{value!r} is not a background: use black, blurred or a colour as #rrggbb")
        return value.lower()


class FlowConfig(_Part):
    """How the optical flow of a view is computed."""

    kind: Literal["geometric", "image"] = Field(
        default="geometric",
        description="optical flow of a view: the frontal clip's, projected from the moving surface (geometric), or "
        "estimated from the view's own images (image)",
        json_schema_extra={"flag": "flow"},
    )
    method: str = Field(
        default="joint",
        description="optical flow method: joint (all frames at once), dis, farneback, tvl1, or raft (needs weights)",
        json_schema_extra={"flag": "flow-method"},
    )
    weights: Path | None = Field(
        default=None,
        description="RAFT weights (.safetensors); by default those in torch's cache",
        json_schema_extra={"flag": "flow-weights"},
    )


class AttentionConfig(_Part):
    """Which training views are kept."""

    threshold: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.6,
        description="keep training views that see at least this share of the attention",
        json_schema_extra={"flag": "attention-threshold"},
    )


class RunConfig(_Part):
    """Where and how fast a build runs. The results do not depend on it, so a resumed build may change it."""

    out: Path = Field(default=Path("mvgen-out"), description="folder of the finished dataset")
    workers: Annotated[int, Field(ge=1)] = Field(default=1, description="number of clips built in parallel")
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="device that the networks run on")
    engine: Literal["local", "ray"] = Field(default="local", description="what builds the clips: this machine, or Ray")
    address: str | None = Field(
        default=None, description="ray: address of the cluster; by default RAY_ADDRESS, or a new one on this machine"
    )
    worker_gpus: Annotated[float, Field(ge=0)] | None = Field(
        default=None, description="ray: GPUs per worker, or a fraction; by default 1 where the networks use one, else 0"
    )
    attempts: Annotated[int, Field(ge=1)] = Field(
        default=2, description="times a clip may crash or hang its worker before it is listed as a failure"
    )
    clip_timeout: Annotated[float, Field(ge=0)] | None = Field(
        default=None,
        description="time limit of a clip, seconds; 0 for none; by default 5 minutes, and 5 seconds for every frame of "
        "every view at 256 pixels",
    )


class BuildConfig(BaseModel):
    """All settings of a build, in parts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: SourceConfig = SourceConfig()
    split: SplitConfig = SplitConfig()
    camera: CameraConfig = CameraConfig()
    face: FaceConfig = FaceConfig()
    registration: RegistrationConfig = RegistrationConfig()
    geometry: GeometryConfig = GeometryConfig()
    render: RenderConfig = RenderConfig()
    flow: FlowConfig = FlowConfig()
    attention: AttentionConfig = AttentionConfig()
    run: RunConfig = RunConfig()

    def changed(self, **parts: Mapping[str, Any]) -> BuildConfig:
        """The same with some settings changed, part -> name -> value, unchecked."""
        return self.model_copy(
            update={part: getattr(self, part).model_copy(update=values) for part, values in parts.items()}
        )

    def absolute(self) -> BuildConfig:
        """The same with absolute paths, for processes that run in another folder."""
        return self.changed(
            **{part: {n: v.absolute() for n, v in values if isinstance(v, Path)} for part, values in self}
        )

    def seconds_for(self, frames: int) -> float | None:
        """Time limit of a clip of so many frames, seconds; None for no limit.

        The default is far above what the slowest settings need: it is for clips that hang, not for slow ones.
        """
        if self.run.clip_timeout is None:
            return 300.0 + 5.0 * frames * (len(self.camera.angles) + 1) * (self.camera.size / 256) ** 2
        return self.run.clip_timeout or None

    def identity(self) -> dict[str, dict[str, Any]]:
        """The settings that decide the bytes of the result, as plain JSON values. Weights enter by their digest."""
        values = self.model_dump(mode="json", exclude={"source": {"root", "annotations", "clips"}, "run": True})
        for part, name in WEIGHTS:
            path = getattr(getattr(self, part), name)
            values[part][name] = None if path is None else file_digest(path)
        return values


def file_digest(path: Path) -> str:
    """sha256 of a file as lower-case hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and fixed spacing: the form that is digested and compared."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, indent=2) + "\n"
