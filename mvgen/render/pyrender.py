"""Depth of a mesh by OpenGL, off screen: pyrender through EGL, or through OSMesa where there is no EGL.

Convention: the camera looks along its own -z; pixel centres at +0.5; see `mvgen.core.camera` for everything else.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera
from mvgen.core.errors import MissingPartError
from mvgen.core.records import Mesh, ViewGeometry
from mvgen.render.base import source_cosine, view_geometry

_BACKENDS = ("egl", "osmesa")
_MARGIN = 0.05  # world units between the surface and the clipping planes


def _open(backend: str) -> Any:
    """An off-screen renderer on one GL backend. PyOpenGL chooses its backend on import, so it is imported anew."""
    for name in [name for name in sys.modules if name.partition(".")[0] in ("OpenGL", "pyrender")]:
        del sys.modules[name]
    os.environ["PYOPENGL_PLATFORM"] = backend
    # Mesa's software driver and triton each contain an LLVM. Loaded after Mesa's, triton's crashes the process; before
    # it both work. Torch may load triton at any time, so it is loaded here first.
    if importlib.util.find_spec("triton"):
        importlib.import_module("triton")
    import pyrender

    return pyrender.OffscreenRenderer(16, 16)


@cache
def _offscreen() -> Any:
    """This process's GL context; only the backend that PYOPENGL_PLATFORM names is tried, if it is set."""
    chosen = os.environ.get("PYOPENGL_PLATFORM")
    failures = []
    for backend in (chosen,) if chosen in _BACKENDS else _BACKENDS:
        try:
            return _open(backend)
        # A missing library raises an ImportError, an AttributeError of None or a GL error, depending on the library.
        except Exception as error:
            failures.append(f"{backend}: {type(error).__name__}: {error}".splitlines()[0])
    if chosen is None:
        os.environ.pop("PYOPENGL_PLATFORM", None)
    raise MissingPartError(
        f"an off-screen OpenGL ({'; '.join(failures)})", "rendering views", "apt-get install libegl1 (or libosmesa6)"
    )


def _upload(mesh: Mesh) -> Any:
    """The mesh as pyrender's type. Single-sided: the inside of the face is never shown."""
    import pyrender

    material = pyrender.MetallicRoughnessMaterial(doubleSided=False)
    return pyrender.Mesh([pyrender.Primitive(positions=mesh.vertices, indices=mesh.triangles, material=material)])


@dataclass(frozen=True, slots=True)
class _PreparedMesh:
    """A mesh, and data derived from it for all views."""

    mesh: Mesh
    source: Camera
    uploaded: Any
    cosine: NDArray[np.floating]


class PyrenderRenderer:
    """The reference renderer."""

    def __init__(self, device: str = "cpu") -> None:
        """Open an OpenGL context. device : ignored, the driver decides"""
        _offscreen()
        self._prepared: _PreparedMesh | None = None

    def render(self, mesh: Mesh, camera: Camera, grazing: float) -> ViewGeometry:
        """Render a mesh, see `mvgen.render.base.Renderer`."""
        source = camera.at(0.0, 0.0)
        # All views of a clip render one mesh: its data is made once.
        if self._prepared is None or self._prepared.mesh is not mesh or self._prepared.source != source:
            self._prepared = _PreparedMesh(mesh, source, _upload(mesh), source_cosine(mesh, source))
        return view_geometry(camera, self._depth(self._prepared, camera), self._prepared.cosine, grazing)

    def _depth(self, prepared: _PreparedMesh, camera: Camera) -> NDArray[np.float32]:
        """(S, S) float32, world units in the view's frame, NaN where nothing is hit."""
        import pyrender

        heights = camera.to_view(prepared.mesh.vertices.astype(np.float64))[:, 2]
        low, high = float(heights.min()) - _MARGIN, float(heights.max()) + _MARGIN
        if camera.focal is None:
            middle = camera.size / 2
            eye = np.array(
                [
                    (middle - camera.centre[0]) / camera.scale,
                    -(middle - camera.centre[1]) / camera.scale,
                    high + _MARGIN,
                ]
            )
            half = middle / camera.scale
            lens = pyrender.OrthographicCamera(half, half, znear=_MARGIN, zfar=float(eye[2]) - low)
        else:
            eye = camera.position
            centre = camera.principal or (camera.size / 2, camera.size / 2)
            near = max(float(eye[2]) - high, _MARGIN)
            lens = pyrender.IntrinsicsCamera(
                camera.focal, camera.focal, *centre, znear=near, zfar=max(float(eye[2]) - low, 2 * near)
            )
        pose = np.eye(4)
        pose[:3, :3] = camera.rotation.T
        pose[:3, 3] = camera.to_world(eye)
        scene = pyrender.Scene()
        node = scene.add(prepared.uploaded)
        scene.add(lens, pose=pose)
        # SEG turns multisampling off. Without it the depth that is read back is the one at the first sample of a pixel,
        # an eighth of a pixel left and three eighths above its centre.
        flags = pyrender.RenderFlags.DEPTH_ONLY | pyrender.RenderFlags.SEG
        window = _offscreen()
        window.viewport_width = window.viewport_height = camera.size
        read = np.asarray(window.render(scene, flags=flags, seg_node_map={node: (255, 255, 255)}), np.float64)
        distance = np.where(read > 0, read, np.nan)
        if camera.focal is None:
            distance = _orthographic_distance(distance, lens.znear, lens.zfar)
        return np.asarray(eye[2] - distance, np.float32)


def _orthographic_distance(distance: NDArray[np.floating], near: float, far: float) -> NDArray[np.floating]:
    """Distance along the axis, from pyrender's, which decodes every depth buffer as a perspective one."""
    buffer = (far + near - 2 * near * far / distance) / (far - near)
    return (buffer * (far - near) + far + near) / 2
