"""Writing files so that a reader never sees half of one, and disks that refuse."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mvgen.core.errors import StoreError


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file beside its place, flush it, and move it there: a reader sees the old bytes or the new ones."""
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
                f"no space left for {out}; what is finished is safe: free some space and run the same line again"
            ) from None
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise StoreError(f"cannot write {error.filename or out}: {error.strerror}; choose another --out") from None
        raise


def flush(path: Path) -> None:
    """Wait until a file's content is on the disk."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())
