"""Whether a folder may be built into: it must be empty, or hold the same build, and nobody else may be at it."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mvgen.core.config import canonical_json
from mvgen.core.errors import StoreError
from mvgen.core.files import disk_errors, write_atomically
from mvgen.store import layout
from mvgen.store.manifest import Marker

_OURS = {layout.LOCK, layout.TURNS, layout.FORGOTTEN, f".{layout.BUILD}.tmp"}


def check_folder(out: Path, identity: Mapping[str, Any], ignore: frozenset[str] = frozenset()) -> bool:
    """Refuse a folder that holds something else. Writes nothing.

    identity : what the build depends on: nested plain values
    ignore : top-level keys that may differ
    Returns whether a build of the same identity was begun there. Raises StoreError naming every differing key.
    """
    if out.exists() and not out.is_dir():
        raise StoreError(f"{out} is a file; give --out a folder")
    path = out / layout.BUILD
    if not path.is_file():
        foreign = sorted(entry.name for entry in out.iterdir() if entry.name not in _OURS) if out.exists() else []
        if foreign:
            listed = ", ".join(foreign[:3]) + (", ..." if len(foreign) > 3 else "")
            raise StoreError(f"{out} holds files that are no mvgen build ({listed}); choose an empty folder for --out")
        return False
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise StoreError(f"{path} is damaged; remove {out} or choose another --out") from None
    if before.get("schema") != identity.get("schema"):
        raise StoreError(
            f"{path} has schema {before.get('schema')}, this mvgen writes {identity.get('schema')}; "
            "go on with the mvgen that began it, or choose another --out"
        )
    there, now = ({k: v for k, v in whole.items() if k not in ignore} for whole in (before, identity))
    lines = differences(there, json.loads(canonical_json(now)))
    if lines:
        advice = "Use the same settings to resume it, or choose another --out."
        if (out / layout.DATASET).is_file() and all(line.startswith("config.attention.threshold:") for line in lines):
            threshold = identity["config"]["attention"]["threshold"]
            advice = f"`mvgen refine {out} --threshold {threshold:g}` changes that without a rebuild."
        raise StoreError(f"{out} was made with other settings:\n  " + "\n  ".join(lines) + f"\n{advice}")
    return True


def begin(out: Path, identity: Mapping[str, Any]) -> None:
    """Write down what the folder is being built from, before anything else is."""
    with disk_errors(out):
        write_atomically(out / layout.BUILD, canonical_json(dict(identity)).encode())


def read_markers(out: Path) -> dict[str, Marker]:
    """Clip id -> marker, of every clip that is finished or has failed."""
    markers = (
        Marker.from_json(path.read_text(encoding="utf-8")) for path in sorted((out / layout.DONE).glob("*.json"))
    )
    return {marker.clip: marker for marker in markers}


def read_marker(out: Path, clip: str) -> Marker | None:
    """The marker of one clip, None while it has none."""
    path = out / layout.marker_path(clip)
    return Marker.from_json(path.read_text(encoding="utf-8")) if path.is_file() else None


@contextmanager
def locked(out: Path, shared: bool = False) -> Iterator[None]:
    """Hold a folder for one build. Raises StoreError naming the process that holds it.

    shared : hold it together with others that share it, as the shards of a build do
    The kernel drops the lock when its process ends, however it ends, so a killed build never leaves one behind.
    """
    import fcntl

    path = out / layout.LOCK
    with disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                _flock(descriptor, path, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
                os.close(descriptor)
                raise StoreError(f"another build (process {holder}) is writing to {out}; wait for it to end") from None
            if path.exists() and os.fstat(descriptor).st_ino == path.stat().st_ino:
                break
            os.close(descriptor)  # its holder removed the file between our opening and our locking it: try again
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
    try:
        yield
    finally:
        with suppress(BlockingIOError):  # others share it still: the last one removes the file
            _flock(descriptor, path, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)
        os.close(descriptor)


@contextmanager
def taking_turns(out: Path, name: str) -> Iterator[None]:
    """Wait until nobody else is at something of this name in the folder, on any machine, and hold it meanwhile.

    Unlike `locked` this waits. The file stays until the build is finished, because whoever waits has it open.
    """
    import fcntl

    path = out / layout.TURNS / name
    with disk_errors(out):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _flock(descriptor, path, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _flock(descriptor: int, path: Path, how: int) -> None:
    import fcntl

    try:
        fcntl.flock(descriptor, how)
    except OSError as error:
        if error.errno in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
            raise StoreError(f"{path} cannot be locked: its disk has no locks; mount it with them (flock)") from None
        raise


def differences(before: Any, now: Any, name: str = "") -> list[str]:
    """What two nested plain values have differently, a line each."""
    if isinstance(before, dict) and isinstance(now, dict):
        lines = []
        for key in sorted({*before, *now}):
            lines += differences(before.get(key), now.get(key), f"{name}.{key}" if name else key)
        return lines
    return [] if before == now else [f"{name}: {json.dumps(before)} there, {json.dumps(now)} now"]
