"""Arrays of a store: how `.npz` files are written and read, and what the maps of a view hold.

The quantisation of flow: int16 steps of 1/128 pixel, so the error is at most 1/256 pixel, well below what any flow
method resolves, and a clip takes half the room. Motion beyond 255 pixels a frame, which no face makes, is clipped.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Container
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mvgen.core.errors import StoreError
from mvgen.core.records import Mask, ViewClip
from mvgen.motion.flow import ClipFlow
from mvgen.store.manifest import ViewRow

FLOW_STEP = 1 / 128

_MOST_STEPS = 32767
_COMPRESSION = 2  # of ISA-L's 0 to 3: a quarter of the work of zlib's 1, and as small; zlib's 6 is a fifth smaller
# A view's motion in its maps, and in `ClipFlow`.
_FLOW = {"flow": "frames", "apex_flow": "apex"}


class ViewMaps(NamedTuple):
    """What a store keeps of a view beside its colour.

    valid : (S, S) bool, seen in the source; depth : (S, S) float32, world units, NaN where there is no surface
    flow : in pixels; of no frames, and 0, where it was not asked for
    """

    valid: Mask
    depth: NDArray[np.float32]
    flow: ClipFlow


def map_arrays(view: ViewClip) -> dict[str, NDArray[Any]]:
    """The arrays of a view's maps, as `read_maps` reads them."""
    surface = np.isfinite(view.depth)
    return {
        "valid": view.valid.astype(bool),
        "depth": view.depth.astype(np.float32),
        "flow": quantise_flow(view.flow, surface),
        "apex_flow": quantise_flow(view.apex_flow, surface),
        "flow_step": np.array(FLOW_STEP),
    }


def read_maps(root: Path, row: ViewRow, flow: Literal["all", "apex", "none"] = "all") -> ViewMaps:
    """The maps of a view.

    root : the store; flow : which of the flow is read
    Raises StoreError when the file is missing or damaged, or its arrays are not those of the row's frames.
    """
    left_out = tuple(_FLOW)[: {"all": 0, "apex": 1, "none": 2}[flow]]
    stored = read_arrays(root / row.maps, without=left_out)
    size = len(stored["depth"]) if np.ndim(stored.get("depth", 0)) == 2 else 0
    wanted: dict[str, tuple[tuple[int, ...], type]] = {
        "valid": ((size, size), np.bool_),
        "depth": ((size, size), np.float32),
        "flow_step": ((), np.float64),
        "flow": ((row.frames - 1, size, size, 2), np.int16),
        "apex_flow": ((size, size, 2), np.int16),
    }
    for name in left_out:
        del wanted[name]
    wrong = [
        name
        for name, (shape, kind) in wanted.items()
        if name not in stored or stored[name].shape != shape or stored[name].dtype != kind
    ]
    wrong += sorted(set(stored) - set(wanted))
    if wrong:
        raise StoreError(f"{row.maps} and its frames do not fit together: {', '.join(wrong)}; build the dataset again")
    step = np.float32(stored["flow_step"])
    motion = {field: step * stored[name] for name, field in _FLOW.items() if name in stored}
    return ViewMaps(stored["valid"], stored["depth"], ClipFlow.none(size)._replace(**motion))


def quantise_flow(flow: NDArray[np.float32], surface: Mask) -> NDArray[np.int16]:
    """(..., S, S, 2) pixels -> int16 steps of FLOW_STEP, zero outside the (S, S) surface and where it is NaN."""
    import cv2

    farthest, shown = _MOST_STEPS * FLOW_STEP, surface.astype(np.uint8)
    steps = np.empty(flow.shape, np.int16)
    fields = zip(flow.reshape(-1, *flow.shape[-3:]), steps.reshape(-1, *flow.shape[-3:]), strict=True)
    for field, rounded in fields:
        known = cv2.copyTo(np.clip(field, -farthest, farthest, dtype=np.float32), shown)
        cv2.patchNaNs(known, 0.0)
        # Rounds to the nearest, which takes numpy three passes.
        rounded[:] = cv2.addWeighted(known, 1 / FLOW_STEP, known, 0.0, 0.0, dtype=cv2.CV_16S)
    return steps


def npz_bytes(arrays: dict[str, NDArray[Any]]) -> bytes:
    """A compressed `.npz`; its members are dated 1980-01-01, so equal arrays give equal bytes."""
    from isal import isal_zlib

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                # Neither numpy nor zipfile can be told what to compress with.
                member._compressor = isal_zlib.compressobj(_COMPRESSION, isal_zlib.DEFLATED, -isal_zlib.MAX_WBITS)  # type: ignore[attr-defined]
                np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)
    return buffer.getvalue()


def read_arrays(path: Path, without: Container[str] = (), only: Container[str] | None = None) -> dict[str, np.ndarray]:
    """Arrays of a `.npz` in a store, but for those left out. Raises StoreError when it is missing or damaged."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            wanted = [name for name in stored.files if name not in without and (only is None or name in only)]
            return {name: stored[name] for name in wanted}
    except (OSError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise StoreError(f"{path} cannot be read: {error}; the store is damaged, build it again") from None
