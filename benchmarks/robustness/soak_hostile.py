"""What the soak plants: flipped bytes, and files, links, pipes, tables and settings that nobody means well with."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from mvgen.core.config import canonical_json, file_digest
from mvgen.store import layout
from mvgen.store.coding.video import encode_video

DEEP = "[" * 5000 + "]" * 5000
BOMB = "a0: &a0 [x]\n" + "".join(f"a{n + 1}: &a{n + 1} [{', '.join([f'*a{n}'] * 9)}]\n" for n in range(12))
NAMES = [
    "../../pwned",
    "/mvgen-pwned",
    "..",
    ".",
    "",
    "a/b",
    "x\0y",
    "\x1b[2J",
    "line\nbreak",
    "n" * 300,
    "CON",
    "\u2028",
]
VALUES: list[Any] = [
    *NAMES, None, True, -1, 0, 77, 2**70, 1e308, -1e-308, 0.5, [], {}, [[]], [None], ["../x"], {"a": 1}, "0" * 64,
]  # fmt: skip
CELLS = [
    *NAMES, "s1", "s1/clip1", "../s1", "happiness", "happy", "others", "=1+1", "<script>alert(1)</script>", '"', ",,",
    "1", "2", "3", "-1", "1e9", "nan", str(2**70), "²", "NULL", "; touch pwned", "clip", "subject",
]  # fmt: skip
# Files of which `verify` knows a digest, whose changes it has to find.
COVERED = (layout.TABLE, layout.FAILURES, layout.SHEET, "views", "maps", "geometry", layout.ANNOTATIONS)
_RECORDS = (
    layout.DATASET, layout.BUILD, layout.TABLE, layout.FAILURES, layout.FORGOTTEN, layout.FORGETTING, layout.REFINING,
    layout.LOCK, layout.PARTIAL, layout.TURNS, layout.REPORT, layout.SHEET, layout.ATTENTION, ".forgotten.json.tmp",
    "recipe.json", "manifest-sha256.txt", "README.md", "croissant.json", f".{layout.BUILD}.tmp",
)  # fmt: skip


def flip(path: Path, rng: Random) -> None:
    """Change some bytes of a file, or cut it short."""
    content = bytearray(path.read_bytes())
    if not content or rng.random() < 0.2:
        path.write_bytes(content[: rng.randrange(max(len(content), 1))] if content else b"\0")
        return
    for _ in range(rng.choice([1, 1, 2, 8])):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content if bytes(content) != path.read_bytes() else content[:-1])


def pick(folder: Path, rng: Random) -> Path | None:
    """A regular file of a folder; each part of a store is as likely as the others."""
    parts: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            parts.setdefault(path.relative_to(folder).parts[0], []).append(path)
    return rng.choice(parts[rng.choice(sorted(parts))]) if parts else None


class Touch:
    """What a pickle of somebody else's may do as it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def plant_in_store(folder: Path, beside: Path, rng: Random) -> str:
    """Put something hostile into a store, part or publication; returns what. beside : folder that is not its own"""
    path = pick(folder, rng)
    if path is None or rng.random() < 0.25:
        path = folder / rng.choice(_RECORDS)
    if not (path.is_file() or path.parent.is_dir()):
        path = folder / "dataset.json"
    way = rng.choice(_ways(path))
    way(path, beside, rng)
    if rng.random() < 0.5:
        _redigest(folder, path)
    return f"{way.__name__.strip('_')} in {path.relative_to(folder)}"


def _ways(path: Path) -> list[Callable[[Path, Path, Random], None]]:
    ways = [_other_content, _no_file]
    if path.suffix in (".json", ".jsonl") and path.is_file():
        return [*ways, _other_values, _other_values, _other_values]
    if path.suffix == ".parquet" and path.is_file():
        return [*ways, _other_table, _other_table]
    if path.suffix == ".npz" and path.is_file():
        return [*ways, _other_arrays, _other_arrays]
    return ways


def _other_content(path: Path, beside: Path, rng: Random) -> None:
    _clear(path)
    path.write_bytes(rng.choice(contents(beside, rng)))


