"""Depth of a mesh by ray casting through every pixel's centre, with Open3D (Intel's Embree)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera, pixel_grid
from mvgen.core.extras import import_part
from mvgen.core.records import Floats, Mask, Mesh, ViewGeometry
from mvgen.render.base import source_cosine, view_geometry
from mvgen.render.rays import camera_rays

_SAMPLES = 4  # rays along each side of a pixel on the outline
_BEYOND = 1e-4  # world units; a ray that hit a back face starts again this far behind it


@dataclass(frozen=True, slots=True)
class _PreparedMesh:
    """A mesh, and data derived from it for all views."""

    mesh: Mesh
    source: Camera
    scene: Any
    cosine: Floats


class RaycastRenderer:
    """The reference without GL. `coverage` is the share of 16 rays through a pixel that hit the surface."""

    def __init__(self, device: str = "cpu") -> None:
        """Open Embree. device : ignored, rays are cast on the CPU"""
        libraries = "apt-get install libusb-1.0-0"
        self._open3d = import_part("open3d", "the renderer `raycast`", libraries=libraries)
        self._prepared: _PreparedMesh | None = None

    def render(self, mesh: Mesh, camera: Camera, grazing: float) -> ViewGeometry:
        """Render a mesh, see `mvgen.render.base.Renderer`."""
        source = camera.at(0.0, 0.0)
        # All views of a clip render one mesh: its data is made once.
        if self._prepared is None or self._prepared.mesh is not mesh or self._prepared.source != source:
            self._prepared = _PreparedMesh(mesh, source, self._scene(mesh), source_cosine(mesh, source))
        grid = pixel_grid(camera.size, camera.size)
        depth = self._cast(self._prepared.scene, camera, grid).astype(np.float32)
        hit = np.isfinite(depth)
        coverage = hit.astype(np.float32)
        rim = _rim(hit)
        steps = (np.arange(_SAMPLES) + 0.5) / _SAMPLES - 0.5
        within = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
        around = self._cast(self._prepared.scene, camera, grid[rim][:, None] + within)
        # A pixel whose centre is hit has some coverage, even where the 16 rays miss.
        coverage[rim] = np.maximum(np.isfinite(around).mean(axis=1), hit[rim] / _SAMPLES**2)
        return view_geometry(camera, depth, self._prepared.cosine, grazing, coverage)

    def _scene(self, mesh: Mesh) -> Any:
        scene = self._open3d.t.geometry.RaycastingScene(nthreads=1)
        scene.add_triangles(self._tensor(mesh.vertices), self._tensor(mesh.triangles.astype(np.uint32)))
        return scene

    def _tensor(self, array: NDArray[Any]) -> Any:
        return self._open3d.core.Tensor(np.ascontiguousarray(array))

    def _cast(self, scene: Any, camera: Camera, pixels: Floats) -> Floats:
        """Depth (...,) float64 of the first front face along rays through pixels (..., 2), NaN where there is none."""
        rays = camera_rays(camera, pixels).reshape(-1, 6)
        depth = np.full(len(rays), np.nan)
        active = np.arange(len(rays))
        while len(active):
            answer = scene.cast_rays(self._tensor(rays[active]), nthreads=1)
            distance = answer["t_hit"].numpy()
            hit = np.isfinite(distance)
            active, distance = active[hit], distance[hit, None]
            start, direction = rays[active, :3], rays[active, 3:]
            front = (answer["primitive_normals"].numpy()[hit] * direction).sum(axis=1) < 0
            points = start.astype(np.float64) + distance * direction.astype(np.float64)
            depth[active[front]] = camera.to_view(points[front])[:, 2]
            # The inside of the face is never shown: rays pass through back faces.
            rays[active, :3] = start + (distance + np.float32(_BEYOND)) * direction
            active = active[~front]
        return depth.reshape(pixels.shape[:-1])


def _rim(hit: Mask) -> Mask:
    """Pixels that differ from one of their eight neighbours in being hit or not."""
    from scipy import ndimage

    around = np.ones((3, 3), bool)
    return ndimage.binary_dilation(hit, around) & ~ndimage.binary_erosion(hit, around, border_value=1)
