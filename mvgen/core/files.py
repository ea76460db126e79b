"""Files of the package, atomic writing, and errors of the disk."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mvgen.core.errors import StoreError


def write_atomically(path: Path, content: bytes) -> None:
    """Write a temporary file, flush it, and rename it: a reader sees the old bytes or the new ones."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.tmp")
    beside.write_bytes(content)
    flush(beside)
    os.replace(beside, path)


@contextmanager
def disk_errors(out: Path) -> Iterator[None]:
    """Turn a full or unwritable disk into a StoreError; anything else passes."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreError(
                f"no space left for {out}; what is finished is safe: free some space and run the same command again"
            ) from None
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise StoreError(f"cannot write {error.filename or out}: {error.strerror}; choose another --out") from None
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


def shipped_weights() -> Path:
    """The depth weights inside the package."""
    return Path(__file__).parents[1] / "depth" / "weights" / "face_depth.safetensors"


def face_mesh_weights() -> Path:
    """MediaPipe's face landmark model inside the package."""
    return Path(__file__).parents[1] / "faces" / "weights" / "face_landmark.tflite"


def face_mesh_tables() -> Path:
    """The tables of the face mesh inside the package."""
    return Path(__file__).parents[1] / "faces" / "face_mesh_topology.npz"
