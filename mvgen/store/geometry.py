"""The codec of `geometry/<clip>.npz`: what a store keeps of a clip beside its views, and renders other angles from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera
from mvgen.core.config import LARGEST_SIZE
from mvgen.core.errors import StoreError
from mvgen.core.records import DepthMap, FaceFit, FaceTrack, Reconstruction, Registration, Signals
from mvgen.motion.signals import with_head
from mvgen.store.arrays import Header, UnfitError, read_arrays
from mvgen.store.checks import inside
from mvgen.store.manifest import ViewRow


class _Array(NamedTuple):
    """One array of the file.

    of : where its value lies in `Reconstruction`
    shape : sizes; a letter is the same size wherever it stands: T frames, S the crop's side, N vertices, K identity
        weights, A facial actions, U action units, s the side of the lift
    optional : a value of None is left out; holds : what the values have to be, besides
    """

    of: str
    kind: type
    shape: tuple[str | int, ...] = ()
    optional: bool = False
    holds: Callable[[NDArray[Any]], bool] = lambda _: True


def _finite(values: NDArray[Any]) -> bool:
    return bool(np.isfinite(values).all())


def _not_negative(values: NDArray[Any]) -> bool:
    """Unlike `_zero_or_more`, NaN may be among them."""
    return not bool((values < 0).any())


def _zero_or_more(values: NDArray[Any]) -> bool:
    return bool((values >= 0).all())


def _positive(value: NDArray[Any]) -> bool:
    return bool(0 < value < np.inf)


def _all_differ(names: NDArray[Any]) -> bool:
    return len(set(names.tolist())) == len(names)


ARRAYS = {
    "depth": _Array("depth.depth", np.float32, ("S", "S")),
    "confidence": _Array("depth.confidence", np.float32, ("S", "S")),
    "crop": _Array("face.crop", np.float64, (2, 3), holds=_finite),
    "points": _Array("face.points", np.float64, (5, 2)),
    "face_confidence": _Array("face.confidence", np.float64),
    "faces": _Array("face.faces", np.int64),
    "landmarks": _Array("face.landmarks", np.float64, (68, 2), optional=True),
    "landmarks_visible": _Array("face.visible", np.float64, (68,), optional=True),
    "inside": _Array("face.inside", np.bool_, ("S", "S")),
    "camera_scale": _Array("depth.camera.scale", np.float64, holds=_positive),
    "camera_centre": _Array("depth.camera.centre", np.float64, (2,), holds=_finite),
    "camera_pivot": _Array("depth.camera.pivot", np.float64, (3,), holds=_finite),
    "camera_focal": _Array("depth.camera.focal", np.float64, optional=True, holds=_positive),
    "camera_principal": _Array("depth.camera.principal", np.float64, (2,), optional=True, holds=_finite),
    "homography": _Array("registration.homography", np.float64, ("T", 3, 3)),
    "parallax": _Array("registration.parallax", np.float64, ("T", 2)),
    "head_pose": _Array("registration.pose", np.float64, ("T", 6)),
    "head_length": _Array("registration.length", np.float64, ("T",)),
    "reasons": _Array("registration.reasons", np.str_, ("T",)),
    "signal_names": _Array("signals.names", np.str_, ("U",), holds=_all_differ),
    "signal_actions": _Array("signals.actions", np.float32, ("T", "U"), holds=_zero_or_more),
    "signal_deviation": _Array("signals.deviation", np.float32, ("T", "U"), holds=_not_negative),
    "fit_vertices": _Array("fit.vertices", np.float32, (1, "N", 3)),
    "fit_identity": _Array("fit.identity", np.float32, ("K",)),
    "fit_actions": _Array("fit.actions", np.float32, (1, "A")),
    "fit_rotation": _Array("fit.rotation", np.float64, (1, 3, 3)),
    "fit_shift": _Array("fit.shift", np.float64, (1, 3)),
    "fit_scale": _Array("fit.scale", np.float64),
    "fit_residual": _Array("fit.residual", np.float64, (1,)),
    "lift": _Array("lift", np.float16, ("T", "s", "s"), optional=True, holds=_finite),
    "attention": _Array("attention", np.float32, ("S", "S")),
}
_LONGEST_TEXT = 4096  # bytes of a text in an array
_OF_SIGNALS = ("head_pose", "signal_names", "signal_actions", "signal_deviation")


def geometry_arrays(found: Reconstruction) -> dict[str, NDArray[Any]]:
    """The arrays of a clip's geometry, as `read_geometry` reads them."""
    values = {name: _value(found, array.of) for name, array in ARRAYS.items()}
    return {name: np.asarray(value, ARRAYS[name].kind) for name, value in values.items() if value is not None}


