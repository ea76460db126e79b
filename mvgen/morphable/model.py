"""The linear face model: mean, identity and facial actions on the topology of the face mesh (a 3D morphable model).

Convention: world axes, see `mvgen.core.camera`: x right, y up, z toward the camera; the unit is the inter-ocular
distance of the mean face, the origin midway between its pupils.
Source: Blanz and Vetter, "A morphable model for the synthesis of 3D faces", SIGGRAPH 1999.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mvgen.core.errors import WeightsError
from mvgen.morphable.topology import topology

Floats = NDArray[np.floating]

WEIGHTS = Path(__file__).parent / "weights" / "face_model.safetensors"
NAMES = "actions"


@dataclass(frozen=True)
class FaceModel:
    """vertices = mean + identity weights @ identity + action weights @ actions.

    mean : (N, 3) float32, world units; the first 468 vertices are the landmarks
    identity : (K, N, 3) float32, principal components; their weights are standard normal over people
    actions : (A, N, 3) float32, displacement by each facial action at strength 1
    action_names : the ARKit names; `mvgen.morphable.action_units` maps FACS action units to them
    depth_bias : (468,) float32, world units: the landmarker's depth minus the vertex's, mean over rendered heads
    point_deviation : (468, 3) float32, world units: distance of a landmark from its vertex, in x, y and in the
        landmarker's depth less its bias, root mean square over rendered heads
    """

    mean: NDArray[np.float32]
    identity: NDArray[np.float32]
    actions: NDArray[np.float32]
    action_names: tuple[str, ...]
    depth_bias: NDArray[np.float32]
    point_deviation: NDArray[np.float32]

    def vertices(self, identity: Floats, actions: Floats) -> Floats:
        """Faces (..., N, 3) of identity weights (..., K) and action weights (..., A), world units."""
        shape = np.tensordot(identity, self.identity, axes=1) + np.tensordot(actions, self.actions, axes=1)
        return np.asarray(self.mean + shape)

    @classmethod
    def load(cls, path: Path = WEIGHTS) -> FaceModel:
        """Read a model. Raises WeightsError naming the file and what is wrong with it."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="numpy") as file:
                arrays = {name: file.get_tensor(name).astype(np.float32) for name in file.keys()}  # noqa: SIM118
                names = tuple((file.metadata() or {}).get(NAMES, "").split())
        except (OSError, SafetensorError) as error:
            raise WeightsError(
                f"the face model {path} cannot be read: {error}; make it: mvgen make-face-model"
            ) from None
        expected = {field.name for field in fields(cls)} - {"action_names"}
        count = topology().count
        if arrays.keys() != expected or arrays["mean"].shape != (count, 3) or len(names) != len(arrays["actions"]):
            raise WeightsError(f"the face model {path} is of another kind; make it: mvgen make-face-model")
        return cls(**arrays, action_names=names)

    def save(self, path: Path) -> None:
        """Write the model in half precision."""
        from safetensors.numpy import save_file

        arrays = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "action_names"}
        tensors = {name: np.ascontiguousarray(values, dtype=np.float16) for name, values in arrays.items()}
        save_file(tensors, path, metadata={NAMES: " ".join(self.action_names)})


@lru_cache(maxsize=1)
def face_model() -> FaceModel:
    """The shipped model, read once."""
    return FaceModel.load()
