"""Views of a finished store at any angle, rendered on demand.

They are made from `geometry/` and the frontal frames in `views/source` by the code of a build, so that an angle that
was built gives the stored view. Three things are lost: frames stored as JPEG or as a video are compressed before they
are projected; geometric flow starts from the stored frontal flow, which is rounded, as stored depth is; and a store
with a geometry per frame ("model", "per-frame") has only that of the onset frame, which all frames are projected onto
here.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset, get_worker_info

from mvgen.core.angles import RandomAngles, view_name
from mvgen.core.config import BuildConfig
from mvgen.core.records import ClipGeometry, ViewGeometry
from mvgen.dataset.batches import Transform, finished
from mvgen.dataset.display import describe
from mvgen.dataset.items import ViewItem, view_item
from mvgen.dataset.scenes import read_scene
from mvgen.motion.flow.methods import ClipFlow
from mvgen.motion.surface_motion import clip_surface_motion
from mvgen.render import get_renderer
from mvgen.store.about import stored_config
from mvgen.store.arrays import read_maps
from mvgen.store.geometry import read_signals
from mvgen.store.manifest import ViewRow, finite
from mvgen.views.view import Scene, make_view, render_geometry, visible_share

_DRAWS = 16  # random angles tried to find a view that is kept


def share_at(scene: Scene, yaw: float, pitch: float, config: BuildConfig) -> float:
    """Share of a clip's attention that a view at an angle, degrees, sees, in [0, 1]."""
    return visible_share(scene, _geometry(scene, yaw, pitch, config), config.render)


def _geometry(scene: Scene, yaw: float, pitch: float, config: BuildConfig) -> ClipGeometry[ViewGeometry]:
    return render_geometry(scene, yaw, pitch, config.render, get_renderer("grid"))


