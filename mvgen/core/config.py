"""The settings of a build: typed, frozen, read from YAML, overridden by flags. The one source of truth for defaults."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from mvgen.core.angles import parse_angles
from mvgen.core.errors import AnglesError, ConfigError

# Settings that say where and how fast a build runs; they may change between a build and its resumption.
_RUN_ONLY = frozenset(
    {"root", "annotations", "out", "workers", "device", "engine", "address", "worker_gpus", "attempts", "clip_timeout"}
)

# Settings that name a file or a folder.
_PATHS = ("root", "annotations", "out", "weights", "flow_weights")

# How the geometries of a clip come from the depth of its frames; see `mvgen.depth.clip_geometry`.
Geometry = Literal["clip", "model", "per-frame"]

# What finds the motion between two pictures; see `mvgen.motion.flow`.
FlowMethod = Literal["joint", "dis", "farneback", "tvl1", "raft"]


class BuildConfig(BaseModel):
    """Everything a build depends on. Field descriptions are the help of the flags with the same names."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str = Field("demo", description="which release to read; `mvgen datasets` lists them")
    root: Path | None = Field(None, description="folder of the release")
    annotations: Path | None = Field(None, description="workbook, or folder of it, when it is not in ROOT")
    variant: Literal["auto", "raw", "cropped"] = Field("auto", description="which of the release's trees to read")
    out: Path = Field(Path("mvgen-out"), description="folder of the finished dataset")
    angles: tuple[float, ...] = Field(
        parse_angles("-45:45:10"), description="yaw sweep in degrees: first:last:step, both ends included, or a list"
    )
    size: Annotated[int, Field(ge=64, le=1024)] = Field(256, description="side of the views in pixels")
    format: Literal["source", "png"] = Field("source", description="image format: the source's own, or lossless png")
    jpeg_quality: Annotated[int, Field(ge=97, le=100)] = Field(98, description="quality of JPEG frames, always 4:4:4")
    camera: Literal["orthographic", "pinhole"] = Field("orthographic", description="camera model of the source")
    focal: Annotated[float, Field(gt=0)] | None = Field(None, description="pinhole: focal length in source pixels")
    principal: tuple[float, float] | None = Field(None, description="pinhole: principal point in source pixels")
    pivot_depth: Annotated[float, Field(ge=-3, le=1)] = Field(
        -0.9, description="depth of the axis the views turn about, inter-ocular distances behind the eyes"
    )
    geometry: Geometry = Field(
        "clip",
        description="one geometry for the whole clip (clip), moved by the fitted facial actions of each frame (model), "
        "or each frame by itself, as the paper reads (per-frame)",
    )
    renderer: Literal["grid", "raycast", "pyrender"] = Field(
        "grid", description="what draws the views: grid (fast), or a reference by rays (raycast) or OpenGL (pyrender)"
    )
    grazing: Annotated[float, Field(gt=0, le=90)] = Field(
        65.0, description="surface seen in the source at more than this angle counts as unseen, degrees"
    )
    fill: Literal["mirror", "none"] = Field(
        "mirror",
        description="colour of surface that the source's picture cuts off: that of the face's other side (mirror), or "
        "black (none); it is never marked as valid",
    )
    background: str = Field("black", description="what is behind the face: black, blurred (the source's), or #rrggbb")
    registration: Literal["head", "paper", "none"] = Field(
        "head",
        description="how frames are brought onto the onset frame: by the head's motion along one path through the clip "
        "(head), by landmarks, ORB and RANSAC homographies (paper), or not at all (none)",
    )
    min_inliers: Annotated[int, Field(ge=4)] = Field(
        12, description="paper: a frame with fewer RANSAC inliers goes the way between its neighbours"
    )
    flow: Literal["geometric", "image"] = Field(
        "geometric",
        description="motion of a view: the frontal clip's, carried through the face's surface (geometric), or found in "
        "the view's own pictures (image)",
    )
    flow_method: FlowMethod = Field(
        "joint", description="what finds motion, joint in all frames at once; raft needs weights, see flow_weights"
    )
    flow_weights: Path | None = Field(None, description="RAFT weights (.safetensors); torch's cache by default")
    attention_threshold: Annotated[float, Field(ge=0, le=1)] = Field(
        0.6, description="a training view is kept when it sees at least this share of the attention"
    )
    test_share: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.2, description="share of the subjects that the test split holds; a subject is never on both sides"
    )
    weights: Path | None = Field(None, description="depth weights (.safetensors); the shipped ones by default")
    seed: int = Field(0, description="seed of every random choice")
    limit: Annotated[int, Field(ge=1)] | None = Field(None, description="build the first N clips only")
    workers: Annotated[int, Field(ge=1)] = Field(1, description="clips built at a time; results do not depend on it")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="where the networks run")
    engine: Literal["local", "ray"] = Field(
        "local", description="who builds the clips: this machine, or a Ray cluster; results do not depend on it"
    )
    address: str | None = Field(
        None, description="ray: address of the cluster; by default RAY_ADDRESS, or a new one on this machine"
    )
    worker_gpus: Annotated[float, Field(ge=0)] | None = Field(
        None, description="ray: share of a GPU that a worker takes; by default 1 where the networks run on one, else 0"
    )
    attempts: Annotated[int, Field(ge=1)] = Field(
        2, description="a clip whose worker dies or stalls this often is given up and listed as a failure"
    )
    clip_timeout: Annotated[float, Field(ge=0)] | None = Field(
        None,
        description="seconds that a clip may take, 0 for no limit; by default 5 minutes, and 5 seconds for every frame "
        "of every view at 256 pixels",
    )

    @field_validator("angles", mode="before")
    @classmethod
    def _read_angles(cls, value: Any) -> Any:
        if isinstance(value, int | float) and not isinstance(value, bool):
            value = str(value)
        elif isinstance(value, list | tuple) and value:
            value = ",".join(str(angle) for angle in value)
        return parse_angles(value) if isinstance(value, str) else value

    @field_validator("background")
    @classmethod
    def _read_background(cls, value: str) -> str:
        if value not in ("black", "blurred") and re.fullmatch(r"#[0-9a-f]{6}", value.lower()) is None:
            raise ValueError(f"{value!r} is no background: use black, blurred or a colour as #rrggbb")
        return value.lower()

    @field_validator(*_PATHS)
    @classmethod
    def _check_local(cls, path: Path | None) -> Path | None:
        if remote := re.match(r"([a-z][a-z0-9]+):/", str(path)):
            raise ValueError(
                f"{remote[1]}:// is no folder, and a build locks and renames its files; give a disk that workers share"
            )
        return path

    def seconds_for(self, frames: int) -> float | None:
        """How long a clip of so many frames may take, in seconds, None for no limit.

        The default is far above what the slowest settings need: it finds what hangs, not what is slow.
        """
        if self.clip_timeout is None:
            return 300.0 + 5.0 * frames * (len(self.angles) + 1) * (self.size / 256) ** 2
        return self.clip_timeout or None

    def absolute(self) -> BuildConfig:
        """The same with absolute paths, which mean the same to a process that runs in another folder."""
        paths = {name: path.absolute() for name in _PATHS if (path := getattr(self, name)) is not None}
        return self.model_copy(update=paths)

    def identity(self) -> dict[str, Any]:
        """The settings that decide the bytes of the result, as plain JSON values. Weights enter by their digest."""
        values = self.model_dump(mode="json", exclude=set(_RUN_ONLY))
        for name in ("weights", "flow_weights"):
            path = getattr(self, name)
            values[name] = None if path is None else file_digest(path)
        return values


