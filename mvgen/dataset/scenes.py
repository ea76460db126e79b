"""What the views of a stored clip are made from, without torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mvgen.core.errors import StoreError
from mvgen.core.records import ClipGeometry, Floats, Image
from mvgen.motion.registration import seen_in_all
from mvgen.store.frames import read_frames
from mvgen.store.geometry import read_geometry
from mvgen.store.manifest import ViewRow
from mvgen.views.view import Scene, make_scene


def read_scene(root: Path, row: ViewRow, frames: bool = True) -> Scene:
    """The data that every view of a stored clip is made from.

    root : the store; row : of the frontal clip
    frames : False leaves the frames out, which only colours need
    Raises StoreError when a file is missing or damaged.
    """
    found = read_geometry(root, row)
    crops: Image = read_frames(root, row) if frames else np.zeros((0, *found.depth.depth.shape, 3), np.uint8)
    return make_scene(
        crops,
        row.apex_index,
        seen_in_all(found.face.inside, found.registration),
        found.face.landmarks,
        found.attention,
        ClipGeometry((found.depth,), row.onset_index),
        lift=found.lift,
    )


def landmarks_at(scene: Scene, yaw: float | None, pitch: float = 0.0) -> Floats | None:
    """A clip's landmarks projected into a view, (68, 2) pixels; occluded ones too. None where the clip has none.

    yaw, pitch : degrees, yaw None is the frontal clip
    A landmark outside the face has the depth of the nearest pixel of the face.
    Raises StoreError for a depth map without a face.
    """
    from scipy.ndimage import distance_transform_edt

    points = scene.landmarks
    if points is None or yaw is None:
        return points
    known = np.isfinite(scene.surface.depth)
    if not known.any():
        raise StoreError("a clip of the store has no face in its depth; the store is damaged, build it again")
    nearest = distance_transform_edt(~known, return_distances=False, return_indices=True)
    column, row = np.clip(points, 0, len(known) - 1).astype(int).T
    depth = scene.surface.depth[nearest[0][row, column], nearest[1][row, column]].astype(np.float64)
    camera = scene.surface.camera
    world = camera.unproject(np.column_stack([points, depth]))
    return np.asarray(camera.at(yaw, pitch).project(world)[:, :2])
