"""Whether a folder may be built into: it must be empty, or hold the same build, and nobody else may be at it."""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mvgen.core.config import canonical_json
from mvgen.core.errors import StoreError
from mvgen.core.files import disk_errors, read_json, read_regular, reason_of, write_atomically
from mvgen.store import layout
from mvgen.store.checks import inside, refuse_links_out
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
    before = read_build(out)
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


def read_build(out: Path) -> dict[str, Any]:
    """What a folder is being built from, as `begin` wrote it down. Raises StoreError for a damaged file."""
    return read_json(out / layout.BUILD, f"remove {out} and build it again, or choose another --out")


def read_markers(out: Path) -> dict[str, Marker]:
    """Clip id -> marker, of every clip that is finished or has failed. Raises StoreError for a damaged one."""
    paths = sorted(inside(out, layout.DONE).glob("*.json"))
    return {path.stem: _read_marker(out, path.stem) for path in paths}


def read_marker(out: Path, clip: str) -> Marker | None:
    """The marker of one clip, None while it has none. Raises StoreError for a damaged one."""
    return _read_marker(out, clip) if (out / layout.marker_path(clip)).is_file() else None


def _read_marker(out: Path, clip: str) -> Marker:
    path = inside(out, layout.marker_path(clip))
    try:
        marker = Marker.from_json(read_regular(path))
        if marker.clip != clip:
            raise ValueError(f"it is of clip {marker.clip!r}")
        return marker
    except (OSError, ValueError) as error:
        problem = f"the marker {path} is damaged: {reason_of(error)}"
        raise StoreError(f"{problem}; remove it, and {layout.DATASET}, and run the line of the build again") from None


@contextmanager
def locked(out: Path, shared: bool = False) -> Iterator[None]:
    """Hold a folder for one build. Raises StoreError naming the process that holds it.

    shared : hold it together with others that share it, as the shards of a build do
    The kernel drops the lock when its process ends, however it ends, so a killed build never leaves one behind.
    """
    import fcntl

    path = out / layout.LOCK
    with disk_errors(out):
        try:
            out.mkdir(parents=True, exist_ok=True)
        except (
            FileNotFoundError,
            FileExistsError,
        ) as error:  # where no folder can be made, as in /proc, or a lost link
            raise StoreError(f"{out} cannot be made: {error.strerror}; choose another --out") from None
        while True:
            descriptor = _open_lock(path)
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
        refuse_links_out(out)
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
        descriptor = _open_lock(path)
    try:
        _flock(descriptor, path, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _open_lock(path: Path) -> int:
    """A file to lock, made where there is none. What is no file, or a link to one elsewhere, is left alone."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
            raise
    else:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return descriptor
        os.close(descriptor)
    raise StoreError(f"{path} is no file that can be locked; remove it")


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