class _Loader(yaml.SafeLoader):
    """YAML without numbers to base 60: `-45:45:10` is a sweep, not minus 164,710."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in rules if tag not in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"[-+]?(?:0|[1-9][0-9]*)$"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?$"),
    list("-+.0123456789"),
)


def load_config(path: Path | None, overrides: Mapping[str, Any]) -> BuildConfig:
    """Read a YAML file and lay flags over it.

    path : YAML with the field names of BuildConfig, or None
    overrides : field name -> value; None means the flag was not given
    Raises ConfigError naming the file, the key and the nearest known key.
    """
    values: dict[str, Any] = {}
    if path is not None:
        if not path.is_file():
            raise ConfigError(f"config file {path} does not exist")
        try:
            loaded = yaml.load(path.read_text(encoding="utf-8"), _Loader)
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ConfigError(f"config file {path} is not valid YAML: {error}") from None
        if loaded is not None and not isinstance(loaded, dict):
            raise ConfigError(f"config file {path} holds a {type(loaded).__name__}, not `name: value` lines")
        values.update(loaded or {})
    values.update({name: value for name, value in overrides.items() if value is not None})
    where = f"config file {path}" if path else "settings"
    for name in values:
        if name not in BuildConfig.model_fields:
            close = difflib.get_close_matches(str(name), BuildConfig.model_fields, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(BuildConfig.model_fields)}"
            raise ConfigError(f"{where}: unknown setting {name!r}{hint}")
    try:
        config = BuildConfig(**values)
    except AnglesError:
        raise
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ConfigError(f"{where}: {problems}") from None
    if config.camera == "pinhole" and (config.focal is None or config.principal is None):
        raise ConfigError(f"{where}: camera: pinhole needs focal and principal, in source pixels")
    for name in ("weights", "flow_weights"):
        path = getattr(config, name)
        if path is not None and not path.is_file():
            raise ConfigError(f"{where}: {name}: {path} does not exist")
    return config


def file_digest(path: Path) -> str:
    """sha256 of a file as lower-case hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces to disagree about: the form that is digested and compared."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, indent=2) + "\n"
