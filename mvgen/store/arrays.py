"""Arrays of a store: how `.npz` files are written and read, and what the maps of a view hold."""

from __future__ import annotations

import io
import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Container, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mvgen.core.config import LARGEST_SIZE
from mvgen.core.errors import StoreError
from mvgen.core.files import open_regular, reason_of
from mvgen.core.records import Mask
from mvgen.motion.flow.methods import ClipFlow
from mvgen.store.checks import inside
from mvgen.store.coding.steps import (
    DEPTH_STEP,
    FLOW_STEP,
    decode,
    decode_flow,
    depth_of,
    encode,
    encode_flow,
    quantise_depth,
    quantise_flow,
)
from mvgen.store.manifest import ViewRow

_COMPRESSION = 2  # of ISA-L's 0 to 3: a quarter of the work of zlib's 1, and as small; zlib's 6 is a fifth smaller
_UNREADABLE = (
    *(OSError, ValueError, TypeError, EOFError, MemoryError, RuntimeError),
    *(SyntaxError, tokenize.TokenError, zipfile.BadZipFile, zlib.error, struct.error),
)
_MOST_BYTES = 8 << 30  # of the arrays of one clip or view; a minute at 512 pixels and 30 frames a second has 2
# A view's motion in its maps, and in `ClipFlow`.
_FLOW = {"flow": "frames", "apex_flow": "apex"}


class Header(NamedTuple):
    """What the header of an array says, before the array is unpacked."""

    shape: tuple[int, ...]
    kind: np.dtype[Any]


class UnfitError(StoreError):
    """Arrays whose headers say that they cannot be used; the message names them."""


class ViewMaps(NamedTuple):
    """What a store keeps of a view beside its colour.

    valid : (S, S) bool, seen in the source; depth : (S, S) float32, world units, NaN where there is no surface, rounded
        to DEPTH_STEP
    flow : in pixels, rounded to FLOW_STEP; of no frames, and 0, where it was not asked for
    """

    valid: Mask
    depth: NDArray[np.float32]
    flow: ClipFlow


def map_bytes(maps: ViewMaps) -> bytes:
    """The file of a view's maps, as `read_maps` reads it: flow and depth rounded, flow zero outside the surface."""
    surface = np.isfinite(maps.depth)
    return npz_bytes(
        {
            "valid": maps.valid.astype(bool),
            "depth": encode(quantise_depth(maps.depth)),
            "depth_step": np.array(DEPTH_STEP),
            "flow": encode_flow(maps.flow.frames, surface),
            "apex_flow": quantise_flow(maps.flow.apex, surface),  # plain: it is one field, and what others read
            "flow_step": np.array(FLOW_STEP),
        },
        in_runs=("flow",),
    )


def read_maps(root: Path, row: ViewRow, flow: Literal["all", "apex", "none"] = "all") -> ViewMaps:
    """The maps of a view.

    root : the store; flow : which of the flow is read
    Raises StoreError when the file is missing or damaged, or its arrays are not those of the row's frames.
    """
    left_out = tuple(_FLOW)[: {"all": 0, "apex": 1, "none": 2}[flow]]

    def unfit(headers: Mapping[str, Header]) -> list[str]:
        wanted = _map_headers(row.frames, headers["depth"].shape if "depth" in headers else ())
        return [name for name, header in wanted.items() if headers.get(name) != header] + sorted(
            set(headers) - set(wanted)
        )

    try:
        stored = read_arrays(inside(root, row.maps), without=left_out, unfit=unfit)
    except UnfitError as error:
        raise StoreError(f"{row.maps} and its frames do not fit together: {error}; build the dataset again") from None
    depth = depth_of(decode(stored["depth"]), float(stored["depth_step"]))
    motion = ClipFlow.none(len(depth))
    step = float(stored["flow_step"])
    if "flow" in stored:
        motion = motion._replace(frames=decode_flow(stored["flow"], step))
    if "apex_flow" in stored:
        motion = motion._replace(apex=np.float32(step) * stored["apex_flow"])
    return ViewMaps(stored["valid"], depth, motion)