class RenderedViews(Dataset[ViewItem]):
    """Views of a store's clips at given angles, in the order of the clips.

    It has rows, a path, and a cache that is not pickled, so it works in loader processes. Clips differ in length: use
    `DataLoader(dataset, batch_size=4, collate_fn=mvgen.collate)`. In order, a clip is read once for all its angles;
    shuffled over more clips than fit in `memory`, once for every view.
    """

    def __init__(  # noqa: PLR0917
        self,
        root: Path,
        about: dict[str, Any],
        rows: Sequence[ViewRow],
        angles: Sequence[tuple[float, float]] | RandomAngles,
        kept: bool | None = None,
        flow: bool = True,
        frames: int | None = None,
        transform: Transform | None = None,
        memory: int = 256 << 20,
    ) -> None:
        """Prepare views.

        rows : of the frontal clips to render
        angles : (yaw, pitch) in degrees, one view of every clip for each; or random, one view of every clip
        kept : as in `open_dataset`. For fixed angles, the geometry of every training clip is rendered here; a random
            angle is drawn again, up to 16 times, and if no view is kept the one that sees most is given
        flow : False leaves flow out; frames, transform : as in `open_dataset`
        memory : size of the cache of frames and meshes in each process, bytes
        """
        _fork_safely()
        self.root = root
        self.about = about
        self.rows = tuple(rows)
        self.config = stored_config(about)
        self.angles = angles
        self.kept = kept
        self.flow = flow
        self.frames = frames
        self.transform = transform
        self.memory = memory
        # In shared memory, so that persistent loader processes see a new epoch.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()
        self._scenes: OrderedDict[str, Scene] = OrderedDict()
        self._samples = [(row, pair) for row in self.rows for pair in self._fixed(row)]

    def set_epoch(self, epoch: int) -> None:
        """Draw new random angles. Call it before each epoch's loop."""
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        return len(self.rows) if isinstance(self.angles, RandomAngles) else len(self._samples)

    def __getitem__(self, index: int) -> ViewItem:
        if not -len(self) <= index < len(self):
            raise IndexError(f"view {index} of {len(self)}")
        _one_thread_in_loaders()
        row, candidates = self._candidates(index % len(self))
        scene = self._scene(row)
        view = make_view(scene, self._choose(row, scene, candidates), self.config, with_flow=self.flow)
        camera = view.camera
        row = self._row(row, camera.yaw, camera.pitch, view.visible_attention)
        flow = ClipFlow(view.flow, view.apex_flow) if self.flow else None
        signals = read_signals(self.root, row)
        item = view_item(row, view.colour, flow, signals, view.valid, view.depth, camera.pitch)
        return finished(item, self.frames, self.transform)

    def __repr__(self) -> str:
        angles = "random angles" if isinstance(self.angles, RandomAngles) else f"{len(self._samples)} rendered views"
        return describe("RenderedViews", self.about, self.rows, angles)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_scenes": OrderedDict()}

    def _fixed(self, row: ViewRow) -> Iterable[tuple[float, float]]:
        """The given angles of a clip; none where they are random."""
        if isinstance(self.angles, RandomAngles):
            return ()
        if self.kept is None:
            return self.angles
        if row.split != "train":  # all are kept
            return self.angles if self.kept else ()
        scene = read_scene(self.root, row, frames=False)
        shares = ((pair, share_at(scene, *pair, self.config)) for pair in self.angles)
        return [pair for pair, share in shares if self._row(row, *pair, share).kept == self.kept]

    def _candidates(self, index: int) -> tuple[ViewRow, list[tuple[float, float]]]:
        if not isinstance(self.angles, RandomAngles):
            row, pair = self._samples[index]
            return row, [pair]
        row = self.rows[index]
        tries = _DRAWS if self.kept and row.split == "train" else 1
        return row, list(islice(self.angles.draws(int(self._epoch), index), tries))

    def _choose(
        self, row: ViewRow, scene: Scene, candidates: Sequence[tuple[float, float]]
    ) -> ClipGeometry[ViewGeometry]:
        """Geometry of the first view that is kept; if none is, of the one that sees most."""
        if len(candidates) == 1:
            return _geometry(scene, *candidates[0], self.config)
        tried: list[tuple[float, ClipGeometry[ViewGeometry]]] = []
        for pair in candidates:
            seen = _geometry(scene, *pair, self.config)
            tried.append((visible_share(scene, seen, self.config.render), seen))
            if self._row(row, *pair, tried[-1][0]).kept:
                return seen
        return max(tried, key=lambda one: one[0])[1]

    def _row(self, row: ViewRow, yaw: float, pitch: float, share: float) -> ViewRow:
        seen = replace(row, view=view_name(yaw, pitch), yaw=yaw, visible_attention=finite(share))
        return seen.decided(self.config.attention.threshold)

    def _scene(self, row: ViewRow) -> Scene:
        """The clip's scene, read or from the cache, which drops the least recently used first."""
        scene = self._scenes.pop(row.clip, None) or read_scene(self.root, row)
        if self.flow and self.config.flow.kind == "geometric" and scene.motion is None:
            frontal = read_maps(self.root, row).flow
            motion = clip_surface_motion(frontal, ClipGeometry((scene.surface,), scene.onset), scene.apex, scene.lift)
            scene = replace(scene, motion=motion)
        self._scenes[row.clip] = scene
        while len(self._scenes) > 1 and sum(map(_bytes, self._scenes.values())) > self.memory:
            self._scenes.popitem(last=False)
        return scene


def _bytes(scene: Scene) -> int:
    meshes = sum(mesh.vertices.nbytes + mesh.triangles.nbytes + mesh.uv.nbytes for mesh in scene.meshes.each)
    motion = sum(each.nbytes for each in scene.motion or ())
    attended = scene.attended
    attention = attended.points.nbytes + attended.normals.nbytes + attended.weight.nbytes
    return scene.crops.nbytes + meshes + motion + attention


@cache
def _fork_safely() -> None:
    """Stop OpenCV's threads before every fork: a loader process would hang without them."""
    import cv2

    before: list[int] = []

    def stop() -> None:
        before.append(cv2.getNumThreads())
        cv2.setNumThreads(1)

    os.register_at_fork(before=stop, after_in_parent=lambda: cv2.setNumThreads(before.pop()))


def _one_thread_in_loaders() -> None:
    """Limit a loader process to one thread; a forked one has no more, see `_fork_safely`."""
    import cv2

    if get_worker_info() is not None and cv2.getNumThreads() > 1:
        cv2.setNumThreads(1)
