"""Depth of a mesh by casting a ray through every pixel's centre: Open3D, which has Intel's Embree do it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera, pixel_grid
from mvgen.core.errors import MissingPartError
from mvgen.core.records import Floats, Mask, Mesh, ViewGeometry
from mvgen.render.base import source_cosine, view_geometry
from mvgen.render.rays import camera_rays

_SAMPLES = 4  # rays a side through a pixel that an outline runs through
_BEYOND = 1e-4  # world units; a ray that met the inside of the surface starts again this far behind it


@dataclass(frozen=True, slots=True)
class _Known:
    """A mesh and what follows from it for every view."""

    mesh: Mesh
    source: Camera
    scene: Any
    cosine: Floats


class RaycastRenderer:
    """The reference without GL. `coverage` is the share of 16 rays through a pixel that meet the surface."""

    def __init__(self, device: str = "cpu") -> None:
        """Open Embree. device : of no account, the rays are cast on the CPU"""
        try:
            import open3d
        except (ImportError, OSError) as error:
            raise MissingPartError(
                f"open3d ({error})", "the renderer `raycast`", "apt-get install libusb-1.0-0"
            ) from None
        self._open3d: Any = open3d
        self._known: _Known | None = None

    def render(self, mesh: Mesh, camera: Camera, grazing: float) -> ViewGeometry:
        """What `camera` sees of a mesh; see `mvgen.render.base.Renderer`."""
        source = camera.at(0.0, 0.0)
        # All views of a clip look at one mesh: what belongs to the mesh is made once.
        if self._known is None or self._known.mesh is not mesh or self._known.source != source:
            self._known = _Known(mesh, source, self._scene(mesh), source_cosine(mesh, source))
        grid = pixel_grid(camera.size, camera.size)
        depth = self._cast(self._known.scene, camera, grid).astype(np.float32)
        hit = np.isfinite(depth)
        coverage = hit.astype(np.float32)
        rim = _rim(hit)
        steps = (np.arange(_SAMPLES) + 0.5) / _SAMPLES - 0.5
        within = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
        around = self._cast(self._known.scene, camera, grid[rim][:, None] + within)
        # A centre that is hit is some of the pixel, even where all rays beside it miss.
        coverage[rim] = np.maximum(np.isfinite(around).mean(axis=1), hit[rim] / _SAMPLES**2)
        return view_geometry(camera, depth, self._known.cosine, grazing, coverage)

    def _scene(self, mesh: Mesh) -> Any:
        scene = self._open3d.t.geometry.RaycastingScene(nthreads=1)
        scene.add_triangles(self._tensor(mesh.vertices), self._tensor(mesh.triangles.astype(np.uint32)))
        return scene

    def _tensor(self, array: NDArray[Any]) -> Any:
        return self._open3d.core.Tensor(np.ascontiguousarray(array))

    def _cast(self, scene: Any, camera: Camera, pixels: Floats) -> Floats:
        """Depth (...,) float64 of the first surface seen from its front through pixels (..., 2), NaN where none is."""
        rays = camera_rays(camera, pixels).reshape(-1, 6)
        depth = np.full(len(rays), np.nan)
        going = np.arange(len(rays))
        while len(going):
            answer = scene.cast_rays(self._tensor(rays[going]), nthreads=1)
            distance = answer["t_hit"].numpy()
            met = np.isfinite(distance)
            going, distance = going[met], distance[met, None]
            start, direction = rays[going, :3], rays[going, 3:]
            front = (answer["primitive_normals"].numpy()[met] * direction).sum(axis=1) < 0
            points = start.astype(np.float64) + distance * direction.astype(np.float64)
            depth[going[front]] = camera.to_view(points[front])[:, 2]
            # The inside of the face is never shown: a ray goes through it.
            rays[going, :3] = start + (distance + np.float32(_BEYOND)) * direction
            going = going[~front]
        return depth.reshape(pixels.shape[:-1])


def _rim(hit: Mask) -> Mask:
    """Pixels of which a neighbour, beside or corner to corner, is hit where they are not, or the other way round."""
    from scipy import ndimage

    around = np.ones((3, 3), bool)
    return ndimage.binary_dilation(hit, around) & ~ndimage.binary_erosion(hit, around, border_value=1)
