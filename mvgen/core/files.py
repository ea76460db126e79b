"""Files of the package, atomic writing, and errors of the disk."""

from __future__ import annotations

import difflib
import errno
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from mvgen.core.errors import ConfigError, StoreError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # errors of a disk that has no more room for a file
_MOST_JSON = 128 << 20  # bytes; a shard of a million clips has half of that
_DEEPEST_JSON = 16  # what mvgen writes itself has 5 levels


def open_regular(path: Path) -> BinaryIO:
    """Open a file to read it. Raises OSError for anything but a regular file: a pipe would be waited for, for ever."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    return os.fdopen(descriptor, "rb")


def read_regular(path: Path, most: int = _MOST_JSON) -> bytes:
    """The bytes of a regular file. Raises OSError for one that cannot be read or has more than `most` bytes."""
    with open_regular(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"it has more than {most} bytes", str(path))
    return content


def parse_json(content: bytes | str) -> Any:
    """Plain values. Raises ValueError for what is no JSON, nests too deep or holds NaN, which is none."""
    try:
        value = json.loads(content, parse_constant=_no_number)
    except RecursionError:
        raise ValueError("its brackets nest too deep") from None
    if deeper_than(value, _DEEPEST_JSON):
        raise ValueError("its brackets nest too deep")
    return value


def read_json(path: Path, remedy: str) -> dict[str, Any]:
    """A JSON object in a file. Raises StoreError with a remedy where it is missing, damaged or something else."""
    try:
        value = parse_json(read_regular(path))
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} is damaged: {reason_of(error)}; {remedy}") from None
    if not isinstance(value, dict):
        raise StoreError(f"{path} is damaged: it holds no object; {remedy}")
    return value


def reason_of(error: Exception) -> str:
    """What an error says, without the path that an OSError repeats."""
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)


def deeper_than(value: Any, most: int) -> bool:
    """Whether lists and mappings nest in more than so many levels."""
    level = [value]
    for _ in range(most + 1):
        lists = (one.values() if isinstance(one, dict) else one for one in level if isinstance(one, dict | list))
        level = [child for children in lists for child in children]
        if not level:
            return False
    return True


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


def write_atomically(path: Path, content: bytes) -> None:
    """Write a temporary file, flush it, and rename it: a reader sees the old bytes or the new ones."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.tmp")
    # A link that somebody left there would be written through, to wherever it leads.
    beside.unlink(missing_ok=True)
    beside.write_bytes(content)
    flush(beside)
    os.replace(beside, path)


@contextmanager
def disk_errors(out: Path) -> Iterator[None]:
    """Turn a full or unwritable disk into a StoreError; anything else passes."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise StoreError(
                f"no space left for {out}; what is finished is safe: free some space and run the same command again"
            ) from None
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise StoreError(f"cannot write {error.filename or out}: {error.strerror}; choose another --out") from None
        if error.errno in (errno.EISDIR, errno.ENOTEMPTY, errno.EEXIST):
            raise StoreError(
                f"cannot write {error.filename or out}: {error.strerror}; remove what lies there, mvgen did not make it"
            ) from None
        if error.errno in (errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG):
            raise StoreError(f"{out} cannot be a folder: {error.strerror}; choose another --out") from None
        raise


def flush(path: Path) -> None:
    """Wait until a file's content is on the disk."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def cache_dir() -> Path:
    """The cache folder: $MVGEN_CACHE_DIR, else $XDG_CACHE_HOME/mvgen, else ~/.cache/mvgen. Not created here."""
    if own := os.environ.get("MVGEN_CACHE_DIR"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mvgen"


def config_names() -> dict[str, Path]:
    """The settings that come with mvgen: name, as `bench/novel_view_small`, -> YAML file."""
    package = Path(__file__).parents[1]
    # In a wheel they lie inside the package, in a clone beside it.
    folder = next((place for place in (package / "configs", package.parent / "configs") if place.is_dir()), None)
    files = sorted(folder.rglob("*.yaml")) if folder else []
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in files if folder}


def find_config(given: Path, what: str) -> Path:
    """The file of settings at a path, or with a name of `config_names`, `configs/` and `.yaml` written or not.

    what : the file is, for messages
    Raises ConfigError, with the nearest name, for what is neither.
    """
    if os.path.exists(given) and not os.path.isdir(given):
        return given
    names = config_names()
    name = given.as_posix().removeprefix("configs/").removesuffix(".yaml")
    if name in names:
        return names[name]
    last = {known.rpartition("/")[2]: known for known in names}
    close = difflib.get_close_matches(name, names, n=1) or difflib.get_close_matches(name, last, n=1)
    hint = f"did you mean {last.get(close[0], close[0])!r}? " if close else ""
    raise ConfigError(f"{what} {given} does not exist; {hint}`mvgen configs` lists those that come with mvgen")


def shipped_weights() -> Path:
    """The depth weights inside the package."""
    return Path(__file__).parents[1] / "depth" / "weights" / "face_depth.safetensors"


def face_mesh_weights() -> Path:
    """MediaPipe's face landmark model inside the package."""
    return Path(__file__).parents[1] / "faces" / "weights" / "face_landmark.tflite"


def blazeface_weights() -> Path:
    """MediaPipe's face detection model inside the package."""
    return Path(__file__).parents[1] / "faces" / "weights" / "face_detection.tflite"


def face_mesh_tables() -> Path:
    """The tables of the face mesh inside the package."""
    return Path(__file__).parents[1] / "faces" / "face_mesh_topology.npz"
