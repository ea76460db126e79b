"""The surface of a clip for the page's 3D view: a light mesh, how it moves, and what of it the source saw.

Convention: arrays are little-endian and base64; positions are in world units of `mvgen.core.camera` times a step.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera
from mvgen.core.records import DepthMap, Floats, Mesh, Reconstruction
from mvgen.motion.registration import seen_in_all
from mvgen.render.base import source_cosine
from mvgen.render.mesh import mesh_from_depth, smooth_outline

# Most vertices along a side, the best first; with the last, any clip fits a twelfth of the room.
_LADDER = (128, 96, 64, 48)
_AWAY = 1.05  # the surface has to lie between the near and the far plane, whichever way it is turned


def show_surface(found: Reconstruction, frames: Sequence[int], grazing: float, room: int) -> dict[str, Any] | None:
    """A clip's surface as plain values for the page; None for a depth map without a face.

    found : what the store keeps of the clip; frames : positions of the frames to show
    grazing : degrees; surface that the source saw at more than this angle from its normal counts as not seen
    room : limit on the characters of all arrays, which the last size of the ladder may exceed
    """
    camera = found.depth.camera
    for side in _LADDER:
        step = -(-camera.size // side)
        small = coarse(found.depth, step)
        if not np.isfinite(small.depth).any():
            return None
        with np.errstate(over="ignore", invalid="ignore"):  # of a camera that no build has
            mesh = smooth_outline(mesh_from_depth(small), small.camera)
            reach = float(np.linalg.norm(mesh.vertices - np.array(camera.pivot), axis=1).max())
        if not np.isfinite(reach):
            return None
        places = (mesh.uv * (step / camera.size)).clip(0, 1)
        shown = {
            **_shape(mesh),
            **_lift(found.lift, frames, places),
            "places": _text(np.rint(places * 65535), "<u2"),
            "seen": _text(_seen(found, grazing, mesh.uv * step), "u1"),
            "pivot": list(camera.pivot),
            "projection": projection(camera, _AWAY * reach).T.ravel().tolist(),
        }
        if sum(len(value) for value in shown.values() if isinstance(value, str)) <= room:
            break
    return shown


def projection(camera: Camera, reach: float) -> Floats:
    """(4, 4) float64, points (x, y, z, 1) of the camera's frame -> WebGL's clip space, the picture filling it.

    reach : world units; what is nearer than that to the pivot, in any direction, lies between near and far plane
    Source: OpenGL ES 3.0 specification, section 2.13 (clip space); Hartley and Zisserman, Multiple View Geometry, 6.1.
    """
    size, depth = camera.size, camera.pivot[2]
    if camera.focal is None:
        zoom = 2 * camera.scale / size
        across, down = 2 * camera.centre[0] / size - 1, 1 - 2 * camera.centre[1] / size
        return np.array([[zoom, 0, 0, across], [0, zoom, 0, down], [0, 0, -1 / reach, depth / reach], [0, 0, 0, 1]])
    zoom, eye = 2 * camera.focal / size, camera.position
    u, v = camera.principal or (size / 2, size / 2)
    across, down = 2 * u / size - 1, 1 - 2 * v / size
    far = eye[2] - depth + reach
    near = max(eye[2] - depth - reach, far / 1000)
    slope, shift = (far + near) / (far - near), -2 * far * near / (far - near)
    # The last row is the distance from the eye along the optical axis; the others are multiplied by it.
    return np.array(
        [
            [zoom, 0, -across, across * eye[2] - zoom * eye[0]],
            [0, zoom, -down, down * eye[2] - zoom * eye[1]],
            [0, 0, -slope, slope * eye[2] + shift],
            [0, 0, -1, eye[2]],
        ]
    )


def coarse(surface: DepthMap, step: int) -> DepthMap:
    """A depth map of pixels `step` times as large: the mean of those known, where at least half of them are."""
    size = len(surface.depth) // step
    blocks = surface.depth[: size * step, : size * step].reshape(size, step, size, step).astype(np.float64)
    known = np.isfinite(blocks)
    count = known.sum(axis=(1, 3))
    mean = np.where(known, blocks, 0).sum(axis=(1, 3)) / np.maximum(count, 1)
    camera = surface.camera
    small = replace(
        camera,
        size=size,
        scale=camera.scale / step,
        centre=(camera.centre[0] / step, camera.centre[1] / step),
        focal=None if camera.focal is None else camera.focal / step,
        # Without one, the optical axis is in the middle of the whole picture, of which the last pixels may be left out.
        principal=_middle(camera, step),
    )
    depth = np.where(2 * count >= step * step, mean, np.nan).astype(np.float32)
    return DepthMap(depth, np.ones_like(depth), small)


def _middle(camera: Camera, step: int) -> tuple[float, float] | None:
    if camera.focal is None:
        return None
    u, v = camera.principal or (camera.size / 2, camera.size / 2)
    return u / step, v / step


def _shape(mesh: Mesh) -> dict[str, Any]:
    """Vertices, in steps of `unit`, and triangles."""
    unit = float(np.abs(mesh.vertices).max()) / 32767 or 1.0
    return {
        "points": _text(np.rint(mesh.vertices / unit), "<i2"),
        "unit": unit,
        "triangles": _text(mesh.triangles, "<u2"),
    }


def _lift(lift: NDArray[np.float16] | None, frames: Sequence[int], places: Floats) -> dict[str, Any]:
    """How much nearer each vertex is in each frame, frame by frame, in steps of `liftUnit`.

    lift : (T, s, s), see `Reconstruction`; places : (N, 2) of the vertices in the picture, in [0, 1]
    """
    import cv2

    if lift is None:
        return {"lift": None, "liftUnit": 0.0}
    u, v = (places * lift.shape[1] - 0.5).astype(np.float32).T
    some = lift[list(frames)].astype(np.float32)
    near = np.stack([cv2.remap(each, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE).ravel() for each in some])
    unit = float(np.abs(near).max()) / 127
    return {"lift": _text(np.rint(near / unit), "i1"), "liftUnit": unit} if unit else {"lift": None, "liftUnit": 0.0}


def _seen(found: Reconstruction, grazing: float, pixels: Floats) -> NDArray[np.uint8]:
    """(N,) 1 where the source saw the surface at some pixels (N, 2) well, as in the views; 0 elsewhere."""
    surface = found.depth
    cosine = source_cosine(mesh_from_depth(surface), surface.camera)
    seen = (cosine > np.cos(np.radians(grazing))) & seen_in_all(found.face.inside, found.registration)
    column, row = np.floor(pixels).astype(int).clip(0, len(seen) - 1).T
    return seen[row, column].astype(np.uint8)


def _text(values: NDArray[Any], kind: str) -> str:
    return base64.b64encode(values.astype(kind).tobytes()).decode()
