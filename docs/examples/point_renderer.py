"""A renderer of our own: each vertex of the mesh is one pixel, the nearest one is seen."""

from __future__ import annotations

import numpy as np

from mvgen.core.camera import Camera
from mvgen.core.records import Mesh, ViewGeometry
from mvgen.render.base import source_cosine, view_geometry


class PointRenderer:
    """Only finds the depth of a view; everything else about it follows from that in `view_geometry`."""

    def __init__(self, device: str = "cpu") -> None:
        self.device = device  # this one runs on the CPU only

    def render(self, mesh: Mesh, camera: Camera, grazing: float) -> ViewGeometry:
        seen = camera.project(mesh.vertices.astype(np.float64))
        column, row = np.floor(seen[:, :2]).astype(int).T
        inside = (np.minimum(column, row) >= 0) & (np.maximum(column, row) < camera.size)
        depth = np.full((camera.size, camera.size), -np.inf, np.float32)
        np.maximum.at(depth, (row[inside], column[inside]), seen[inside, 2].astype(np.float32))
        depth[np.isneginf(depth)] = np.nan
        return view_geometry(camera, depth, source_cosine(mesh, camera), grazing)