def contents(beside: Path, rng: Random) -> list[bytes]:
    """Contents of files that are none, or that claim to be more than they are."""
    nested = b"\x93NUMPY\x01\x00" + (9000).to_bytes(2, "little") + b"(" * 9000
    return [
        b"", b"text", b"\0" * 5000, rng.randbytes(3000), DEEP.encode(), DEEP[:5000].encode(), b"[1, 2]", b"null",
        b"{", b"NaN", b"9" * 5000, json.dumps({"schema": layout.SCHEMA, "source": 1}).encode(),
        "\ufeff{}".encode("utf-16"),
        b'{"schema": 1}', BOMB.encode(), pickle.dumps(Touch(beside / "pwned")), png(60000, 60000), png(12000, 12000),
        png(0, 5), png(64, 64), npy(np.zeros(4, np.float32)), npz({"depth.npy": nested}), npz({}),
        b"PAR1" + b"x" * 99 + b"PAR1",
        npz({"depth.npy": npy(np.zeros(4, np.float32), shape=(1 << 20, 1 << 20))}),
        npz({"../../pwned": b"x"}), npz({"depth.npy": bytes(50_000_000)}), b"\xff\xd8\xff\xe0" + bytes(100),
        video(2, 96), b"<script>alert(1)</script>", f"{'0' * 64}  ../../pwned\n".encode(),
        f"{'0' * 64}  {beside}/canary\n".encode(),
    ]  # fmt: skip


@cache
def video(frames: int, size: int) -> bytes:
    """A sound video, of another length and size than those of a store."""
    return encode_video(np.zeros((frames, size, size, 3), np.uint8), 30.0, lossless=True)


def _no_file(path: Path, beside: Path, rng: Random) -> None:
    """A pipe, a folder, nothing, or a link in place of a file or of the folder that it is in."""
    how = rng.randrange(8)
    if how == 7 and len(path.relative_to(beside.parent).parts) > 2 and path.parent.is_dir():
        path = path.parent
        moved = beside / "moved"
        shutil.move(path, moved)
        path.symlink_to(moved)
        return
    _clear(path)
    if how == 0:
        os.mkfifo(path)
    elif how == 1:
        (path / "folder").mkdir(parents=True)
    elif how == 2:
        path.symlink_to(path)
    elif how in (3, 4):
        path.symlink_to(beside / "canary")
    elif how == 5:
        path.symlink_to(beside)


def _clear(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)


def _other_values(path: Path, beside: Path, rng: Random) -> None:
    """Another value in a record, a value less, or one more."""
    lines = path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]
    values = [json.loads(line) for line in lines if line.strip()] or [{}]
    for _ in range(rng.choice([1, 1, 2])):
        _spoil(values, beside, rng)
    if path.suffix == ".jsonl":
        path.write_text("\n".join(map(json.dumps, values)) + "\n")
    else:
        path.write_text(json.dumps(values[0], ensure_ascii=rng.random() < 0.5).encode("utf-8", "replace").decode())


def _spoil(values: list[Any], beside: Path, rng: Random) -> None:
    holders = [values]
    for holder in holders:
        within = holder.values() if isinstance(holder, dict) else holder
        holders += [one for one in within if isinstance(one, dict | list) and one]
    chosen: Any = rng.choice(holders[1:] or holders)
    key = rng.choice(list(chosen)) if isinstance(chosen, dict) else rng.randrange(len(chosen))
    how = rng.random()
    if how < 0.15 and chosen is not values:  # a file has a value at least
        del chosen[key]
    elif how < 0.25 and isinstance(chosen, dict):
        chosen["extra"] = rng.choice(VALUES)
    elif how < 0.5 and isinstance(chosen[key], str):
        chosen[key] = rng.choice([*NAMES, str(beside / "canary"), f"../{beside.name}/canary", f"{chosen[key]}/../../x"])
    else:
        chosen[key] = rng.choice(VALUES)