def _map_headers(frames: int, depth: tuple[int, ...]) -> dict[str, Header]:
    """The arrays of the maps of so many frames. depth : shape of its array, as the file has it"""
    size = depth[-1] if len(depth) == 3 and depth[-1] <= LARGEST_SIZE else 0
    number, coded = np.dtype(np.float64), np.dtype(np.uint8)
    return {
        "valid": Header((size, size), np.dtype(np.bool_)),
        "depth": Header((2, size, size), coded),
        "depth_step": Header((), number),
        "flow": Header((frames - 1, 2, 2, size, size), coded),
        "apex_flow": Header((size, size, 2), np.dtype(np.int16)),
        "flow_step": Header((), number),
    }


def npz_bytes(arrays: dict[str, NDArray[Any]], in_runs: Container[str] = ()) -> bytes:
    """A compressed `.npz`; its members are dated 1980-01-01, so equal arrays give equal bytes.

    in_runs : names of arrays in which there is little to find but runs of equal bytes
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                # Neither numpy nor zipfile can be told what to compress with.
                member._compressor = _compressor(name in in_runs)  # type: ignore[attr-defined]
                np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)
    return buffer.getvalue()


def _compressor(in_runs: bool) -> Any:
    """What packs an array as deflate, which every reader of `.npz` unpacks."""
    from isal import isal_zlib

    if in_runs:  # a fifth smaller than what ISA-L makes of them, and unpacked as fast
        return zlib.compressobj(zlib.Z_DEFAULT_COMPRESSION, zlib.DEFLATED, -zlib.MAX_WBITS, strategy=zlib.Z_RLE)
    return isal_zlib.compressobj(_COMPRESSION, isal_zlib.DEFLATED, -isal_zlib.MAX_WBITS)


def read_arrays(
    path: Path,
    without: Container[str] = (),
    only: Container[str] | None = None,
    unfit: Callable[[Mapping[str, Header]], Sequence[str]] = lambda _: (),
) -> dict[str, np.ndarray]:
    """Arrays of a `.npz` in a store, but for those left out.

    unfit : names of those that cannot be used by their headers, all of which it is given; nothing is unpacked then
    Raises UnfitError naming these, StoreError when the file is missing or damaged.
    """
    try:
        with open_regular(path) as file, zipfile.ZipFile(file) as archive:
            headers = {name.removesuffix(".npy"): _header(archive, name) for name in archive.namelist()}
            if wrong := unfit(headers):
                raise UnfitError(", ".join(wrong))
            wanted = [name for name in headers if name not in without and (only is None or name in only)]
            size = sum(math.prod(headers[name].shape) * headers[name].kind.itemsize for name in wanted)
            if size > _MOST_BYTES:
                raise ValueError(f"its arrays take {size >> 30} GiB, more than those of any clip")
            return {name: _member(archive, f"{name}.npy", np.lib.format.read_array) for name in wanted}
    except _UNREADABLE as error:
        raise StoreError(f"{path} cannot be read: {reason_of(error)}; the store is damaged, build it again") from None


def _member(archive: zipfile.ZipFile, name: str, read: Callable[[IO[bytes]], Any]) -> Any:
    with archive.open(name) as member:
        return read(member)


def _header(archive: zipfile.ZipFile, name: str) -> Header:
    """What a member says of its array. Raises ValueError for what is none or would be unpickled."""
    if not name.endswith(".npy") or archive.getinfo(name).compress_type not in (
        zipfile.ZIP_STORED,
        zipfile.ZIP_DEFLATED,
    ):
        raise ValueError(f"{name} is no array, or packed in a way that no store is")

    def read(member: IO[bytes]) -> Header:
        if np.lib.format.read_magic(member) != (1, 0):
            raise ValueError(f"{name} is no array as a store has them")
        shape, _, kind = np.lib.format.read_array_header_1_0(member)
        if kind.hasobject:
            raise ValueError("Object arrays cannot be loaded")
        return Header(shape, kind)

    header: Header = _member(archive, name, read)
    return header