def read_geometry(root: Path, row: ViewRow) -> Reconstruction:
    """What a store keeps of a row's clip.

    root : the store
    Raises StoreError when the file is missing or damaged, or its arrays are not those of the row's frames.
    """
    parts: dict[str, dict[str, Any]] = {}
    for name, value in _read(root, row, tuple(ARRAYS)).items():
        part, _, field = ARRAYS[name].of.rpartition(".")
        parts.setdefault(part, {})[field] = value
    size = len(parts["depth"]["depth"])
    numbers = parts["depth.camera"].items()
    lens: dict[str, Any] = {field: tuple(value.tolist()) if value.ndim else float(value) for field, value in numbers}
    face, fit, registration = parts["face"], parts["fit"], parts["registration"]
    return Reconstruction(
        face=FaceTrack(**{**face, "size": size, "confidence": float(face["confidence"]), "faces": int(face["faces"])}),
        registration=Registration(**{**registration, "reasons": tuple(registration["reasons"].tolist())}),
        signals=_signals(registration["pose"], parts["signals"]),
        depth=DepthMap(**parts["depth"], camera=Camera(size=size, **lens)),
        fit=FaceFit(**{**fit, "vertices": fit["vertices"].astype(np.float64), "scale": float(fit["scale"])}),
        **parts[""],
    )


def read_signals(root: Path, row: ViewRow) -> Signals:
    """The signals of a row's clip. Raises StoreError as `read_geometry` does."""
    stored = _read(root, row, _OF_SIGNALS)
    return _signals(stored["head_pose"], {name.removeprefix("signal_"): stored[name] for name in _OF_SIGNALS[1:]})


def _signals(pose: NDArray[np.float64], stored: dict[str, NDArray[Any]]) -> Signals:
    return with_head(pose, stored["actions"], stored["deviation"], stored["names"].tolist())


def _value(record: Any, of: str) -> Any:
    for name in of.split("."):
        record = getattr(record, name)
    return record


def _read(root: Path, row: ViewRow, names: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    """Some of the file's arrays; those that are optional may be missing."""
    path = inside(root, row.geometry)

    def unfit(headers: Mapping[str, Header]) -> list[str]:
        sizes = {"T": row.frames}
        return [name for name in names if not _fits(headers.get(name), ARRAYS[name], sizes)]

    try:
        stored = read_arrays(path, only=names, unfit=unfit)
        wrong = [name for name, value in stored.items() if not ARRAYS[name].holds(value)]
        if wrong:
            raise UnfitError(", ".join(wrong))
        return stored
    except UnfitError as error:
        raise StoreError(
            f"{path} is not the geometry of {row.frames} frames: {error} cannot be used; build the dataset again"
        ) from None


def _fits(header: Header | None, array: _Array, sizes: dict[str, int]) -> bool:
    """Whether a header is what an array has to have; letters of its shape that are not in `sizes` yet are put there."""
    if header is None:
        return array.optional
    shape, kind = header
    text = kind.kind == "U" and kind.itemsize <= _LONGEST_TEXT
    if not (text if array.kind is np.str_ else kind == array.kind) or len(shape) != len(array.shape):
        return False
    pairs = zip(array.shape, shape, strict=True)
    right = tuple(sizes.setdefault(one, has) if isinstance(one, str) else one for one, has in pairs)
    return shape == right and sizes.get("S", 0) <= LARGEST_SIZE
