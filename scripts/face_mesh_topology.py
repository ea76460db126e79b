"""Make `mvgen/faces/face_mesh_topology.npz` from the files of MediaPipe's wheel.

    pip download --no-deps mediapipe==0.10.21
    python scripts/face_mesh_topology.py mediapipe-0.10.21-*.whl

Triangles: the edges of FACEMESH_TESSELATION come in threes, each the three sides of a triangle in turn. Mirror: the
network reads a photograph and its mirror image at several places of the picture; which points fall together says it.
"""

from __future__ import annotations

import ast
import sys
import zipfile

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from skimage.data import astronaut

from mvgen.core.files import face_mesh_tables, face_mesh_weights
from mvgen.faces.crop import crop_frames, track_face
from mvgen.faces.detection import FaceDetector
from mvgen.faces.face_mesh import INPUT_SIZE
from mvgen.faces.network_backends import get_backend

_CONNECTIONS = "mediapipe/python/solutions/face_mesh_connections.py"
_SHIFTS = (-6, 0, 6)  # pixels


def triangles(wheel: str) -> NDArray[np.int16]:
    """(M, 3), counter-clockwise seen from the front, as the edges run."""
    with zipfile.ZipFile(wheel) as archive:
        tree = ast.parse(archive.read(_CONNECTIONS))
    (edges,) = (
        ast.literal_eval(node.value.args[0])
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and node.targets[0].id == "FACEMESH_TESSELATION"
        and isinstance(node.value, ast.Call)
    )
    sides = np.array(edges, np.int16).reshape(-1, 3, 2)
    assert np.array_equal(sides[..., 1], np.roll(sides[..., 0], -1, axis=1))
    return sides[..., 0]


def mirror() -> NDArray[np.int16]:
    """(468,), which point each point becomes in the mirror image."""
    photograph = astronaut()[None]
    crop = crop_frames(photograph, track_face(photograph, INPUT_SIZE, FaceDetector("cpu")))[0] / np.float32(255)
    moved = np.stack([np.roll(crop, (x, y), axis=(1, 0)) for x in _SHIFTS for y in _SHIFTS])
    backend = get_backend(face_mesh_weights(), "cpu")
    here, there = (backend(images)[0].reshape(len(moved), -1, 3) for images in (moved, moved[:, :, ::-1].copy()))
    there = there * [-1, 1, 1] + [INPUT_SIZE, 0, 0]
    _, found = linear_sum_assignment(np.linalg.norm(here[:, :, None] - there[:, None], axis=-1).mean(axis=0))
    assert np.array_equal(found[found], np.arange(len(found)))
    return found.astype(np.int16)


if __name__ == "__main__":
    np.savez_compressed(face_mesh_tables(), triangles=triangles(sys.argv[1]), mirror=mirror())