def _other_table(path: Path, beside: Path, rng: Random) -> None:
    """Another value in a column, a column less, or another one."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(path, use_threads=False)
    name = rng.choice(table.column_names)
    column, at = table.column(name).to_pylist(), table.column_names.index(name)
    how = rng.random()
    if how < 0.2:
        table = table.drop_columns([name])
    elif how < 0.3:
        table = table.append_column("extra", pa.array([rng.choice(NAMES)] * len(column)))
    elif how < 0.4:
        table = pa.concat_tables([table, table])
    else:
        chosen = rng.randrange(len(column))
        old, new = column[chosen], rng.choice([*VALUES, str(beside / "canary")])
        column[chosen] = [new if isinstance(new, str) else "../x"] * len(old) if isinstance(old, list) else new
        try:
            table = table.set_column(at, name, pa.array(column, type=table.schema.field(name).type))
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            table = table.set_column(at, name, pa.array([str(one) for one in column]))
    pq.write_table(table, path)


def _other_arrays(path: Path, beside: Path, rng: Random) -> None:
    """An array of another kind, shape or size, with other numbers, or none."""
    with np.load(path) as arrays:
        found = {name: arrays[name] for name in arrays.files}
    name = rng.choice(sorted(found))
    array = found[name]
    members = {f"{each}.npy": npy(value) for each, value in found.items()}
    spoilt: list[bytes] = [
        npy(array, shape=(1 << 20, 1 << 20)), npy(np.zeros((3000, 3000), np.float32)), npy(array, shape=(-2, -2)),
        members[f"{name}.npy"][:-9], b"text", npy(np.full(array.shape, np.nan)), npy(np.full(array.shape, 1e308)),
        npy(np.zeros(array.shape, "f8")), npy(array[..., None]), npy(np.zeros(0, array.dtype)), npy(array, descr="|O"),
        npy(np.full(array.shape, -1, np.int64)), npy(np.array("../x")), npy(np.zeros(array.shape, array.dtype)),
    ]  # fmt: skip
    if rng.random() < 0.15:
        np.savez(path, **{**found, name: np.array([Touch(beside / "pwned")], dtype=object)})
    elif rng.random() < 0.15:
        path.write_bytes(npz({key: value for key, value in members.items() if key != f"{name}.npy"}))
    else:
        members[f"{name}.npy"] = rng.choice(spoilt)
        path.write_bytes(npz(members, rng.choice([zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED, zipfile.ZIP_LZMA])))


def _redigest(folder: Path, path: Path) -> None:
    """Write the digest of a file into `dataset.json`, as whoever made the dataset would."""
    about, name = folder / layout.DATASET, path.relative_to(folder).as_posix()
    if path.is_symlink() or not path.is_file() or about.is_symlink() or not about.is_file():
        return
    try:
        values = json.loads(about.read_text())
        if name in values["files"]:
            values["files"][name] = file_digest(path)
            about.write_text(canonical_json(values))
    except (ValueError, KeyError, TypeError, RecursionError):
        return


def npy(value: np.ndarray, **header: Any) -> bytes:
    """A `.npy` whose header may say something else than its data are."""
    buffer = io.BytesIO()
    said = {"descr": value.dtype.str, "fortran_order": False, "shape": value.shape, **header}
    np.lib.format.write_array_header_1_0(buffer, said)
    return buffer.getvalue() + value.tobytes()


def npz(members: dict[str, bytes], packing: int = zipfile.ZIP_DEFLATED) -> bytes:
    """An archive of arrays, or of what goes for them."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", packing) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def png(width: int, height: int) -> bytes:
    """A whole PNG whose header claims so many pixels, and which holds none of them."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def plant_in_source(root: Path, beside: Path, rng: Random) -> str:
    """Put something hostile into a folder of clips; returns what."""
    frame = rng.choice(sorted(root.rglob("*.jpg")))
    how = rng.randrange(6)
    if how == 0:
        _other_content(frame, beside, rng)
        return "other content of a frame"
    if how == 1:
        _no_file(frame, beside, rng)
        return "no file in place of a frame"
    if how == 2:
        _rename(frame if rng.random() < 0.5 else frame.parent, rng)
        return "a name"
    table = root / "labels.csv"
    if how == 3:
        _no_file(table, beside, rng)
        return "no file in place of labels.csv"
    if how == 4:
        flip(table, rng) if rng.random() < 0.5 else _other_content(table, beside, rng)
        return "other content of labels.csv"
    rows = [line.split(",") for line in table.read_text().splitlines()]
    for _ in range(rng.choice([1, 2, 5])):
        row = rng.choice(rows)
        row[rng.randrange(len(row))] = rng.choice(CELLS)
    if rng.random() < 0.2:
        rows += rows[1:]
    table.write_bytes("\n".join(map(",".join, rows)).encode(rng.choice(["utf-8", "utf-16", "utf-8-sig"])))
    return "cells of labels.csv"


def _rename(path: Path, rng: Random) -> None:
    names = [
        "line\nbreak",
        "\x1b[2Jclear",
        "a\u2028b",
        "n" * 250,
        "<script>",
        "$(touch pwned)",
        "CON",
        "x.npz",
        "%2e%2e",
    ]
    raw = os.fsencode(rng.choice(names)) if rng.random() < 0.9 else b"caf\xe9"
    os.rename(path, os.path.join(os.fsencode(path.parent), raw + os.fsencode(path.suffix)))


SETTINGS = [
    BOMB, "a: " + "[" * 5000, "a: " + DEEP, "a: " + "9" * 5000, "", "text", "- 1", "source: 1", "source: {root: [1]}",
    "source: {dataset: ../x}", "camera: {angles: 1e400}", "camera: {size: 9999999999}",
    "camera: {angles: '-90:90:0.0001'}",
    "run: {workers: -1}", "run: {out: /proc/x}", "!!python/object/apply:os.system ['touch pwned']", "\0", "a: &a [*a]",
    "split: {test_share: .nan}", "camera: {pivot_depth: .inf}", "render: {renderer: ../x}", "run: {engine: none}",
    "a: *b",    "camera:\n\t- size", "source: {limit: -3}", "flow: {method: os.system}", "? [a]\n: 1", "1: 2",
    "source: {root: ~/x}",
]  # fmt: skip
